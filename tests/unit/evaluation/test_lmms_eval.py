"""lmms-eval as a command: what its results mean, and what becomes of a task that fails."""

import json
import math
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from components.evaluation.capabilities import measure, read_capabilities
from components.evaluation.lmms_eval import Measurement, check_command, command_line, run_task
from components.evaluation.lmms_results import Capability, read_results
from spavl.errors import InputError
from spavl.settings.evaluation import EvaluationSettings, LmmsEvalSettings
from spavl.statistics import rate
from spavl.work import Reference

NONE = {"stderr": "N/A", "stderr_clt": "N/A", "stderr_clustered": "N/A"}


def results(n: int, value: Any, metric: str = "score,none", **errors: Any) -> dict[str, Any]:
    """A results file with one figure, in the layout that lmms-eval 0.7.3 writes."""
    name, _, filtered = metric.partition(",")
    told = {f"{name}_{key},{filtered}": error for key, error in {**NONE, **errors}.items()}
    return {
        "results": {"pope": {"alias": "pope", metric: value, **told}},
        "group_subtasks": {"pope": []},
        "higher_is_better": {"pope": {name: True}},
        "n-samples": {"pope": {"original": 9000, "effective": n}},
    }


def figure(content: dict[str, Any]) -> Capability:
    (found,) = read_results(content, 0.95).values()
    return found


def test_a_share_of_right_answers_gets_wilsons_interval() -> None:
    error = math.sqrt(0.8 * 0.2 / 9)
    of_figure = figure(results(10, 0.8, stderr=error, stderr_clt=error))
    of_scores = figure(results(10, 0.8, stderr_clt=error))  # as POPE's accuracy has it
    wilson = rate(8, 10)
    assert of_figure == of_scores == Capability(0.8, wilson.low, wilson.high, 10, "higher")


def test_percentages_are_known_by_their_standard_error() -> None:
    error, wilson = math.sqrt(0.8 * 0.2 / 9), rate(8, 10)
    for told in ({"stderr_clt": error}, {"stderr": 100 * error}):
        found = figure(results(10, 80.0, **told))
        assert (found.low, found.high) == (100 * (wilson.low or 0), 100 * (wilson.high or 0))


def test_a_share_without_a_single_fault_still_has_an_interval() -> None:
    found = figure(results(5, 1.0, stderr=0.0, stderr_clt=0.0))
    assert (found.low, found.high) == (pytest.approx(0.5655, abs=1e-4), 1.0)


def test_a_mean_of_grades_gets_the_normal_interval() -> None:
    found = figure(results(50, 0.61, stderr=0.05, stderr_clt=0.05))
    assert (found.low, found.high) == (
        pytest.approx(0.512, abs=1e-3),
        pytest.approx(0.708, abs=1e-3),
    )


def test_questions_about_one_picture_are_not_independent() -> None:
    error = math.sqrt(0.8 * 0.2 / 9)
    found = figure(results(10, 0.8, stderr_clt=error, stderr_clustered=0.2))
    assert (found.low, found.high) == (pytest.approx(0.8 - 1.96 * 0.2, abs=1e-4), 1.0)


def test_the_error_of_the_scores_is_not_taken_for_another_figures() -> None:
    f1 = figure(results(10, 0.77, stderr_clt=math.sqrt(0.8 * 0.2 / 9)))
    assert (f1.value, f1.low, f1.high, f1.n) == (0.77, None, None, 10)
    assert "no interval" in f1.note


def test_what_is_no_number_is_told() -> None:
    for value in (None, [], math.nan):
        found = figure(results(10, value))
        assert (found.value, found.n) == (None, 0)
        assert found.note.startswith("no number")


def test_filters_groups_and_directions_are_read() -> None:
    content = results(10, 0.5, "exact_match,flexible")
    content["results"]["both"] = {"alias": "both", "wer,none": 0.3}
    content["group_subtasks"]["both"] = ["pope", "other"]
    content["n-samples"]["other"] = {"original": 7, "effective": 5}
    content["higher_is_better"]["both"] = {"wer": False}
    found = read_results(content, 0.95)
    assert list(found) == ["pope/exact_match/flexible", "both/wer"]
    assert (found["both/wer"].n, found["both/wer"].better) == (15, "lower")


