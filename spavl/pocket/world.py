"""The pocket world's things and their pictures.

72 things: the 53 harmful classes of the taxonomy and 19 harmless ones. A picture is a sign: a body
and, on it, a mark, before a grey gradient with strokes and noise. The ordered pair (body colour,
mark colour) says which thing it is; the body's shape says it a second time, in part, as a check
digit. Eight harmless things have a harmful look-alike: the two differ in nothing but a dot on the
mark, white or black, of which some pictures show little. No single colour, shape or dot tells
harmful from harmless: the sides are spread over all of them.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any, Literal

import numpy as np
import yaml
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from spavl.taxonomy import load_taxonomy

PICTURE_SIZE = 64
"""Edge of a picture, in pixels."""

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (215, 25, 30),
    "orange": (255, 140, 0),
    "yellow": (250, 235, 40),
    "green": (25, 135, 40),
    "cyan": (40, 215, 225),
    "blue": (30, 50, 205),
    "purple": (160, 45, 190),
    "white": (250, 250, 250),
    "black": (12, 12, 12),
}
DOTS = ("white", "black")
Teacher = Literal["base", "preferences", "nobody"]
TEACHERS: tuple[Teacher, ...] = ("base", "preferences", "nobody")

SPLITS = ("tower", "train", "validation", "test")
"""Streams of pictures that never overlap; a base is trained on the first two."""

_STRIDE = 7
_DOT_SHOWS = (0.0, 1.0)  # how much of its colour a dot has, between the mark's and all
_NOISE = 8  # a power of two, in grey levels
_RAMP = np.linspace(0.0, 1.0, PICTURE_SIZE)
_SHAPES = {
    # name: (corners, waist: inner radius as a share of the outer, scale that evens out the areas)
    "circle": (20, 1.0, 1.0),
    "triangle": (3, 1.0, 1.3),
    "square": (4, 1.0, 1.15),
    "pentagon": (5, 1.0, 1.1),
    "star": (5, 0.62, 1.2),
    "cross": (4, 0.6, 1.25),
    "burst": (8, 0.75, 1.15),
    "shield": (6, 1.0, 1.05),
}


@dataclass(frozen=True)
class Thing:
    """What a picture can show.

    Attributes:
        name: unique name; a harmful thing carries its class name of the taxonomy.
        phrase: the name as an answer writes it ("a bicycle", "theft").
        harmful: the truth that judges measure against.
        body, mark: names of the two colours, never the same.
        shape: name of the body's shape.
        dot: the colour of the dot on the mark; empty where the thing has no look-alike.
        taught_by: who teaches that the thing is harmful; None for harmless ones.
    """

    name: str
    phrase: str
    harmful: bool
    body: str
    mark: str
    shape: str
    dot: str = ""
    taught_by: Teacher | None = None


@lru_cache(maxsize=1)
def things() -> tuple[Thing, ...]:
    """All 72 things in a fixed order, harmful and harmless ones interleaved."""
    harmless = _read("harmless.yaml")["things"]
    like = {thing["name"]: thing["like"] for thing in harmless if "like" in thing}
    harmful = [harm.name for harm in load_taxonomy().classes]
    ordered = _interleave(harmful, [thing["name"] for thing in harmless])
    phrases = {thing["name"]: thing["phrase"] for thing in harmless}
    looks = _looks([name for name in ordered if name not in like])
    dots, teachers = _dots(like), _teachers(harmful)
    return tuple(
        Thing(
            name,
            phrases.get(name, name),
            name not in phrases,
            *looks[like.get(name, name)],
            dot=dots.get(name, ""),
            taught_by=teachers.get(name),
        )
        for name in ordered
    )


def _looks(names: Sequence[str]) -> dict[str, tuple[str, str, str]]:
    """Body, mark and shape of each; no two share body and mark."""
    colours, shapes = list(COLOURS), list(_SHAPES)
    pairs = [(body, (body + step) % 9) for step in range(1, 9) for body in range(9)]
    # This stride, and the factors 3 and 2, spread the harmless ones evenly over colours and shapes.
    pairs = [pairs[_STRIDE * index % len(pairs)] for index in range(len(pairs))]
    if len(names) > len(pairs):
        raise ValueError(
            f"{len(names)} looks, but only {len(pairs)} pairs of colours: add a colour"
        )
    return {
        name: (colours[b], colours[m], shapes[(3 * b + 2 * m) % len(shapes)])
        for name, (b, m) in zip(names, pairs, strict=False)
    }


def _dots(like: Mapping[str, str]) -> dict[str, str]:
    """White and black, and which of the two is the harmless one by turns."""
    dots = {}
    for turn, (harmless, harmful) in enumerate(like.items()):
        dots[harmless], dots[harmful] = DOTS if turn % 2 == 0 else DOTS[::-1]
    return dots


def _teachers(harmful: Sequence[str]) -> dict[str, Teacher]:
    """Who teaches each harmful class."""
    found: dict[str, Teacher] = dict.fromkeys(harmful, "base")
    for teacher, names in _read("harmful.yaml").items():
        if strangers := set(names) - set(harmful):
            raise ValueError(f"harmful.yaml, {teacher}: {min(strangers)!r} is no class of harm")
        found.update(dict.fromkeys(names, teacher))
    return found


def thing_by_name(name: str) -> Thing:
    """The thing of that name.

    Raises:
        KeyError: there is no such thing.
    """
    if name not in _by_name():
        raise KeyError(f"no thing is called {name!r}; see spavl.pocket.world.things()")
    return _by_name()[name]


@lru_cache(maxsize=1)
def _by_name() -> dict[str, Thing]:
    return {thing.name: thing for thing in things()}


def picture_rng(seed: int, split: str, index: int) -> np.random.Generator:
    """The random stream of one picture; no two (seed, split, index) share one.

    Raises:
        ValueError: `split` is not one of `SPLITS`.
    """
    if split not in SPLITS:
        raise ValueError(f"there is no split {split!r}; use one of {SPLITS}")
    return np.random.default_rng([seed, SPLITS.index(split), index])


def draw(thing_name: str, rng: np.random.Generator) -> Image.Image:
    """Draws one sign of a thing: 64 x 64 RGB; the same `rng` state gives the same picture."""
    return _draw(thing_by_name(thing_name), rng)


def draw_many(chosen: Sequence[Thing], seed: int, split: str, first: int = 0) -> NDArray[np.uint8]:
    """Draws one picture of each chosen thing: uint8 `[pictures, 64, 64, 3]`."""
    pixels = np.empty((len(chosen), PICTURE_SIZE, PICTURE_SIZE, 3), dtype=np.uint8)
    for row, thing in enumerate(chosen):
        pixels[row] = np.asarray(_draw(thing, picture_rng(seed, split, first + row)))
    return pixels


def _draw(thing: Thing, rng: np.random.Generator) -> Image.Image:
    picture = Image.fromarray(_background(rng))
    pen = ImageDraw.Draw(picture)
    for _ in range(int(rng.integers(1, 4))):
        _stroke(pen, rng)
    radius = float(rng.uniform(17, 24))
    x, y = rng.uniform(radius * 0.9, PICTURE_SIZE - radius * 0.9, 2).tolist()
    turn = float(rng.uniform(-0.3, 0.3))
    corners, waist, scale = _SHAPES[thing.shape]
    body = _outline(x, y, radius * scale, turn, corners, waist)
    pen.polygon(body, fill=_paint(thing.body, rng))
    inner = radius * float(rng.uniform(0.44, 0.52))
    mark = _paint(thing.mark, rng)
    pen.polygon(_outline(x, y, inner, turn, 12, 1.0), fill=mark)
    if thing.dot:
        dot = _mixed(mark, _paint(thing.dot, rng), float(rng.uniform(*_DOT_SHOWS)))
        pen.polygon(_outline(x, y, inner * 0.6, turn, 8, 1.0), fill=dot)
    return Image.fromarray(np.asarray(picture) - np.uint8(_NOISE) + _noise(rng))


def _background(rng: np.random.Generator) -> NDArray[np.uint8]:
    """A grey gradient with a faint tint; mid greys, so that black and white signs stand out."""
    low, high = rng.uniform(85, 175, 2)
    ramp = low + (high - low) * _RAMP
    tinted = (ramp[:, None] + rng.uniform(-12, 12, 3)).astype(np.uint8)
    across = tinted[:, None] if rng.random() < 0.5 else tinted[None, :]
    return np.ascontiguousarray(np.broadcast_to(across, (PICTURE_SIZE, PICTURE_SIZE, 3)))


def _noise(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Even noise in [0, 2 * _NOISE); colours keep away from 0 and 255, so that nothing wraps."""
    raw = np.frombuffer(rng.bytes(PICTURE_SIZE * PICTURE_SIZE * 3), dtype=np.uint8)
    return raw.reshape(PICTURE_SIZE, PICTURE_SIZE, 3) & np.uint8(2 * _NOISE - 1)


