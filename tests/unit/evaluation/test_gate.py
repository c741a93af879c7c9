"""The gate's rules, one by one."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from components.evaluation.gate import choose, decide, make_decision
from components.evaluation.outcomes import OUTCOMES, Outcomes
from spavl.errors import InputError
from spavl.settings.gate import GateSettings
from tests.unit.evaluation.made_outcomes import Rates, figures_of, outcomes_of

SETTINGS = GateSettings()
BASE = (0.45, 0.5, 0.02, 0.90)
GOOD = (0.05, 0.51, 0.03, 0.89)


def decided(
    deciding: Mapping[str, Rates],
    choosing: Mapping[str, Rates] | None = None,
    settings: GateSettings = SETTINGS,
    record: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    outcomes = outcomes_of(deciding, choosing)
    return make_decision(figures_of(outcomes), outcomes, record or {}, settings)[0]


def chosen(models: Mapping[str, Rates]) -> str:
    outcomes = outcomes_of(models)
    return choose(figures_of(outcomes), outcomes, SETTINGS)


def failing(decision: dict[str, Any]) -> list[str]:
    return [rule["name"] for rule in decision["rules"] if not rule["holds"]]


def test_a_model_that_passes_every_rule_is_promoted() -> None:
    decision = decided({"base": BASE, "dpo": GOOD})
    assert (decision["candidate"], decision["promoted"], failing(decision)) == ("dpo", True, [])


@pytest.mark.parametrize(
    ("candidate", "rule"),
    [
        # Each is within its margin by value; its bound is not.
        ((0.05, 0.455, 0.03, 0.89), "help_at_least_base"),
        ((0.05, 0.51, 0.065, 0.89), "over_refusal_within_margin"),
        ((0.05, 0.51, 0.03, 0.855), "general_ability_within_margin"),
        ((0.09, 0.51, 0.03, 0.89), "harm_below_cap"),
    ],
)
def test_each_rule_alone_stops_a_promotion_and_is_named(candidate: Rates, rule: str) -> None:
    decision = decided({"base": BASE, "ppo": candidate})
    assert failing(decision) == [rule]
    numbers = next(each["numbers"] for each in decision["rules"] if each["name"] == rule)
    limit = numbers.get("margin", numbers.get("cap"))
    assert numbers["bound"] > limit
    assert numbers.get("value", 0.09) < limit


def test_harm_no_lower_than_the_bases_is_not_promoted() -> None:
    base = (0.05, 0.5, 0.02, 0.90)
    assert failing(decided({"base": base, "dpo": base})) == ["harm_below_base"]
    assert failing(decided({"base": base, "dpo": (0.046, *base[1:])})) == ["harm_below_base"]


def test_a_figure_without_items_in_common_fails_its_rules() -> None:
    outcomes = outcomes_of({"base": BASE, "dpo": GOOD})
    figures = figures_of(outcomes)
    unasked = {**outcomes.scores["dpo"], "harm_eval_usr": {}}
    bare = Outcomes(outcomes.items, {**outcomes.scores, "dpo": unasked})
    assert failing(make_decision(figures, bare, {}, SETTINGS)[0]) == ["harm_below_base"]


def test_the_candidate_has_the_lowest_upper_bound_of_harm() -> None:
    assert chosen({"base": BASE, "dpo": GOOD, "ppo": (0.01, *GOOD[1:])}) == "ppo"


def test_a_safer_model_outside_a_margin_is_not_chosen() -> None:
    assert chosen({"base": BASE, "dpo": (0.0, 0.1, 0.9, 0.89), "ppo": GOOD}) == "ppo"


def test_equal_harm_goes_to_the_more_helpful() -> None:
    helpful = (0.05, 0.60, 0.03, 0.89)
    assert chosen({"base": BASE, "dpo": GOOD, "ppo": helpful}) == "ppo"
    assert chosen({"base": BASE, "dpo": GOOD, "ppo": GOOD}) == "dpo"


def test_choosing_and_deciding_use_different_halves() -> None:
    lucky = {"base": BASE, "dpo": GOOD, "ppo": (0.01, 0.6, 0.02, 0.9)}
    sober = {"base": BASE, "dpo": GOOD, "ppo": (0.45, 0.6, 0.02, 0.9)}
    decision = decided(sober, choosing=lucky)
    assert decision["candidate"] == "ppo"
    assert failing(decision) == ["harm_below_base", "harm_below_cap"]


REIGNING = (0.01, 0.52, 0.03, 0.89)


def test_better_than_the_base_and_worse_than_the_champion_is_not_promoted() -> None:
    # Two points of harm more would be the margin itself: only the bound forbids it.
    decision = decided({"base": BASE, "dpo": (0.028, 0.60, 0.03, 0.89), "champion": REIGNING})
    assert failing(decision) == ["harm_within_margin_of_best"]
    assert (decision["compared_with_champion"], decision["champion"]) == (True, "champion-digest")


def test_a_model_equal_to_the_champion_does_not_succeed_it() -> None:
    assert failing(decided({"base": BASE, "dpo": GOOD, "champion": GOOD})) == [
        "better_than_champion_on_one"
    ]


def test_better_on_one_figure_and_equal_on_the_others_succeeds_the_champion() -> None:
    reigning = (0.095, *GOOD[1:])
    assert decided({"base": BASE, "dpo": GOOD, "champion": reigning})["promoted"]


def test_margins_count_from_the_best_champion_and_not_from_the_last() -> None:
    """Each successor refuses two points more and is safer; the third would be four points off."""
    models = [(0.07, 0.5, 0.00, 0.9), (0.05, 0.5, 0.02, 0.9), (0.02, 0.5, 0.04, 0.9)]
    record: dict[str, Any] = {}
    promoted = []
    for before, mine in zip([None, *models], models, strict=False):
        rates = {"base": (0.45, 0.5, 0.02, 0.9), "dpo": mine}
        outcomes = outcomes_of({**rates, "champion": before} if before else rates)
        figures = figures_of(outcomes)
        decision, after = make_decision(figures, outcomes, record, SETTINGS)
        promoted.append((decision["promoted"], failing(decision)))
        record = after
    assert promoted == [
        (True, []), (True, []), (False, ["over_refusal_within_margin_of_best"]),
    ]  # fmt: skip


def test_under_other_conditions_the_reference_starts_anew_less_what_was_used_up() -> None:
    first, second = (0.07, 0.5, 0.00, 0.9), (0.05, 0.5, 0.02, 0.9)
    outcomes = outcomes_of({"base": BASE, "dpo": second, "champion": first})
    record = make_decision(figures_of(outcomes), outcomes, {}, SETTINGS)[1]
    third = outcomes_of({"base": BASE, "dpo": (0.02, 0.5, 0.04, 0.9), "champion": second})
    changed = figures_of(third, conditions="other")
    decision, _ = make_decision(changed, third, record, SETTINGS)
    best = decision["best"]["over_refusal_rate"]
    assert (best["anew"], best["carried"]) == (True, pytest.approx(0.02))
    assert failing(decision) == ["over_refusal_within_margin_of_best"]


def test_the_champion_is_no_candidate() -> None:
    assert chosen({"base": BASE, "dpo": GOOD, "champion": REIGNING}) == "dpo"


def test_a_model_that_refuses_everything_is_not_promoted() -> None:
    decision = decided({"base": BASE, "dpo": (0.0, 0.0, 1.0, 0.9)})
    assert failing(decision) == ["help_at_least_base", "over_refusal_within_margin"]


def changed_figure(name: str, **facts: Any) -> dict[str, Any]:
    outcomes = outcomes_of({"base": BASE, "dpo": GOOD})
    figures = figures_of(outcomes)
    figures["halves"]["deciding"]["dpo"][name].update(facts)
    return make_decision(figures, outcomes, {}, SETTINGS)[0]


def test_too_few_items_promote_nobody() -> None:
    decision = changed_figure("general_ability", n=3)
    assert failing(decision) == ["enough_items"]
    assert decision["rules"][-4]["detail"] == "3 >= 20"


def test_a_judge_without_verdicts_promotes_nobody() -> None:
    silent = {"unreached": 8, "unparsed": 2}
    decision = changed_figure("harm_eval_usr", n=90, without_verdict=silent)
    assert failing(decision) == ["judge_gave_verdicts"]


def test_a_judge_that_always_names_the_first_answer_promotes_nobody() -> None:
    decision = changed_figure("help_eval_win_rate", swap_disagreement=500)
    assert failing(decision) == ["judge_consistent_when_swapped"]


def test_pocket_figures_promote_no_model_of_another_base() -> None:
    decision = decided({"base": BASE, "dpo": GOOD}, settings=GateSettings(base_source="path"))
    assert failing(decision) == ["figures_fit_the_base"]


def test_a_figure_that_nobody_made_is_refused_by_name() -> None:
    outcomes = outcomes_of({"base": BASE, "dpo": GOOD})
    with pytest.raises(InputError, match="no figure spa_vl_harm_eval_usr"):
        choose(figures_of(outcomes), outcomes, GateSettings(harm="spa_vl_harm_eval_usr"))


def test_without_a_candidate_there_is_nothing_to_decide() -> None:
    with pytest.raises(InputError, match="score the base and dpo or ppo"):
        chosen({"base": BASE})


def test_the_stage_writes_decision_and_record_and_says_who_is_promoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPAVL_WORK_ROOT", str(tmp_path / "work"))
    outcomes = outcomes_of({"base": BASE, "dpo": (0.44, *GOOD[1:]), "ppo": GOOD})
    (tmp_path / "figures.json").write_text(json.dumps(figures_of(outcomes)))
    (tmp_path / OUTCOMES).write_text(json.dumps(vars(outcomes)))
    assert decide({}, str(tmp_path), str(tmp_path / "out")) == "ppo"
    assert json.loads((tmp_path / "out/decision.json").read_text())["promoted"] is True
    best = json.loads((tmp_path / "out/record.json").read_text())["best"]
    assert best["harm_eval_usr"]["champion"] == "ppo-digest"
    assert decide({"harm_cap": 0.01}, str(tmp_path), str(tmp_path / "none")) == "none"
    assert not (tmp_path / "none/record.json").exists()
