"""Compiling the pipelines to files that change only when what they describe changes.

Doors name their image as `spa-vl/<image>:<module>`. Here the module becomes the digest of its
import closure and of the image's locks: one image, several tags, and KFP's cache forgets exactly
the stages that a change can affect. The files hold no commit and no date. Sizes of pods come from
the target.
"""

import difflib
import hashlib
import tempfile
import warnings
from pathlib import Path
from typing import Any

import yaml
from kfp import compiler

from pipelines.ablation import ablation
from pipelines.alignment import alignment
from pipelines.data import data
from pipelines.evaluation import evaluation
from pipelines.on_data import on_data
from pipelines.spa_vl import spa_vl
from pipelines.targeting import Target, set_size
from spavl.digests import code_digest, file_digest

PIPELINES = {
    "spa_vl": spa_vl,
    "on_data": on_data,
    "data": data,
    "alignment": alignment,
    "evaluation": evaluation,
    "ablation": ablation,
}
PROJECT = Path(__file__).parents[1]
COMPILED = PROJECT / "manifests" / "pipelines"
TAG_DIGITS = 16


def compile_all(target: Target) -> dict[str, str]:
    """File name to content of every compiled pipeline."""
    return {
        f"{name}.yaml": as_text(compiled(pipeline, target)) for name, pipeline in PIPELINES.items()
    }


def as_text(documents: list[Any]) -> str:
    """Documents as one YAML text, byte-stable."""
    return "---\n".join(yaml.safe_dump(document, sort_keys=True) for document in documents)


def compiled(pipeline: Any, target: Target) -> list[Any]:
    """One pipeline's intermediate representation and platform spec.

    Images carry their stages' digests as tags, pods have the target's sizes.
    """
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder) / "pipeline.yaml"
        compiler.Compiler().compile(pipeline, str(path))
        documents = list(yaml.safe_load_all(path.read_text()))
    pods = documents[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    for name, executor in documents[0]["deploymentSpec"]["executors"].items():
        container = executor["container"]
        container["image"] = stage_image(container["image"], target.registry)
        set_size(container, pods[name], target)
    return documents


def stage_image(reference: str, registry: str) -> str:
    """`spa-vl/trainer:components.dpo` becomes `<registry>/spa-vl/trainer:<stage digest>`."""
    name, module = reference.split(":")
    locks = sorted((PROJECT / "images" / name.split("/")[-1]).glob("*.lock"))
    parts = [code_digest(module), *map(file_digest, locks)]
    tag = hashlib.sha256(" ".join(parts).encode()).hexdigest()[:TAG_DIGITS]
    return f"{registry}/{name}:{tag}" if registry else f"{name}:{tag}"


def write_compiled(target: Target) -> list[Path]:
    """Write all compiled pipelines; returns their paths."""
    COMPILED.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, text in compile_all(target).items():
        (COMPILED / name).write_text(text)
        paths.append(COMPILED / name)
    return paths


def differences(target: Target) -> dict[str, str]:
    """Where the committed files differ from what the code compiles to: name to a short diff."""
    found = {}
    for name, text in compile_all(target).items():
        path = COMPILED / name
        committed = path.read_text() if path.exists() else ""
        if committed != text:
            lines = difflib.unified_diff(
                committed.splitlines(), text.splitlines(), "committed", "compiled", lineterm="", n=0
            )
            found[name] = "\n".join(list(lines)[:12])
    return found
