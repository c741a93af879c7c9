"""Charts and overlays as the objects that a cluster would get."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.deploy.tools import run

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "spa-vl"
EXAMPLES = sorted(path.stem for path in (CHART / "examples").glob("*.yaml"))
MANIFESTS = ROOT / "manifests"
OVERLAYS = sorted(path.name for path in (MANIFESTS / "overlays").glob("*") if path.is_dir())
NAMESPACE = "spa-vl-test"
KFP = "kubeflow"
SINGLE_USER = ("kind", "single-gpu")
"""Examples for KFP's own namespace; the others are for a Profile's."""
KUBERNETES_API = 'networkPolicies.kubernetesAPI.cidrs=["192.0.2.1/32"]'
"""Rendering without a cluster has to be told."""

Resource = dict[str, Any]


def arguments(example: str, *settings: str) -> list[str]:
    """Of `helm template` with an example's values and some settings changed (`key=value`, JSON)."""
    namespace = KFP if example in SINGLE_USER else NAMESPACE
    values = str(CHART / "examples" / f"{example}.yaml")
    command = ["template", "spa-vl", str(CHART), "--namespace", namespace, "--values", values]
    for setting in settings:
        command += ["--set-json", setting]
    return command


@cache
def rendered_text(example: str, *settings: str) -> str:
    """The chart with an example's values and some settings changed."""
    return run("helm", *arguments(example, KUBERNETES_API, *settings)).stdout


def rendered(example: str, *settings: str) -> list[Resource]:
    """The same as objects."""
    return objects(rendered_text(example, *settings))


@cache
def built_text(overlay: str) -> str:
    """An overlay as kustomize builds it."""
    return run("kubectl", "kustomize", str(MANIFESTS / overlay)).stdout


def built(overlay: str) -> list[Resource]:
    """The same as objects."""
    return objects(built_text(overlay))


def objects(text: str) -> list[Resource]:
    """A stream of YAML as plain objects, anchors resolved."""
    documents = yaml.safe_load_all(text)
    return [json.loads(json.dumps(each)) for each in documents if each]


def title(resource: Resource) -> str:
    """How messages name an object."""
    return f"{resource['kind']}/{resource['metadata']['name']}"
