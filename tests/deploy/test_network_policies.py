"""Who may reach whom: the table of docs/delivery.md, asked of the rendered policies.

The policy that KFP 2.17 has for its S3 is in the set too: port 8333 of its pods for its own
namespace and for Profiles'.
"""

import itertools

import pytest
import yaml

from tests.deploy.api_server import api_server
from tests.deploy.policy import pod_of
from tests.deploy.reachability import End, allowed
from tests.deploy.rendering import (
    CHART,
    KFP,
    KUBERNETES_API,
    NAMESPACE,
    Resource,
    arguments,
    objects,
    rendered,
)
from tests.deploy.tools import run

PART = {"app.kubernetes.io/part-of": "spa-vl"}
RUN = {"workflows.argoproj.io/workflow": "spa-vl-x"}
JUDGE = '{"judge": {"model": "/models/judge", "image": {"repository": "a/b", "tag": "v1.0.0"}}}'
SETTINGS = (f"modelServers={JUDGE}", 'networkPolicies.outside=["203.0.113.0/24"]')
KUBERNETES = End(address="192.0.2.1")
OUTSIDE = End(address="203.0.113.7")
ELSEWHERE = End(address="198.51.100.7")
# KFP's pods: labels and ports of its manifests.
TARGETS = {
    "Kubernetes API": (KUBERNETES, 6443),
    "DNS": (End("kube-system", {"k8s-app": "kube-dns"}), 53),
    "KFP's API, gRPC": (End(KFP, {"app": "ml-pipeline"}), 8887),
    "KFP's API, HTTP": (End(KFP, {"app": "ml-pipeline"}), 8888),
    "metadata store": (End(KFP, {"component": "metadata-grpc-server"}), 8080),
    "S3": (End(KFP, {"app": "seaweedfs"}), 8333),
    "S3's master": (End(KFP, {"app": "seaweedfs"}), 9333),
    "KFP's database": (End(KFP, {"app": "mysql"}), 3306),
    "judges outside": (OUTSIDE, 443),
    "judges outside, HTTP": (OUTSIDE, 80),
    "elsewhere": (ELSEWHERE, 443),
    "another namespace": (End("other", {"app": "web"}), 8080),
}
OURS = {"MLflow": 5000, "model": 8000}
MAY = {
    "stage": {
        *("Kubernetes API", "DNS", "KFP's API, gRPC", "metadata store", "S3", "judges outside"),
        *("MLflow", "model"),
    },
    "node of a TrainJob": {"DNS", "S3"},
    "run-watch": {"Kubernetes API", "DNS", "S3", "MLflow"},
    "helper": {"DNS", "KFP's API, HTTP", "S3", "MLflow"},
    "volumes": {"DNS"},
    "MLflow": {"DNS", "S3"},
    "model": {"DNS"},
}
LABELS = {
    "stage": {**PART, **RUN, "app.kubernetes.io/component": "judging"},
    "node of a TrainJob": {
        **PART,
        "app.kubernetes.io/component": "training",
        "jobset.sigs.k8s.io/jobset-name": "spa-vl-dpo-x",
    },
    **{
        name: {**PART, "app.kubernetes.io/component": name.lower()}
        for name in ("run-watch", "helper", "volumes", "MLflow", "model")
    },
}
EXAMPLES = (("kind", KFP), ("profile", NAMESPACE))


def policies(example: str, *settings: str) -> list[Resource]:
    found = [r for r in rendered(example, *settings) if r["kind"] == "NetworkPolicy"]
    return [*found, *seaweedfs(NAMESPACE)]


