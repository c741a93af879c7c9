"""The Croissant description of an export: its files, their columns, and where all of it came from.

The vocabulary is that of http://mlcommons.org/croissant/1.0; lineage is told in that of W3C PROV:
the rows were derived from data sets of ours, each made by an activity from others, and are due to
the models that answered and judged.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from spavl.digests import file_digest, json_digest
from spavl.published.card import Card
from spavl.published.cells import schema_of
from spavl.published.row_files import PICTURES
from spavl.secrets import masked_tree
from spavl.shards import MANIFEST, Manifest, read_manifest, write_json

FILE = "croissant.json"
KINDS = {
    ".json": "application/json",
    ".jsonl": "application/jsonlines",
    ".parquet": "application/x-parquet",
}
TYPES = {"text": "Text", "number": "Integer", "truth": "Boolean", "picture": "ImageObject"}
LICENCES = "https://spdx.org/licenses/"
CITATION = "SPA-VL: arXiv 2406.12030"
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "dct": "http://purl.org/dc/terms/",
    "prov": "http://www.w3.org/ns/prov#",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{
        name: f"cr:{name}"
        for name in (
            "citeAs", "column", "equivalentProperty", "extract", "field", "fileObject",
            "fileProperty", "fileSet", "format", "includes", "isLiveDataset", "jsonPath", "key",
            "md5", "parentField", "path", "recordSet", "references", "regex", "repeated",
            "replace", "samplingRate", "separator", "source", "subField", "transform",
        )
    },
}  # fmt: skip
"""The standard's, and PROV."""


def write_croissant(out: Path, card: Card, sources: Iterable[Path]) -> None:
    """Writes the description beside the rows.

    Args:
        out: The export; its rows are written.
        card: What was counted while they were.
        sources: Our data sets that they are of.
    """
    files = sorted(path for path in out.iterdir() if path.suffix in KINDS and path.name != FILE)
    rows = [path for path in files if path.name != "dataset_info.json"]
    told: dict[str, Any] = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": "spa-vl-preferences",
        "description": "Pictures, questions, and answers of which one is preferred for being "
        "harmless and helpful. Rows show harmful themes in order to teach refusal.",
        "license": _licence(card.licence),
        "url": "https://arxiv.org/abs/2406.12030",
        "citeAs": CITATION,
        "version": "1.0.0",
        "distribution": [*map(_file, files), *_pictures(out)],
        "recordSet": [each for each in map(_record_set, rows) if each["field"]],
        **_lineage(card, sources),
    }
    write_json(out / FILE, masked_tree(told))


def _licence(named: str) -> str:
    return named if named == "not stated" or "/" in named else LICENCES + named.upper()


def _file(path: Path) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": path.name,
        "name": path.name,
        "contentUrl": path.name,
        "contentSize": f"{path.stat().st_size} B",
        "encodingFormat": KINDS[path.suffix],
        "sha256": file_digest(path),
    }


def _pictures(out: Path) -> Iterator[dict[str, Any]]:
    if (out / PICTURES).is_dir():
        kinds = {"@type": "cr:FileSet", "@id": PICTURES, "name": PICTURES}
        yield {**kinds, "encodingFormat": "image/png", "includes": f"{PICTURES}/*"}


def _record_set(path: Path) -> dict[str, Any]:
    """A file's columns of text, numbers and pictures; those of messages have no plain type."""
    split = path.stem.partition("-0")[0]
    return {
        "@type": "cr:RecordSet",
        "@id": split,
        "name": split,
        "field": [
            _field(path, split, name, kind)
            for name, kind in schema_of(path).items()
            if kind in TYPES
        ],
    }


def _field(path: Path, split: str, name: str, kind: str) -> dict[str, Any]:
    parquet, whole = path.suffix == ".parquet", path.suffix == ".json"
    extract = {"jsonPath": f"$[*].['{name}']"} if whole else {"column": name}
    source: dict[str, Any] = {"fileObject": {"@id": path.name}, "extract": extract}
    if kind == "picture":
        source["transform"] = {"jsonPath": "bytes"}
    told = "a path beside this file" if name == "image" and not parquet else f"column {name}"
    return {
        "@type": "cr:Field",
        "@id": f"{split}/{name}",
        "name": name,
        "description": told,
        "dataType": f"sc:{TYPES[kind]}",
        "source": source,
    }


def _lineage(card: Card, sources: Iterable[Path]) -> dict[str, Any]:
    """Where the rows came from, in the words of PROV."""
    made = [read_manifest(folder) for folder in sources if (folder / MANIFEST).is_file()]
    agents = sorted({*card.judges, *(name for _, name in card.responders)} - {"published"})
    return {
        "prov:wasDerivedFrom": [_entity(manifest) for manifest in made],
        "prov:wasAttributedTo": [
            {"@type": "prov:SoftwareAgent", "prov:label": name} for name in agents
        ],
    }


def _entity(manifest: Manifest) -> dict[str, Any]:
    return {
        "@type": "prov:Entity",
        "@id": f"urn:sha256:{manifest.digest}",
        "prov:label": f"{manifest.schema}, {manifest.rows} rows",
        "prov:wasGeneratedBy": _activity(manifest.made_by, manifest.inputs),
    }


def _activity(made_by: Mapping[str, Any], inputs: Mapping[str, str]) -> dict[str, Any]:
    """What made a data set: a stage, by the digest of its code and settings, or an import."""
    if "source" in made_by:
        place = str(made_by["source"])
        address = place if ":" in place else f"file:{quote(Path(place).name)}"
        return {"@type": "prov:Activity", "prov:label": "import", "prov:used": {"@id": address}}
    return {
        "@type": "prov:Activity",
        "@id": f"urn:sha256:{json_digest(made_by)}",
        "prov:label": str(made_by.get("stage", "unknown")),
        "prov:used": [
            {"@type": "prov:Entity", "@id": f"urn:sha256:{digest}", "prov:label": name}
            for name, digest in inputs.items()
        ],
    }
