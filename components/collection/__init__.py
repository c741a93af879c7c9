"""Collection: pictures of the pocket world, a folder, addresses and S3, in one image store.

Comes in: settings, a folder of photographs and its digest, a CSV of their classes (all three may be
empty). Goes out: the URI and digest of an image store (`spavl.images`), whose sub-folder
`set_asides` says which files were left out and why. Nothing that a folder may hold stops the stage;
only sources without a single usable picture do.
"""

from components.collection.collecting import Collected, collect

__all__ = ["Collected", "collect"]
