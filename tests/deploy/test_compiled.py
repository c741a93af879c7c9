"""What the compiled pipelines ask of a cluster, read from the compiled YAML, task by task."""

import importlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
import yaml

from pipelines.compilation import PIPELINES, compile_all
from pipelines.placement import KINDS, SHARED_MEMORY, USER
from pipelines.submission import Submission, idle_accelerators
from pipelines.targeting import QUEUE_LABEL, Target, read_sizes, size_names
from spavl.errors import InputError

REGISTRY = "registry.example"
ACCELERATED = {kind.name for kind in KINDS if kind.accelerated}
POOLS = {kind.name: kind.pool for kind in KINDS}
SECRETS = {"spa-vl-s3", "spa-vl-mlflow", "spa-vl-hub", "spa-vl-judges"}


@dataclass(frozen=True)
class Task:
    """A task of a compiled pipeline with its executor and its pod."""

    name: str
    spec: dict[str, Any]
    container: dict[str, Any]
    pod: dict[str, Any]

    @property
    def kind(self) -> str:
        return str(self.pod["podMetadata"]["labels"]["app.kubernetes.io/component"])


@cache
def texts(target: Target) -> dict[str, str]:
    return compile_all(target)


def dags(ir: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield ir["root"]
    yield from (each for each in ir["components"].values() if "dag" in each)


def tasks(pipeline: str, target: Target) -> list[Task]:
    ir, platform = yaml.safe_load_all(texts(target)[f"{pipeline}.yaml"])
    containers = ir["deploymentSpec"]["executors"]
    pods = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    found = []
    for dag in dags(ir):
        for name, spec in dag["dag"]["tasks"].items():
            component = ir["components"][spec["componentRef"]["name"]]
            if label := component.get("executorLabel"):
                found.append(Task(name, spec, containers[label]["container"], pods[label]))
    return found


CLUSTER = Target(REGISTRY)
ALL = [pytest.param(task, id=f"{p}:{task.name}") for p in PIPELINES for task in tasks(p, CLUSTER)]
TEXTS = [pytest.param(text, id=name) for name, text in texts(CLUSTER).items()]


def test_the_whole_dag_has_every_stage() -> None:
    assert len(tasks("spa_vl", CLUSTER)) == 20
    assert len(tasks("on_data", CLUSTER)) == 15
    assert {task.kind for task in tasks("spa_vl", CLUSTER)} == set(POOLS)


@pytest.mark.parametrize("task", ALL)
def test_the_image_carries_a_stage_digest(task: Task) -> None:
    pattern = rf"{REGISTRY}/spa-vl/(pipeline|trainer):[0-9a-f]{{16}}"
    assert re.fullmatch(pattern, task.container["image"])
    assert task.pod["imagePullPolicy"] == "IfNotPresent"


@pytest.mark.parametrize("task", ALL)
def test_the_size_is_its_kinds_or_its_own(task: Task) -> None:
    own = {"train-reward-model": 4, "train-dpo": 3}
    size = read_sizes("cluster").of(task.name, task.kind)
    if task.kind == "training":
        assert size.accelerators == own.get(task.name, 8)
    resources = task.container["resources"]
    assert (resources["resourceCpuRequest"], resources["resourceCpuLimit"]) == size.cpu
    assert (resources["resourceMemoryRequest"], resources["resourceMemoryLimit"]) == size.memory
    wanted = {"resourceType": "nvidia.com/gpu", "resourceCount": str(size.accelerators)}
    assert resources.get("accelerator") == (wanted if task.kind in ACCELERATED else None)


@pytest.mark.parametrize("task", ALL)
def test_only_accelerated_tasks_tolerate_and_share_memory(task: Task) -> None:
    accelerated = task.kind in ACCELERATED
    assert [*task.pod.get("tolerations", [])] == (
        [{"tolerationJson": {"componentInputParameter": each}}]
        if accelerated and (each := pool_input(task, "gpu_tolerations"))
        else []
    )
    shared = [m for m in task.pod.get("emptyDirMounts", []) if m["mountPath"] == "/dev/shm"]
    assert len(shared) == accelerated
    for mount in shared:
        assert (mount["medium"], mount["sizeLimit"]) == ("Memory", SHARED_MEMORY[task.kind])


@pytest.mark.parametrize("task", ALL)
def test_the_pool_is_chosen_by_a_parameter_that_stays_out_of_the_cache(task: Task) -> None:
    assert pool_input(task, POOLS[task.kind])
    inputs = task.spec.get("inputs", {}).get("parameters", {})
    assert not [name for name in inputs if "pool" in name or "tolerations" in name]


def pool_input(task: Task, parameter: str) -> str | None:
    """The input that a pool's parameter has in the task's own DAG."""
    sources = [task.pod["nodeSelector"]["nodeSelectorJson"]]
    sources += [each["tolerationJson"] for each in task.pod.get("tolerations", [])]
    names = {source["componentInputParameter"] for source in sources}
    return next((n for n in names if n in (parameter, f"pipelinechannel--{parameter}")), None)


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_every_pool_reaches_every_dag_that_reads_it(pipeline: str) -> None:
    ir, platform = yaml.safe_load_all(texts(CLUSTER)[f"{pipeline}.yaml"])
    pods = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    for dag in dags(ir):
        known = set(dag.get("inputDefinitions", {}).get("parameters", {}))
        for spec in dag["dag"]["tasks"].values():
            component = ir["components"][spec["componentRef"]["name"]]
            wanted = set()
            if label := component.get("executorLabel"):
                selector = pods[label]["nodeSelector"]["nodeSelectorJson"]
                wanted = {selector["componentInputParameter"]}
            for source in spec.get("inputs", {}).get("parameters", {}).values():
                wanted |= {source.get("componentInputParameter")} - {None}
            assert wanted <= known


@pytest.mark.parametrize("task", ALL)
def test_it_is_tried_again_and_ends_in_time(task: Task) -> None:
    retry, seconds = task.spec["retryPolicy"], int(task.pod["activeDeadlineSeconds"])
    assert retry["maxRetryCount"] >= 2
    assert 3600 <= seconds <= 5 * 24 * 3600
    attempts = retry["maxRetryCount"] + 1
    assert int(retry["backoffMaxDuration"].removesuffix("s")) >= attempts * seconds


@pytest.mark.parametrize("task", ALL)
def test_it_runs_as_a_numeric_user_that_is_not_root(task: Task) -> None:
    context = task.pod["securityContext"]
    assert int(context["runAsUser"]) == int(context["runAsGroup"]) == USER
    assert context["runAsNonRoot"] is True


@pytest.mark.parametrize("task", ALL)
def test_secrets_and_places_come_by_name(task: Task) -> None:
    secrets = {named(each, "secret"): each["mountPath"] for each in task.pod["secretAsVolume"]}
    assert secrets == {name: f"/etc/spa-vl/secrets/{name}" for name in secrets}
    assert {"spa-vl-s3", "spa-vl-mlflow"} <= set(secrets) <= SECRETS
    assert ("spa-vl-judges" in secrets) == (task.kind in {"judging", "inference"})
    assert all(each["optional"] for each in task.pod["secretAsVolume"])
    [places] = task.pod["configMapAsVolume"]
    assert (named(places, "configMap"), places["mountPath"], places["optional"]) == (
        "spa-vl-environment",
        "/etc/spa-vl/environment",
        False,
    )
    # An entry of a name that KFP sets as well would make the pod's specification invalid.
    assert "env" not in task.container
    assert not {"configMapAsEnv", "secretAsEnv"} & set(task.pod)
    assert task.pod["fieldPathAsEnv"] == [
        {"name": "SPAVL_RUN_ID", "fieldPath": "metadata.labels['pipeline/runid']"}
    ]
    mounts = {each["mountPath"]: named(each, "pvc") for each in task.pod["pvcMount"]}
    assert mounts == {"/work": "spa-vl-work", "/models": "spa-vl-models"}


def named(entry: dict[str, Any], kind: str) -> str:
    assert f"{kind}NameParameter" not in entry  # the same once more, and longer
    return str(entry["constant" if kind == "pvc" else f"{kind}Name"])


@pytest.mark.parametrize("task", ALL)
def test_it_is_started_by_its_name_under_a_supervisor(task: Task) -> None:
    command = task.container["command"]
    assert command[:3] == ["python3", "-m", "pipelines.stage_process"]
    module, function = command[3].split(":")
    component = getattr(importlib.import_module(module), function)
    assert component.name == function.replace("_", "-")
    assert task.container["args"] == ["--executor_input", "{{$}}"]


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_only_the_form_is_described(pipeline: str) -> None:
    ir = next(yaml.safe_load_all(texts(CLUSTER)[f"{pipeline}.yaml"]))
    form = ir["root"]["inputDefinitions"]["parameters"]
    assert all(each["description"] for each in form.values())
    assert "description" not in yaml.safe_dump(ir["components"])


@pytest.mark.parametrize("text", TEXTS)
def test_no_secret_value_and_no_path_of_a_machine(text: str) -> None:
    assert not re.findall(r"(?i)(sk-[a-z0-9]{16,}|hf_[a-z0-9]{16,}|AKIA[A-Z0-9]{12,})", text)
    assert not re.findall(r"(?i)(?:password|secret_access_key|token)\s*[:=]\s*['\"]?\w{8,}", text)
    assert not re.findall(r"(?<![\w.$\"}])/(?:home|root|tmp|Users|var|opt)/[\w.-]+", text)


def test_answering_loops_over_groups_and_collects_their_answers() -> None:
    ir = next(yaml.safe_load_all(texts(CLUSTER)["spa_vl.yaml"]))
    [loop] = [
        spec
        for dag in dags(ir)
        for spec in dag["dag"]["tasks"].values()
        if "parameterIterator" in spec
    ]
    iterator = loop["parameterIterator"]
    source = loop["inputs"]["parameters"][iterator["items"]["inputParameter"]]
    assert source == {"componentInputParameter": "responder_groups"}
    [answering] = ir["components"][loop["componentRef"]["name"]]["dag"]["tasks"].values()
    responders = answering["inputs"]["parameters"]["responders"]
    assert responders == {"componentInputParameter": iterator["itemInput"]}
    [paired] = [task for task in tasks("data", CLUSTER) if task.name == "moderate-and-pair"]
    assert "taskOutputArtifact" in paired.spec["inputs"]["artifacts"]["responses"]


@pytest.mark.parametrize("text", TEXTS)
def test_kfps_first_picture_of_a_run_is_its_stages(text: str) -> None:
    """An exit handler would put all of them into one box."""
    ir = next(yaml.safe_load_all(text))
    assert len(ir["root"]["dag"]["tasks"]) > 2
    assert "exit-handler" not in text
    assert "ALL_UPSTREAM_TASKS_COMPLETED" not in text


def test_a_laptop_needs_no_accelerator_and_a_queue_is_a_label() -> None:
    for task in tasks("spa_vl", Target(sizes="laptop", queue="research")):
        assert "accelerator" not in task.container["resources"]
        assert task.pod["podMetadata"]["labels"][QUEUE_LABEL] == "research"
    assert QUEUE_LABEL not in texts(CLUSTER)["spa_vl.yaml"]


@pytest.mark.parametrize("name", size_names())
def test_every_target_sizes_every_kind(name: str) -> None:
    assert set(read_sizes(name).sizes) == set(POOLS)


def test_an_unknown_target_is_refused_by_name() -> None:
    with pytest.raises(InputError, match=r"huge.*known: cluster, laptop, single_gpu"):
        read_sizes("huge")


@pytest.mark.parametrize(
    ("profile", "sizes"),
    [
        ("llava-1.5-7b", "cluster"),
        ("llava-1.5-7b-offload", "cluster"),
        ("llava-1.5-7b-lora", "single_gpu"),
        ("pocket", "laptop"),
    ],
)
def test_shipped_sizes_give_each_process_of_a_profile_its_accelerator(
    profile: str, sizes: str
) -> None:
    """A LoRA training on eight accelerators would pay for seven that do nothing."""
    idle = idle_accelerators(Submission(profile, sizes=sizes))
    assert idle == {}
    told = idle_accelerators(Submission("llava-1.5-7b-lora", sizes="cluster"))
    assert told == {"train-reward-model": 3, "train-dpo": 2, "train-ppo": 7}


def test_more_processes_than_accelerators_are_refused_before_anything_is_sent() -> None:
    with pytest.raises(InputError, match=r"3 processes want as many accelerators.*have 1"):
        idle_accelerators(
            Submission("llava-1.5-7b", ("reward_modeling.num_processes=1",), sizes="single_gpu")
        )
