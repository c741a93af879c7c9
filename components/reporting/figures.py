"""How a figure is written."""

from collections.abc import Mapping
from typing import Any


def percent(figure: Mapping[str, Any] | None) -> str:
    """`44.2 [41.1, 47.3]`, or a dash where nothing was measured."""
    if figure is None or figure["value"] is None:
        return "–"
    value, low, high = (100 * figure[key] for key in ("value", "low", "high"))
    return f"{value:.1f} [{low:.1f}, {high:.1f}]"
