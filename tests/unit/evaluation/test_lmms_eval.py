"""lmms-eval as a command: how it is called, and what becomes of a task that fails."""

import gc
import json
import sys
import time
import weakref
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from components.evaluation import examining
from components.evaluation.capabilities import measure, read_capabilities
from components.evaluation.lmms_eval import (
    Measurement,
    check_command,
    check_task_files,
    command_line,
    run_task,
)
from pipelines.local_run import RunRequest, _given_paths
from pipelines.preflight import check_lmms_eval
from spavl.errors import InputError
from spavl.settings.evaluation import EvaluationSettings, LmmsEvalSettings
from spavl.work import Reference

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
if task == "long":
    print("Error during evaluation: no\\a such\\x1b[2K file\\n  looked for it.\\nPlease set")
    sys.exit(0)
if task == "lost":
    print("2026 | ERROR | Error out of memory\\nTried to allocate 2 GiB in generating")
if "--include_path" in arguments:
    sys.path.insert(0, arguments["--include_path"])
    import functions_of_a_task
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
    settings = {"lmms_eval": told(tool, "broken", "long", "lost", "pope")}
    (tmp_path / "answers").mkdir()
    measure(settings, "dpo", Reference(model, "digest"), str(tmp_path / "answers"))
    found = read_capabilities(str(tmp_path / "answers"))
    assert found["model"] == "dpo"
    notes = {name: (told["n"], told["note"]) for name, told in found["figures"].items()}
    assert notes == {
        "broken": (0, "not measured: no such data set"),
        "long": (0, "not measured: no such file"),
        "lost": (0, "not measured: 1 answers could not be generated"),
        "pope/acc": (25, ""),
    }


def test_a_task_whose_time_is_up_is_ended(model: str, tool: str, tmp_path: Path) -> None:
    settings = LmmsEvalSettings(**told(tool, "slow", timeout_seconds=0.5))
    start = time.monotonic()
    found = run_task(Measurement("slow", model, settings, 7), 0.95, tmp_path / "slow.json")
    remedy = "(evaluation.lmms_eval.timeout_seconds; then count attempt up)"
    assert found["slow"].note == f"not measured: its time was up {remedy}"
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
        check_task_files(here)


def test_containers_may_have_the_tool_but_not_the_task_files(tmp_path: Path) -> None:
    wanted = {"tasks": ["pope"], "command": "no-such-tool", "include_path": str(tmp_path)}
    check_lmms_eval({"lmms_eval": wanted}, "docker")
    with pytest.raises(InputError, match="no lmms-eval here"):
        check_lmms_eval({"lmms_eval": wanted}, "subprocess")
    with pytest.raises(InputError, match="no such folder"):
        check_lmms_eval({"lmms_eval": {**wanted, "include_path": str(tmp_path / "x")}}, "docker")


def test_containers_are_given_the_task_files(tmp_path: Path) -> None:
    settings = {"base_model": {}, "evaluation": {"lmms_eval": {"include_path": str(tmp_path)}}}
    request = RunRequest("pocket", (), runner="docker")
    assert _given_paths(request, settings) == (tmp_path,)
    assert _given_paths(request, {"base_model": {}, "evaluation": {"lmms_eval": None}}) == ()


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"command": "no-such-tool"}, "no lmms-eval here (evaluation.lmms_eval.command: no-such-"),
        ({"include_path": "/no/such"}, "no such folder (evaluation.lmms_eval.include_path: /no/"),
        ({"command": "{stale}"}, "lmms-eval cannot be started ("),
    ],
)
def test_what_is_missing_where_it_measures_does_not_cost_the_training(
    model: str,
    tool: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    more: dict[str, str],
    reason: str,
) -> None:
    monkeypatch.setenv("SPAVL_WORK_ROOT", str(tmp_path / "work"))
    stale = tmp_path / "stale"
    stale.write_text("#!/no/interpreter\n")
    stale.chmod(0o755)
    named = {name: value.format(stale=stale) for name, value in more.items()}
    settings = {"lmms_eval": told(tool, "pope") | named}
    measure(settings, "dpo", Reference(model, "digest"), str(tmp_path))
    found = read_capabilities(str(tmp_path))["figures"]["pope"]
    assert (found["n"], found["value"]) == (0, None)
    assert found["note"].startswith(f"not measured: {reason}")


def test_measuring_leaves_the_task_files_as_they_are(
    model: str, tool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    files = tmp_path / "tasks"
    files.mkdir()
    (files / "functions_of_a_task.py").write_text("")
    settings = LmmsEvalSettings(**told(tool, "pope", include_path=str(files)))
    found = run_task(Measurement("pope", model, settings, 7), 0.95, tmp_path / "0.json")
    assert found["pope/acc"].n == 25
    assert [path.name for path in files.iterdir()] == ["functions_of_a_task.py"]


def test_the_model_that_answered_is_gone_before_lmms_eval_loads_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Model:
        def __init__(self) -> None:
            self.layers = [self]  # as modules and their hooks refer to one another

    alive: list[weakref.ref[Model]] = []
    freed: list[bool] = []
    cuda = SimpleNamespace(is_available=lambda: True, empty_cache=lambda: freed.append(gone()))
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))

    def gone() -> bool:
        return alive[0]() is None

    monkeypatch.setattr(examining, "answer", lambda *_: alive.append(weakref.ref(Model())))
    for other in ("read", "attack"):
        monkeypatch.setattr(examining, other, lambda *_: None)
    monkeypatch.setattr(examining, "measure", lambda *_: freed.append(gone()))
    gc.disable()
    try:
        models = examining.Models(Reference("m", "d"), Reference("base", "d"))
        examining.examine({}, "dpo", models, Reference("b", "d"), "out")
    finally:
        gc.enable()
    assert freed == [True] * 4


@pytest.mark.parametrize("command", ['"x', "  ", ""])
def test_a_command_that_no_shell_would_take_is_told(command: str) -> None:
    with pytest.raises(InputError, match=r"evaluation\.lmms_eval\.command"):
        EvaluationSettings.parse({"lmms_eval": told(command, "pope")}, "evaluation")


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
