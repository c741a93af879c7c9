"""What blind controls are compared with: the figure that they were judged for, and no other."""

from dataclasses import replace

from components.evaluation.blind import control_id, visual_dependence
from components.evaluation.figures import Making, Scored
from spavl.records import EvalItem
from spavl.settings.evaluation import ScoringSettings

ITEMS = 40


def item(number: int) -> EvalItem:
    facts = (None, "harmless", "a boat", None, None, "pocket")
    return EvalItem(f"i{number}", "over_refusal", f"p{number}", f"Question {number}?", *facts)


def rows() -> list[Scored]:
    """Nothing is refused with its picture, everything without; no answer is malformed."""
    found = []
    for asked in map(item, range(ITEMS)):
        found.append(Scored(asked, "dpo", "full_compliance", 0.0))
        found.append(Scored(replace(asked, benchmark="well_formed"), "dpo", "well_formed", 0.0))
        for control in ("blank", "other"):
            blind = replace(
                asked,
                item_id=control_id(asked.item_id, control),
                benchmark=f"over_refusal.{control}",
            )
            found.append(Scored(blind, "dpo", "full_refusal", 1.0))
    return found


def test_a_control_counts_for_the_figure_that_it_was_judged_for_alone() -> None:
    found = visual_dependence(rows(), Making(ScoringSettings(), 42))["dpo"]
    assert set(found) == {"over_refusal_rate"}
    assert found["over_refusal_rate"]["blank"]["value"] == -1.0
    assert found["over_refusal_rate"]["blank"]["n"] == ITEMS
