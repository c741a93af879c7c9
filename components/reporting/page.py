"""Pages from templates: everything escaped, style and script let through by their digests alone."""

import base64
import hashlib
from collections.abc import Iterable, Mapping
from functools import cache
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from components.reporting import labels
from components.reporting.capabilities import own_unit
from components.reporting.quarantine import visible
from components.reporting.rules import rule_detail
from components.reporting.summary import drawn_pictures, percent

if TYPE_CHECKING:
    from jinja2 import Environment

STYLE = "page.css"


def render_page(template: str, script: str, sources: Mapping[str, str], **facts: Any) -> str:
    """A page with its style and its script inside.

    Args:
        template: The page's template.
        script: The page's script.
        sources: What besides the script and the style may be loaded, by directive; e.g.
            `{"img-src": "data:"}`.
        facts: What the template shows. What a model or a file said is escaped.
    """
    environment = _environment()
    style = environment.get_template(STYLE).render()
    code = environment.get_template(script).render()
    return environment.get_template(template).render(
        style=style, script=code, policy=_policy(style, code, sources), **facts
    )


def _policy(style: str, script: str, sources: Mapping[str, str]) -> str:
    """Nothing but what is named: no inline style, no handler in an attribute, no form, no base."""
    allowed = {"style-src": _digest(style), "script-src": _digest(script)}
    for directive, given in sources.items():
        allowed[directive] = f"{allowed.get(directive, '')} {given}".strip()
    told = "; ".join(f"{directive} {sources}" for directive, sources in allowed.items())
    return f"default-src 'none'; base-uri 'none'; form-action 'none'; {told}"


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("components.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        percent=percent,
        drawn_pictures=drawn_pictures,
        visible=visible,
        change=change,
        own_unit=own_unit,
        spaced=labels.spaced,
        model_label=labels.model_label,
        rule_label=labels.rule_label,
        rule_detail=rule_detail,
        stage_label=labels.stage_label,
        benchmark_label=labels.benchmark_label,
        groupby_in_order=_in_order,
    )
    return environment


def change(
    metric: labels.Metric,
    base: Mapping[str, Any] | None,
    mine: Mapping[str, Any],
    unit: float = 100,
) -> dict[str, str] | None:
    """How a figure moved from the base's, where both were measured and have intervals.

    Args:
        metric: Which way is good.
        base: The base's figure.
        mine: The model's.
        unit: What the difference is told in: hundredths, or 1 for the figure's own unit.

    Returns:
        `kind` (`better`, `worse`, `unclear` or, where nobody said which way is good, `changed`)
        and `text`; it is `unclear` while the two 95% intervals overlap.
    """
    if base is None or base["low"] is None or mine["low"] is None:
        return None
    moved = unit * (mine["value"] - base["value"])
    told = f"{moved:+.1f}" if unit == 100 else f"{moved:+.3g}"
    if mine["low"] <= base["high"] and base["low"] <= mine["high"]:
        return {"kind": "unclear", "text": f"≈ {told}"}
    kind = "changed"
    if metric.lower_is_better is not None:
        kind = "better" if (moved < 0) == metric.lower_is_better else "worse"
    return {"kind": kind, "text": f"{'▲' if moved > 0 else '▼'} {told}"}


def _in_order(rows: Iterable[Any], attribute: str) -> list[tuple[Any, list[Any]]]:
    """Neighbours of one kind together; unlike Jinja's own, it does not sort."""
    return [(key, list(group)) for key, group in groupby(rows, attrgetter(attribute))]
