"""The rules and the schemas find what is planted; else their silence would mean nothing."""

import copy
from collections.abc import Callable

import pytest

from tests.deploy.policy import findings
from tests.deploy.rendering import Resource, objects
from tests.deploy.validation import problems, supported_versions

JOB = """
apiVersion: batch/v1
kind: Job
metadata: {name: planted, namespace: here}
spec:
  template:
    metadata: {labels: {a: b}}
    spec:
      restartPolicy: Never
      serviceAccountName: helper
      automountServiceAccountToken: false
      securityContext:
        {runAsNonRoot: true, runAsUser: 10001, seccompProfile: {type: RuntimeDefault}}
      containers:
        - name: main
          image: registry.example.com/spa-vl/pipeline:0123456789abcdef
          resources:
            requests: {cpu: "1", memory: 1Gi}
            limits: {cpu: "1", memory: 1Gi}
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            runAsNonRoot: true
            capabilities: {drop: [ALL]}
"""
ROLE = """
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: planted, namespace: here}
rules:
  - {apiGroups: [""], resources: [pods], verbs: [get]}
"""
POLICY = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: planted, namespace: here}
spec:
  podSelector:
    matchLabels: {app.kubernetes.io/part-of: spa-vl}
  policyTypes: [Egress]
  egress:
    - to:
        - podSelector: {}
"""
TRAIN_JOB = """
apiVersion: trainer.kubeflow.org/v1alpha1
kind: TrainJob
metadata: {name: planted, namespace: here}
spec:
  runtimeRef: {name: torch-distributed}
  trainer: {numNodes: 2, image: registry.example.com/spa-vl/trainer:0123456789abcdef}
"""
Plant = Callable[[Resource], object]


def pod(job: Resource) -> Resource:
    spec: Resource = job["spec"]["template"]["spec"]
    return spec


def container(job: Resource) -> Resource:
    first: Resource = pod(job)["containers"][0]
    return first


SINS: dict[str, Plant] = {
    "no namespace": lambda job: job["metadata"].pop("namespace"),
    "hostNetwork": lambda job: pod(job).update(hostNetwork=True),
    "path of the node": lambda job: pod(job).update(volumes=[{"name": "v", "hostPath": {}}]),
    "not root": lambda job: pod(job)["securityContext"].update(runAsUser=0),
    "seccomp": lambda job: pod(job)["securityContext"].pop("seccompProfile"),
    "default service account": lambda job: pod(job).pop("serviceAccountName"),
    "token": lambda job: pod(job).pop("automountServiceAccountToken"),
    "readOnlyRootFilesystem": lambda job: container(job)["securityContext"].pop(
        "readOnlyRootFilesystem"
    ),
    "capabilities": lambda job: container(job)["securityContext"].update(capabilities={}),
    "privileged": lambda job: container(job)["securityContext"].update(privileged=True),
    "no memory in limits": lambda job: container(job)["resources"]["limits"].pop("memory"),
    "neither digest nor content tag": lambda job: container(job).update(image="python:3.11"),
    "the value of API_KEY": lambda job: container(job).update(
        env=[{"name": "API_KEY", "value": "abc"}]
    ),
}


@pytest.mark.parametrize("sin", SINS)
def test_a_planted_sin_is_found_and_nothing_else(sin: str) -> None:
    [job] = objects(JOB)
    assert findings(job) == []
    SINS[sin](job)
    assert sin in " ".join(findings(job))


@pytest.mark.parametrize(
    ("rule", "finding"),
    [
        ({"verbs": ["*"]}, "wildcard in verbs"),
        ({"resources": ["*"]}, "wildcard in resources"),
        ({"resources": ["secrets"]}, "every secret"),
    ],
)
def test_wide_rights_are_found(rule: Resource, finding: str) -> None:
    [role] = objects(ROLE)
    assert findings(role) == []
    role["rules"][0].update(rule)
    assert finding in " ".join(findings(role))


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        ({"podSelector": {}}, "pods that are not ours"),
        ({"podSelector": {"matchLabels": {"app": "ml-pipeline"}}}, "pods that are not ours"),
        ({"egress": [{"ports": [{"port": 443}]}]}, "opens everybody"),
        ({"ingress": [{}]}, "opens everybody"),
    ],
)
def test_wide_policies_are_found(change: Resource, finding: str) -> None:
    [policy] = objects(POLICY)
    assert findings(policy) == []
    policy["spec"].update(change)
    assert finding in " ".join(findings(policy))


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("Namespace", "spa-vl"),
        ("ConfigMap", "kfp-launcher"),
        ("ConfigMap", "workflow-controller-configmap"),
    ],
)
def test_the_platforms_objects_are_found(kind: str, name: str) -> None:
    planted = {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": "here"}}
    assert "the platform's own" in " ".join(findings(planted))


@pytest.mark.parametrize("version", supported_versions())
def test_a_mistyped_field_is_invalid_in_every_version(version: str) -> None:
    [job] = objects(JOB)
    assert problems([job], version) == []
    wrong = copy.deepcopy(job)
    wrong["spec"]["backofLimit"] = 3
    assert "backofLimit" in problems([wrong], version)[0]


def test_a_mistyped_field_of_a_custom_resource_is_invalid() -> None:
    [job] = objects(TRAIN_JOB)
    assert problems([job], "1.37") == []
    job["spec"]["trainer"]["numNode"] = 2
    assert "numNode" in problems([job], "1.37")[0]


def test_a_kind_without_a_schema_is_a_problem() -> None:
    unknown = {"apiVersion": "example.org/v1", "kind": "Thing", "metadata": {"name": "planted"}}
    assert problems([unknown], "1.37") == ["Thing/planted: no schema thing.example.org.yaml"]
