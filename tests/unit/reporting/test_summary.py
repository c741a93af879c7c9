"""summary.json says what the results say."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from components.reporting.labels import known_metrics
from components.reporting.summary import (
    build_summary,
    metric_rows,
    percent,
    reference_line,
    summary_table,
)
from spavl.errors import InputError
from spavl.records import SetAside
from spavl.shards import DatasetWriter, read_manifest
from tests.unit.reporting.made_by_hand import given_data


def test_rows_are_counted_by_what_they_are(make_run):
    data = build_summary(make_run(truths=("harmful", "harmful", "unknown")))["data"]
    assert data["images"] == {"rows": 3, "harmful": 2, "harmless": 0, "unknown": 1}
    assert data["questions"]["rows"] == 9
    assert data["questions"]["hard_statement"] == 3
    assert data["responses"]["rows"] == 18
    assert data["responses"]["cut_off"] == 9
    assert [data[name]["rows"] for name in ("pairs", "train", "validation", "test")] == [3, 1, 1, 4]


def test_a_data_set_that_was_given_is_told_by_its_origin_and_size(make_run):
    made = make_run()
    summary = build_summary(given_data(made))
    assert summary["imported"] == {"source": "s3://b/data", "digest": "d" * 64, "n": 6}
    assert set(summary["data"]) == {
        "images", "train", "validation", "test", "rollouts", "set_aside",
    }  # fmt: skip
    assert (summary["responders"], summary["labeling_judge"]) == ({}, {})
    assert "preferences" not in summary["made_by"]["inputs"]
    assert build_summary(made)["imported"] is None


def test_a_data_set_that_holds_no_pairs_out_has_no_accuracy(make_run):
    given = given_data(make_run())
    path = Path(given.reward_model) / "metrics.json"
    none = {"value": None, "low": None, "high": None, "n": 0}
    path.write_text(json.dumps({"pair_accuracy": none, "test": {"by_truth": {}}}))
    shown = io.StringIO()
    Console(file=shown, width=120).print(summary_table(build_summary(given)))
    assert "Reward model: no held-out pairs to rank." in shown.getvalue()
    assert "Intervals hold items, not training" in shown.getvalue()
    assert "6 preferences imported: s3://b/data" in shown.getvalue()


def test_responders_come_safest_first_with_their_share_of_preferences(make_run):
    responders = build_summary(make_run())["responders"]
    assert list(responders) == ["careful", "careless"]
    assert responders["careful"]["safe"]["value"] == 1.0
    assert responders["careless"]["safe"] == {**responders["careless"]["safe"], "value": 0, "n": 9}
    assert (responders["careful"]["chosen"], responders["careless"]["rejected"]) == (3, 3)


def test_pairs_of_unknown_truth_do_not_enter_the_reward_models_headline(make_run):
    by_truth = {"harmful": (3, 4), "harmless": (0, 0), "unknown": (0, 50)}
    accuracy = build_summary(make_run(by_truth=by_truth))["reward_model"]["pair_accuracy"]
    assert (accuracy["n"], accuracy["source"]) == (4, "pocket")
    assert (accuracy["low"], accuracy["high"]) == pytest.approx((0.2216, 0.9906), abs=1e-4)


def test_published_benchmarks_beside_the_runs_own_do_not_rename_its_pairs(make_run):
    inputs = make_run(by_truth={"harmful": (3, 4)})
    path = Path(inputs.figures) / "figures.json"
    figures = json.loads(path.read_text())
    first = {"value": 0.5, "low": 0.1, "high": 0.9, "n": 9, "source": "published"}
    figures["models"] = {m: {"xs_test": first, **f} for m, f in figures["models"].items()}
    path.write_text(json.dumps(figures))
    assert build_summary(inputs)["reward_model"]["pair_accuracy"]["source"] == "pocket"


def test_a_headline_of_photographs_alone_says_so(make_run):
    accuracy = build_summary(make_run(by_truth={"unknown": (3, 4)}))["reward_model"]
    assert accuracy["pair_accuracy"]["source"] == "photographs"


def test_seconds_are_the_stages_own_words_and_reused_work_is_not_counted(
    make_run, tmp_path, monkeypatch
):
    stages = tmp_path / "here" / "stages"
    stages.mkdir(parents=True)
    worked = {"stage": "judging", "seconds": 2.0, "imports": 0.5, "reused": False}
    reused = {**worked, "stage": "dpo", "seconds": 99.0, "reused": True}
    for stage in (worked, reused):
        (stages / f"{stage['stage']}.json").write_text(json.dumps(stage))
    monkeypatch.setenv("SPAVL_RUN_FOLDER", str(tmp_path / "here"))
    seconds = build_summary(make_run())["seconds"]
    assert seconds["stages"] == {"dpo": 99.0, "judging": 2.0}
    assert seconds["reused"] == ["dpo"]
    assert seconds["total"] == 2.5


def test_rows_set_aside_are_counted_by_stage_and_reason(make_run):
    inputs = make_run()
    for place, reason in ((inputs.preferences, "tie"), (inputs.images, "unreadable")):
        with DatasetWriter(f"{place}/set_asides", SetAside) as writer:
            writer.add(SetAside("1", Path(place).name, reason, "-"))
            writer.add(SetAside("2", Path(place).name, reason, "-"))
    assert build_summary(inputs)["data"]["set_aside"] == {
        "images": {"unreadable": 2},
        "preferences": {"tie": 2},
    }


def test_the_champion_is_the_promoted_model_or_nobody(make_run):
    assert build_summary(make_run())["champion"] == {"model": "ppo", "digest": "ppo-digest"}


def test_nobody_is_champion_when_a_rule_fails(make_run):
    summary = build_summary(make_run(promoted=False))
    assert summary["champion"] is None
    assert summary["decision"]["candidate"] == "ppo"


def test_the_origin_names_the_data_by_digest(make_run):
    inputs = make_run()
    named = build_summary(inputs)["made_by"]["inputs"]
    assert named["train"] == read_manifest(inputs.train).digest
    assert named["dpo"] == "dpo-digest"


def test_a_missing_result_is_named(make_run, tmp_path):
    inputs = make_run()
    (tmp_path / "run/figures/figures.json").unlink()
    with pytest.raises(InputError, match=r"figures\.json"):
        build_summary(inputs)


def test_the_terminal_table_shows_percent_and_leaves_out_what_was_not_measured(make_run):
    console = Console(file=io.StringIO(), width=160)
    console.print(summary_table(build_summary(make_run(promoted=False))))
    text = console.file.getvalue()
    assert "44.2 [41.2, 47.2]" in text
    assert "AdvBench" not in text
    assert "Nothing promoted: help not worse (margin 5.0)." in text


def test_it_is_told_where_the_champion_stands_for_the_best_of_its_line():
    assert reference_line({"best": {"over_refusal_rate": {"anew": False, "carried": 0.01}}}) == ""
    best = {
        "harm_eval_usr": {"anew": True, "carried": 0.0},
        "over_refusal_rate": {"anew": True, "carried": 0.01},
    }
    assert reference_line({"best": best}).endswith("taken off the margin: over_refusal_rate.")


def test_eighty_columns_hold_every_figure_with_its_n_and_sources_apart(make_run):
    summary = build_summary(make_run())
    widest = {"value": 0.955, "low": 0.895, "high": 0.999, "n": 1665, "source": "published"}
    for figures in summary["models"].values():
        figures.update(dict.fromkeys(known_metrics(), widest))
        figures["harm_eval_usr"] = {**widest, "n": 53, "source": "pocket"}
    console = Console(file=io.StringIO(), width=80)
    console.print(summary_table(summary))
    lines = [line.rstrip() for line in console.file.getvalue().splitlines()]
    shown = [line for line in lines if "[89.5, 99.9]" in line]
    assert len(shown) == len(known_metrics())
    assert all(line.count("[89.5, 99.9]") == 3 and line.endswith(("1665", "53")) for line in shown)
    assert not any("…" in line for line in lines)
    pocket, published = (lines.index(f"– source {name}") for name in ("pocket", "published"))
    assert lines.index(shown[0]) == pocket + 1 == published - 1


def test_percent_of_nothing_is_a_dash():
    assert percent({"value": None, "low": None, "high": None}) == "–"
    assert percent(None) == "–"


def test_a_figure_that_is_not_known_is_shown_after_the_known():
    figure = {"value": 1.0, "low": 1.0, "high": 1.0, "n": 3, "source": "pocket"}
    models = {"base": {"new_rate": figure, "harm_eval_usr": figure}}
    keys = [metric.key for metric, _ in metric_rows(models)]
    assert keys == ["harm_eval_usr", "new_rate"]


def test_responders_tell_the_group_that_pairing_put_them_in(make_run):
    inputs = make_run()
    group = {"responder": "careful", "group": 4, "safety_rate": {"value": 1.0, "n": 6}}
    Path(inputs.pairs, "groups.json").write_text(json.dumps({"responders": [group]}))
    responders = build_summary(inputs)["responders"]
    assert (responders["careful"]["group"], responders["careless"]["group"]) == (4, None)


def test_the_summary_holds_the_agreement_of_the_labels(make_run):
    inputs = make_run()
    agreement = {"pairs": 3, "swap_consistency": {"value": 1.0, "low": 0.4, "high": 1.0, "n": 3}}
    Path(inputs.preferences, "agreement.json").write_text(json.dumps(agreement))
    assert build_summary(inputs)["labeling_judge"] == agreement
