"""The chart under real helm: it lints, renders with every switch, validates and keeps the rules."""

import json
import re
import subprocess
import sys
from base64 import b64decode
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest

from components.configuration import resolve
from pipelines.placement import (
    ENVIRONMENT,
    MODELS_VOLUME,
    PART_OF,
    S3,
    WORK_VOLUME,
)
from pipelines.stage_process import REQUIRED_KEYS
from spavl.events import EventReader
from spavl.metrics import PORT, StageFigures
from tests.deploy.policy import findings, pod_of
from tests.deploy.rendering import (
    CHART,
    EXAMPLES,
    KFP,
    KUBERNETES_API,
    NAMESPACE,
    SINGLE_USER,
    Resource,
    arguments,
    rendered,
    rendered_text,
    title,
)
from tests.deploy.tools import run
from tests.deploy.validation import problems, supported_versions

HERE = Path(__file__).parent
FURTHER_KEYS = {
    *("SPAVL_SCRATCH", "MLFLOW_TRACKING_URI", "AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION"),
    *("HF_HOME", "HF_HUB_OFFLINE", "SPAVL_METRICS_PORT"),
    *("SPAVL_TRAINING_RUNTIME", "SPAVL_TRAINING_RESOURCES"),
}
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
    ("image.digest", json.dumps("sha256:" + "a" * 64)),
    ("mlflow.image", json.dumps(IMAGE)),
)


# Bounds of a namespace that is KFP's own, and a second bucket in KFP's S3.
REFUSED = {
    *((example, f"{key}.enabled") for example in SINGLE_USER for key in ("quota", "limitRange")),
    *((example, "s3.createBucket") for example in ("kind", "single-gpu", "profile")),
}


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
            if (example, key) in REFUSED:
                continue
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


def test_there_are_the_promised_examples() -> None:
    assert EXAMPLES == ["kind", "multi-pool", "profile", "single-gpu"]


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_says_what_it_needs_and_how_it_is_installed(example: str) -> None:
    text = (CHART / "examples" / f"{example}.yaml").read_text()
    head = text[: text.index("\nimage:")]
    assert "# Needs: " in head
    namespace = KFP if example in SINGLE_USER else "team-a"
    assert f"helm install spa-vl charts/spa-vl --namespace {namespace}" in head
    assert f"--values charts/spa-vl/examples/{example}.yaml" in head
    assert all(name == namespace for name in re.findall(r"(?:-n|--namespace) (\S+)", head))


OPTIONAL_GROUPS = {
    "serving.kserve.io": "KServe",
    "kueue.x-k8s.io": "Kueue",
    "monitoring.coreos.com": "Prometheus operator",
    "external-secrets.io": "External Secrets",
}


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_names_the_optional_parts_of_a_cluster_that_it_needs(example: str) -> None:
    text = (CHART / "examples" / f"{example}.yaml").read_text()
    head = text[: text.index("\nimage:")]
    groups = {r["apiVersion"].split("/")[0] for r in rendered(example)}
    for group, name in OPTIONAL_GROUPS.items():
        assert (group in groups) == (name in head)


def test_without_examples_nothing_optional_of_a_cluster_is_needed() -> None:
    image = f"image={json.dumps(IMAGE)}"
    kinds = {r["apiVersion"] for r in rendered("profile", image)}
    built_in = {"v1", "apps/v1", "batch/v1", "networking.k8s.io/v1", "rbac.authorization.k8s.io/v1"}
    assert kinds <= built_in


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
    assert set(REQUIRED_KEYS) <= set(environment) <= {*REQUIRED_KEYS, *FURTHER_KEYS}
    assert environment["SPAVL_WORK_ROOT"].startswith("/work/")
    for volume in (WORK_VOLUME, MODELS_VOLUME):
        assert f"PersistentVolumeClaim/{volume}" in resources
    assert "ServiceAccount/spa-vl-runner" in resources


def test_work_may_lie_in_the_bucket() -> None:
    resources = by_title("multi-pool", "s3.work=true")
    environment = resources[f"ConfigMap/{ENVIRONMENT}"]["data"]
    assert environment["SPAVL_WORK_ROOT"] == "s3://example-spa-vl/spa-vl/work"
    assert not environment["SPAVL_SCRATCH"].startswith(("/work", "/models"))  # shared by pods
    assert set(REQUIRED_KEYS) <= set(environment) <= {*REQUIRED_KEYS, *FURTHER_KEYS}


