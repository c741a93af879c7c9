"""Where tasks run in a cluster, and with what: the one place that knows pods.

A task is of one of five kinds. Its kind says which pool it goes to, how often it is tried, how long
it may take and which secrets it sees; `place` writes that into the compiled pipeline. How much CPU,
memory and how many accelerators a kind gets is a matter of the target (`pipelines/targets/*.yaml`)
and is written when the pipeline is compiled.

Pools are parameters of the pipelines: they reach the pod, and stay out of KFP's cache key. Sizes
would enter it, so that another memory limit would repeat days of work; they are compiled in.
Everything that differs between namespaces comes by name from the ConfigMap and the Secrets below,
which the chart makes or expects. kfp.local ignores all of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from kfp import dsl, kubernetes

from spavl.pod_environment import ENVIRONMENT as SETTINGS_PATH
from spavl.pod_environment import SECRETS as SECRETS_PATH

USER = 10001
RUN_ID_LABEL = "metadata.labels['pipeline/runid']"
PART_OF, COMPONENT = "app.kubernetes.io/part-of", "app.kubernetes.io/component"

ENVIRONMENT = "spa-vl-environment"
"""ConfigMap of what differs between namespaces; see docs/delivery.md for its keys."""

WORK_VOLUME, WORK_PATH = "spa-vl-work", "/work"
MODELS_VOLUME, MODELS_PATH = "spa-vl-models", "/models"
HOUR = 3600
# A run that hangs ends some day, and its Workflow stays for a day to be looked at.
LIFETIME = dsl.PipelineConfig(
    active_deadline_seconds=21 * 24 * HOUR, ttl_seconds_after_finished=24 * HOUR
)
GPU_TOLERATIONS = [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]


# Secrets of the namespace: their keys are the names of environment variables.
S3, MLFLOW, HUB, JUDGES = "spa-vl-s3", "spa-vl-mlflow", "spa-vl-hub", "spa-vl-judges"


@dataclass(frozen=True)
class Kind:
    """What tasks of one kind need, whatever the cluster.

    Attributes:
        name: The pod's component label; targets give sizes by it.
        pool: The field of `Pools` that its pods are selected by.
        retries: Times that a failed pod is started again; stages go on where they were.
        timeout: Seconds until the pod is ended.
        secrets: Secrets that its pods see, beside those of every pod.
        accelerated: Whether it wants accelerators, and with them shared memory.
    """

    name: str
    pool: str
    retries: int
    timeout: int
    secrets: tuple[str, ...] = ()
    accelerated: bool = False


LIGHT = Kind("light", "cpu_pool", retries=2, timeout=HOUR)
DATA = Kind("data", "cpu_pool", retries=3, timeout=24 * HOUR, secrets=(HUB,))
JUDGING = Kind("judging", "cpu_pool", retries=5, timeout=72 * HOUR, secrets=(JUDGES,))
INFERENCE = Kind("inference", "gpu_pool", 5, 72 * HOUR, secrets=(HUB, JUDGES), accelerated=True)
TRAINING = Kind("training", "training_pool", 5, 120 * HOUR, secrets=(HUB,), accelerated=True)
KINDS = (LIGHT, DATA, JUDGING, INFERENCE, TRAINING)

SHARED_MEMORY: Mapping[str, str] = MappingProxyType({"inference": "8Gi", "training": "64Gi"})


@dataclass(frozen=True)
class Pools:
    """The pipeline parameters that choose nodes.

    Attributes:
        cpu_pool: Node selector of tasks without accelerators, as a dict.
        gpu_pool: Node selector of tasks that answer with a model.
        training_pool: Node selector of tasks that train.
        gpu_tolerations: Tolerations of both, as a list.
    """

    cpu_pool: dict
    gpu_pool: dict
    training_pool: dict
    gpu_tolerations: list

    def as_arguments(self) -> dict[str, object]:
        """As arguments of a nested pipeline."""
        return dict(vars(self))


def place(task: dsl.PipelineTask, kind: Kind, pools: Pools) -> dsl.PipelineTask:
    """Give a task everything that its pod needs but its size.

    Args:
        task: The task.
        kind: What it needs.
        pools: The parameters of the pipeline that the task is in.
    """
    kubernetes.add_pod_label(task, PART_OF, "spa-vl")
    kubernetes.add_pod_label(task, COMPONENT, kind.name)
    kubernetes.set_security_context(task, USER, USER, run_as_non_root=True)
    kubernetes.set_image_pull_policy(task, "IfNotPresent")
    _give_environment(task, kind)
    kubernetes.mount_pvc(task, WORK_VOLUME, WORK_PATH)
    kubernetes.mount_pvc(task, MODELS_VOLUME, MODELS_PATH)
    kubernetes.add_node_selector_json(task, getattr(pools, kind.pool))
    if kind.accelerated:
        kubernetes.add_toleration_json(task, pools.gpu_tolerations)
        kubernetes.empty_dir_mount(
            task, "shared-memory", "/dev/shm", "Memory", SHARED_MEMORY[kind.name]
        )
    kubernetes.set_timeout(task, kind.timeout)
    # Argo counts the maximum from the first attempt's start and gives up after it: by KFP's default
    # of an hour, no longer stage would ever be tried again.
    every_attempt = kind.timeout * (kind.retries + 1)
    return task.set_retry(kind.retries, "30s", 2.0, backoff_max_duration=f"{every_attempt}s")


def _give_environment(task: dsl.PipelineTask, kind: Kind) -> None:
    """By name only: neither a value nor a path of a cluster is in the compiled file.

    As volumes, which `spavl.pod_environment` reads: see there for why.
    """
    kubernetes.use_field_path_as_env(task, "SPAVL_RUN_ID", RUN_ID_LABEL)
    kubernetes.use_config_map_as_volume(task, ENVIRONMENT, str(SETTINGS_PATH), False)
    for secret in (S3, MLFLOW, *kind.secrets):
        kubernetes.use_secret_as_volume(task, secret, str(SECRETS_PATH / secret), True)
