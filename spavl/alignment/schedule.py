"""The learning rate from update to update."""

import math
from collections.abc import Iterable
from typing import Any

from spavl.settings.alignment import AlignmentSettings


class Schedule:
    """Gives an optimizer's groups their learning rates, as shares of their peaks.

    Args:
        groups: torch's parameter groups, with their peak learning rates.
        settings: Warm-up and what follows it.
        total_updates: Updates of the whole training.
    """

    def __init__(
        self, groups: Iterable[dict[str, Any]], settings: AlignmentSettings, total_updates: int
    ) -> None:
        self._groups = list(groups)
        self._peaks = [float(group["lr"]) for group in self._groups]
        self._settings = settings
        self._total = total_updates
        self.go_to(0)

    @property
    def rate(self) -> float:
        """The first group's learning rate."""
        return float(self._groups[0]["lr"])

    def go_to(self, update: int) -> None:
        """Set the learning rates of an update, counted from 0."""
        self.update = update
        share = learning_rate_share(self._settings, update, self._total)
        for group, peak in zip(self._groups, self._peaks, strict=True):
            group["lr"] = peak * share


def learning_rate_share(settings: AlignmentSettings, update: int, total_updates: int) -> float:
    """Share of the peak learning rate at an update, counted from 0.

    Linear warm-up, then constant or half a cosine down to 0.
    """
    warmup = settings.warmup_steps or math.ceil(settings.warmup_ratio * total_updates)
    if update < warmup:
        return (update + 1) / (warmup + 1)
    if settings.lr_scheduler_type == "constant":
        return 1.0
    done = (update - warmup) / max(1, total_updates - warmup)
    return 0.5 * (1.0 + math.cos(math.pi * min(1.0, done)))
