"""Reaching the API server of Kubeflow Pipelines, and reading what goes wrong there.

Three ways in: a host with a token (an ingress), the service account of the pod we are in, and a
host without token (a port-forward). A token in a file is read anew for each request, so one that is
rotated under a long wait goes on being good.
"""

import json
import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from spavl.errors import TRY_AGAIN, InputError, SpavlError

SERVICE_ACCOUNT_TOKEN = Path("/var/run/secrets/kubeflow/pipelines/token")
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


def connect(access: Access) -> Any:
    """A `kfp.Client`.

    Raises:
        InputError: If the token's file is not there or empty.
    """
    warnings.filterwarnings("ignore", module=r"kfp\..*")
    import kfp

    logging.getLogger("urllib3").setLevel(logging.ERROR)
    token_file = access.token_file
    if token_file is None and access.host is None and SERVICE_ACCOUNT_TOKEN.exists():
        token_file = SERVICE_ACCOUNT_TOKEN
    credentials = _file_credentials(token_file) if token_file else None
    return kfp.Client(
        host=access.host,
        namespace=access.namespace or "kubeflow",
        existing_token=None if token_file else access.token,
        credentials=credentials,
        ssl_ca_cert=str(access.ca_file) if access.ca_file else None,
    )


def call(action: Callable[[], Result], host: str | None) -> Result:
    """Do something with the client; its errors become ours.

    Raises:
        InputError: The server refuses: no right, no such thing, wrong parameters.
        UnreachableError: No connection, or a fault of the server.
    """
    import kfp_server_api
    import urllib3

    where = host or "the API server of the cluster"
    try:
        return action()
    except kfp_server_api.ApiException as error:
        raise _refusal(error, where) from error
    except urllib3.exceptions.HTTPError as error:
        raise UnreachableError(f"no connection ({where}): {_first_line(error)}") from error


def equals(field: str, value: str) -> str:
    """KFP's filter for one field."""
    predicate = {"operation": "EQUALS", "key": field, "stringValue": value}
    return json.dumps({"predicates": [predicate]})


def version_ids(client: Any, pipeline: str, version: str) -> tuple[str, str]:
    """Ids of a pipeline and of one of its versions, both by name.

    Raises:
        InputError: If there is no such pipeline or version.
    """
    pipeline_id = client.get_pipeline_id(pipeline)
    if pipeline_id is None:
        raise InputError("no such pipeline", pipeline, "sync manifests/ or upload it")
    found = client.list_pipeline_versions(pipeline_id, filter=equals("display_name", version))
    versions = found.pipeline_versions or []
    if not versions:
        raise InputError("no such version", f"{pipeline}: {version}", "release it first")
    return pipeline_id, versions[0].pipeline_version_id


def _refusal(error: Any, where: str) -> SpavlError:
    match error.status:
        case 401 | 403:
            remedy = "get a new token, or ask for the right to run pipelines there"
            return InputError(f"the server refuses the token ({error.status})", where, remedy)
        case status if status is not None and 400 <= status < 500 and status not in (408, 429):
            return InputError(f"refused ({status})", where, _message(error))
        case status:
            return UnreachableError(f"the server failed ({where}): {status} {_message(error)}")


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
