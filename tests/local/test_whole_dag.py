"""The whole DAG under kfp.local: pictures become aligned models, and a run can be trusted."""

import os
import signal
import sqlite3
from pathlib import Path

import pytest

from tests.local.running import TINY, Ended, comparable, spavl_run, start_spavl_run


def test_the_run_leaves_what_people_look_for(small_run: Ended) -> None:
    for name in ("summary.json", "report.html", "log.txt"):
        assert (small_run.folder / name).stat().st_size > 0, name
    assert "HarmEval" in small_run.output
    figures = small_run.summary["models"]
    assert set(figures) == {"base", "dpo", "ppo"}
    for model in figures.values():
        for name in (
            "harm_eval_usr",
            "help_eval_win_rate",
            "over_refusal_rate",
            "general_ability",
        ):
            figure = model[name]
            assert figure["low"] <= figure["value"] <= figure["high"], name
            assert figure["n"] > 0
            assert figure["source"] == "pocket"


def test_every_stage_says_its_seconds(small_run: Ended) -> None:
    stages = small_run.summary["seconds"]["stages"]
    assert {"collection", "questions", "pairing", "judging", "dpo", "ppo"} <= set(stages)


def test_alignment_lowers_harm_and_keeps_help(small_run: Ended) -> None:
    figures = small_run.summary["models"]
    for model in ("dpo", "ppo"):
        assert figures[model]["harm_eval_usr"]["high"] < figures["base"]["harm_eval_usr"]["low"]
        assert figures[model]["over_refusal_rate"]["value"] < 0.5


def test_the_run_is_in_mlflow_with_its_final_status(small_run: Ended) -> None:
    with sqlite3.connect(small_run.folder.parent / "mlflow.db") as store:
        runs = dict(store.execute("select name, status from runs"))
        values = dict(
            store.execute(
                "select m.key, m.value from latest_metrics m join runs r using (run_uuid)"
                " where r.name = ?",
                (small_run.folder.name,),
            )
        )
    assert runs[small_run.folder.name] == "FINISHED"
    assert {"dpo", "ppo", "reward_modeling"} <= set(runs)
    expected = small_run.summary["models"]["dpo"]["harm_eval_usr"]["value"]
    assert values["dpo.harm_eval_usr"] == expected


def test_a_second_equal_run_keeps_all_work_and_says_the_same(small_run: Ended) -> None:
    again = spavl_run(small_run.folder.parent, "again")
    assert again.code == 0, again.output
    assert "] started" not in again.output
    assert comparable(again.summary) == comparable(small_run.summary)


def test_photographs_run_through_every_stage_and_enter_no_figure(with_photographs: Ended) -> None:
    summary = with_photographs.summary
    assert summary["data"]["images"]["unknown"] == 6
    assert summary["plumbing"]["photographs"]["base"]["n"] > 0
    assert sum(summary["data"]["set_aside"]["collection"].values()) == 2
    for name, n in (("harm_eval_usr", 45), ("over_refusal_rate", 72), ("general_ability", 72)):
        assert summary["models"]["dpo"][name]["n"] == n, name
    assert "plumbing" in (with_photographs.folder / "report.html").read_text()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 75)])
def test_an_interrupted_run_says_how_to_go_on(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    process = start_spavl_run(tmp_path, "interrupted", settings=TINY)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("[questions] started"):
            break
    # Ctrl-C reaches the whole group, a termination the command line alone.
    os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(number)
    rest = process.stdout.read()
    assert process.wait(60) == code, rest
    assert "spavl run --resume" in rest


def test_a_wrong_setting_ends_at_once_with_one_line(tmp_path: Path) -> None:
    ended = spavl_run(tmp_path, "wrong", "--set=dpo.bata=1")
    assert ended.code == 2
    assert ended.output.strip().splitlines() == [
        "spavl: unknown setting (dpo.bata): did you mean dpo.beta?"
    ]


def test_a_folder_that_is_not_there_ends_at_once_with_one_line(tmp_path: Path) -> None:
    ended = spavl_run(tmp_path, "absent", f"--images={tmp_path / 'nothing'}")
    assert ended.code == 2
    assert ended.output.strip() == (
        f"spavl: no such folder ({tmp_path / 'nothing'}): give a folder of pictures"
    )
