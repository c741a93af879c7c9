"""S3: objects of a bucket, through the minio client; any S3 server.

Where the server is and who we are come from the environment, by the names that S3's own tools use:

| variable | meaning |
|---|---|
| `AWS_ENDPOINT_URL` | the server; Amazon's own where not set |
| `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN` | the credentials |
| `AWS_WEB_IDENTITY_TOKEN_FILE`, `AWS_CONTAINER_CREDENTIALS_FULL_URI` | or a cloud's identity |
| `AWS_DEFAULT_REGION` | the region; `us-east-1` where not set |

Files of any size go up and come down in bounded memory. What we write carries its sha256, and is
checked against it when it is read.
"""

import hashlib
import io
import os
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import urlsplit

from spavl.errors import AwayError, CorruptShardError, InputError

if TYPE_CHECKING:
    from minio import Minio

SCHEME = "s3://"
PART_BYTES = 16 * 2**20
CHUNK_BYTES = 2**20
CONNECT_SECONDS, READ_SECONDS = 5.0, 20.0
TRIES = 5
CONNECTIONS = 10
CHECKSUM = "sha256"
WRONG_CREDENTIALS = (
    "AccessDenied",
    "AuthorizationHeaderMalformed",
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidToken",
    "SignatureDoesNotMatch",
)
NOT_THERE = ("NoSuchKey", "NoSuchObject")


@dataclass(frozen=True)
class Stored:
    """An object as a listing tells of it.

    Attributes:
        name: Its name in the bucket.
        size: Bytes.
        time: When it was last written, by the server's clock, seconds since 1970.
        etag: Changes with its content.
    """

    name: str
    size: int
    time: float
    etag: str


def is_s3(uri: str) -> bool:
    """Whether a place is on S3."""
    return uri.startswith(SCHEME)


def parts_of(uri: str) -> tuple[str, str]:
    """Bucket and name of an `s3://bucket/name`; no slash at the name's end.

    Raises:
        InputError: If the address has another form.
    """
    bucket, _, name = uri.removeprefix(SCHEME).partition("/")
    if not is_s3(uri) or not bucket:
        raise InputError("no address on S3", uri, "write it as s3://bucket/prefix")
    return bucket, name.strip("/")


