"""Our own rules for objects; each finding is one line that names the object and the rule."""

import re
from collections.abc import Iterator
from typing import Any

Resource = dict[str, Any]

CLUSTER_WIDE = {
    "Namespace",
    "ClusterQueue",
    "ResourceFlavor",
    "ClusterRole",
    "ClusterRoleBinding",
}
PLATFORMS = {"ConfigMap/kfp-launcher", "ConfigMap/workflow-controller-configmap"}
WORKLOADS = {"Deployment", "StatefulSet", "DaemonSet", "Job"}
POD_KEYS_OF_KSERVE = {"minReplicas", "maxReplicas", "scaleMetric", "scaleTarget"}
DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")
CONTENT_TAG = re.compile(r":(?:[0-9a-f]{16}|v\d+\.\d+\.\d+|local)$")
RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "capabilities": {"drop": ["ALL"]},
}


def findings(resource: Resource) -> list[str]:
    """What breaks a rule; empty if nothing does."""
    name = f"{resource['kind']}/{resource['metadata']['name']}"
    rules = (_namespace, _owner, _access, _policy, _pod, _containers, _values)
    return [f"{name}: {found}" for rule in rules for found in rule(resource)]


def pod_of(resource: Resource) -> dict[str, Any] | None:
    """The pod that an object makes, if it makes one."""
    spec = resource.get("spec", {})
    match resource["kind"]:
        case "Pod":
            return dict(spec)
        case "CronJob":
            return dict(spec["jobTemplate"]["spec"]["template"]["spec"])
        case "InferenceService":
            pod = spec["predictor"].items()
            return {key: value for key, value in pod if key not in POD_KEYS_OF_KSERVE}
        case kind if kind in WORKLOADS:
            return dict(spec["template"]["spec"])
    return None


def _namespace(resource: Resource) -> Iterator[str]:
    namespace = resource["metadata"].get("namespace")
    if resource["kind"] not in CLUSTER_WIDE and namespace in (None, "", "default"):
        yield "no namespace of its own"


def _owner(resource: Resource) -> Iterator[str]:
    """KFP, or a Profile's controller, owns the namespace and what it keeps there."""
    name = f"{resource['kind']}/{resource['metadata']['name']}"
    if resource["kind"] == "Namespace" or name in PLATFORMS:
        yield "the platform's own"


def _policy(resource: Resource) -> Iterator[str]:
    """Policies bind our pods: others live in the namespace too."""
    if resource["kind"] != "NetworkPolicy":
        return
    labels = resource["spec"]["podSelector"].get("matchLabels", {})
    if labels.get("app.kubernetes.io/part-of") != "spa-vl":
        yield "a policy for pods that are not ours"
    for rule in [*resource["spec"].get("egress", []), *resource["spec"].get("ingress", [])]:
        peers = rule.get("to") or rule.get("from") or [{}]
        if not all(peers):
            yield "a policy that opens everybody"


def _access(resource: Resource) -> Iterator[str]:
    if resource["kind"] in {"ClusterRole", "ClusterRoleBinding"}:
        yield "rights in the whole cluster"
    for rule in resource.get("rules", []) if "Role" in resource["kind"] else []:
        for field in ("apiGroups", "resources", "verbs"):
            if "*" in rule[field]:
                yield f"a wildcard in {field}"
        if "secrets" in rule["resources"] and not rule.get("resourceNames"):
            yield "every secret of the namespace"


def _pod(resource: Resource) -> Iterator[str]:
    pod = pod_of(resource)
    if pod is None:
        return
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(field):
            yield field
    if any("hostPath" in volume for volume in pod.get("volumes", [])):
        yield "a path of the node"
    context = pod.get("securityContext", {})
    if not context.get("runAsNonRoot") or not context.get("runAsUser"):
        yield "no numeric user that is not root"
    if context.get("seccompProfile") != {"type": "RuntimeDefault"}:
        yield "no seccomp profile"
    if pod.get("serviceAccountName", "default") == "default":
        yield "the default service account"
    if "automountServiceAccountToken" not in pod:
        yield "does not say whether it needs a token"


def _containers(resource: Resource) -> Iterator[str]:
    pod = pod_of(resource) or {}
    for container in pod.get("containers", []) + pod.get("initContainers", []):
        name = container["name"]
        context = container.get("securityContext", {})
        for field, wanted in RESTRICTED.items():
            if context.get(field) != wanted:
                yield f"{name}: {field} is not {wanted}"
        if context.get("privileged"):
            yield f"{name}: privileged"
        resources = container.get("resources", {})
        for field in ("cpu", "memory"):
            for bound in ("requests", "limits"):
                if field not in resources.get(bound, {}):
                    yield f"{name}: no {field} in {bound}"
        image = container["image"]
        if not DIGEST.search(image) and not CONTENT_TAG.search(image):
            yield f"{name}: {image} is named by neither digest nor content tag"


def _values(resource: Resource) -> Iterator[str]:
    """Secrets by name only."""
    if resource["kind"] == "Secret":
        yield "a Secret with its values"
    pod = pod_of(resource) or {}
    for container in pod.get("containers", []):
        for variable in container.get("env", []):
            if re.search(r"(?i)password|secret|token|key$", variable["name"]) and variable.get(
                "value"
            ):
                yield f"{container['name']}: the value of {variable['name']}"
