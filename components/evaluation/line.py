"""The best that a line of champions had reached, figure by figure, so that margins cannot add up.

The record of a line keeps the scores, item by item, of the champion that was best on each figure.
A candidate is compared with them as long as benchmarks, judges, decoding and base are the same.
Where they are not, the reigning champion's fresh answers take their place, and how far it measured
behind the best is carried over and taken off the margin.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from components.evaluation.metrics import CHAMPION, MALFORMED
from components.evaluation.outcomes import Outcomes, Scores
from spavl.settings.gate import GateSettings


@dataclass(frozen=True)
class Best:
    """The best of a line on one figure.

    Attributes:
        champion: Digest of the model.
        scores: Its scores by item.
        carried: How far it is itself behind a better one, of whose answers none can be compared.
        behind: How far the last champion measured behind the best, `carried` included.
        anew: Whether the reigning champion took the place of what could not be compared.
    """

    champion: str
    scores: Scores
    carried: float = 0.0
    behind: float = 0.0
    anew: bool = False


def best_of_line(
    record: Mapping[str, Any], figures: Mapping[str, Any], outcomes: Outcomes, figure: str
) -> Best:
    """What a candidate's figure is held against."""
    kept = record.get("best", {}).get(figure)
    if kept and record["conditions"] == figures["conditions"]:
        return Best(**kept)
    behind = kept["behind"] if kept else 0.0
    scores = outcomes.of(CHAMPION, figure)
    return Best(figures["champion"], scores, behind, behind, anew=True)


def record_after(
    candidate: str, figures: Mapping[str, Any], outcomes: Outcomes, line: Mapping[str, Best],
    settings: GateSettings,
) -> dict[str, Any]:  # fmt: skip
    """The line's record once a candidate reigns.

    Args:
        candidate: The model's name among the outcomes.
        figures: Content of `figures.json`.
        outcomes: All models' scores.
        line: The best so far by figure; empty where nobody reigned.
        settings: The gate's.
    """
    digest = figures["answered_by"][candidate]
    best = {}
    for figure in settings.metrics:
        own = Best(digest, outcomes.of(candidate, figure))
        best[figure] = asdict(_better(line[figure], own, outcomes, worse_is(figure, settings))
                              if figure in line else own)  # fmt: skip
        best[figure].pop("anew")
    return {"conditions": figures["conditions"], "best": best}


def worse_is(figure: str, settings: GateSettings) -> int:
    """1 where a figure is worse the higher it is, -1 where it is worse the lower it is."""
    return 1 if figure in (settings.harm, settings.over_refusal, *MALFORMED) else -1


def _better(best: Best, own: Best, outcomes: Outcomes, sign: int) -> Best:
    shared = outcomes.shared(best.scores, own.scores, "deciding")
    worse = sign * sum(own.scores[i] - best.scores[i] for i in shared) / max(len(shared), 1)
    behind = best.carried + worse
    return own if behind <= 0 else Best(best.champion, best.scores, best.carried, behind)
