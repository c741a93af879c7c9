"""Whether a run can start in a cluster, asked of Kubernetes with the person's own rights.

One line each: what is there, and what follows from it for a run. Nothing is changed; a pod of a
run's kind (`pipelines.doctor.cluster_pod`) is made, asked and deleted.
"""

import re
from collections.abc import Callable

from pipelines.doctor.checks import BrokenError, Check, Finding, NotThereError, examine
from pipelines.doctor.cluster_pod import pod_checks
from pipelines.doctor.cluster_room import room
from pipelines.doctor.cluster_view import Asked, ClusterView, seen
from pipelines.kubernetes_access import NoClusterError
from pipelines.placement import ENVIRONMENT, HUB, JUDGES, MLFLOW, MODELS_VOLUME, S3, WORK_VOLUME
from pipelines.stage_process import REQUIRED_KEYS
from spavl.errors import InputError

SECONDS = 45.0
OLDEST = (2, 17)
PROFILE = ("app.kubernetes.io/part-of", "kubeflow-profile")
INSTALL = "install the chart into this namespace, see docs/cluster.md"
Look = Callable[[ClusterView], str]


def examine_cluster(asked: Asked) -> list[Finding]:
    """Every check of a cluster; without a cluster that alone is told."""
    first, *others = cluster_checks(ClusterView(asked))
    [found] = examine([first])
    return [found, *(examine(others) if found.status == "ok" else [])]


def cluster_checks(view: ClusterView) -> list[Check]:
    """Every check of a cluster, in the order in which it is told."""

    def check(name: str, look: Look, remedy: str, required: bool = True) -> Check:
        return Check(name, seen(lambda: look(view)), remedy, required, SECONDS)

    return [
        Check("cluster", lambda: _cluster(view), "name one by KUBECONFIG", True, SECONDS),
        check("kfp", _kfp, "install KFP 2.17 or newer, or name its namespace by --kfp-namespace"),
        check("pipelines", _store, "", required=False),
        check("namespace", _namespace, "name one that KFP runs pipelines in by --namespace"),
        check("settings", _environment, INSTALL),
        check("secrets", _secrets, "make it: docs/cluster.md, Install"),
        check("accounts", _accounts, INSTALL),
        check("log archive", _archive, "make the Secret, or run in a Profile or KFP's namespace"),
        check("retries", _retries, "", required=False),
        check("volumes", _volumes, INSTALL),
        check("policies", _policies, "chart: networkPolicies.enabled", required=False),
        check("mlflow plugin", _plugin, "see the chart's notes: helm get notes", required=False),
        check("run-watch", _run_watch, "look at Deployment spa-vl-run-watch", required=False),
        check("room", room, "choose other --sizes, or add such a node"),
        *pod_checks(view),
    ]


def _cluster(view: ClusterView) -> str:
    try:
        version = view.kubernetes.get("/version") or {}
    except NoClusterError as error:
        raise NotThereError(str(error)) from error
    return f"Kubernetes {version.get('gitVersion', 'of unknown version')}"


def _kfp(view: ClusterView) -> str:
    health = view.health
    if health is None:
        raise NotThereError(f"no Service ml-pipeline in namespace {view.asked.kfp_namespace}")
    version = str(health.get("tag_name", ""))
    found = re.search(r"(\d+)\.(\d+)\.\d+", version) or re.search(
        r":v?(\d+)\.(\d+)\.\d+", _image(view)
    )
    users = "several users" if health.get("multi_user") else "one user"
    if found is None:
        return f"answers, of unknown version ({version or 'it tells none'}), serves {users}"
    told = f"{found[0].lstrip(':v')}, serves {users}"
    if (int(found[1]), int(found[2])) < OLDEST:
        raise BrokenError(f"{told}: older ones run loops with statuses wrongly")
    return told


def _image(view: ClusterView) -> str:
    try:
        spec = ((view.api_server or {}).get("spec") or {}).get("template", {}).get("spec", {})
    except InputError:
        return ""
    return " ".join(one.get("image", "") for one in spec.get("containers", []))


def _store(view: ClusterView) -> str:
    match (view.health or {}).get("pipeline_store"):
        case "kubernetes":
            return "kept as Kubernetes resources: manifests/ bring them"
        case "database":
            return "kept in KFP's database: upload manifests/pipelines/, or spavl submit sends them"
    raise NotThereError("KFP does not say where it keeps them")


def _namespace(view: ClusterView) -> str:
    name = view.asked.namespace
    found = view.kubernetes.get(f"/api/v1/namespaces/{name}")
    if found is None:
        raise NotThereError(f"there is no namespace {name}")
    if not (view.health or {}).get("multi_user"):
        if name != view.asked.kfp_namespace:
            raise BrokenError(f"{name}: a KFP for one user runs pods in {view.asked.kfp_namespace}")
        return f"{name}, KFP's own: runs' pods are here"
    label, value = PROFILE
    if (found["metadata"].get("labels") or {}).get(label) != value:
        raise BrokenError(f"{name} is no Profile's: KFP's policies, Secrets and settings lack here")
    return f"{name}, a Profile's"


