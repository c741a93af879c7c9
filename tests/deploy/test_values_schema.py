"""values.schema.json refuses what is mistyped, and the message names the key."""

import json

import pytest
import yaml

from tests.deploy.rendering import CHART
from tests.deploy.tools import run

MISTAKES = {
    "quoter.enabled=true": "quoter",
    "mlflow.replica=1": "replica",
    'mlflow.replicas="two"': "/mlflow/replicas",
    "mlflow.replicas=0": "/mlflow/replicas",
    "mlflow.port=80": "/mlflow/port",
    'mlflow.image={"tag": "v1"}': "/mlflow/image",
    'image.tag="latest"': "/image/tag",
    'image.digest="sha256:12"': "/image/digest",
    'image.pullPolicy="Sometimes"': "/image/pullPolicy",
    'mlflow.database.kind="mysql"': "/mlflow/database/kind",
    'mlflow.database.password="hunter2"': "password",
    'mlflow.allowedHosts=["*"]': "/mlflow/allowedHosts/0",
    'mlflow.resources.limits.memory="2 gigabytes"': "/mlflow/resources/limits/memory",
    's3.endpoint="minio:9000"': "/s3/endpoint",
    's3.endpoint="http://user:secret@minio:9000"': "/s3/endpoint",
    's3.bucket="My Bucket"': "/s3/bucket",
    's3.prefix="/work/"': "/s3/prefix",
    "s3.ports=[0]": "/s3/ports/0",
    's3.cidrs=["10.0.0.0"]': "/s3/cidrs/0",
    's3.secretKey="abc"': "secretKey",
    'volumes.work.accessModes=["ReadOnlyMany"]': "/volumes/work/accessModes/0",
    "volumes.work.freeGiB=-1": "/volumes/work/freeGiB",
    'volumes.cache={"size": "1Gi"}': "cache",
    'modelServers={"judge": {"engine": "vllm"}}': "model",
    'modelServers={"judge": {"model": "m", "engine": "tgi"}}': "/modelServers/judge/engine",
    'networkPolicies.kubernetesAPI.ports=["https"]': "/networkPolicies/kubernetesAPI/ports/0",
    'networkPolicies.kubernetesAPI.cidrs=["0.0.0.0/0"]': "/networkPolicies/kubernetesAPI/cidrs/0",
    'networkPolicies.dns.cidrs=["::/0"]': "/networkPolicies/dns/cidrs/0",
    'networkPolicies.dns.pods="coredns"': "/networkPolicies/dns/pods",
    "namespace.create=true": "namespace",
    "kfp.launcher=true": "launcher",
    "workflowDefaults.retries=3": "workflowDefaults",
    'runWatch.replicas="2"': "replicas",
    'externalSecrets.store.kind="Vault"': "/externalSecrets/store/kind",
    'environment.jsonLogs="yes"': "/environment/jsonLogs",
    'kueue.flavors=[{"name": "gpu"}]': "quotas",
    'kueue.flavors=[{"name": "gpu", "quotas": {}}]': "/kueue/flavors/0/quotas",
    'kueue.flavors=[{"name": "gpu", "quotas": {"cpu": "1"}, "taints": [{"key": "gpu"}]}]': "effect",
    'monitoring.serviceMonitor.interval="often"': "/monitoring/serviceMonitor/interval",
    "monitoring.podMonitor.port=80": "/monitoring/podMonitor/port",
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_refused_with_a_line_that_names_the_key(mistake: str) -> None:
    values = CHART / "examples" / "kind.yaml"
    done = run(
        "helm", "template", str(CHART), "--values", str(values), "--set-json", mistake, check=False
    )
    assert done.returncode != 0
    assert any(MISTAKES[mistake] in line for line in done.stderr.splitlines()), done.stderr


def test_the_schema_knows_exactly_the_keys_of_the_values() -> None:
    def compare(values: object, schema: dict, where: str = "") -> None:
        schema = definitions[schema["$ref"].split("/")[-1]] if "$ref" in schema else schema
        if not isinstance(values, dict) or schema.get("additionalProperties") is not False:
            return
        for key, value in values.items():
            assert key in schema["properties"], f"{where}{key}"
            compare(value, schema["properties"][key], f"{where}{key}.")

    schema = json.loads((CHART / "values.schema.json").read_text())
    definitions = schema["$defs"]
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    compare(values, schema)
    assert set(schema["properties"]) - {"global"} == set(values)
