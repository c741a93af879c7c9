"""What the doctor's checks of a cluster look at, and how they tell what they may not see."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import yaml

from pipelines.doctor.checks import UnknownError
from pipelines.kubernetes_access import (
    Json,
    Kubernetes,
    NoClusterError,
    NoRightError,
    kubernetes_access,
)


@dataclass(frozen=True)
class Asked:
    """What is asked of a cluster.

    Attributes:
        namespace: Where runs' pods are.
        kfp_namespace: Where KFP itself is.
        sizes: Name of the sizes that runs would have.
        registry: Prefix of the image names that runs would have.
    """

    namespace: str
    kfp_namespace: str
    sizes: str
    registry: str


class ClusterView:
    """Reads a cluster; whatever is read twice is asked once.

    Args:
        asked: What is asked of it.
        kubernetes: The cluster; by default the kube config's.
    """

    def __init__(self, asked: Asked, kubernetes: Kubernetes | None = None) -> None:
        self.asked = asked
        self._given = kubernetes

    @cached_property
    def kubernetes(self) -> Kubernetes:
        """The cluster itself."""
        return self._given or kubernetes_access()

    def core(self, path: str, namespace: str | None = None) -> str:
        """Path of a thing of Kubernetes' own in the runs' namespace, or in another."""
        return f"/api/v1/namespaces/{namespace or self.asked.namespace}/{path}"

    def data(self, name: str, namespace: str | None = None) -> dict[str, str] | None:
        """A ConfigMap's content; None where there is none."""
        found = self.kubernetes.get(self.core(f"configmaps/{name}", namespace))
        return None if found is None else found.get("data") or {}

    @cached_property
    def health(self) -> Json | None:
        """What KFP's API server says of itself, asked through Kubernetes."""
        service = self.core("services/ml-pipeline:8888", self.asked.kfp_namespace)
        return self.kubernetes.get(f"{service}/proxy/apis/v2beta1/healthz")

    @cached_property
    def api_server(self) -> Json | None:
        """The Deployment of KFP's API server."""
        namespace = self.asked.kfp_namespace
        return self.kubernetes.get(f"/apis/apps/v1/namespaces/{namespace}/deployments/ml-pipeline")

    @cached_property
    def controller(self) -> dict[str, Any]:
        """The settings of Argo's workflow controller, each read from its YAML."""
        data = self.data("workflow-controller-configmap", self.asked.kfp_namespace) or {}
        return {key: yaml.safe_load(text) for key, text in data.items()}

    def plugin(self) -> dict[str, Any] | None:
        """The MLflow plugin as a mounted config.json of KFP's API server sets it up."""
        pod = ((self.api_server or {}).get("spec") or {}).get("template", {}).get("spec", {})
        for volume in pod.get("volumes", []):
            name = volume.get("configMap", {}).get("name")
            text = ((name and self.data(name, self.asked.kfp_namespace)) or {}).get("config.json")
            if text:
                plugins: dict[str, Any] = json.loads(text).get("plugins") or {}
                return plugins.get("mlflow")
        return None


def seen(look: Callable[[], str]) -> Callable[[], str]:
    """The look; what this account may not see is unknown, not broken."""

    def told() -> str:
        try:
            return look()
        except NoRightError as error:
            raise UnknownError(f"not known: {error.what} {error.where}") from error
        except NoClusterError as error:
            raise UnknownError(f"not known: {error}") from error

    return told
