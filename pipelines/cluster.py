"""Reaching the API server of Kubeflow Pipelines, and reading what goes wrong there.

Three ways in: a host with a token (an ingress), the service account of the pod we are in, and a
host without token (a port-forward). A token in a file is read anew for each request, so one that is
rotated under a long wait goes on being good. The account's token is made for KFP alone (its
audience), so it is sent wherever KFP is said to be, unless another was given.
"""

import json
import logging
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from spavl.errors import TRY_AGAIN, InputError, SpavlError

SERVICE_ACCOUNT_TOKEN = Path("/var/run/secrets/kubeflow/pipelines/token")
NEW_TOKEN = (
    "get a new token: kubectl create token spa-vl-submitter --audience pipelines.kubeflow.org "
    "--namespace NAMESPACE"
)
"""KFP 2.17 takes no other audience, so a cluster's usual tokens are refused."""
Result = TypeVar("Result")


@dataclass(frozen=True)
class Access:
    """How the API server is reached.

    Attributes:
        host: Its URL; none is the service within the cluster.
        namespace: Namespace of runs where KFP serves several users; none where it serves one.
        token: A bearer token.
        token_file: A file with one; goes before `token`.
        ca_file: Certificates to trust beside the system's.
    """

    host: str | None = None
    namespace: str | None = None
    token: str | None = None
    token_file: Path | None = None
    ca_file: Path | None = None


class UnreachableError(SpavlError):
    """The API server does not answer, or answers that it cannot; trying again later helps."""

    exit_code = TRY_AGAIN

    def and_then(self, remedy: str) -> "UnreachableError":
        """The same with what to do."""
        return UnreachableError(f"{self}; {remedy}")


class RefusedTokenError(InputError):
    """The token has run out, is wrong, or lacks the right."""

    def and_then(self, remedy: str) -> "RefusedTokenError":
        """The same with what to do besides."""
        return RefusedTokenError(self.what, self.where, f"{self.remedy}; {remedy}")


def connect(access: Access) -> Any:
    """A `kfp.Client`.

    Raises:
        InputError: If nothing says where KFP is, the token's file is not there or empty, or the
            token is refused.
        UnreachableError: If the server does not answer.
    """
    warnings.filterwarnings("ignore", module=r"kfp\..*")
    import kfp

    logging.getLogger("urllib3").setLevel(logging.ERROR)
    if access.host is None and not _kubernetes_says_where():
        raise InputError("no address of KFP", "--host", "name its URL, or use --port-forward")
    token_file = access.token_file
    if token_file is None and access.token is None and SERVICE_ACCOUNT_TOKEN.exists():
        token_file = SERVICE_ACCOUNT_TOKEN
    if access.ca_file and not access.ca_file.is_file():
        raise InputError("no certificates", str(access.ca_file), "name a file of them")
    credentials = _file_credentials(token_file) if token_file else None

    class Client(kfp.Client):  # type: ignore[misc]  # kfp has no types
        """The SDK's, but for the first question: asked once, and told as ours if it fails."""

        def get_kfp_healthz(self, sleep_duration: int = 5) -> Any:
            return call(self._healthz_api.healthz_service_get_healthz)

    return call(
        lambda: Client(
            host=access.host,
            namespace=access.namespace or "kubeflow",
            existing_token=None if token_file else access.token,
            credentials=credentials,
            ssl_ca_cert=str(access.ca_file) if access.ca_file else None,
        )
    )


def require_namespace(client: Any, access: Access) -> None:
    """Where KFP serves several users, every run is in somebody's namespace.

    Raises:
        InputError: If it does and none is named.
        UnreachableError: If the server does not answer.
    """
    if access.namespace is None and call(client.get_kfp_healthz).multi_user:
        raise InputError(
            "this KFP serves several users", "--namespace", "name your Profile's namespace"
        )


def _kubernetes_says_where() -> bool:
    """Whether we are in a pod, or have a kube config: without a host the SDK takes those."""
    files = os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
    return "KUBERNETES_SERVICE_HOST" in os.environ or any(
        Path(file).is_file() for file in files.split(os.pathsep)
    )


