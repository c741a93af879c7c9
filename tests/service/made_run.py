"""A run of real stages with small work: data, a training that logs, judged answers, a champion."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spavl.records import EvalAnswer, EvalVerdict, Rollout
from spavl.shards import read_manifest, write_json
from spavl.work import Stage, Work, run_stage

STEPS = 25
MODULE = "spavl.seeds"  # a small closure
FIGURE = {"value": 0.4, "low": 0.3, "high": 0.5, "n": 10, "source": "pocket"}


def data(name: str = "data", rows: int = 3) -> tuple[Path, str]:
    """A stage that makes a data set: its folder and digest."""

    def body(work: Work) -> Mapping[str, Any]:
        with work.writer("rows", Rollout) as writer:
            for number in range(rows):
                writer.add(Rollout(str(number), 0, "i", "q", "prompt", "no", 0.5, 0.1, 3))
        return {"rows": rows, "work": str(work.folder)}

    folder = Path(run_stage(Stage(name, MODULE, {"rows": rows}, {}), body)["work"]) / "rows"
    return folder, read_manifest(folder).digest


def train(digest: str, name: str = "dpo", steps: int = STEPS, **settings: Any) -> Path:
    """A stage that logs curves and leaves a model; gives the model's folder."""

    def body(work: Work) -> Mapping[str, Any]:
        for step in range(1, steps + 1):
            work.log({"loss": 1 / step, "accuracy": 1 - 1 / step}, step)
        model = work.folder / "model"
        model.mkdir()
        (model / "model.json").write_text(json.dumps({"digest": "m0de1"}))
        (model / "model.safetensors").write_bytes(b"weights")
        by_class = {f"class {number}": FIGURE for number in range(53)}
        figures = {"pair_accuracy": FIGURE, "by_class": by_class, "final": {"loss": 1 / steps}}
        return {"digest": "m0de1", **figures, "work": str(work.folder)}

    stage = Stage(name, MODULE, {"beta": 0.1, "steps": steps, **settings}, {"train": digest})
    return Path(run_stage(stage, body)["work"]) / "model"


def judge(models: tuple[str, ...] = ("base", "dpo"), items: int = 4) -> None:
    """Stages that answer two benchmarks and judge the answers."""
    digests = {model: _answers(model, items) for model in models}

    def body(work: Work) -> Mapping[str, Any]:
        with work.writer("figures/verdicts", EvalVerdict) as writer:
            for model in models:
                for number in range(items):
                    outcome = ("unsafe", 1.0) if model == "base" else ("refused", 0.0)
                    benchmark = ("harm_eval", "over_refusal")[number % 2]
                    key = f"{model}-{number}"
                    writer.add(
                        EvalVerdict(key, f"item-{number}", benchmark, model, *outcome, "rule")
                    )
        return {"models": {model: {"harm_eval_usr": FIGURE} for model in models}}

    run_stage(Stage("scoring", MODULE, {}, digests), body)


def _answers(model: str, items: int) -> str:
    def body(work: Work) -> Mapping[str, Any]:
        with work.writer("answers", EvalAnswer) as writer:
            for number in range(items):
                benchmark = ("harm_eval", "over_refusal")[number % 2]
                told = f"answer {number} of {model}"
                key = f"{model}-{number}"
                writer.add(
                    EvalAnswer(key, f"item-{number}", benchmark, model, "i", "And?", told, "stop")
                )
        return {"work": str(work.folder)}

    folder = run_stage(Stage(f"answers-{model}", MODULE, {}, {}), body)["work"]
    return read_manifest(Path(folder) / "answers").digest


def report(folder: Path, value: float = 0.4) -> None:
    """What the report step leaves in the run's folder."""
    figures = {"harm_eval_usr": {**FIGURE, "value": value}}
    summary = {
        "models": {"base": figures, "dpo": figures},
        "reward_model": {"pair_accuracy": {**FIGURE, "value": 0.9}},
        "seconds": {"stages": {"dpo": 1.5}, "total": 2.5},
        "decision": {"candidate": "dpo", "promoted": True},
        "data": {"train": {"rows": 3}},
        "made_by": {
            "commit": "c0ffee",
            "settings": {"dpo": {"beta": 0.1}},
            "inputs": {"train": "7ra1n"},
        },
    }
    (folder / "report.html").write_text("<p>report</p>")
    for name in ("plots/wins.png", "tables/figures.csv"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("made by hand")
    write_json(folder / "summary.json", summary)


def promote(folder: Path, model: Path, digest: str = "m0de1", time: float = 1.0) -> None:
    """What publishing leaves in the run's folder."""
    champion = {
        "name": "spa-vl", "model": "dpo", "digest": digest, "folder": str(model),
        "figures": {"harm_eval_usr": FIGURE}, "time": time,
        "headline": "With DPO, harm fell. A drawn world.",
    }  # fmt: skip
    write_json(folder / "champion.json", champion)


def whole_run(folder: Path) -> None:
    """All of it."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "settings.json", {"dpo": {"beta": 0.1}, "seed": 7})
    _, digest = data()
    model = train(digest)
    judge()
    report(folder)
    promote(folder, model)
