"""Objects against schemas: those of every supported Kubernetes, and ours of custom resources."""

import json
from functools import cache
from pathlib import Path

import jsonschema
import yaml
from kubernetes_validate import utils

from tests.deploy.policy import pod_of
from tests.deploy.rendering import Resource, title

SCHEMAS = Path(__file__).with_name("schemas")
OLDEST = (1, 30)

utils.schema_contents = cache(utils.schema_contents)  # else 15 MB are parsed for each object


def supported_versions() -> list[str]:
    """From the oldest that the chart supports to the newest with a schema."""
    found = {tuple(map(int, each.split(".")[:2])) for each in utils.all_versions()}
    return [f"{major}.{minor}" for major, minor in sorted(found) if (major, minor) >= OLDEST]


def problems(resources: list[Resource], version: str) -> list[str]:
    """What is wrong with the objects in a version of Kubernetes; empty if nothing is."""
    return [
        problem
        for resource in resources
        if (problem := _problem(json.dumps(resource, sort_keys=True), version))
    ]


@cache
def _problem(text: str, version: str) -> str | None:
    resource = json.loads(text)
    try:
        utils.validate(resource, version, strict=True)
    except utils.SchemaNotFoundError:
        return _custom_problem(resource, version)
    except utils.ValidationError as error:
        return f"{title(resource)} in {version}: {error.message}"
    return None


def _custom_problem(resource: Resource, version: str) -> str | None:
    group = resource["apiVersion"].split("/")[0]
    path = SCHEMAS / f"{resource['kind'].lower()}.{group}.yaml"
    if not path.exists():
        return f"{title(resource)}: no schema {path.name}"
    errors = list(_custom(path).iter_errors(resource))
    if errors:
        where = ".".join(map(str, errors[0].absolute_path))
        return f"{title(resource)}: {where}: {errors[0].message}"
    if resource["kind"] == "InferenceService":
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}}
        return _problem(json.dumps({**pod, "spec": pod_of(resource)}, sort_keys=True), version)
    return None


@cache
def _custom(path: Path) -> jsonschema.Draft202012Validator:
    shared = yaml.safe_load((SCHEMAS / "shared.yaml").read_text())
    schema = yaml.safe_load(path.read_text())
    return jsonschema.Draft202012Validator({**schema, "$defs": shared})
