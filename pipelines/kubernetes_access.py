"""Kubernetes' own API, as the person (or the pod) at the command line may use it.

Plain JSON in and out: what is asked for is read, so no model of each kind is needed. The client
library brings what a kube config can hold: certificates, tokens, programs that log in.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spavl.errors import TRY_AGAIN, InputError, SpavlError

Json = dict[str, Any]
SECONDS_TO_CONNECT, SECONDS_OF_A_CALL = 3, 20
NAMES_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
"""Asks for names and labels alone, so that a Secret's content never comes here."""


class NoRightError(InputError):
    """This account may not do that in the cluster."""


class NoClusterError(SpavlError):
    """No cluster is named, or it does not answer."""

    exit_code = TRY_AGAIN


@dataclass(frozen=True)
class Kubernetes:
    """A cluster's API server.

    Attributes:
        api: The client library's `ApiClient`.
    """

    api: Any

    def get(self, path: str, **query: str) -> Json | None:
        """What lies at a path; None where nothing does.

        Raises:
            NoRightError: If this account may not see it.
            NoClusterError: If the server does not answer.
        """
        content = self._call("GET", path, query)
        return None if content is None else json.loads(content)

    def items(self, path: str, **query: str) -> list[Json]:
        """A list's items."""
        return list((self.get(path, **query) or {}).get("items") or [])

    def names(self, path: str) -> set[str]:
        """Names of a list's items; nothing else of them is sent."""
        content = self._call("GET", path, {}, accept=NAMES_ONLY)
        listed = json.loads(content) if content else {}
        return {item["metadata"]["name"] for item in listed.get("items") or []}

    def text(self, path: str, **query: str) -> str:
        """A text, e.g. a pod's log; empty where there is none."""
        content = self._call("GET", path, query)
        return "" if content is None else content.decode(errors="replace")

    def make(self, path: str, body: Json) -> Json:
        """Make an object."""
        return json.loads(self._call("POST", path, {}, body) or b"{}")

    def delete(self, path: str) -> None:
        """Delete an object; one that is gone is no error."""
        self._call("DELETE", path, {})

    def _call(
        self,
        method: str,
        path: str,
        query: dict[str, str],
        body: Json | None = None,
        accept: str = "application/json, */*",
    ) -> bytes | None:
        import urllib3
        from kubernetes.client import ApiException

        headers = {"Accept": accept, **({"Content-Type": "application/json"} if body else {})}
        try:
            answer = self.api.call_api(
                path,
                method,
                query_params=list(query.items()),
                header_params=headers,
                body=body,
                auth_settings=["BearerToken"],
                _preload_content=False,
                _return_http_data_only=True,
                _request_timeout=(SECONDS_TO_CONNECT, SECONDS_OF_A_CALL),
            )
        except ApiException as error:
            return _refused(error, method, path)
        except urllib3.exceptions.HTTPError as error:
            reason = getattr(error, "reason", None) or error
            raise NoClusterError(f"no Kubernetes API answers: {type(reason).__name__}") from error
        return bytes(answer.data)


def kubernetes_access() -> Kubernetes:
    """The cluster of the kube config (`KUBECONFIG`, `~/.kube/config`), or the one that we are in.

    Raises:
        NoClusterError: If neither is there, or the kube config cannot be used.
    """
    from kubernetes import client, config

    configuration = client.Configuration()
    configuration.retries = False
    try:
        if file := _kube_config():
            config.load_kube_config(config_file=file, client_configuration=configuration)
        else:
            config.load_incluster_config(client_configuration=configuration)
    except Exception as error:  # the library's own, YAML's, those of programs that log in
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise NoClusterError(f"no access to a cluster: {reason}") from error
    return Kubernetes(client.ApiClient(configuration))


def _kube_config() -> str:
    """The kube config's file, or files with their separator; empty where none is there."""
    named = os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
    return named if any(Path(file).is_file() for file in named.split(os.pathsep)) else ""


def _refused(error: Any, method: str, path: str) -> None:
    if error.status == 404:
        return
    if error.status in (401, 403):
        raise NoRightError(
            f"no right to {method.lower()}", path, "ask for it, or use another kube config"
        ) from error
    try:
        message = str(json.loads(error.body).get("message") or error.reason)
    except (TypeError, ValueError, AttributeError):
        message = str(error.reason)
    if error.status and 400 <= error.status < 500 and error.status not in (408, 429):
        raise InputError(f"Kubernetes refuses ({error.status})", path, message) from error
    raise NoClusterError(f"Kubernetes fails ({error.status}): {message}") from error
