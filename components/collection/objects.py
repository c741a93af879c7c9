"""Photographs below a prefix on S3: every object becomes a picture or is set aside, as files do."""

import hashlib
import json
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

from components.collection.classes import PhotographClass
from components.collection.decoding import Unusable
from components.collection.photographs import Candidate, to_record
from components.collection.sandbox import Decoders
from spavl.records import SetAside
from spavl.settings.collection import CollectionSettings
from spavl.storage import Bucket, Stored, parts_of

READ_AHEAD = 4
"""Objects that are on their way at a time; memory holds no more of them."""


class Listed(NamedTuple):
    """What lies below a prefix: the number of objects, and a digest of their names and contents."""

    count: int
    digest: str


def listed(uri: str) -> Listed:
    """Goes through a prefix once; nothing is read but the listing.

    Raises:
        InputError: The bucket or the credentials are wrong.
    """
    digest, count = hashlib.sha256(), 0
    for name, each in _objects(uri):
        digest.update(json.dumps([name, each.size, each.etag]).encode())
        count += 1
    return Listed(count, digest.hexdigest())


def object_photographs(uri: str, settings: CollectionSettings) -> Iterator[Candidate]:
    """Reads a prefix's objects by name.

    Args:
        uri: `s3://bucket/prefix`.
        settings: Bounds on what is read and stored.
    """
    with Decoders(settings) as decoders:
        for name, outcome in decoders.decoded(_contents(uri, settings.max_bytes)):
            if isinstance(outcome, Unusable):
                yield SetAside(name, "collection", outcome.reason, outcome.detail)
            else:
                yield to_record(name, outcome, PhotographClass())


def _objects(uri: str) -> Iterator[tuple[str, Stored]]:
    """Objects under their names below the prefix; the empty ones that stand for folders are not."""
    bucket_name, prefix = parts_of(uri)
    below = f"{prefix}/" if prefix else ""
    for each in Bucket(bucket_name).listed(below):
        if not (each.name.endswith("/") and not each.size):
            yield each.name.removeprefix(below), each


def _contents(uri: str, max_bytes: int) -> Iterator[tuple[str, bytes | Unusable]]:
    bucket = Bucket(parts_of(uri)[0])
    waiting: deque[tuple[str, Future[bytes | Unusable]]] = deque()
    with ThreadPoolExecutor(READ_AHEAD) as readers:
        for name, each in _objects(uri):
            if len(waiting) == READ_AHEAD:
                first, content = waiting.popleft()
                yield first, content.result()
            waiting.append((name, readers.submit(_read, bucket, each, max_bytes)))
        for name, content in waiting:
            yield name, content.result()


def _read(bucket: Bucket, stored: Stored, max_bytes: int) -> bytes | Unusable:
    if stored.size > max_bytes:
        return Unusable("too large", f"{stored.size} bytes, at most {max_bytes} are read")
    if not stored.size:
        return Unusable("empty file", "0 bytes")
    content = bucket.read(stored.name, max_bytes + 1)
    if content is None:
        return Unusable("unreadable", "it vanished while it was read")
    if len(content) != stored.size:
        return Unusable("unreadable", "it changed while it was read")
    return content
