"""The report's tables show what is given, known or not."""

import json

import pytest

from components.reporting.ablations import ablation_charts
from components.reporting.tables import Table
from components.reporting.views import (
    by_reason,
    comparison_table,
    flat_table,
    headline,
    judge_table,
    notes,
)

FIGURE = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 100, "source": "pocket"}
ABSENT = {"value": None, "low": None, "high": None, "n": 0, "source": "published"}


def test_figures_of_different_sources_never_share_a_table():
    figures = {"harm_eval_usr": FIGURE, "new_asr": {**FIGURE, "source": "published"}}
    tables = headline({"base": figures})
    assert {source: [m.label for m, _ in rows] for source, rows in tables.items()} == {
        "pocket": ["HarmEval, unsafe answers"],
        "published": ["new asr"],
    }


def test_what_is_missing_is_noted_by_name():
    partly = {**FIGURE, "note": "missing: 2 pictures", "missing": 2}
    drawn = {**FIGURE, "note": "pictures: 2 drawn", "pictures": {"read": 0, "drawn": 2}}
    figures = {"adv_bench_asr": ABSENT, "fig_step_asr": partly, "help": FIGURE, "typo": drawn}
    told = notes({"base": figures})
    assert told == {
        "AdvBench, attacks that succeed": "no items here",
        "FigStep, attacks that succeed": "missing: 2 pictures",
    }
    assert by_reason({"one": "no file", "two": "2 pictures", "three": "no file"}) == {
        "one; three": "no file",
        "two": "2 pictures",
    }


def test_paired_tests_show_what_they_have():
    plain = {"n": 9, "only_base_unsafe": 5, "only_dpo_unsafe": 1, "p_value": 0.2, "test": "McNemar"}
    table = comparison_table({"dpo": {"harm_eval": plain}})
    assert table.columns == ["figure", "model", "n", "only base", "only this model", "p"]
    assert table.rows == [["HarmEval", "DPO", 9, 5, 1, 0.2]]
    change = {"value": -0.4, "low": -0.5, "high": -0.3, "n": 9}
    adjusted = {**plain, "difference": change, "p_value_holm": 0.6}
    table = comparison_table({"dpo": {"harm_eval_usr": adjusted}})
    assert table.columns[-3:] == ["change", "p", "p, Holm"]
    assert table.rows[0][-3:] == ["-40.0 [-50.0, -30.0]", 0.2, 0.6]


def test_nested_facts_become_rows_and_figures_keep_their_intervals():
    facts = {"judge": "j", "swap_consistency": FIGURE, "by_kind": {"easy": {"kappa": 0.8}}}
    assert flat_table(facts).rows == [
        ("judge", "j"),
        ("Verdicts that agree in both orders", "50.0 [40.0, 60.0], n=100"),
        ("by kind: easy: kappa", 0.8),
    ]


def test_judges_agree_by_share_and_kappa():
    told = {"raw": FIGURE, "kappa": {"value": 0.25, "low": 0.1, "high": 0.4, "n": 100}}
    silent = {"raw": FIGURE, "kappa": ABSENT}
    table = judge_table(
        {
            "agreement": [{"judges": ["rules", "vlm"], "benchmark": "xs_test", **told}],
            "judge_quality": {"vlm": silent},
        }
    )
    assert table.rows == [
        ("rules and vlm", "XSTest", "50.0 [40.0, 60.0]", "0.25 [0.10, 0.40]", 100),
        ("vlm and people", "all", "50.0 [40.0, 60.0]", "–", 100),
    ]


def test_an_ablation_is_drawn_with_every_seed(tmp_path):
    points = [
        {"x": x, "seed": seed, "model": "dpo", "figures": {"harm_eval_usr": {**FIGURE, "value": v}}}
        for x, seed, v in ((1000, 1, 0.1), (100, 1, 0.5), (100, 2, 0.3))
    ]
    (tmp_path / "ablations").mkdir()
    content = {"axis": "pairs trained on", "points": points}
    (tmp_path / "ablations/scale.json").write_text(json.dumps(content))
    (chart,) = ablation_charts(tmp_path)
    assert chart.table.rows[2] == ("harm_eval_usr", "dpo", 100, 2, 0.3, 0.4, 0.6, 100)
    (line,) = chart.figure.axes[0].get_legend_handles_labels()[0]
    assert list(line.get_xdata()) == [100, 1000]
    assert list(line.get_ydata()) == pytest.approx([40, 10])


def test_without_ablations_there_is_no_chart(tmp_path):
    assert ablation_charts(tmp_path) == ablation_charts(None) == []


def test_a_column_is_numeric_if_every_cell_is():
    assert Table(("a", "b", "c"), [(1, "x", None), (2.5, 3, 4)]).numeric == [True, False, True]
