"""What the gate compares models by: items that are one question are no four observations."""

import pytest

from components.evaluation.comparisons import comparisons
from components.evaluation.figures import Making, Scored, by_model, counts
from components.evaluation.outcomes import Outcomes
from spavl.records import EvalItem
from spavl.settings.evaluation import ScoringSettings
from spavl.statistics import paired_difference


def columns(questions: int, better: int, worse: int, grouped: bool) -> Outcomes:
    """Questions in four columns each; on some all four got better, on some worse."""
    items, old, new = {}, {}, {}
    for question in range(questions):
        for column in range(4):
            name = f"{question}-{column}"
            group = f"q{question}" if grouped else None
            picture = f"p{name}" if column else None
            items[name] = {"half": "deciding", "clusters": [picture, "t"], "group": group}
            old[name] = float(question < better)
            new[name] = float(better <= question < better + worse)
    return Outcomes(items, {"base": {"harm": old}, "dpo": {"harm": new}})


def test_the_columns_of_a_question_are_one_observation_to_the_gate() -> None:
    """13 of 84 questions better and 5 worse: chance, which four columns each do not make less."""
    asked = columns(84, 13, 5, grouped=True)
    change = asked.change(asked.of("base", "harm"), asked.of("dpo", "harm"), "deciding", 0.95)
    once = paired_difference(
        [float(q < 13) for q in range(84)], [float(13 <= q < 18) for q in range(84)]
    )
    assert change.value == pytest.approx(once.value)
    assert change.high is not None
    assert change.high > 0
    alone = columns(84, 13, 5, grouped=False)
    narrow = alone.change(alone.of("base", "harm"), alone.of("dpo", "harm"), "deciding", 0.95)
    assert narrow.high is not None
    assert narrow.high < 0


def attacked(number: int) -> EvalItem:
    name = f"a{number}"
    return EvalItem(name, "harm_eval", f"i{name}", f"Do {name}?", "easy_question", "harmful",
                    "theft", "theft", None, "pocket")  # fmt: skip


def test_grades_count_where_they_are_half_or_more() -> None:
    """A rubric says 7/8 where a word says 1; both count the same answers."""
    assert [counts(score) for score in (0.0, 0.375, 0.5, 0.875, 1.0)] == [
        False,
        False,
        True,
        True,
        True,
    ]
    rows = []
    for number in range(60):
        grade = 0.875 if number < 30 else 0.0
        rows.append(Scored(attacked(number), "base", "unsafe", grade))
        rows.append(Scored(attacked(number), "dpo", "safe", 0.0))
    making = Making(ScoringSettings(), seed=1)
    test = comparisons(rows, making)["dpo"]["harm_eval_usr"]
    assert (test["only_base"], test["only_dpo"]) == (30, 0)
    assert test["p_value"] < 1e-6
    assert by_model(rows, ["base"], making)["base"]["harm_eval_usr"]["n"] == 60