def call(action: Callable[[], Result]) -> Result:
    """Do something with the client; its errors become ours.

    Raises:
        RefusedTokenError: The token is not taken.
        InputError: The server refuses: no such thing, wrong parameters; or its client does.
        UnreachableError: No connection, or a fault of the server.
    """
    import kfp_server_api
    import urllib3

    try:
        return action()
    except kfp_server_api.ApiException as error:
        raise _refusal(error) from error
    except urllib3.exceptions.HTTPError as error:
        raise UnreachableError(f"no connection to KFP: {_reason(error)}") from error
    except (ValueError, TypeError) as error:  # how the SDK tells what it does not take
        raise InputError(
            "KFP's client refuses", type(error).__name__, _first_line(error)
        ) from error


def equals(field: str, value: str) -> str:
    """KFP's filter for one field."""
    predicate = {"operation": "EQUALS", "key": field, "stringValue": value}
    return json.dumps({"predicates": [predicate]})


def version_ids(client: Any, pipeline: str, version: str, namespace: str | None) -> tuple[str, str]:
    """Ids of a pipeline and of one of its versions, both by name.

    Args:
        client: A `kfp.Client`.
        pipeline: The pipeline's name.
        version: The version's name.
        namespace: Namespace of runs where KFP serves several users: its own pipeline goes before
            one that all share. Several environments of one KFP have a pipeline of this name each.

    Raises:
        InputError: If there is no such pipeline or version.
    """
    pipeline_id = _pipeline_id(client, pipeline, namespace)
    found = client.list_pipeline_versions(pipeline_id, filter=equals("display_name", version))
    versions = found.pipeline_versions or []
    if not versions:
        raise InputError("no such version", f"{pipeline}: {version}", "release it first")
    return pipeline_id, versions[0].pipeline_version_id


def _pipeline_id(client: Any, name: str, namespace: str | None) -> str:
    def listed(within: str | None) -> list[Any]:
        found = client.list_pipelines(namespace=within, filter=equals("display_name", name))
        return list(found.pipelines or [])

    found = listed(namespace)
    if not found and namespace:
        # Without one the server lists those that all share or, from Kubernetes, everybody's.
        found = [one for one in listed(None) if not one.namespace]
    if len(found) > 1:  # a server for one user lists all namespaces, whichever is asked for
        places = sorted(one.namespace or "" for one in found)
        found = [one for one in found if one.namespace == namespace]
        if not found:
            remedy = f"give --namespace, one of {', '.join(places)}"
            raise InputError("several pipelines of one name", name, remedy)
    if not found:
        where = f"{name} in namespace {namespace}" if namespace else name
        raise InputError("no such pipeline", where, "sync manifests/ or upload it")
    return str(found[0].pipeline_id)


def _refusal(error: Any) -> SpavlError:
    match error.status:
        case 401:
            return RefusedTokenError("the token is refused", "KFP says 401", NEW_TOKEN)
        case 403:
            return RefusedTokenError("the right is missing", "KFP says 403", _message(error))
        case status if status is not None and 400 <= status < 500 and status not in (408, 429):
            return InputError("refused", f"KFP says {status}", _message(error))
        case status:
            return UnreachableError(f"KFP fails ({status}): {_message(error)}")


def _reason(error: Exception) -> str:
    """The innermost reason of a connection's error."""
    return _first_line(getattr(error, "reason", None) or error)


def _message(error: Any) -> str:
    """What the server says, in one line."""
    try:
        content = json.loads(error.body)
        return _first_line(content.get("error") or content.get("message") or error.reason)
    except (TypeError, ValueError, AttributeError):
        return _first_line(error.reason)


def _first_line(text: object) -> str:
    return (str(text).strip().splitlines() or ["no reason told"])[0]


def _file_credentials(path: Path) -> Any:
    from kfp.client.token_credentials_base import TokenCredentialsBase

    if not path.is_file() or not path.read_text().strip():
        raise InputError("no token", str(path), "write one there, or name another file")

    class FileCredentials(TokenCredentialsBase):
        """A token that is read for each request."""

        def refresh_api_key_hook(self, config: Any) -> None:
            config.api_key["authorization"] = path.read_text().strip()

    return FileCredentials()
