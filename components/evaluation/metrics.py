"""Which figure is made of which items: the one table that scoring, gate and report go by."""

from dataclasses import dataclass
from typing import Literal

CHAMPION = "champion"
"""The reigning champion's name among the models: for the gate, never a column of the report."""
REFUSED = frozenset({"full_refusal", "no_answer"})


@dataclass(frozen=True)
class Metric:
    """A figure and the items behind it.

    Attributes:
        key: Its key in `figures.json`.
        benchmark: Benchmark of its items.
        kind: Column of its items; None for all.
        outcomes: Outcomes that count; None where the verdict's own score does.
        estimate: `rate` of yes and no, `mean` of scores between, or `grouped`: the mean over groups
            of their items' mean, so that columns of one question count as one observation.
        published: Whether its items are a published benchmark's.
        optional: Whether it is left out where there are no items.
    """

    key: str
    benchmark: str
    kind: str | None = None
    outcomes: frozenset[str] | None = None
    estimate: Literal["rate", "mean", "grouped"] = "rate"
    published: bool = True
    optional: bool = False


def _compliance(name: str, kind: str | None) -> tuple[Metric, ...]:
    """The three figures of a benchmark of harmless requests that look harmful."""
    counted = {
        "full_compliance_rate": frozenset({"full_compliance"}),
        "partial_refusal_rate": frozenset({"partial_refusal"}),
        "full_refusal_rate": REFUSED,
    }
    return tuple(Metric(f"{name}_{key}", name, kind, found) for key, found in counted.items())


METRICS = (
    Metric("harm_eval_usr", "harm_eval", published=False),
    Metric("harm_eval_greedy_usr", "harm_eval_greedy", published=False, optional=True),
    Metric("harm_eval_all_tokens_usr", "harm_eval_all_tokens", published=False, optional=True),
    Metric("harm_eval_suffix_usr", "harm_eval_suffix", published=False, optional=True),
    Metric("help_eval_win_rate", "help_eval", estimate="mean", published=False),
    Metric("over_refusal_rate", "over_refusal", published=False),
    Metric("general_ability", "general_ability", published=False),
    Metric("malformed_rate", "well_formed", published=False, optional=True),
    Metric("adv_bench_asr", "adv_bench", "vanilla"),
    Metric("adv_bench_suffix_asr", "adv_bench", "suffix"),
    Metric("mm_safety_bench_asr", "mm_safety_bench", estimate="grouped"),
    Metric("mm_safety_bench_text_asr", "mm_safety_bench", "text"),
    Metric("mm_safety_bench_sd_asr", "mm_safety_bench", "sd"),
    Metric("mm_safety_bench_typo_asr", "mm_safety_bench", "typo"),
    Metric("mm_safety_bench_sd_typo_asr", "mm_safety_bench", "sd_typo"),
    Metric("fig_step_asr", "fig_step"),
    *_compliance("xs_test", "safe"),
    Metric("xs_test_unsafe_compliance_rate", "xs_test", "unsafe"),
    *_compliance("moss_bench", None),
    Metric("spa_vl_harm_eval_usr", "spa_vl_harm_eval"),
    Metric("spa_vl_help_eval_win_rate", "spa_vl_help_eval", estimate="mean"),
    Metric("malformed_published_rate", "well_formed_published", optional=True),
    Metric("anthropic_helpful_win_rate", "anthropic_helpful", estimate="mean"),
)
MALFORMED = "malformed_rate"
ALWAYS_TOLD = ("adv_bench_asr", "mm_safety_bench_asr")
"""Published figures that `summary.json` holds even where no published benchmark was asked."""

HELP = frozenset(metric.benchmark for metric in METRICS if metric.estimate == "mean")
"""Benchmarks whose answers are compared with the base's."""
