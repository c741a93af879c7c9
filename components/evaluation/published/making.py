"""Making items and pictures of published rows."""

import csv
import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

from spavl.errors import InputError
from spavl.records import EvalItem, Image, record_id


@dataclass(frozen=True)
class Row:
    """One question of a published benchmark.

    Attributes:
        benchmark: The benchmark.
        kind: Its column; None where it has only one.
        key: Names the question within benchmark and column, whatever rows a copy leaves out.
        question: The text put to the model.
        truth: Whether the request is harmful.
        category: The benchmark's own class of it; None where it has none.
        group: See `EvalItem.group`.
    """

    benchmark: str
    kind: str | None
    key: str
    question: str
    truth: str
    category: str | None = None
    group: str | None = None

    def item(self, picture: Image | None = None) -> EvalItem:
        """The item, about a picture or about none."""
        return EvalItem(
            item_id=record_id(self.benchmark, self.kind or "", self.key),
            benchmark=self.benchmark,
            image_id=picture.image_id if picture else None,
            question=self.question,
            kind=self.kind,
            truth=self.truth,
            thing=None,
            class3=self.category,
            expected=None,
            source="published",
            group=self.group,
        )


def published_picture(content: bytes, source: str, truth: str) -> Image | None:
    """A picture as a record; None if it cannot be decoded."""
    import PIL.Image

    try:
        with PIL.Image.open(io.BytesIO(content)) as picture:
            picture.load()
            media_type = PIL.Image.MIME[picture.format or "PNG"]
            width, height = picture.size
    except (OSError, ValueError, PIL.Image.DecompressionBombError):
        return None
    digest = hashlib.sha256(content).hexdigest()
    return Image(digest, content, media_type, width, height, source, truth, None, None, None, None)


def read_table(path: Path, *columns: str) -> list[dict[str, str]]:
    """Rows of a CSV file.

    Raises:
        InputError: If a column is not there or the file is no CSV.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            rows = list(reader)
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"no CSV: {error}", str(path), "give the published file") from None
    absent = [name for name in columns if name not in (reader.fieldnames or ())]
    if absent:
        raise InputError(f"no column {absent[0]!r}", str(path), "give the published file")
    return rows
