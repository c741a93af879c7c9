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

from components.configuration import profile_names
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
STARTER = "pipelines.stage_process"
# Lists of the Kubernetes part, with a name's field beside the longer one that says the same. KFP
# 2.17 reads either (backend/src/v2/driver/k8s.go).
NAMED_TWICE = (
    ("pvcMount", "constant", "pvcNameParameter"),
    ("configMapAsVolume", "configMapName", "configMapNameParameter"),
    ("secretAsVolume", "secretName", "secretNameParameter"),
)


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
    specification, platform = documents
    pods = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    for name, executor in specification["deploymentSpec"]["executors"].items():
        container = executor["container"]
        component = _function(container)
        container["command"], container["args"] = _started_by_module(container)
        container["image"] = stage_image(container["image"], target.registry)
        set_size(component.replace("_", "-"), container, pods[name], target)
    _leave_out_what_weighs(specification, pods)
    form = specification["root"]["inputDefinitions"]["parameters"]
    if "profile" in form:  # a list to choose from; the SDK has no way to say so
        form["profile"]["literals"] = profile_names()
    return documents


def _started_by_module(container: dict[str, Any]) -> tuple[list[str], list[str]]:
    """The component by its name instead of by its source; its image holds both.

    The source would stand in the workflow's status three times for every task.
    """
    room = ".".join(container["image"].split(":")[1].split(".")[:2])
    command = ["python3", "-m", STARTER, f"{room}.component:{_function(container)}"]
    return command, ["--executor_input", "{{$}}"]


def _function(container: dict[str, Any]) -> str:
    arguments = container["args"]
    return str(arguments[arguments.index("--function_to_execute") + 1])


def _leave_out_what_weighs(specification: dict[str, Any], pods: dict[str, Any]) -> None:
    """Drop what only people read below the root, and what is said twice.

    KFP follows a run only while the whole Workflow object is under 1 MiB, and each of these stands
    in it several times for every task. The form's descriptions, the root's, stay.
    """
    for component in specification["components"].values():
        for side in ("inputDefinitions", "outputDefinitions"):
            for definitions in component.get(side, {}).values():
                for definition in definitions.values():
                    definition.pop("description", None)
    for pod in pods.values():
        for entries, old, new in NAMED_TWICE:
            for entry in pod.get(entries, []):
                if old in entry:
                    entry.pop(new, None)


def stage_image(reference: str, registry: str) -> str:
    """`spa-vl/trainer:components.dpo` becomes `<registry>/spa-vl/trainer:<stage digest>`.

    The digest covers what the image brings to the stage: its code and its door's, what starts it in
    a pod, and the image's locks.
    """
    name, module = reference.split(":")
    door = PROJECT.joinpath(*module.split(".")[:2], "component.py")
    locks = sorted((PROJECT / "images" / name.split("/")[-1]).glob("*.lock"))
    files = [*([door] if door.exists() else []), *locks]
    parts = [code_digest(module), code_digest(STARTER), *map(file_digest, files)]
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
