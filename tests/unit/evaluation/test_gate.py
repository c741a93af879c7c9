"""The gate's rules, one by one."""

import json
from pathlib import Path
from typing import Any

import pytest

from components.evaluation.gate import choose, decide, make_decision
from spavl.errors import InputError
from spavl.settings.gate import GateSettings

SETTINGS = GateSettings()


def figure(value: float | None, spread: float = 0.02) -> dict[str, Any]:
    low, high = (None, None) if value is None else (value - spread, value + spread)
    return {"value": value, "low": low, "high": high, "n": 500, "source": "pocket"}


def model(harm: float, help_: float, refusal: float, ability: float) -> dict[str, Any]:
    return {
        "harm_eval_usr": figure(harm),
        "help_eval_win_rate": figure(help_),
        "over_refusal_rate": figure(refusal),
        "general_ability": figure(ability),
    }


BASE = model(0.45, 0.5, 0.02, 0.90)
GOOD = model(0.05, 0.52, 0.04, 0.89)


def figures(deciding: dict[str, Any], choosing: dict[str, Any] | None = None) -> dict[str, Any]:
    halves = {"choosing": choosing or deciding, "deciding": deciding}
    return {"benchmarks": "digest", "halves": halves}


def failing(decision: dict[str, Any]) -> list[str]:
    return [rule["name"] for rule in decision["rules"] if not rule["holds"]]


def test_a_model_that_passes_every_rule_is_promoted() -> None:
    decision = make_decision(figures({"base": BASE, "dpo": GOOD}), SETTINGS)
    assert (decision["candidate"], decision["promoted"], failing(decision)) == ("dpo", True, [])


@pytest.mark.parametrize(
    ("candidate", "rule"),
    [
        (model(0.42, 0.52, 0.04, 0.89), "harm_below_base"),  # 0.44 is not below 0.43
        (model(0.05, 0.46, 0.04, 0.89), "help_at_least_base"),  # lower bound 0.44 < 0.45
        (model(0.05, 0.52, 0.08, 0.89), "over_refusal_within_margin"),  # 0.08 > 0.02 + 0.05
        (model(0.05, 0.52, 0.04, 0.86), "general_ability_within_margin"),  # 0.86 < 0.90 - 0.03
    ],
)
def test_each_rule_alone_stops_a_promotion_and_is_named(
    candidate: dict[str, Any], rule: str
) -> None:
    decision = make_decision(figures({"base": BASE, "ppo": candidate}), SETTINGS)
    assert not decision["promoted"]
    assert failing(decision) == [rule]


def test_a_figure_without_items_fails_its_rule() -> None:
    nothing = {**GOOD, "harm_eval_usr": figure(None)}
    decision = make_decision(figures({"base": BASE, "dpo": nothing}), SETTINGS)
    assert failing(decision) == ["harm_below_base"]


def test_the_candidate_has_the_lowest_upper_bound_of_harm() -> None:
    safer = model(0.01, 0.50, 0.04, 0.89)
    assert choose({"base": BASE, "dpo": GOOD, "ppo": safer}, SETTINGS) == "ppo"


def test_a_safer_model_outside_a_margin_is_not_chosen() -> None:
    mute = model(0.0, 0.1, 0.9, 0.89)
    assert choose({"base": BASE, "dpo": mute, "ppo": GOOD}, SETTINGS) == "ppo"


def test_equal_harm_goes_to_the_more_helpful() -> None:
    helpful = model(0.05, 0.60, 0.04, 0.89)
    assert choose({"base": BASE, "dpo": GOOD, "ppo": helpful}, SETTINGS) == "ppo"
    assert choose({"base": BASE, "dpo": GOOD, "ppo": GOOD}, SETTINGS) == "dpo"


def test_choosing_and_deciding_use_different_halves() -> None:
    lucky, sober = (
        {"base": BASE, "dpo": GOOD, "ppo": model(0.01, 0.6, 0.02, 0.9)},
        {
            "base": BASE,
            "dpo": GOOD,
            "ppo": model(0.44, 0.6, 0.02, 0.9),
        },
    )
    decision = make_decision(figures(sober, choosing=lucky), SETTINGS)
    assert (decision["candidate"], failing(decision)) == ("ppo", ["harm_below_base"])


def test_a_champion_must_not_be_worsened_upon() -> None:
    content = figures({"base": BASE, "dpo": GOOD})
    champion = {"benchmarks": "digest", "figures": model(0.01, 0.53, 0.04, 0.89)}
    decision = make_decision(content, SETTINGS, champion)
    assert failing(decision) == ["champion_harm_eval_usr"]  # 0.05 > 0.01 + 0.03
    assert make_decision(content, SETTINGS, {**champion, "figures": GOOD})["promoted"]


def test_a_champion_measured_on_other_items_cannot_be_compared() -> None:
    champion = {"benchmarks": "another", "figures": GOOD}
    decision = make_decision(figures({"base": BASE, "dpo": GOOD}), SETTINGS, champion)
    assert failing(decision) == ["champion_same_items"]


def test_without_a_candidate_there_is_nothing_to_decide() -> None:
    with pytest.raises(InputError, match="score the base and dpo or ppo"):
        choose({"base": BASE}, SETTINGS)


def test_the_stage_writes_decision_json_and_says_who_is_promoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPAVL_WORK_ROOT", str(tmp_path / "work"))
    content = figures({"base": BASE, "dpo": model(0.44, 0.5, 0.02, 0.9), "ppo": GOOD})
    (tmp_path / "figures.json").write_text(json.dumps(content))
    assert decide({}, str(tmp_path), str(tmp_path / "out")) == "ppo"
    decision = tmp_path / "out" / "decision.json"
    assert json.loads(decision.read_text())["promoted"] is True
    stricter = {"help_floor": 0.9}
    assert decide(stricter, str(tmp_path), str(tmp_path / "none")) == "none"
    assert decide({}, str(tmp_path), str(tmp_path / "again"), champion=str(decision)) == "ppo"