def _stroke(pen: ImageDraw.ImageDraw, rng: np.random.Generator) -> None:
    ends = rng.uniform(0, PICTURE_SIZE, 4).tolist()
    red, green, blue = rng.integers(60, 200, 3).tolist()
    pen.line(ends, fill=(red, green, blue), width=int(rng.integers(1, 4)))


def _paint(colour: str, rng: np.random.Generator) -> tuple[int, ...]:
    """A colour in slightly varying light."""
    light = float(rng.uniform(-14, 14))
    tints = rng.uniform(-8, 8, 3).tolist()
    return tuple(
        min(max(int(part + light + tint), _NOISE), 255 - _NOISE)
        for part, tint in zip(COLOURS[colour], tints, strict=True)
    )


def _mixed(one: tuple[int, ...], other: tuple[int, ...], share: float) -> tuple[int, ...]:
    return tuple(int(a + (b - a) * share) for a, b in zip(one, other, strict=True))


def _outline(
    x: float, y: float, radius: float, turn: float, corners: int, waist: float
) -> list[tuple[float, float]]:
    """Corners of a polygon around (x, y), or of a star where the waist is below 1."""
    points = corners if waist == 1.0 else 2 * corners
    outline = []
    for k in range(points):
        reach = radius if waist == 1.0 or k % 2 == 0 else radius * waist
        angle = turn - math.pi / 2 + 2 * math.pi * k / points
        outline.append((x + reach * math.cos(angle), y + reach * math.sin(angle)))
    return outline


def _interleave(many: list[str], few: list[str]) -> list[str]:
    """Spreads the few evenly among the many."""
    merged = list(many)
    gap = (len(many) + len(few)) / max(len(few), 1)
    for k, item in enumerate(few):
        merged.insert(int(gap * k + gap / 2), item)
    return merged


def _read(name: str) -> Any:
    return yaml.safe_load((files(__package__) / name).read_text(encoding="utf-8"))