def seaweedfs(profile: str) -> list[Resource]:
    """What KFP's S3 lets in: the pods of its own namespace, and of a Profile's."""
    spec = {
        "podSelector": {"matchLabels": {"app": "seaweedfs"}},
        "policyTypes": ["Ingress"],
        "ingress": [
            {"from": [peer], "ports": [{"port": 8333}]}
            for peer in (
                {"podSelector": {}},
                {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": profile}}},
            )
        ],
    }
    return [{"metadata": {"name": "seaweedfs", "namespace": KFP}, "spec": spec}]


def targets(namespace: str) -> dict[str, tuple[End, int]]:
    ours = {name: (End(namespace, LABELS[name]), port) for name, port in OURS.items()}
    return TARGETS | ours


@pytest.mark.parametrize(("example", "namespace"), EXAMPLES)
@pytest.mark.parametrize("source", MAY)
def test_each_kind_of_pod_reaches_what_it_needs_and_no_more(
    source: str, example: str, namespace: str
) -> None:
    found = policies(example, *SETTINGS)
    reached = {
        name
        for name, (target, port) in targets(namespace).items()
        if name != source and allowed(found, End(namespace, LABELS[source]), target, port)
    }
    assert reached == MAY[source]


ROWS = {
    "stages": "stage",
    "TrainJobs' pods (and each other)": "node of a TrainJob",
    "run-watch": "run-watch",
    "jobs that ask S3 and MLflow, recurring run's job": "helper",
    "volumes job": "volumes",
    "MLflow": "MLflow",
    "model servers": "model",
}
CELLS = {
    ("KFP's API", "8887"): "KFP's API, gRPC",
    ("KFP's API", "8888"): "KFP's API, HTTP",
    ("model servers", "yes"): "model",
    ("outside, 443", "`outside`"): "judges outside",
}


def test_the_documented_table_is_the_one_asked_here() -> None:
    text = (CHART.parents[1] / "docs" / "delivery.md").read_text()
    lines = text[text.index("| from \\ to |") :].split("\n\n")[0].splitlines()
    columns, _, *rows = [[cell.strip() for cell in each.split("|")[1:-1]] for each in lines]
    told = {
        ROWS[row[0]]: {
            CELLS.get((column, cell), column if cell == "yes" else "")
            for column, cell in zip(columns[1:], row[1:], strict=True)
        }
        - {""}
        for row in rows
    }
    assert told == MAY


@pytest.mark.parametrize(("example", "namespace"), EXAMPLES)
def test_mlflow_and_models_are_reached_by_ours_and_by_kfps_plugin_alone(
    example: str, namespace: str
) -> None:
    found = policies(example, *SETTINGS)
    api_server_of_kfp = End(KFP, {"app": "ml-pipeline"})
    driver = End(namespace, RUN)
    strangers = [
        End(namespace, {"app": "notebook"}),
        End(KFP, {"app": "mysql"}),
        End("other", {"app": "ml-pipeline"}),
        ELSEWHERE,
    ]
    mlflow, model = End(namespace, LABELS["MLflow"]), End(namespace, LABELS["model"])
    assert allowed(found, api_server_of_kfp, mlflow, 5000)
    assert allowed(found, driver, mlflow, 5000)
    for one in strangers:
        assert not allowed(found, one, mlflow, 5000)
        assert not allowed(found, one, model, 8000)


@pytest.mark.parametrize(("example", "namespace"), EXAMPLES)
def test_nobody_reaches_the_pods_of_a_run(example: str, namespace: str) -> None:
    found = policies(example)
    stage = End(namespace, LABELS["stage"])
    for one in (stage, End(namespace, {"app": "notebook"}), End(KFP, {"app": "ml-pipeline"})):
        assert not allowed(found, one, stage, 9464)
    node = End(namespace, LABELS["node of a TrainJob"])
    assert allowed(found, node, node, 29500)
    assert not allowed(found, stage, node, 29500)


@pytest.mark.parametrize(("example", "namespace"), EXAMPLES)
def test_pods_of_others_in_the_namespace_are_left_alone(example: str, namespace: str) -> None:
    """KFP's own pods, another pipeline's, a notebook: no policy of ours selects them."""
    found = policies(example, *SETTINGS)
    others = [{"app": "ml-pipeline"}, {"app": "mysql"}, {"app": "notebook"}, RUN, {}]
    for one, (target, port) in itertools.product(others, TARGETS.values()):
        if target.labels.get("app") != "seaweedfs":
            assert allowed(found, End(namespace, one), target, port)
            assert allowed(found, target, End(namespace, one), port)


def test_prometheus_is_let_in_where_it_is_asked_for() -> None:
    switches = ("monitoring.podMonitor.enabled=true", "monitoring.serviceMonitor.enabled=true")
    prometheus, found = End("monitoring", {"app": "prometheus"}), policies("profile", *switches)
    assert allowed(found, prometheus, End(NAMESPACE, LABELS["stage"]), 9464)
    assert allowed(found, prometheus, End(NAMESPACE, LABELS["MLflow"]), 5000)
    assert not allowed(found, End("other", {}), End(NAMESPACE, LABELS["stage"]), 9464)


def test_the_labels_of_the_charts_pods_are_those_that_policies_select() -> None:
    own = ("run-watch", "helper", "volumes", "MLflow", "model")
    wanted = {LABELS[name]["app.kubernetes.io/component"] for name in own}
    found = set()
    for resource in rendered("profile", *SETTINGS):
        if pod_of(resource) is not None:
            pod = resource if resource["kind"] == "Pod" else resource["spec"]["template"]
            labels = pod["metadata"]["labels"]
            assert labels.items() >= PART.items()
            # A Profile's namespace injects Istio's sidecar, with which no job ends.
            assert labels["sidecar.istio.io/inject"] == "false"
            found.add(labels["app.kubernetes.io/component"])
    assert found == wanted


@pytest.mark.parametrize("cidrs", ['["10.0.0.0/8"]', '["2001:db8::/32"]'])
def test_an_s3_of_ones_own_is_opened_by_its_addresses(cidrs: str) -> None:
    settings = ('s3.endpoint="http://minio.storage:9000"', f"s3.cidrs={cidrs}")
    [rule] = s3_rules(*settings)
    assert rule["ports"] == [{"protocol": "TCP", "port": 9000}]
    [rule] = s3_rules(*settings, "s3.ports=[9100]")
    assert rule["ports"] == [{"protocol": "TCP", "port": 9100}]
    [rule] = s3_rules('s3.endpoint="https://s3.example.com"', f"s3.cidrs={cidrs}")
    assert rule["ports"] == [{"protocol": "TCP", "port": 443}]
    assert [peer["ipBlock"]["cidr"] for peer in rule["to"]] == yaml.safe_load(cidrs)


def s3_rules(*settings: str) -> list[Resource]:
    [mlflow] = [
        r
        for r in rendered("profile", *settings)
        if (r["kind"], r["metadata"]["name"]) == ("NetworkPolicy", "spa-vl-mlflow")
    ]
    return list(mlflow["spec"]["egress"])


def test_addresses_that_nobody_knows_are_asked_for_in_one_line() -> None:
    outside = 's3.endpoint="https://s3.example.com"'
    done = run("helm", *arguments("profile"), check=False)
    assert "networkPolicies.kubernetesAPI.cidrs: no cluster was asked" in done.stderr
    done = run("helm", *arguments("profile", KUBERNETES_API, outside), check=False)
    assert "s3.cidrs: give the address ranges of this S3" in done.stderr


@pytest.mark.parametrize(
    ("address", "cidr"), [("172.18.0.2", "172.18.0.2/32"), ("2001:db8::2", "2001:db8::2/128")]
)
def test_a_cluster_that_is_asked_tells_where_its_api_is(address: str, cidr: str) -> None:
    """Behind the Service lies another port, and that is what policies see."""
    place = {"name": "kubernetes", "namespace": "default"}
    held = [
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": place,
            "endpoints": [{"addresses": [address]}],
            "ports": [{"port": 6443}],
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": place,
            "spec": {"clusterIP": "10.96.0.1"},
        },
    ]
    with api_server(rendered("kind"), held) as url:
        asked = ("--dry-run=server", "--disable-openapi-validation", "--kube-apiserver", url)
        text = run("helm", *arguments("kind"), *asked).stdout
    [policy] = [r for r in objects(text) if r["metadata"]["name"] == "spa-vl-run-watch"
                and r["kind"] == "NetworkPolicy"]  # fmt: skip
    behind, service = policy["spec"]["egress"][:2]
    assert behind["to"] == [{"ipBlock": {"cidr": cidr}}]
    assert behind["ports"] == [{"protocol": "TCP", "port": 6443}]
    assert service["to"] == [{"ipBlock": {"cidr": "10.96.0.1/32"}}]


def test_other_dns_than_kube_dns_is_opened() -> None:
    """A cache on the node, and pods of another namespace that listen on another port."""
    dns = (
        'networkPolicies.dns={"namespace": "openshift-dns", "pods": "dns=default",'
        ' "cidrs": ["169.254.20.10/32"], "ports": [53, 5353]}'
    )
    found, stage = policies("profile", dns), End(NAMESPACE, LABELS["stage"])
    assert allowed(found, stage, End("openshift-dns", {"dns": "default"}), 5353)
    assert allowed(found, stage, End(address="169.254.20.10"), 53)
    assert not allowed(found, stage, End("kube-system", {"k8s-app": "kube-dns"}), 53)
