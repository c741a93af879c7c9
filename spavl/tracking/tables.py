"""Evaluation tables: every answer with its verdict, one table a benchmark, as MLflow's UI reads."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from spavl.records import EvalAnswer, EvalVerdict
from spavl.shards import MANIFEST, read_records, read_rows
from spavl.tracking.datasets import Made
from spavl.tracking.stages import StageView

VERDICTS = Path("figures/verdicts")
COLUMNS = ("item", "model", "question", "answer", "outcome", "score", "reason")
TABLES_TAG = "mlflow.loggedArtifacts"


def has_tables(view: StageView) -> bool:
    """Whether a stage judged answers."""
    return (view.work / VERDICTS / MANIFEST).exists()


def write_tables(view: StageView, made: Mapping[str, Made], folder: Path) -> dict[str, Path]:
    """Write a stage's tables.

    Args:
        view: The stage that judged.
        made: The run's data sets by digest; the answers are found among them.
        folder: Where to write.

    Returns:
        Path among the artifacts to file.
    """
    given = [made[digest] for digest in view.facts["inputs"].values() if digest in made]
    texts = {
        row["answer_id"]: (row["question"], row["text"])
        for each in given
        if each.schema == EvalAnswer.__name__
        for row in read_rows(each.folder, EvalAnswer, ["answer_id", "question", "text"], False)
    }
    rows: dict[str, list[tuple[object, ...]]] = {}
    for verdict in read_records(view.work / VERDICTS, EvalVerdict, verify=False):
        question, answer = texts.get(verdict.answer_id, ("", ""))
        row = (verdict.item_id, verdict.model, question, answer, verdict.outcome, verdict.score)
        rows.setdefault(verdict.benchmark, []).append((*row, verdict.reason))
    written = {}
    for benchmark, found in rows.items():
        file = folder / f"{benchmark}.json"
        # By item, so that the models' answers to one question stand together.
        file.write_text(json.dumps({"columns": COLUMNS, "data": sorted(found)}))
        written[f"tables/{benchmark}.json"] = file
    return written


def tables_tag(paths: Iterable[str]) -> str:
    """The tag by which MLflow's UI knows artifacts to be tables."""
    return json.dumps([{"path": path, "type": "table"} for path in paths])
