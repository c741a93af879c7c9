"""Places: folders of this machine, and S3.

All other code works with paths. `local_copy` makes a path of an address, `uri_of` the address that
another machine finds a path by, `keep` brings a file to S3; where work is not on S3, all three do
nothing. A stage's own work is brought there by its `Twin`.
"""

from spavl.storage.bucket import Bucket, Stored, is_s3, parts_of
from spavl.storage.copies import keep, local_copy, refreshed, uri_of
from spavl.storage.twin import Twin, twin_of

__all__ = [
    "Bucket",
    "Stored",
    "Twin",
    "is_s3",
    "keep",
    "local_copy",
    "parts_of",
    "refreshed",
    "twin_of",
    "uri_of",
]