def _environment(view: ClusterView) -> str:
    data = view.data(ENVIRONMENT)
    if data is None:
        raise NotThereError(f"no ConfigMap {ENVIRONMENT}: no stage starts without it")
    if absent := [key for key in REQUIRED_KEYS if not data.get(key)]:
        raise BrokenError(f"ConfigMap {ENVIRONMENT} lacks {', '.join(absent)}: no stage starts")
    follows = "" if data["SPAVL_LOG"] == "json" else "; SPAVL_LOG is not json: no progress is shown"
    return f"ConfigMap {ENVIRONMENT}: work in {data['SPAVL_WORK_ROOT']}{follows}"


def _secrets(view: ClusterView) -> str:
    there = view.kubernetes.names(view.core("secrets"))
    if S3 not in there:
        raise BrokenError(f"no Secret {S3}: nothing can be kept on S3")
    absent = [name for name in (MLFLOW, HUB, JUDGES) if name not in there]
    return S3 + (
        f"; without {', '.join(absent)}, which are optional" if absent else " and all others"
    )


def _accounts(view: ClusterView) -> str:
    there = view.kubernetes.names(view.core("serviceaccounts"))
    if "spa-vl-runner" not in there:
        raise BrokenError("no service account spa-vl-runner: runs' pods are not made")
    return f"{', '.join(sorted(name for name in there if name.startswith('spa-vl')))}"


def _archive(view: ClusterView) -> str:
    repository = view.controller.get("artifactRepository") or {}
    if not repository.get("archiveLogs"):
        return "off: a pod's log is gone with the pod"
    secret = repository.get("s3", {}).get("accessKeySecret", {}).get("name", "")
    if secret and secret not in view.kubernetes.names(view.core("secrets")):
        raise BrokenError(f"on, and Secret {secret} is not here: every pod waits for it for ever")
    return f"on, with Secret {secret}" if secret else "on"


def _retries(view: ClusterView) -> str:
    spec = (view.controller.get("workflowDefaults") or {}).get("spec") or {}
    strategy = (spec.get("templateDefaults") or {}).get("retryStrategy") or {}
    inside = "a stage that is killed or fails passingly is tried again within its pod"
    match strategy.get("retryPolicy"):
        case None:
            return f"a pod that is taken away ends the run; {inside}"
        case "OnError":
            return f"OnError: a pod that is taken away is started again; {inside}"
        case policy:
            limit = strategy.get("limit")
            return (
                f"{policy}, {limit} times at every level of a pipeline: attempts multiply; {inside}"
            )


def _volumes(view: ClusterView) -> str:
    told = []
    for name in (WORK_VOLUME, MODELS_VOLUME):
        claim = view.kubernetes.get(view.core(f"persistentvolumeclaims/{name}"))
        if claim is None:
            raise NotThereError(f"no claim {name}: no stage starts without it")
        phase = claim.get("status", {}).get("phase")
        if phase == "Lost":
            raise BrokenError(f"claim {name} has lost its volume")
        modes = ", ".join(claim.get("spec", {}).get("accessModes", []))
        late = "" if phase == "Bound" else ", waits for its first pod"
        told.append(f"{name} {modes}{late}")
    one = [each for each in told if "ReadWriteMany" not in each]
    return "; ".join(told) + ("; all stages have to be on one node" if one else "")


def _policies(view: ClusterView) -> str:
    namespace = view.asked.namespace
    path = f"/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies"
    ours = sorted(name for name in view.kubernetes.names(path) if name.startswith("spa-vl"))
    if not ours:
        raise NotThereError("none of ours: pods of runs may reach whatever the cluster lets them")
    return f"{len(ours)}: pods of runs reach what these open, if the cluster's network enforces it"


def _plugin(view: ClusterView) -> str:
    plugin = view.plugin()
    if plugin is None:
        return "not set up: stages find MLflow by MLFLOW_TRACKING_URI of their settings"
    own = plugin.get("namespaces", {}).get(view.asked.namespace, {})
    settings = {**plugin.get("settings", {}), **own.get("settings", {})}
    endpoint = own.get("endpoint") or plugin.get("endpoint")
    if settings.get("injectUserEnvVars"):
        return f"on, {endpoint}: stages log into KFP's own run"
    return f"on, {endpoint}, injects nothing: stages look KFP's run up by its id"


def _run_watch(view: ClusterView) -> str:
    namespace = view.asked.namespace
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/spa-vl-run-watch"
    found = view.kubernetes.get(path)
    if found is None:
        raise NotThereError("not here: a run that ends stays open in MLflow and in its folder")
    if not found.get("status", {}).get("availableReplicas"):
        raise BrokenError("its pod is not ready: runs that end stay open until it is")
    return "closes runs in MLflow and in their folders"
