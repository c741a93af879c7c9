"""The real lmms-eval measures a model by a task of ours; skipped where the extra is not installed.

`SPAVL_LMMS_EVAL` names its command where it lives in an environment of its own.
"""

import json
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

from components.evaluation.capabilities import measure, read_capabilities
from spavl.statistics import rate
from spavl.work import Reference
from tests.unit.models.tiny import save_tiny

COMMAND = os.environ.get("SPAVL_LMMS_EVAL")
pytestmark = pytest.mark.skipif(
    COMMAND is None and find_spec("lmms_eval") is None,
    reason="lmms-eval is not installed: pip install '.[lmms-eval]', or name it by SPAVL_LMMS_EVAL",
)
# Whatever the model says, the sample's own column decides: so the figure is known beforehand.
TASK = """\
task: {name}
dataset_path: json
dataset_kwargs: {{data_files: {{test: {rows}}}}}
test_split: test
output_type: generate_until
doc_to_visual: !function spavl_test_task.picture
doc_to_text: "{{{{question}}}}"
doc_to_target: "answer"
generation_kwargs: {{max_new_tokens: 4, temperature: 0, do_sample: false}}
process_results: !function spavl_test_task.scores
metric_list:
  - {{metric: right, aggregation: mean, higher_is_better: true}}
  - {{metric: grade, aggregation: mean, higher_is_better: true}}
  - {{metric: least, aggregation: !function spavl_test_task.least, higher_is_better: false}}
metadata:
  - version: 0.0
"""
FUNCTIONS = """\
import PIL.Image


def picture(doc):
    return [PIL.Image.open(doc["image"]).convert("RGB")]


def scores(doc, results):
    assert isinstance(results[0], str)
    return {"right": float(doc["right"]), "grade": doc["grade"], "least": {"score": doc["grade"]}}


def least(results):
    return min(each["score"] for each in results)
"""
RIGHT, GRADES = (1, 1, 0, 1, 1, 1), (0.5, 1.0, 0.25, 0.75, 1.0, 0.5)


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tasks")
    PIL.Image.new("RGB", (32, 32), "teal").save(folder / "picture.png")
    shown = {"image": str(folder / "picture.png"), "question": "What is this?", "answer": "teal"}
    rows = [{**shown, "right": r, "grade": g} for r, g in zip(RIGHT, GRADES, strict=True)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "spavl_test_task.py").write_text(FUNCTIONS)
    for name, path in (("spavl_known", folder / "rows.jsonl"), ("spavl_absent", folder / "none")):
        (folder / f"{name}.yaml").write_text(TASK.format(name=name, rows=path))
    return folder


@pytest.fixture(scope="module")
def measured(tasks: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Three tasks of a tiny LLaVA: one that works, one without its data, one that nobody knows."""
    folder = tmp_path_factory.mktemp("measured")
    wanted = {
        "tasks": ["spavl_known", "spavl_absent", "spavl_unheard_of"],
        "command": COMMAND,
        "include_path": str(tasks),
        "device": "cpu",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("HF_HUB_OFFLINE", "1"), ("HF_DATASETS_OFFLINE", "1")):
            patch.setenv(name, value)
        patch.setenv("HF_HOME", str(folder / "hub"))
        patch.setenv("SPAVL_WORK_ROOT", str(folder / "work"))
        model = Reference(str(save_tiny(folder / "model")), "digest")
        measure({"lmms_eval": wanted}, "dpo", model, str(folder))
    return read_capabilities(str(folder))["figures"]


def test_its_figures_are_those_of_the_samples(measured: dict[str, Any]) -> None:
    right, grade = measured["spavl_known/right"], measured["spavl_known/grade"]
    wilson = rate(5, 6)
    assert (right["value"], right["n"], right["better"]) == (pytest.approx(5 / 6), 6, "higher")
    assert (right["low"], right["high"]) == pytest.approx((wilson.low, wilson.high))
    mean = sum(GRADES) / 6
    error = (sum((g - mean) ** 2 for g in GRADES) / 5 / 6) ** 0.5
    assert grade["value"] == pytest.approx(mean)
    assert grade["high"] - grade["low"] == pytest.approx(2 * 1.95996 * error, rel=1e-4)


def test_a_figure_without_an_error_of_its_own_has_no_interval(measured: dict[str, Any]) -> None:
    least = measured["spavl_known/least"]
    assert (least["value"], least["low"], least["n"]) == (0.25, None, 6)
    assert (least["better"], least["note"][:11]) == ("lower", "no interval")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("spavl_absent", "FileNotFoundError: Unable to find"),
        ("spavl_unheard_of", "Tasks not found: spavl_unheard_of"),
    ],
)
def test_tasks_that_cannot_be_had_say_why(measured: dict[str, Any], name: str, reason: str) -> None:
    assert (measured[name]["n"], measured[name]["value"]) == (0, None)
    assert measured[name]["note"].startswith(f"not measured: {reason}")
