"""When two pictures count as the same."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Closeness:
    """When two pictures count as the same.

    Attributes:
        radius: Bits in which their hashes may differ, of 64.
        difference: Mean difference of their thumbnails over the contrast, at most.
    """

    radius: int = 10
    difference: float = 0.22
