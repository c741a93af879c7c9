"""How near a container is to its memory limit, by the kernel's own count."""

from dataclasses import dataclass
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
UNLIMITED = 1 << 60
MARGIN = 0.02
LEAST_MARGIN_BYTES = 32 << 20


@dataclass(frozen=True)
class MemoryLimit:
    """A control group's memory, of version 1 or 2.

    Attributes:
        limit: Bytes that the kernel allows; `UNLIMITED` or more where it sets no limit.
        usage: File of the bytes in use, page cache included; None where there is no limit.
        statistics: File that says how much of it is cache that the kernel gives back.
    """

    limit: int = UNLIMITED
    usage: Path | None = None
    statistics: Path | None = None

    @classmethod
    def of_this_container(cls, root: Path = CGROUPS) -> "MemoryLimit":
        """The limit of the container that this process runs in; none on a plain machine."""
        for folder, limit, usage in (
            (root, "memory.max", "memory.current"),
            (root / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
        ):
            if (folder / limit).is_file() and (
                text := (folder / limit).read_text().strip()
            ) != "max":
                return cls(int(text), folder / usage, folder / "memory.stat")
        return cls()

    def reached(self) -> bool:
        """Whether so little is left that the kernel is about to end the container."""
        if self.usage is None or self.statistics is None or self.limit >= UNLIMITED:
            return False
        margin = max(LEAST_MARGIN_BYTES, int(self.limit * MARGIN))
        return int(self.usage.read_text()) - self._cache() > self.limit - margin

    def _cache(self) -> int:
        """Bytes of files: given back before anything is ended, however lately they were used."""
        counts = dict(line.split() for line in (self.statistics or Path()).read_text().splitlines())
        kinds = ("inactive_file", "active_file")
        return sum(int(counts.get(f"total_{kind}", counts.get(kind, 0))) for kind in kinds)
