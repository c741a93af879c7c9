"""A stage's inputs as MLflow data sets: which rows of which digest it was given."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spavl.errors import SpavlError
from spavl.shards import MANIFEST, read_manifest
from spavl.tracking.stages import StageView

DIGEST_CHARACTERS = 36  # MLflow's limit; the whole digest is among the parameters
KINDS = {"int64": "long", "double": "double", "bool": "boolean", "binary": "binary"}


@dataclass(frozen=True)
class Made:
    """A data set that a stage made: its name, digest, record class, rows and folder."""

    name: str
    digest: str
    schema: str
    rows: int
    folder: Path


def made_by_stages(views: Iterable[StageView]) -> dict[str, Made]:
    """All data sets of finished stages, by the digest that their readers know them by."""
    found: dict[str, Made] = {}
    for view in views:
        if view.state == "done":
            own = list(_made_by(view))
            found.update({made.digest: made for made in own})
            # A stage whose output is several data sets gives its readers one digest for all.
            whole = view.facts.get("result", {}).get("digest")
            if whole and whole not in found and own and not (view.work / "model").exists():
                rows = sum(made.rows for made in own if made.schema != "Image") or own[0].rows
                found[whole] = Made(view.name, whole, own[0].schema, rows, view.work)
    return found


def _made_by(view: StageView) -> Iterable[Made]:
    for depth in ("*", "*/*"):
        for file in sorted(view.work.glob(f"{depth}/{MANIFEST}")):
            try:
                manifest = read_manifest(file.parent)
            except SpavlError:
                continue
            place = file.parent.relative_to(view.work).as_posix()
            name = f"{view.name}/{place}"
            yield Made(name, manifest.digest, manifest.schema, manifest.rows, file.parent)


def dataset_inputs(inputs: Mapping[str, str], made: Mapping[str, Made]) -> list[Any]:
    """MLflow's entities for the inputs that are data sets made in this run."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    return [
        DatasetInput(
            Dataset(
                name=made[digest].name,
                digest=digest[:DIGEST_CHARACTERS],
                source_type="local",
                source=json.dumps({"uri": made[digest].folder.as_uri(), "digest": digest}),
                schema=json.dumps({"mlflow_colspec": _columns(made[digest].schema)}),
                profile=json.dumps({"num_rows": made[digest].rows}),
            ),
            [InputTag("mlflow.data.context", name)],
        )
        for name, digest in inputs.items()
        if digest in made
    ]


def training_data(summary: Mapping[str, Any]) -> list[Any]:
    """What a whole run trained on, for the column of the runs table; nothing where none is told."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    digest = summary["made_by"]["inputs"].get("train")
    if not digest:
        return []
    imported = summary.get("imported") or {}
    source = json.dumps({"uri": imported.get("source", ""), "digest": digest})
    data = Dataset(
        name="train",
        digest=digest[:DIGEST_CHARACTERS],
        source_type="local",
        source=source,
        profile=json.dumps({"num_rows": summary["data"]["train"]["rows"]}),
    )
    return [DatasetInput(data, [InputTag("mlflow.data.context", "train")])]


def _columns(schema: str) -> list[dict[str, object]]:
    """The columns of a record class, as MLflow's UI shows them."""
    from spavl import records

    return [
        {
            "name": column.name,
            "type": KINDS.get(str(column.type), "string"),
            "required": not column.nullable,
        }
        for column in records.schema_of(getattr(records, schema))
    ]
