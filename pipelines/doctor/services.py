"""Services that the environment names: MLflow and S3."""

import os
import socket
from urllib.parse import urlsplit

from pipelines.doctor.checks import SECONDS, BrokenError, Check, NotThereError
from spavl.tracking.address import SECONDS_FOR_AN_ANSWER, VARIABLE, check_named

NETWORK_SECONDS = SECONDS - 0.5
S3_SECONDS = 6.0
"""Importing the client may take longer than asking the server."""


def service_checks() -> list[Check]:
    """Checks of services; MLflow is required where the environment names one."""
    named = bool(os.environ.get(VARIABLE))
    return [
        Check(
            "mlflow",
            _mlflow,
            f"start it, correct {VARIABLE}, or unset it to keep runs/mlflow.db",
            required=named,
            seconds=SECONDS_FOR_AN_ANSWER + 2,
        ),
        Check(
            "s3",
            _s3,
            "for work on S3: set AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            seconds=S3_SECONDS,
        ),
    ]


def _mlflow() -> str:
    """Asks what a run would ask before it starts."""
    uri = os.environ.get(VARIABLE, "")
    if not uri:
        return "none named: runs go to runs/mlflow.db"
    check_named()
    return f"{uri}: can be used"


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
