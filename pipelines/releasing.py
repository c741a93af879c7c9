"""Releases: pipeline versions under new immutable names, as Kubernetes resources.

A release is a kustomize component under manifests/releases/: the PipelineVersion, the name that the
recurring run's job reads, and the job's image. An overlay holds one line that names its release;
promotion changes that line. A PipelineVersion's spec cannot be changed in a cluster, so a release
that exists is never written again.
"""

import re
from pathlib import Path
from typing import Any

import yaml

from pipelines.compilation import PIPELINES, PROJECT, compiled, stage_image
from pipelines.targeting import Target
from spavl.errors import InputError

RELEASES = PROJECT / "manifests" / "releases"
PIPELINE = "spa-vl"
JOB_IMAGE = "spa-vl/pipeline"
KEPT = {"argocd.argoproj.io/sync-options": "ServerSideApply=true,Prune=false,Delete=false"}


def write_release(version: str, target: Target, folder: Path = RELEASES) -> list[Path]:
    """Write a release.

    Args:
        version: Three numbers, e.g. `0.2.0`; sizes other than `cluster` become part of the name.
        target: What it is compiled for.
        folder: Where releases lie.

    Returns:
        The files written; none if the release exists and says the same.

    Raises:
        InputError: If the version is no version, or the release exists and says otherwise.
    """
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        raise InputError("no version", version, "write it as 0.2.0")
    if not target.registry:
        raise InputError("a release without registry", version, "say --image-registry")
    name = version if target.sizes == "cluster" else f"{version}-{target.sizes.replace('_', '-')}"
    files = {
        "pipelineversion.yaml": pipeline_version(f"{PIPELINE}-{name}", target),
        "kustomization.yaml": _component(f"{PIPELINE}-{name}", target),
    }
    texts = {file: yaml.safe_dump(each, sort_keys=True) for file, each in files.items()}
    home = folder / name
    if home.exists():
        if any((home / file).read_text() != text for file, text in texts.items()):
            raise InputError("the release exists", name, "released versions stay; take a new one")
        return []
    home.mkdir(parents=True)
    for file, text in texts.items():
        (home / file).write_text(text)
    return [home / file for file in texts]


def pipeline_version(name: str, target: Target) -> dict[str, Any]:
    """The whole DAG as a PipelineVersion resource."""
    ir, platform = compiled(PIPELINES["spa_vl"], target)
    return {
        "apiVersion": "pipelines.kubeflow.org/v2beta1",
        "kind": "PipelineVersion",
        "metadata": {
            "name": name,
            "annotations": {**KEPT, "argocd.argoproj.io/sync-wave": "2"},
        },
        "spec": {
            "displayName": name,
            "pipelineName": PIPELINE,
            "description": ir["pipelineInfo"]["description"],
            "pipelineSpec": ir,
            "platformSpec": platform,
        },
    }


def _component(name: str, target: Target) -> dict[str, Any]:
    image, tag = stage_image(f"{JOB_IMAGE}:pipelines.recurring", target.registry).rsplit(":", 1)
    return {
        "apiVersion": "kustomize.config.k8s.io/v1alpha1",
        "kind": "Component",
        "resources": ["pipelineversion.yaml"],
        "images": [{"name": JOB_IMAGE, "newName": image, "newTag": tag}],
        "configMapGenerator": [
            {
                "name": "spa-vl-release",
                "literals": [f"version={name}"],
                "options": {"disableNameSuffixHash": True},
            }
        ],
    }
