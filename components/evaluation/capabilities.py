"""Capabilities: whether a model still can what it could, measured by lmms-eval's own benchmarks.

In: a model. Out: `capabilities.json` {model, figures}, where the settings name tasks. A figure is
named `task/metric` and is in the metric's own unit; for its interval see `lmms_results`. A task
that fails has n = 0 and says why; the others are measured all the same.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from components.evaluation.lmms_eval import Measurement, run_task
from spavl.digests import folder_digest
from spavl.settings.evaluation import EvaluationSettings, LmmsEvalSettings
from spavl.shards import write_json
from spavl.storage import local_copy
from spavl.work import Reference, Stage, Work, run_stage

CAPABILITIES = "capabilities.json"


def measure(settings: dict[str, Any], name: str, model: Reference, output: str) -> None:
    """Measures one model by every task that the settings name; nothing where they name none.

    Args:
        settings: Raw `EvaluationSettings`.
        name: `base`, `dpo` or `ppo`.
        model: The model's folder.
        output: Folder that gets `capabilities.json`.
    """
    checked = EvaluationSettings.parse(settings, "evaluation")
    if checked.lmms_eval is None:
        return
    wanted = checked.lmms_eval
    told = wanted.model_dump(exclude={"include_path", "timeout_seconds"})
    inputs = {"model": model.digest}
    if wanted.include_path:
        inputs["tasks"] = folder_digest(Path(wanted.include_path))
    stage = Stage(
        f"capabilities-{name}",
        "components.evaluation.capabilities",
        {"confidence": checked.scoring.confidence, "seed": checked.seed, **told},
        inputs,
    )

    def body(work: Work) -> dict[str, Any]:
        return _body(work, checked, wanted, name, str(local_copy(model.uri)))

    run_stage(stage, body, {CAPABILITIES: Path(output) / CAPABILITIES})


def read_capabilities(folder: str) -> dict[str, Any]:
    """What `measure` left beside a model's answers: its figures by name; empty without any."""
    path = Path(folder) / CAPABILITIES
    return json.loads(path.read_text()) if path.is_file() else {}


def _body(
    work: Work, settings: EvaluationSettings, wanted: LmmsEvalSettings, name: str, model: str
) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    done = work.folder / "tasks"
    done.mkdir(exist_ok=True)
    for place, task in enumerate(wanted.tasks):
        kept = done / f"{place}.json"  # a run that goes on does not measure it again
        if not kept.is_file():
            measurement = Measurement(task, model, wanted, settings.seed)
            found = run_task(measurement, settings.scoring.confidence, kept)
            for key, figure in found.items():
                if not figure.n:
                    work.note(f"lmms-eval, {key}: {figure.note}")
            write_json(kept, {key: asdict(figure) for key, figure in found.items()})
        figures |= json.loads(kept.read_text())
        work.progress(place + 1, len(wanted.tasks), "tasks")
    content = {"model": name, "figures": figures}
    write_json(work.folder / CAPABILITIES, content)
    return {"figures": len(figures)}
