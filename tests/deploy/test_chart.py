"""The chart under real helm: it lints, renders with every switch, validates and keeps the rules."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest

from pipelines.placement import (
    ENVIRONMENT,
    MODELS_VOLUME,
    OPTIONAL_KEYS,
    PART_OF,
    REQUIRED_KEYS,
    S3,
    WORK_VOLUME,
)
from spavl.events import EventReader
from spavl.metrics import PORT, StageFigures
from tests.deploy.policy import findings, pod_of
from tests.deploy.rendering import CHART, EXAMPLES, NAMESPACE, rendered, rendered_text, title
from tests.deploy.tools import run
from tests.deploy.validation import problems, supported_versions

HERE = Path(__file__).parent
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
IMAGE = {"repository": "registry.example.com/responder", "tag": "v1.0.0"}
SERVER = {"judge": {"model": "/models/judge", "image": IMAGE}}
OTHER_SWITCHES = (
    ("monitoring.serviceMonitor", '{"enabled": true, "labels": {"release": "prometheus"}}'),
    ("monitoring.podMonitor", '{"enabled": true, "labels": {"release": "prometheus"}}'),
    ("mlflow.database.kind", '"external"'),
    ("mlflow.replicas", "1"),
    ("s3.cidrs", '["10.0.0.0/8"]'),
    ("networkPolicies.outside", '["0.0.0.0/0"]'),
    ("imagePullSecrets", '["registry"]'),
    ("commonLabels", '{"team": "safety"}'),
    ("modelServers", json.dumps(SERVER)),
    ("modelServers", json.dumps({"judge": {**SERVER["judge"], "engine": "kserve"}})),
    ("modelServers", json.dumps({"judge": {**SERVER["judge"], "accelerators": 0}})),
    ("workflowDefaults.priorityClassName", '"spa-vl-training"'),
    ("mlflow.image.digest", json.dumps("sha256:" + "a" * 64)),
)


def switches(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, bool]]:
    """Every boolean of the values, as (dotted key, what it is)."""
    for key, value in values.items():
        if isinstance(value, bool):
            yield f"{prefix}{key}", value
        elif isinstance(value, Mapping):
            yield from switches(value, f"{prefix}{key}.")


def merged(example: str) -> dict[str, Any]:
    def merge(base: Any, over: Any) -> Any:
        if not isinstance(base, dict) or not isinstance(over, dict):
            return over
        return base | {key: merge(base.get(key), value) for key, value in over.items()}

    text = (CHART / "examples" / f"{example}.yaml").read_text()
    return dict(merge(VALUES, yaml.safe_load(text)))


def variants() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each example as it is, and with each switch turned, one at a time."""
    for example in EXAMPLES:
        yield example, ()
        for key, value in switches(merged(example)):
            needed = ('externalSecrets.store.name="vault"',) if key.startswith("external") else ()
            yield example, (f"{key}={json.dumps(not value)}", *needed)
    for key, value in OTHER_SWITCHES:
        yield "single-gpu", (f"{key}={value}",)


VARIANTS = [pytest.param(e, s, id=f"{e}:{s[0] if s else 'as it is'}") for e, s in variants()]


@pytest.mark.parametrize("example", EXAMPLES)
def test_lint_is_strict_and_silent(example: str) -> None:
    values = CHART / "examples" / f"{example}.yaml"
    done = run("helm", "lint", "--strict", str(CHART), "--values", str(values))
    assert "[WARNING]" not in done.stdout
    assert "[ERROR]" not in done.stdout


def test_there_are_the_three_promised_examples() -> None:
    assert EXAMPLES == ["kind", "multi-pool", "single-gpu"]


@pytest.mark.parametrize(("example", "settings"), VARIANTS)
def test_every_object_is_valid_and_keeps_the_rules(example: str, settings: tuple[str, ...]) -> None:
    resources = rendered(example, *settings)
    names = [title(resource) for resource in resources]
    assert len(names) == len(set(names))
    for version in supported_versions():
        assert problems(resources, version) == []
    assert [finding for resource in resources for finding in findings(resource)] == []


