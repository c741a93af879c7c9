"""Services that the environment names: MLflow and S3."""

import base64
import json
import os
import socket
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pipelines.doctor.checks import SECONDS, BrokenError, Check, NotThereError

NETWORK_SECONDS = SECONDS - 0.5
S3_SECONDS = 6.0
"""Importing the client may take longer than asking the server."""


def service_checks() -> list[Check]:
    """Checks of services; MLflow is required where the environment names one."""
    named = bool(os.environ.get("MLFLOW_TRACKING_URI"))
    return [
        Check(
            "mlflow",
            _mlflow,
            "start it, correct MLFLOW_TRACKING_URI (login in MLFLOW_TRACKING_USERNAME and "
            "MLFLOW_TRACKING_PASSWORD), or unset it to keep runs/mlflow.db",
            required=named,
        ),
        Check(
            "s3",
            _s3,
            "for work on S3: set AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            seconds=S3_SECONDS,
        ),
    ]


def _mlflow() -> str:
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    if not uri:
        return "none named: runs go to runs/mlflow.db"
    parts = urlsplit(uri)
    match parts.scheme:
        case "http" | "https":
            return f"{uri}: {_mlflow_experiments(uri)}"
        case "sqlite":
            return f"{uri}: {_sqlite(Path(uri.removeprefix('sqlite:///')))}"
        case _:
            return f"{uri}: not looked at"


def _mlflow_experiments(uri: str) -> str:
    url = f"{uri.rstrip('/')}/api/2.0/mlflow/experiments/search?max_results=1"
    parts = urlsplit(url)
    url = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    request = urllib.request.Request(url, headers=_mlflow_login(urlsplit(uri)))
    try:
        with urllib.request.urlopen(request, timeout=NETWORK_SECONDS) as reply:
            content = json.load(reply)
    except urllib.error.HTTPError as error:
        if error.code in (401, 403):
            raise BrokenError(f"{uri} wants a login (status {error.code})") from None
        raise BrokenError(f"{uri} answers with status {error.code}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise BrokenError(f"{uri} does not answer as MLflow: {reason}") from None
    if not isinstance(content, dict):
        raise BrokenError(f"{uri} does not answer as MLflow")
    return "answers"


def _mlflow_login(uri: Any) -> dict[str, str]:
    """The headers that MLflow's own client would send."""
    if token := os.environ.get("MLFLOW_TRACKING_TOKEN"):
        return {"Authorization": f"Bearer {token}"}
    user = os.environ.get("MLFLOW_TRACKING_USERNAME") or uri.username or ""
    password = os.environ.get("MLFLOW_TRACKING_PASSWORD") or uri.password or ""
    if not user:
        return {}
    login = base64.b64encode(f"{user}:{password}".encode()).decode()
    return {"Authorization": f"Basic {login}"}


def _sqlite(path: Path) -> str:
    there = next(part for part in (path.absolute(), *path.absolute().parents) if part.exists())
    if not os.access(there, os.W_OK):
        raise BrokenError(f"cannot write to {there}")
    return "can be written"


def _s3() -> str:
    endpoint = os.environ.get("AWS_ENDPOINT_URL", "")
    if not endpoint:
        raise NotThereError("AWS_ENDPOINT_URL names none")
    parts = urlsplit(endpoint)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname or "", port), NETWORK_SECONDS).close()
    except OSError as error:
        raise BrokenError(f"{endpoint} does not answer: {error.strerror or error}") from None
    return f"{endpoint}: {_buckets(parts.netloc.rpartition('@')[2], parts.scheme == 'https')}"


def _buckets(host: str, secure: bool) -> str:
    key, secret = (os.environ.get(f"AWS_{name}") for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"))
    if not key or not secret:
        raise BrokenError(f"{host} answers, but AWS_ACCESS_KEY_ID or its secret is not set")
    from minio import Minio
    from minio.error import S3Error

    region = os.environ.get("AWS_DEFAULT_REGION", "us-east-1")
    client = Minio(host, access_key=key, secret_key=secret, secure=secure, region=region)
    try:
        return f"{len(client.list_buckets())} buckets"
    except S3Error as error:
        if error.code == "AccessDenied":
            return "answers; these credentials may not list buckets"
        raise BrokenError(f"{host} refuses the credentials: {error.code}") from None
