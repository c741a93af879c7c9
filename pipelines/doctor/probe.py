"""What the doctor's pod runs: whether S3 and the volumes take what a run puts there.

Sent to the pod as text, so it needs the image's libraries and nothing of ours. Prints lines of
JSON: the check, and what it found, with `!` before what is broken.
"""

import io
import json
import os
import shutil
import sys
import uuid
from collections.abc import Callable
from urllib.parse import urlsplit


def main() -> None:
    """Usage: probe.py PIPELINE_ROOT FOLDER ..."""
    root, *folders = sys.argv[1:]
    _say("volumes", lambda: ", ".join(_writes(folder) for folder in folders))
    _say("s3", lambda: _keeps(root))


def _say(check: str, ask: Callable[[], str]) -> None:
    try:
        found = ask()
    except Exception as error:  # whatever it is, it is what a run would meet
        found = "!" + " ".join(f"{error or type(error).__name__}".split())[:250]
    print(json.dumps({check: found}), flush=True)


def _writes(folder: str) -> str:
    """A file is written and renamed as this user."""
    path = os.path.join(folder, f".spa-vl-doctor-{uuid.uuid4().hex}")
    try:
        with open(path, "wb") as file:
            file.write(b"kept")
            os.fsync(file.fileno())
        os.rename(path, f"{path}-renamed")
        os.remove(f"{path}-renamed")
    except OSError as error:
        raise OSError(f"user {os.getuid()} may not write to {folder}: {error.strerror}") from None
    return f"{folder} {shutil.disk_usage(folder).free / 2**30:.0f} GiB free"


def _keeps(root: str) -> str:
    """An object is kept under the pipelines' root."""
    import urllib3
    from minio import Minio

    place, server = urlsplit(root), urlsplit(os.environ["AWS_ENDPOINT_URL"])
    client = Minio(
        endpoint=server.netloc,
        access_key=os.environ["AWS_ACCESS_KEY_ID"],
        secret_key=os.environ["AWS_SECRET_ACCESS_KEY"],
        region=os.environ.get("AWS_DEFAULT_REGION", "us-east-1"),
        secure=server.scheme == "https",
        http_client=urllib3.PoolManager(timeout=urllib3.Timeout(5, read=20), retries=False),
    )
    name = "/".join(filter(None, (place.path.strip("/"), "doctor", uuid.uuid4().hex)))
    client.put_object(place.netloc, name, io.BytesIO(b"kept"), 4)
    answer = client.get_object(place.netloc, name)
    try:
        kept = answer.read()
    finally:
        answer.close()
    client.remove_object(place.netloc, name)
    if kept != b"kept":
        raise ValueError(f"{server.netloc} gives back other than it got")
    return f"{server.netloc} keeps objects under {place.netloc}{place.path}"


if __name__ == "__main__":
    main()