def test_versions_reach_from_the_oldest_supported_to_the_newest_known() -> None:
    assert supported_versions()[0] == "1.30"
    assert len(supported_versions()) >= 8


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_chart_gives_what_the_compiled_pipelines_name(example: str) -> None:
    resources = {title(resource): resource for resource in rendered(example)}
    environment = resources[f"ConfigMap/{ENVIRONMENT}"]["data"]
    assert set(REQUIRED_KEYS) <= set(environment) <= {*REQUIRED_KEYS, *OPTIONAL_KEYS}
    assert environment["SPAVL_WORK_ROOT"].startswith("/work/")
    for volume in (WORK_VOLUME, MODELS_VOLUME):
        assert f"PersistentVolumeClaim/{volume}" in resources
    assert set(S3.keys) == {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    assert "ServiceAccount/spa-vl-runner" in resources


def test_work_may_lie_in_the_bucket() -> None:
    resources = {title(each): each for each in rendered("multi-pool", 's3.workPrefix="team/work"')}
    environment = resources[f"ConfigMap/{ENVIRONMENT}"]["data"]
    assert environment["SPAVL_WORK_ROOT"] == "s3://example-spa-vl/team/work"
    assert not environment["SPAVL_SCRATCH"].startswith(("/work", "/models"))  # shared by pods
    assert set(REQUIRED_KEYS) <= set(environment) <= {*REQUIRED_KEYS, *OPTIONAL_KEYS}


def test_the_launcher_is_told_of_s3_and_of_the_plugin() -> None:
    [launcher] = [r for r in rendered("multi-pool") if r["metadata"]["name"] == "kfp-launcher"]
    s3 = yaml.safe_load(launcher["data"]["providers"])["s3"]["default"]
    assert s3["endpoint"] == "s3.eu-central-1.amazonaws.com"
    assert s3["disableSSL"] is False
    assert s3["credentials"]["secretRef"]["secretName"] == S3.name
    plugin = json.loads(launcher["data"]["plugins.mlflow"])
    assert plugin["settings"]["injectUserEnvVars"] is True
    assert launcher["data"]["defaultPipelineRoot"] == "s3://example-spa-vl/kfp"


def test_prometheus_finds_runs_at_the_port_that_their_environment_names() -> None:
    switch = "monitoring.podMonitor.enabled=true"
    resources = {title(r): r for r in rendered("single-gpu", switch)}
    assert resources[f"ConfigMap/{ENVIRONMENT}"]["data"][PORT] == "9464"
    monitor = resources["PodMonitor/spa-vl-runs"]["spec"]
    [endpoint] = monitor["podMetricsEndpoints"]
    assert {"targetLabel": "__address__", "replacement": "$1:9464"}.items() <= (
        endpoint["relabelings"][-1].items()
    )
    assert monitor["selector"]["matchLabels"] == {PART_OF: "spa-vl"}
    policy = resources["NetworkPolicy/spa-vl-runs"]["spec"]
    assert policy["ingress"][0]["ports"] == [{"protocol": "TCP", "port": 9464}]


def test_mlflow_answers_to_its_service_names_and_to_no_others() -> None:
    [mlflow] = [r for r in rendered("single-gpu") if title(r) == "Deployment/spa-vl-mlflow"]
    [hosts] = [
        argument.removeprefix("--allowed-hosts=").split(",")
        for argument in pod_of(mlflow)["containers"][0]["args"]
        if argument.startswith("--allowed-hosts=")
    ]
    for name in ("spa-vl-mlflow", f"spa-vl-mlflow.{NAMESPACE}.svc.cluster.local:5000"):
        assert name in hosts
    assert "*" not in hosts


def test_everything_is_denied_before_anything_is_opened() -> None:
    policies = {
        r["metadata"]["name"]: r["spec"]
        for r in rendered("single-gpu")
        if r["kind"] == "NetworkPolicy"
    }
    deny = policies.pop("spa-vl-default-deny")
    assert deny == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    everywhere = [
        name
        for name, spec in policies.items()
        for rule in spec.get("egress", [])
        # Pods of one training speak to each other on ports that they choose themselves.
        if rule.get("to") != [{"podSelector": spec["podSelector"]}]
        and (not rule.get("to") or not rule.get("ports"))
    ]
    assert everywhere == []


def test_sqlite_has_one_server() -> None:
    done = run(
        "helm",
        "template",
        str(CHART),
        "--set",
        "mlflow.replicas=2",
        "--values",
        str(CHART / "examples" / "kind.yaml"),
        check=False,
    )
    assert "mlflow.replicas: SQLite serves one replica" in done.stderr


def test_an_image_without_tag_and_digest_is_refused() -> None:
    done = run("helm", "template", str(CHART), check=False)
    assert "give image.tag or image.digest" in done.stderr


def test_argo_cd_applies_in_waves() -> None:
    waves = {
        title(r): int(r["metadata"]["annotations"].get("argocd.argoproj.io/sync-wave", 0))
        for r in rendered("multi-pool")
    }
    order = [
        "Namespace/spa-vl-test",
        "ExternalSecret/spa-vl-s3",
        "ConfigMap/spa-vl-environment",
        "PersistentVolumeClaim/spa-vl-work",
        "Deployment/spa-vl-mlflow",
    ]
    assert sorted(order, key=lambda name: waves[name]) == order


@pytest.mark.parametrize("example", EXAMPLES)
def test_no_secret_value_is_rendered(example: str) -> None:
    text = rendered_text(example)
    assert "kind: Secret\n" not in text
    assert not re.findall(r"(?i)password: *[^\s{]|private key", text)


def test_the_dashboard_is_json_with_a_panel_for_each_question() -> None:
    [board] = [r for r in rendered("multi-pool") if r["metadata"]["name"] == "spa-vl-dashboard"]
    panels = json.loads(board["data"]["spa-vl.json"])["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels) >= 6


def test_the_dashboard_asks_for_all_figures_of_stages_and_for_no_others(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    registry.register(StageFigures("dpo", EventReader(tmp_path)))
    told = set(re.findall(r"^# TYPE (\w+)", generate_latest(registry).decode(), re.M))
    board = (CHART / "files" / "dashboard.json").read_text()
    assert set(re.findall(r"spavl_\w+", board)) == told


def test_yaml_files_are_tidy() -> None:
    paths = [
        str(path)
        for folder in ("charts", "manifests", "pipelines/targets", ".github")
        for path in (CHART.parents[1] / folder).rglob("*.yaml")
        if "templates" not in path.parts
        and "releases" not in path.parts
        and path.parent.name != "pipelines"
    ]
    command = [
        sys.executable,
        "-m",
        "yamllint",
        "--strict",
        "--config-file",
        str(HERE / "yamllint.yaml"),
        *paths,
        str(HERE / "schemas"),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
