"""The work of a stage as each of its processes has it: one keeps and tells for all."""

import os
import time
from collections.abc import Mapping

from spavl.environment import keep_seconds
from spavl.storage import is_s3
from spavl.work import Work

TASK_FOLDER = "processes"  # in the work folder: what processes and their step tell each other
KEEP = "keep"
SECONDS_BETWEEN_LOOKS = 0.1


class LeadingWork(Work):
    """The work as the leader has it: what is to be kept on S3, the stage's step brings there.

    The leader waits meanwhile, and with it all others, so that nothing changes under the copy.
    """

    _next_keep = 0.0

    def keep(self) -> None:
        """Ask the step, now and then."""
        if not is_s3(os.environ.get("SPAVL_WORK_ROOT", "")) or time.monotonic() < self._next_keep:
            return
        asked = self.folder / TASK_FOLDER / KEEP
        asked.touch()
        while asked.exists():
            time.sleep(SECONDS_BETWEEN_LOOKS)
        self._next_keep = time.monotonic() + keep_seconds()


class FollowingWork(Work):
    """The work as processes other than the leader have it: they write and tell nothing."""

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Left to the leader."""

    def keep(self) -> None:
        """Left to the leader."""

    def progress(self, done: int, total: int, unit: str, **metrics: float) -> None:
        """Left to the leader."""

    def note(self, text: str) -> None:
        """Left to the leader."""
