"""New inputs of old ones: bytes, JSON values and pieces of others, put where they do not belong."""

import json
import random

SPICE = (
    b"", b"\x00", b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\n", b"\r\n", b"'", b'"', b"\\u0000",
    b"\\ud83d", b"1e999", b"-0", b"NaN", b"null", b"true", b"[", b"]" * 9, b"{" * 200, b"[" * 3000,
    b"9" * 400, b"\xe2\x80\xa8", b"<think>", b"</think>", b"```", b"**", b",", b";", b":",
)  # fmt: skip
VALUES = (
    None, True, False, 0, -1, 1.5, 2**63, 10**400, float("inf"), float("nan"), "", "\ud83d",
    "x" * 5000, "\x00", [], {}, [[]], [None], {"": None}, {"text": "a"}, ["a", 1, None],
)  # fmt: skip


def mutated(corpus: list[bytes], draw: random.Random) -> bytes:
    """An input made of one or two of the corpus."""
    content = draw.choice(corpus)
    for _ in range(draw.choice((1, 1, 2, 4))):
        way = draw.choice((_value, _value, _splice, _spice, _bytes, _cut))
        content = way(content, corpus, draw)
    return content[:200_000]


def _value(content: bytes, corpus: list[bytes], draw: random.Random) -> bytes:
    """JSON with one of its values, or keys, exchanged."""
    for start in (0, 1):
        try:
            tree = json.loads(content[start:])
        except (ValueError, RecursionError):
            continue
        places: list[tuple[object, object]] = []
        _walk(tree, places)
        if not places:
            return content[:start] + json.dumps(draw.choice(VALUES)).encode()
        holder, key = draw.choice(places)
        if isinstance(holder, dict) and draw.random() < 0.2:
            holder[draw.choice(("", "error", "text", "type", "x"))] = holder.pop(key)
        else:
            holder[key] = draw.choice(VALUES)  # type: ignore[index]
        return content[:start] + json.dumps(tree).encode()
    return _spice(content, corpus, draw)


def _walk(tree: object, places: list[tuple[object, object]]) -> None:
    keys = (
        tree.keys()
        if isinstance(tree, dict)
        else range(len(tree))
        if isinstance(tree, list)
        else ()
    )
    for key in keys:
        places.append((tree, key))
        _walk(tree[key], places)  # type: ignore[index]


def _spice(content: bytes, corpus: list[bytes], draw: random.Random) -> bytes:
    place = draw.randint(0, len(content))
    return content[:place] + draw.choice(SPICE) + content[place + draw.choice((0, 0, 1, 4)) :]


def _splice(content: bytes, corpus: list[bytes], draw: random.Random) -> bytes:
    other = draw.choice(corpus)
    return content[: draw.randint(0, len(content))] + other[draw.randint(0, len(other)) :]


def _bytes(content: bytes, corpus: list[bytes], draw: random.Random) -> bytes:
    changed = bytearray(content or b"\0")
    for _ in range(draw.choice((1, 1, 3, 8))):
        changed[draw.randrange(len(changed))] = draw.randrange(256)
    return bytes(changed)


def _cut(content: bytes, corpus: list[bytes], draw: random.Random) -> bytes:
    begin, end = sorted(draw.randint(0, len(content)) for _ in range(2))
    return content[:begin] + content[end:] if draw.random() < 0.5 else content[:end]