class Bucket:
    """A bucket's objects.

    Every method raises `InputError` where the bucket or the credentials are wrong, and `AwayError`
    where the server does not answer after some tries.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._client = _client()

    def uri(self, name: str) -> str:
        """An object's address."""
        return f"{SCHEME}{self.name}/{name}"

    def listed(self, name: str) -> Iterator[Stored]:
        """The object of that name and all below it, as below a folder, in the order of names.

        All of the bucket for an empty name; for one that ends in a slash, what lies below it alone.
        """
        whole = not name or name.endswith("/")
        with self._clear_errors(name):
            for each in self._client.list_objects(self.name, name, recursive=True):
                found = each.object_name
                if whole or found == name or found.startswith(f"{name}/"):
                    written = each.last_modified.timestamp()
                    yield Stored(found, each.size, written, each.etag or "")

    def upload(self, path: Path, name: str, may: Callable[[], None] = lambda: None) -> str:
        """Give an object a file's content; it is there whole or not at all.

        A file that grows meanwhile, like a journal, is sent as long as it was at first.

        Args:
            path: The file.
            name: The object's name.
            may: Asked before each part is sent; raises where it must not be.

        Returns:
            The object's ETag.
        """
        with self._clear_errors(name), path.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            metadata = {CHECKSUM: _digest_of(stream, size)}
            stream.seek(0)
            asking = _Asking(stream, may)
            written = self._client.put_object(
                self.name, name, asking, size, metadata=metadata, part_size=PART_BYTES
            )
            return written.etag or ""

    def download(self, name: str, path: Path) -> str:
        """Give a file an object's content; it is there whole or not at all.

        A connection that breaks is taken up where it broke.

        Returns:
            The object's ETag.

        Raises:
            CorruptShardError: If the content does not match the checksum that was kept with it.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")
        try:
            with self._clear_errors(name), unfinished.open("wb") as stream:
                kept, found, etag = self._copy(name, stream)
                stream.flush()
                os.fsync(stream.fileno())
            if kept and kept != found:
                raise CorruptShardError(f"{self.uri(name)} does not match its checksum", path)
            unfinished.replace(path)
            return etag
        finally:
            unfinished.unlink(missing_ok=True)

    def read(self, name: str, max_bytes: int | None = None) -> bytes | None:
        """An object's content, at most its first `max_bytes`; None where there is none."""
        from minio.error import S3Error

        stream = io.BytesIO()
        with self._clear_errors(name):
            try:
                self._copy(name, stream, max_bytes)
            except S3Error as error:
                if error.code in NOT_THERE:
                    return None
                raise
        return stream.getvalue()[:max_bytes]

    def write(self, name: str, content: bytes) -> None:
        """Give a small object its content."""
        with self._clear_errors(name):
            self._client.put_object(self.name, name, io.BytesIO(content), len(content))

    def remove(self, names: Iterable[str]) -> None:
        """Remove objects; those that are not there are no error."""
        for name in names:
            with self._clear_errors(name):
                self._client.remove_object(self.name, name)

    def require(self) -> None:
        """Check that the bucket is there and may be read."""
        with self._clear_errors(""):
            if not self._client.bucket_exists(self.name):
                raise self._no_bucket()

    def _copy(self, name: str, stream: BinaryIO, most: int | None = None) -> tuple[str, str, str]:
        """Write an object's bytes, or the first of them.

        Returns:
            The checksum kept with it (empty if none), that of the bytes, and its ETag.
        """
        from urllib3.exceptions import HTTPError

        digest = hashlib.sha256()
        same: dict[str, str] = {}  # what a broken read is taken up from
        for attempt in range(TRIES):
            response = self._client.get_object(
                self.name, name, offset=stream.tell(), request_headers=same
            )
            same = {"If-Match": response.headers.get("ETag", "*")}
            try:
                for chunk in response.stream(CHUNK_BYTES):
                    digest.update(chunk)
                    stream.write(chunk)
                    if most is not None and stream.tell() >= most:
                        break
                kept = response.headers.get(f"x-amz-meta-{CHECKSUM}", "")
                etag = response.headers.get("ETag", "").strip('"')
                return kept, digest.hexdigest(), etag
            except HTTPError:
                if attempt == TRIES - 1:
                    raise
                time.sleep(0.2 * 2**attempt)
            finally:
                response.close()
        raise AssertionError("attempts end with a result or an error")

    @contextmanager
    def _clear_errors(self, name: str) -> Iterator[None]:
        """Tell what the client raises in our own words."""
        from minio.error import MinioException, S3Error
        from urllib3.exceptions import HTTPError

        try:
            yield
        except S3Error as error:
            raise self._told(error, name) from error
        except (HTTPError, MinioException) as error:
            reason = str(getattr(error, "reason", None) or error)[:200]
            raise AwayError(
                f"S3 does not answer ({_endpoint()}: {reason}): try again, it goes on"
            ) from error

    def _told(self, error: Any, name: str) -> Exception:
        if error.code == "NoSuchBucket":
            return self._no_bucket()
        if error.code in WRONG_CREDENTIALS:
            return InputError(
                f"S3 refuses these credentials ({error.code})",
                self.uri(name),
                "correct AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or what they may do there",
            )
        if error.code in NOT_THERE:
            return InputError("no such object", self.uri(name), "correct the address")
        return AwayError(f"S3 fails ({_endpoint()}: {error.code}): try again, it goes on")

    def _no_bucket(self) -> InputError:
        return InputError("no such bucket", self.uri(""), "make it, or correct its name")


class _Asking:
    """A stream that asks before every part whether it may still be read."""

    def __init__(self, stream: BinaryIO, may: Callable[[], None]) -> None:
        self._stream = stream
        self._may = may

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        self._may()
        return self._stream.read(size)


def _digest_of(stream: BinaryIO, size: int) -> str:
    """The sha256 of a stream's first bytes, in hex."""
    digest = hashlib.sha256()
    while size > 0 and (chunk := stream.read(min(size, CHUNK_BYTES))):
        digest.update(chunk)
        size -= len(chunk)
    return digest.hexdigest()


def _endpoint() -> str:
    return os.environ.get("AWS_ENDPOINT_URL") or "https://s3.amazonaws.com"


def _client() -> "Minio":
    import urllib3
    from minio import Minio

    endpoint = urlsplit(_endpoint())
    if endpoint.scheme not in ("http", "https") or not endpoint.netloc:
        raise InputError(
            "no address of an S3 server", "AWS_ENDPOINT_URL", "write it as https://host:port"
        )
    retries = urllib3.Retry(
        TRIES,
        backoff_factor=0.2,
        status_forcelist=(500, 502, 503, 504),
        respect_retry_after_header=False,  # it may name an hour
    )
    pool = urllib3.PoolManager(
        maxsize=CONNECTIONS,
        timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
        retries=retries,
    )
    return Minio(
        endpoint=endpoint.netloc,
        region=os.environ.get("AWS_DEFAULT_REGION") or "us-east-1",
        secure=endpoint.scheme == "https",
        credentials=_credentials(),
        http_client=pool,
    )


def _credentials() -> Any:
    from minio.credentials import EnvAWSProvider, IamAwsProvider

    identities = ("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI")
    if os.environ.get("AWS_ACCESS_KEY_ID") and os.environ.get("AWS_SECRET_ACCESS_KEY"):
        return EnvAWSProvider()
    if any(os.environ.get(name) for name in identities):
        return IamAwsProvider()
    raise InputError(
        "no credentials for S3", "environment", "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    )
