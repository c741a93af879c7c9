"""The image store: a data set of `Image` records, read by id without loading it whole."""

import base64
import io
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from spavl.errors import InputError
from spavl.records import Image
from spavl.shards import read_manifest, read_rows, verify_shard
from spavl.storage import local_copy

if TYPE_CHECKING:
    import PIL.Image

CACHE_BYTES = 256 * 2**20
FACTS = tuple(name for name in Image.__annotations__ if name != "content")


class Picture(NamedTuple):
    """A picture as it is stored: upright, RGB, without metadata."""

    content: bytes
    media_type: str
    width: int
    height: int


@dataclass(frozen=True)
class ImageFacts:
    """An image record without its bytes; see `spavl.records.Image`."""

    image_id: str
    media_type: str
    width: int
    height: int
    source: str
    truth: str
    class1: str | None
    class2: str | None
    class3: str | None
    thing: str | None


class ImageStore:
    """Pictures by id.

    Opening reads ids only. Bytes are read by row group and the groups used last are kept, up to
    `CACHE_BYTES`, so small stores live in memory and large ones stay bounded.

    Args:
        uri: The data set's folder or address; see `spavl.storage.local_copy`.

    Raises:
        InputError: If there is no finished image store.
    """

    def __init__(self, uri: str) -> None:
        self.folder = local_copy(uri)
        self.manifest = read_manifest(self.folder)
        self._places = self._index()
        self._groups: OrderedDict[tuple[str, int], dict[str, bytes]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, image_id: str) -> bool:
        return image_id in self._places

    def facts(self) -> Iterator[ImageFacts]:
        """Every record without its bytes, in store order."""
        for row in read_rows(self.folder, Image, FACTS, verify=False):
            yield ImageFacts(**row)

    def content(self, image_id: str) -> bytes:
        """A picture's encoded bytes.

        Raises:
            InputError: If the store does not hold the picture.
        """
        try:
            place = self._places[image_id]
        except KeyError:
            raise InputError(
                f"no picture {image_id[:12]}", str(self.folder), "collect the images again"
            ) from None
        if place not in self._groups:
            self._groups[place] = self._load(place)
            self._drop_oldest()
        self._groups.move_to_end(place)
        return self._groups[place][image_id]

    def open(self, image_id: str) -> "PIL.Image.Image":
        """A picture, decoded to RGB."""
        import PIL.Image

        with PIL.Image.open(io.BytesIO(self.content(image_id))) as picture:
            return picture.convert("RGB")

    def _index(self) -> dict[str, tuple[str, int]]:
        from pyarrow import parquet

        places = {}
        for shard in self.manifest.shards:
            path = self.folder / shard.name
            verify_shard(path, shard)
            with parquet.ParquetFile(path) as file:
                for group in range(file.num_row_groups):
                    ids = file.read_row_group(group, columns=["image_id"])["image_id"].to_pylist()
                    places.update(dict.fromkeys(ids, (shard.name, group)))
        return places

    def _load(self, place: tuple[str, int]) -> dict[str, bytes]:
        from pyarrow import parquet

        shard, group = place
        with parquet.ParquetFile(self.folder / shard) as file:
            rows: list[dict[str, Any]] = file.read_row_group(
                group, columns=["image_id", "content"]
            ).to_pylist()
        return {row["image_id"]: row["content"] for row in rows}

    def _drop_oldest(self) -> None:
        sizes = {place: sum(map(len, group.values())) for place, group in self._groups.items()}
        while len(self._groups) > 1 and sum(sizes.values()) > CACHE_BYTES:
            place, _ = self._groups.popitem(last=False)
            del sizes[place]


def thumbnail(store: ImageStore, image_id: str, pixels: int) -> bytes:
    """A picture for a page, small, as WebP.

    It is encoded anew, so bytes from outside never reach the page.

    Args:
        store: Where the picture is.
        image_id: Its id.
        pixels: Longest side; a smaller picture keeps its size.
    """
    picture = store.open(image_id)
    if max(picture.size) > pixels:
        picture.thumbnail((pixels, pixels))
    buffer = io.BytesIO()
    # Effort 2 gives files 3% larger than the default of 4 does, in 60% of the time.
    picture.save(buffer, "WEBP", quality=80, method=2)
    return buffer.getvalue()


def picture_uri(store: ImageStore, image_id: str, pixels: int) -> str:
    """The same as a data URI."""
    content = thumbnail(store, image_id, pixels)
    return "data:image/webp;base64," + base64.b64encode(content).decode()