@pytest.mark.parametrize(("example", "namespace"), [("kind", KFP), ("profile", NAMESPACE)])
def test_on_kfps_s3_everything_lies_where_the_namespaces_keys_open(
    example: str, namespace: str
) -> None:
    """A Profile's keys open private/<namespace>/ of KFP's bucket; no bucket of ours is made."""
    resources = by_title(example, "s3.work=true")
    prefix = f"s3://mlpipeline/private/{namespace}/spa-vl"
    environment = resources[f"ConfigMap/{ENVIRONMENT}"]["data"]
    assert environment["AWS_ENDPOINT_URL"] == "http://seaweedfs.kubeflow:9000"
    assert environment["SPAVL_WORK_ROOT"] == f"{prefix}/work"
    assert (
        f"--artifacts-destination={prefix}/mlflow"
        in container("Deployment/spa-vl-mlflow", resources)["args"]
    )
    assert "Job/spa-vl-bucket" not in resources


REFUSALS = {
    "s3.createBucket=true": "s3.createBucket: KFP's own S3 has no volume left",
    "quota.enabled=true": "this namespace is KFP's own",
    "limitRange.enabled=true": "this namespace is KFP's own",
    "mlflow.replicas=2": "mlflow.replicas: SQLite serves one replica",
    'image.tag=""': "give image.tag or image.digest",
}


@pytest.mark.parametrize("setting", REFUSALS)
def test_what_cannot_work_is_refused_in_one_line(setting: str) -> None:
    done = run("helm", *arguments("kind", KUBERNETES_API, setting), check=False)
    assert REFUSALS[setting] in done.stderr


@pytest.mark.parametrize("address", ["seaweedfs:9000", "seaweedfs.kubeflow.svc.cluster.local:8333"])
def test_kfps_s3_is_known_by_all_its_names(address: str) -> None:
    settings = (f's3.endpoint="http://{address}"', "s3.createBucket=true")
    done = run("helm", *arguments("kind", KUBERNETES_API, *settings), check=False)
    assert "s3.createBucket" in done.stderr


def test_a_bucket_of_ones_own_is_made_on_request() -> None:
    resources = by_title("multi-pool", "s3.createBucket=true")
    job = resources["Job/spa-vl-bucket"]
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "post-install,pre-upgrade"
    assert container("Job/spa-vl-bucket", resources)["args"][1:] == ["bucket"]


def by_title(example: str, *settings: str) -> dict[str, Resource]:
    return {title(resource): resource for resource in rendered(example, *settings)}


def container(name: str, resources: Mapping[str, Resource]) -> dict[str, Any]:
    [found] = (pod_of(resources[name]) or {})["containers"]
    return dict(found)


def volumes_job(resources: Mapping[str, Resource]) -> Resource:
    [found] = [each for name, each in resources.items() if name.startswith("Job/spa-vl-volumes-")]
    return found


@pytest.mark.parametrize("example", EXAMPLES)
def test_a_job_uses_both_claims_first_as_the_user_and_group_of_runs(example: str) -> None:
    resources = by_title(example)
    job = volumes_job(resources)
    # As a hook Helm would start it only after its own --wait for claims that wait for it.
    assert "helm.sh/hook" not in job["metadata"]["annotations"]
    pod = pod_of(job) or {}
    assert pod["securityContext"].items() >= {"runAsUser": 10001, "fsGroup": 10001}.items()
    claims = {each["persistentVolumeClaim"]["claimName"] for each in pod["volumes"]}
    assert claims == {WORK_VOLUME, MODELS_VOLUME}
    for wanted in pod["containers"][0]["args"][1:]:
        claim, folder, gib = wanted.split("=")
        assert {"name": folder[1:], "mountPath": folder} in pod["containers"][0]["volumeMounts"]
        assert claim in claims
        assert int(gib) >= 1


def test_another_pod_of_the_volumes_job_is_another_job() -> None:
    """A Job's pod cannot be changed: an upgrade would be refused."""
    first = volumes_job(by_title("kind"))
    assert volumes_job(by_title("kind", "quota.hard={}"))["metadata"] == first["metadata"]
    other = volumes_job(by_title("kind", "volumes.work.freeGiB=2"))
    assert other["metadata"]["name"] != first["metadata"]["name"]


def test_argo_cd_binds_claims_in_the_wave_of_what_first_uses_them() -> None:
    """Bound late, they are healthy only then, and the next wave waits for it."""
    resources = by_title("profile")
    wave = "argocd.argoproj.io/sync-wave"
    for claim, user in (
        (WORK_VOLUME, volumes_job(resources)),
        (MODELS_VOLUME, volumes_job(resources)),
        ("spa-vl-mlflow", resources["Deployment/spa-vl-mlflow"]),
    ):
        made = resources[f"PersistentVolumeClaim/{claim}"]["metadata"]["annotations"]
        assert made[wave] == user["metadata"]["annotations"][wave]


