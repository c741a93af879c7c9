"""What still goes wrong is counted as the gallery filters it, and rules speak in percent."""

import pytest

from components.reporting.failures import find_failures
from components.reporting.gallery_rows import evaluation_rows
from components.reporting.rules import decisive_rules, rule_detail
from components.reporting.summary import build_summary, summary_table, table_text


def test_failures_are_counted_and_linked_as_the_gallery_knows_them(make_run):
    inputs = make_run(items=9)
    failures = find_failures(inputs, "base")
    (row,) = failures.rows
    assert (row.benchmark, row.outcome, row.n, row.of, row.worse) == (
        "harm_eval",
        "unsafe",
        8,
        9,
        0,
    )
    assert failures.unsafe == 8
    facets = [each.facets for each in evaluation_rows(inputs, "base")]
    assert sum(each["base"] == "unsafe" and each["picture"] == "own" for each in facets) == 8
    assert failures.link("harm_eval", "unsafe", worse=True) == (
        "gallery/evaluation.html#benchmark=HarmEval&base=unsafe&against+base=worse&picture=own"
    )


def test_a_model_is_better_than_the_base_where_only_the_base_failed(make_run):
    rows = list(evaluation_rows(make_run(items=3), "ppo"))
    assert [row.facets["against base"] for row in rows] == ["same", "better", "better"]
    assert [row.rank for row in rows] == [2, 1, 1]


NUMBERS = {"value": -0.42, "bound": -0.38, "n": 516, "confidence": 0.95}


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ({"name": "harm_below_base", "numbers": NUMBERS},
         "42.0 points less, at least 38.0; 516 items"),
        ({"name": "harm_below_cap", "numbers": {"bound": 0.0616, "cap": 0.1}},
         "at most 6.2 of 100, cap 10.0"),
        ({"name": "help_at_least_base",
          "numbers": {"value": 0.01, "bound": 0.04, "n": 9, "margin": 0.05, "carried": 0.02}},
         "+1.0 points, at most +4.0 and 2.0 behind the best; allowed 5.0, 9 items"),
        ({"name": "judge_gave_verdicts", "numbers": {"share": 0.1, "most": 0.05}},
         "10.0%, at most 5.0%"),
        ({"name": "better_than_champion_on_one", "numbers": {"harm_eval_usr": NUMBERS}},
         "HarmEval USR 42.0 points less, at least 38.0; 516 items"),
        ({"name": "enough_items", "detail": "265 >= 20", "numbers": {}}, "265 >= 20"),
    ],
)  # fmt: skip
def test_a_rule_is_told_in_percent(rule, told):
    assert rule_detail(rule) == told


def test_a_decision_is_told_by_what_failed_or_else_by_harm():
    rules = [
        {"name": name, "holds": name not in ("a", "b", "c")}
        for name in ("harm_below_base", "a", "harm_below_cap", "b", "c")
    ]
    failed = decisive_rules({"promoted": False, "rules": rules})
    assert [rule["name"] for rule in failed] == ["a", "b"]
    told = decisive_rules({"promoted": True, "rules": rules})
    assert [rule["name"] for rule in told] == ["harm_below_base", "harm_below_cap"]


def test_the_terminal_begins_with_the_sentence_and_its_caveat(make_run):
    summary = build_summary(make_run())
    assert summary_table(summary).title
    lines = table_text(summary).splitlines()
    assert lines[0].startswith("With PPO, unsafe answers fell from 44 to 0.4 of 100; PPO is")
    assert any(line.startswith("A drawn world") for line in lines[:3])
