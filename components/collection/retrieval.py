"""Class retrieval: which of the taxonomy's classes a picture belongs to, by its nearest keyword.

Each class has six search phrases. They and the pictures, or the pictures' captions, are encoded
into one space; a picture goes to the class of the phrase nearest to it, if it is near enough, and
of each class only the nearest pictures are taken, so that none outweighs the others.
"""

import heapq
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from components.collection.classes import PhotographClass
from components.collection.encoders import Encoder, load_encoder
from components.collection.photographs import Candidate
from spavl.records import Image
from spavl.settings.collection import RetrievalSettings
from spavl.taxonomy import load_keywords, load_taxonomy

if TYPE_CHECKING:
    from components.collection.encoders import Vectors

AT_ONCE = 256
Shown = TypeVar("Shown", bytes, str)


def retrieved(
    settings: RetrievalSettings | None,
    captions: Callable[[], Iterable[tuple[str, str]]] | None = None,
    pictures: Callable[[], Iterable[Candidate]] | None = None,
) -> dict[str, PhotographClass] | None:
    """Classes by captions or by pictures; None where none are wanted or the encoder reads others.

    Args:
        settings: None for no retrieval.
        captions: Names and captions of pictures.
        pictures: The pictures themselves.

    Raises:
        InputError: There is no such encoder.
    """
    if settings is None:
        return None
    encoder = load_encoder(settings.encoder)
    if encoder.sees and pictures is not None:
        seen = ((each.source, each.content) for each in pictures() if isinstance(each, Image))
        return retrieve(seen, encoder, settings)
    if not encoder.sees and captions is not None:
        return retrieve((each for each in captions() if each[1].strip()), encoder, settings)
    return None


def retrieve(
    given: Iterable[tuple[str, Shown]], encoder: Encoder, settings: RetrievalSettings
) -> dict[str, PhotographClass]:
    """Classes of pictures.

    Args:
        given: Name and caption, or name and encoded picture. Memory does not grow with them, but
            with what is taken.
        encoder: Of captions and phrases, or of pictures and phrases.
        settings: How near is near enough, and how many are taken.

    Returns:
        Name to class of the pictures taken.
    """
    from sklearn.neighbors import NearestNeighbors

    harms = load_taxonomy().classes
    keywords = load_keywords()
    phrases = [phrase for harm in harms for phrase in keywords[harm.name]]
    index = NearestNeighbors(n_neighbors=1, metric="cosine").fit(encoder.phrases(phrases))
    each = len(phrases) // len(harms)
    nearest: dict[int, list[tuple[float, str]]] = defaultdict(list)
    for names, vectors in _encoded(given, encoder):
        distances, found = index.kneighbors(vectors)
        for name, distance, phrase in zip(names, distances[:, 0], found[:, 0], strict=True):
            if 1 - distance < settings.min_similarity:
                continue
            taken = nearest[int(phrase) // each]
            heapq.heappush(taken, (-float(distance), name))
            if len(taken) > settings.per_class:
                heapq.heappop(taken)  # the farthest
    return {
        name: PhotographClass(
            "harmful", harms[place].domain, harms[place].category, harms[place].name
        )
        for place, taken in nearest.items()
        for _, name in taken
    }


def _encoded(
    given: Iterable[tuple[str, Shown]], encoder: Encoder
) -> Iterator[tuple[list[str], "Vectors"]]:
    stream = iter(given)
    while batch := list(islice(stream, AT_ONCE)):
        names, shown = [name for name, _ in batch], [each for _, each in batch]
        if isinstance(shown[0], str):
            yield names, encoder.captions([str(each) for each in shown])
        else:
            yield names, encoder.pictures([bytes(each) for each in shown])