TOOL = """
import json, pathlib, sys, time
arguments = dict(zip(sys.argv[1::2], sys.argv[2::2]))
assert pathlib.Path("model/config.json").is_file() and "," not in arguments["--output_path"]
task = arguments["--tasks"]
if task == "slow":
    time.sleep(60)
if task == "broken":
    said = "Error during evaluation: no such data set. Please set `--verbosity=DEBUG` to get more"
    print(f"\\x1b[31m{said}\\x1b[0m")
    sys.exit(0)
if task == "lost":
    print("2026 | ERROR | Error out of memory in generating")
folder = pathlib.Path(arguments["--output_path"], "model")
folder.mkdir(parents=True)
content = {"results": {task: {"alias": task, "acc,none": 0.5, "acc_stderr,none": 0.1}},
           "n-samples": {task: {"effective": int(arguments.get("--limit", 25))}}}
(folder / "2026_results.json").write_text(json.dumps(content))
"""


@pytest.fixture
def model(tmp_path: Path) -> str:
    folder = tmp_path / "a model, with=signs"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "llava"}')
    return str(folder)


@pytest.fixture
def tool(tmp_path: Path) -> str:
    """A program that ends as lmms-eval ends: with code 0, whatever happened."""
    path = tmp_path / "tool.py"
    path.write_text(TOOL)
    return f"{sys.executable} {path}"


def told(tool: str, *tasks: str, **more: Any) -> dict[str, Any]:
    return {"tasks": list(tasks), "command": tool, "device": "cpu", **more}


def test_the_command_is_what_a_user_would_type(model: str) -> None:
    settings = LmmsEvalSettings(
        tasks=("pope",), device="cpu", limit=8, model_args="attn_implementation=sdpa"
    )
    line = " ".join(command_line(Measurement("pope", model, settings, 7)))
    assert line.startswith(f"{sys.executable} -m lmms_eval --model llava_hf --model_args ")
    assert "pretrained=model,device_map=cpu,attn_implementation=sdpa --tasks pope" in line
    assert line.endswith("--seed 7 --output_path results --limit 8")


def test_a_backbone_that_lmms_eval_may_not_know_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "other"}')
    settings = LmmsEvalSettings(tasks=("pope",), device="cpu")
    with pytest.raises(InputError, match=r"known for other .*lmms_eval\.model"):
        command_line(Measurement("pope", str(tmp_path), settings, 7))


def test_a_task_that_fails_leaves_the_others_and_says_why(
    model: str, tool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPAVL_WORK_ROOT", str(tmp_path / "work"))
    settings = {"lmms_eval": told(tool, "broken", "lost", "pope")}
    (tmp_path / "answers").mkdir()
    measure(settings, "dpo", Reference(model, "digest"), str(tmp_path / "answers"))
    found = read_capabilities(str(tmp_path / "answers"))
    assert found["model"] == "dpo"
    notes = {name: (told["n"], told["note"]) for name, told in found["figures"].items()}
    assert notes == {
        "broken": (0, "not measured: no such data set"),
        "lost": (0, "not measured: 1 answers could not be generated"),
        "pope/acc": (25, ""),
    }


def test_a_task_whose_time_is_up_is_ended(model: str, tool: str, tmp_path: Path) -> None:
    settings = LmmsEvalSettings(**told(tool, "slow", timeout_seconds=0.5))
    start = time.monotonic()
    found = run_task(Measurement("slow", model, settings, 7), 0.95, tmp_path / "slow.json")
    assert found["slow"].note == "not measured: its time was up"
    assert time.monotonic() - start < 30


def test_nothing_is_measured_unless_tasks_are_named(model: str, tmp_path: Path) -> None:
    measure({}, "dpo", Reference(model, "digest"), str(tmp_path))
    assert read_capabilities(str(tmp_path)) == {}


def test_a_missing_tool_is_told_before_anything_runs(tmp_path: Path) -> None:
    absent = LmmsEvalSettings(tasks=("pope",), command="no-such-tool --flag")
    with pytest.raises(
        InputError, match=r"no lmms-eval here .*no-such-tool --flag.*install the extra lmms-eval"
    ):
        check_command(absent)
    here = LmmsEvalSettings(tasks=("p",), command=sys.executable, include_path=str(tmp_path / "x"))
    with pytest.raises(InputError, match=r"no such folder .*include_path"):
        check_command(here)


@pytest.mark.parametrize("tasks", [["a,b"], ["a", "a"], []])
def test_tasks_are_named_one_by_one(tasks: list[str]) -> None:
    with pytest.raises(InputError, match=r"evaluation\.lmms_eval\.tasks"):
        EvaluationSettings.parse({"lmms_eval": {"tasks": tasks}}, "evaluation")


def test_results_are_kept_as_they_are(model: str, tool: str, tmp_path: Path) -> None:
    settings = LmmsEvalSettings(**told(tool, "pope", limit=3))
    found = run_task(Measurement("pope", model, settings, 7), 0.95, tmp_path / "0.json")
    assert found["pope/acc"].n == 3
    kept = json.loads((tmp_path / "0.results.json").read_text())
    assert kept["results"]["pope"]["acc,none"] == 0.5