def test_run_watch_reads_files_and_may_look_at_workflows_alone() -> None:
    resources = by_title("profile")
    watch = resources["Deployment/spa-vl-run-watch"]
    assert watch["spec"]["strategy"] == {"type": "Recreate"}
    pod = pod_of(watch) or {}
    assert pod["automountServiceAccountToken"] is True
    assert pod["containers"][0]["command"] == ["python3", "-m", "pipelines.run_watch"]
    mounts = {each["name"]: each["mountPath"] for each in pod["containers"][0]["volumeMounts"]}
    places = {mounts[each["name"]]: each for each in pod["volumes"]}
    assert places["/etc/spa-vl/environment"]["configMap"] == {"name": ENVIRONMENT}
    for secret in ("spa-vl-s3", "spa-vl-mlflow"):
        wanted = {"secretName": secret, "optional": True}
        assert places[f"/etc/spa-vl/secrets/{secret}"]["secret"] == wanted
    assert places["/work"]["persistentVolumeClaim"] == {"claimName": WORK_VOLUME}
    [rule] = resources["Role/spa-vl-run-watch"]["rules"]
    assert rule == {
        "apiGroups": ["argoproj.io"],
        "resources": ["workflows"],
        "verbs": ["get", "list", "watch"],
    }


def test_images_are_pulled_with_the_secrets_of_every_account() -> None:
    """Pods of runs and of the recurring run's job have none but their account's."""
    resources = by_title("multi-pool")
    accounts = [each for each in resources.values() if each["kind"] == "ServiceAccount"]
    assert len(accounts) == 6
    assert [each["imagePullSecrets"] for each in accounts] == [[{"name": "registry"}]] * 6


def test_kueues_flavors_share_one_group_and_name_every_resource_of_it() -> None:
    resources = by_title("multi-pool")
    [group] = resources["ClusterQueue/spa-vl"]["spec"]["resourceGroups"]
    for flavor in group["flavors"]:
        assert [each["name"] for each in flavor["resources"]] == group["coveredResources"]
        assert f"ResourceFlavor/{flavor['name']}" in resources
    quotas = {each["name"]: each["resources"] for each in group["flavors"]}
    none = {"name": "nvidia.com/gpu", "nominalQuota": "0"}
    assert none in quotas["cpu"]
    spot = resources["ResourceFlavor/training-spot"]["spec"]
    assert spot["nodeTaints"][0]["key"] == "nvidia.com/gpu"
    assert spot["tolerations"][0]["key"] == "spot"


def test_kserve_is_asked_for_plain_deployments_in_its_own_word() -> None:
    service = by_title("multi-pool")["InferenceService/spa-vl-model-judge"]
    assert service["metadata"]["annotations"]["serving.kserve.io/deploymentMode"] == "Standard"


def test_kfps_secret_becomes_ours_by_the_template_that_the_examples_name() -> None:
    literals = ("--from-literal=accesskey=an-id", "--from-literal=secretkey=a/secret+of=nothing")
    template = CHART / "files" / "s3-secret.gotemplate"
    told = ("--dry-run=client", "-o", f"go-template-file={template}")
    theirs = ("create", "secret", "generic", "mlpipeline-minio-artifact", *literals)
    made = yaml.safe_load(run("kubectl", *theirs, *told).stdout)
    assert (made["kind"], made["metadata"]) == ("Secret", {"name": S3})
    assert {key: b64decode(value).decode() for key, value in made["data"].items()} == {
        "AWS_ACCESS_KEY_ID": "an-id",
        "AWS_SECRET_ACCESS_KEY": "a/secret+of=nothing",
    }


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
    [mlflow] = [r for r in rendered("profile") if title(r) == "Deployment/spa-vl-mlflow"]
    [hosts] = [
        argument.removeprefix("--allowed-hosts=").split(",")
        for argument in pod_of(mlflow)["containers"][0]["args"]
        if argument.startswith("--allowed-hosts=")
    ]
    for name in ("spa-vl-mlflow", f"spa-vl-mlflow.{NAMESPACE}.svc.cluster.local:5000"):
        assert name in hosts
    assert "*" not in hosts


def test_argo_cd_applies_in_waves() -> None:
    waves = {
        title(r): int(r["metadata"]["annotations"].get("argocd.argoproj.io/sync-wave", 0))
        for r in rendered("multi-pool")
    }
    order = [
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


def test_the_charts_model_servers_answer_where_the_shipped_profiles_ask() -> None:
    text = json.dumps(resolve("llava-1.5-7b")._asdict())
    parts = [json.loads(part) for part in re.findall(r'\{[^{}]*"base_url": "http:[^{}]*\}', text)]
    asked = {(urlsplit(part["base_url"]).hostname or "", part["model"]) for part in parts}
    assert len(asked) > 10
    image = SERVER["judge"]["image"]
    servers = json.dumps(
        {model: {"model": f"/models/{model}", "image": image} for _, model in asked}
    )
    made = by_title("profile", f"modelServers={servers}")
    for host, model in asked:
        assert made[f"Service/{host}"]["spec"]["selector"]["spa-vl/model"] == model
