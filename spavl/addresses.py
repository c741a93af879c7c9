"""Addresses of places: folders of this machine, and S3; nothing else is ever taken for a folder."""

import re

from spavl.errors import InputError

KNOWN = re.compile(r"(file|s3)://|hub:")
OTHER = re.compile(
    r"[a-z][a-z0-9+.-]*://|(abfss?|adl|az|azure|cos|ftp|gcs|gs|hdfs|hf|https?|minio|oss|r2|s3[an]?|"
    r"sftp|ssh|wasbs?|webdav):",
    re.IGNORECASE,
)


def require_known(place: str, where: str) -> str:
    """The place, if this project can go there.

    Args:
        place: A path or an address.
        where: Who gave it, for the message.

    Raises:
        InputError: Its scheme is another than `file` and `s3`, e.g. `gs`.
    """
    if OTHER.match(place) and not KNOWN.match(place):
        raise InputError(
            f"a place that is neither a folder nor on S3: {place}",
            where,
            "write it as s3://bucket/prefix, or name a folder",
        )
    return place
