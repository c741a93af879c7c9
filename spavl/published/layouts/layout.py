"""What a layout is: the columns of a row as somebody publishes it, and the way to our row and back.

Cells are a row's values by column. A layout reads them into cells of our own names (`question`,
`chosen`, `rejected`, `class1` to `class3`, `image_name`, `kind`, `chosen_responder`,
`rejected_responder`, `split`); the picture is found by its column, whatever the layout.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from spavl.published.pictures import BadRowError
from spavl.published.rows import Row

Cells = dict[str, Any]
Shape = Mapping[str, str]
"""Columns and what they hold: `text`, `list` or `struct`; nothing where it may be any."""
PLACEHOLDER = "<image>"


@dataclass(frozen=True)
class Layout:
    """How somebody lays preferences out.

    Attributes:
        name: As `--layout` takes it.
        source: Where its columns were read.
        needs: Columns that tell it from others, and what each must hold.
        reads: Further columns that are read where they are there.
        read: Rows in our names, of one row's cells.
        write: One row's cells, given our row, its picture and its number.
        pairs: Whether it holds preferences; if not, questions alone.
        listed: Whether `images`, a list, holds the picture, and not `image`.
    """

    name: str
    source: str
    needs: Shape
    reads: tuple[str, ...]
    read: Callable[[Cells], Iterable[Cells]]
    write: Callable[[Row, Any, int], Cells]
    pairs: bool = True
    listed: bool = False

    def lacks(self, shape: Shape) -> list[str]:
        """The columns that are missing, or hold something else."""
        return [
            name
            for name, kind in self.needs.items()
            if name not in shape or (kind and shape[name] not in (kind, ""))
        ]


def of_one_turn(turns: Any, role: str, content: str, user: str) -> Any:
    """What the user says in a conversation of one turn; a system's words are left out.

    Args:
        turns: Messages.
        role: Their key for who speaks.
        content: Their key for what is said.
        user: The user's name.

    Raises:
        BadRowError: They are no messages, or the user speaks more or less than once.
    """
    if not isinstance(turns, list) or not all(isinstance(each, Mapping) for each in turns):
        raise BadRowError("a conversation that is no list of messages")
    said = [each.get(content) for each in turns if each.get(role) == user]
    if len(said) != 1:
        raise BadRowError("a conversation of several turns" if said else "a conversation unasked")
    return text_in(said[0])


def text_in(content: Any) -> Any:
    """What a message says, of text or of parts."""
    if isinstance(content, list):
        parts = [each.get("text") for each in content if isinstance(each, Mapping)]
        return "".join(each for each in parts if isinstance(each, str))
    return content


def without_placeholder(text: Any) -> Any:
    """A question without the mark where its picture stood."""
    if not isinstance(text, str) or PLACEHOLDER not in text:
        return text
    if text.startswith(PLACEHOLDER):
        return text.removeprefix(PLACEHOLDER).removeprefix("\n")
    before, _, after = text.partition(PLACEHOLDER)
    return before.removesuffix("\n") + after


def with_placeholder(text: str) -> str:
    """A question below the mark where its picture stands."""
    return f"{PLACEHOLDER}\n{text}"
