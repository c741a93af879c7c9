"""Whether a picture that nobody vouches for can be used, found out within the decoder's bounds."""

from types import TracebackType
from typing import Self

from components.collection.decoding import Unusable
from components.collection.sandbox import Decoders
from spavl.settings.collection import CollectionSettings


class PictureCheck:
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

    def unusable(self, content: bytes) -> str | None:
        """Why the picture cannot be used; None if it can."""
        ((_, outcome),) = self._decoders.decoded([(0, content)])
        return outcome.reason if isinstance(outcome, Unusable) else None
