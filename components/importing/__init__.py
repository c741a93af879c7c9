"""Importing: a preference data set is taken by its address instead of being made.

Comes in: the address of a run's folder, of one that `spavl import` has made, or of such a folder on
S3. Goes out: the three splits and the image store, every shard compared with its checksum.
"""

from components.importing.importing import (
    data_digest,
    has_items,
    import_data,
    import_splits,
    require_whole,
)

__all__ = ["data_digest", "has_items", "import_data", "import_splits", "require_whole"]
