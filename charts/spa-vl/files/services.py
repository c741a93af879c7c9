"""Ask the services that runs need: `bucket` makes it, `s3` keeps an object, `mlflow` answers.

`services.py QUESTION ...`, each answered by one line; exit code 1 at the first that fails. Nothing
is tried twice, and nothing waits longer than its time-out.
"""

import io
import os
import sys
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable
from urllib.parse import urlsplit

import certifi
import urllib3
from minio import Minio
from minio.error import InvalidResponseError, S3Error, ServerError

CONNECT_SECONDS, READ_SECONDS = 5.0, 20.0
KEYS_REFUSED = {
    "AccessDenied": "they open another bucket or prefix",
    "InvalidAccessKeyId": "this S3 does not know the access key",
    "SignatureDoesNotMatch": "the secret key is another one",
}
Question = Callable[[], str]


class FaultError(Exception):
    """What is wrong and what to do, in one line."""


def main() -> None:
    """Ask what the arguments name."""
    questions: dict[str, Question] = {"bucket": bucket, "s3": s3, "mlflow": mlflow}
    try:
        for name in sys.argv[1:]:
            print(questions[name](), flush=True)
    except FaultError as fault:
        sys.exit(str(fault))


def bucket() -> str:
    """Make the bucket if it is not there."""

    def make(client: Minio, name: str) -> str:
        if client.bucket_exists(name):
            return f"bucket {name} is there"
        try:
            client.make_bucket(name)
        except S3Error as error:
            if error.code != "BucketAlreadyOwnedByYou":  # two jobs at once: the other made it
                raise
        return f"bucket {name} made"

    return _asked(make)


def s3() -> str:
    """Write, list, read and remove an object under our prefix."""

    def keep(client: Minio, name: str) -> str:
        key, content = f"{os.environ['PREFIX']}/test/{uuid.uuid4().hex}", b"kept"
        client.put_object(name, key, io.BytesIO(content), len(content))
        listed = [each.object_name for each in client.list_objects(name, key)]
        answer = client.get_object(name, key)
        try:
            kept = answer.read()
        finally:
            answer.close()
        client.remove_object(name, key)
        if kept != content or listed != [key]:
            raise FaultError(f"{_where()}: gives back other than it got: take another S3")
        return f"S3 keeps objects under {name}/{os.environ['PREFIX']}"

    return _asked(keep)


def mlflow() -> str:
    """MLflow answers by its service's name."""
    url = os.environ["MLFLOW_TRACKING_URI"]
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=READ_SECONDS):
            return "MLflow answers"
    except urllib.error.HTTPError as error:
        what, remedy = f"answers {error.code}", "403: name the host in mlflow.allowedHosts"
    except OSError as error:
        what = f"no answer ({getattr(error, 'reason', error)})"
        remedy = "look at Deployment spa-vl-mlflow and the network policies"
    raise FaultError(f"MLflow {url}: {what}: {remedy}")


def _asked(question: Callable[[Minio, str], str]) -> str:
    """A question to S3; its errors become one line."""
    name = os.environ["BUCKET"]
    try:
        return question(_client(), name)
    except S3Error as error:
        told = _refusal(error, name)
    except (ServerError, InvalidResponseError) as error:
        told = f"answers like no S3 ({_line(error)}): name its S3 port in s3.endpoint"
    except (urllib3.exceptions.HTTPError, OSError) as error:
        told = (
            f"no answer ({_line(getattr(error, 'reason', None) or error)}): mend s3.endpoint, "
            "start it, or open it in its network policies and ours"
        )
    raise FaultError(f"{_where()}: {told}")


def _refusal(error: S3Error, name: str) -> str:
    if error.code in KEYS_REFUSED:
        return f"refuses the keys of Secret spa-vl-s3 ({error.code}): {KEYS_REFUSED[error.code]}"
    if error.code == "NoSuchBucket":
        return f"no bucket {name}: correct s3.bucket; on an S3 of your own s3.createBucket makes it"
    return (
        f"bucket {name} cannot be written ({error.code}: {_line(error.message or 'no reason told')}"
        "): see its server's log; SeaweedFS without a free volume answers so"
    )


def _client() -> Minio:
    endpoint = urlsplit(os.environ["AWS_ENDPOINT_URL"])
    return Minio(
        endpoint=endpoint.netloc,
        access_key=os.environ["AWS_ACCESS_KEY_ID"],
        secret_key=os.environ["AWS_SECRET_ACCESS_KEY"],
        region=os.environ["AWS_DEFAULT_REGION"],
        secure=endpoint.scheme == "https",
        http_client=urllib3.PoolManager(
            timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
            retries=False,
            ca_certs=os.environ.get("SSL_CERT_FILE") or certifi.where(),
        ),
    )


def _where() -> str:
    return f"S3 {os.environ['AWS_ENDPOINT_URL']}"


def _line(error: object) -> str:
    return " ".join(str(error).split())[:200]


if __name__ == "__main__":
    main()
