"""Pictures of published data sets, decoded as those of any other source are."""

from types import TracebackType
from typing import Self

from components.collection.decoding import Unusable
from components.collection.sandbox import Decoders
from spavl.images import Picture
from spavl.settings.collection import CollectionSettings


class PictureDoor:
    """Decodes pictures one by one in a process of its own."""

    def __init__(self) -> None:
        self._decoders = Decoders(CollectionSettings(threads=1))

    def __enter__(self) -> Self:
        self._decoders.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._decoders.__exit__(kind, error, trace)

    def let_in(self, content: bytes) -> Picture | str:
        """The picture as it is stored, or why it cannot be used."""
        ((_, outcome),) = self._decoders.decoded([(0, content)])
        if isinstance(outcome, Unusable):
            return outcome.reason
        return Picture(outcome.content, "image/png", outcome.width, outcome.height)
