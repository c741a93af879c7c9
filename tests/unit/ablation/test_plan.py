"""Plans: what they may say, and which of them ship."""

import pytest
import yaml

from components.ablation.plan import plan_names, plan_text, read_plan
from components.configuration import resolve
from components.evaluation.metrics import METRICS
from spavl.errors import InputError

SMALL = {
    "seeds": [1, 2],
    "variants": {"few": {"rows": {"pairs": 10}}, "many": {}},
    "axes": {"scale": {"by": "pairs", "variants": ["few", "many"]}},
    "hypotheses": [
        {
            "id": "more",
            "axis": "scale",
            "says": "More is safer.",
            "compare": [{"figure": "harm_eval_usr", "lower": "many", "than": "few"}],
        }
    ],
}


def changed(**parts: object) -> str:
    return yaml.safe_dump({**SMALL, **parts})


@pytest.mark.parametrize("name", plan_names())
def test_shipped_plans_hold_together(name: str) -> None:
    plan = read_plan(name)
    assert resolve("pocket", plan.settings)
    figures = {each.figure for h in plan.hypotheses for each in h.compare}
    assert figures <= {metric.key for metric in METRICS}
    assert len(plan.seeds) >= 3


def test_the_pocket_plan_compares_equal_numbers_of_pairs() -> None:
    plan = read_plan("pocket")
    for axis in ("diversity", "questions", "control"):
        assert len({plan.variants[name].rows.pairs for name in plan.axes[axis].variants}) == 1


def test_some_axes_keep_what_belongs_to_them() -> None:
    plan = read_plan("pocket", ["scale"])
    assert set(plan.axes) == {"scale"}
    assert set(plan.variants) == set(plan.axes["scale"].variants)
    assert {each.axis for each in plan.hypotheses} == {"scale"}


HYPOTHESIS = SMALL["hypotheses"][0]  # type: ignore[index]


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (
            {"axes": {"scale": {"by": "pairs", "variants": ["none"]}}, "hypotheses": []},
            "no variant",
        ),
        ({"hypotheses": [{**HYPOTHESIS, "axis": "none"}]}, "no axis none"),
        (
            {
                "hypotheses": [
                    {**HYPOTHESIS, "compare": [{"figure": "f", "lower": "x", "than": "few"}]}
                ]
            },
            "x is not on scale",
        ),
        (
            {"hypotheses": [{**HYPOTHESIS, "compare": [{"figure": "f", "than": "few"}]}]},
            "one of lower, higher and alike",
        ),
        ({"seeds": [1, 1]}, "seeds differ"),
        ({"variants": {"few": {}, "many": {}, "base": {}}}, "base is a variant of its own"),
        ({"variants": {"few": {"rows": {"pears": 3}}, "many": {}}}, "unknown setting"),
        ({"variants": {"few": {"rows": {"responders": {}}}, "many": {}}}, "give one of named"),
    ],
)
def test_a_wrong_plan_is_refused(parts: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_plan(changed(**parts))


@pytest.mark.parametrize("name", ["pockets", "/nowhere/plan.yaml", "a: [\n"])
def test_what_is_no_plan_is_refused(name: str) -> None:
    with pytest.raises(InputError):
        read_plan(name)


def test_a_plan_is_read_from_its_name_a_file_or_its_text(tmp_path) -> None:
    (tmp_path / "mine.yaml").write_text(changed())
    assert read_plan(str(tmp_path / "mine.yaml")) == read_plan(changed())
    assert plan_text("pocket") == plan_text(plan_text("pocket"))
    with pytest.raises(InputError, match="unknown axis"):
        read_plan("pocket", ["scales"])
