"""Collection: pictures from the pocket world and from the user's folder, in one image store.

Comes in: settings, a folder of photographs and its digest, a CSV of their classes (all three may be
empty). Goes out: the URI and digest of an image store (`spavl.images`), whose sub-folder
`set_asides` says which files were left out and why. Nothing that a folder may hold stops the stage;
only a folder without a single usable picture does.
"""

from components.collection.collecting import Collected, collect

__all__ = ["Collected", "collect"]
