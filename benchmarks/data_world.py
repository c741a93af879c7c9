"""What the data benchmark starts from: hashes and encoded bytes of pictures, and their answers.

Everything is drawn by chance in SPA-VL's shape: three questions a picture, twelve responders, the
53 classes in turn. Pictures are random bytes, which compress as badly as real ones. Two in a
hundred pictures come a second time, changed a little.
"""

import json
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from components.labeling.drawing import ASKED
from spavl.columns import record_ids
from spavl.records import QUESTION_KINDS, Image, Maker, Preference, record_id, schema_of
from spavl.shards import DatasetWriter
from spavl.taxonomy import load_taxonomy

if TYPE_CHECKING:
    import pyarrow

RESPONDERS = tuple(f"responder-{number:02d}" for number in range(12))
PICTURES_PER_SHARD = 512
SENTENCES = 4096


@dataclass(frozen=True)
class Shape:
    """How large a world is.

    Attributes:
        pictures: Pictures that are not copies.
        rows: Questions whose answers can be paired; all others have the same answer twelve times.
        copied: Share of pictures of which a changed copy follows.
        picture_bytes: Mean size of an encoded picture.
        block: Questions paired at a time.
        per_class: Test items of each class for harm, and as many for help.
    """

    pictures: int = 33_600
    rows: int = 100_788
    copied: float = 0.02
    picture_bytes: int = 20_000
    block: int = 4_200
    per_class: int = 5


def make_world(folder: Path, shape: Shape) -> None:
    """Write a world: `gathered/`, `hashes.npy`, `thumbs.bin`, `labels.npy`, `answered.parquet`,
    `rates.json`.
    """
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    copies = rng.choice(shape.pictures, round(shape.pictures * shape.copied), replace=False)
    _write_prints(folder, shape, copies, rng)
    ids = _write_pictures(folder, shape, copies, rng)
    rates = np.linspace(0.2, 0.97, len(RESPONDERS))
    (folder / "rates.json").write_text(json.dumps(dict(zip(RESPONDERS, rates, strict=True))))
    _write_answers(folder, shape, ids, rates, rng)


def _write_prints(folder: Path, shape: Shape, copies: Any, rng: np.random.Generator) -> None:
    hashes = rng.integers(0, 2**64, (shape.pictures, 2), dtype=np.uint64)
    turned = np.uint64(1) << rng.integers(0, 64, (len(copies), 2), dtype=np.uint64)
    np.save(folder / "hashes.npy", np.concatenate([hashes, hashes[copies] ^ turned]))
    labels = np.arange(shape.pictures) % len(load_taxonomy().classes)
    np.save(folder / "labels.npy", np.concatenate([labels, labels[copies]]))
    thumbs = rng.integers(0, 250, (shape.pictures, 2, 16, 16, 3), dtype=np.uint8)
    noise = rng.integers(0, 6, (len(copies), 2, 16, 16, 3), dtype=np.uint8)
    np.concatenate([thumbs, thumbs[copies] + noise]).tofile(folder / "thumbs.bin")


def _write_pictures(folder: Path, shape: Shape, copies: Any, rng: np.random.Generator) -> list[str]:
    """Pictures by place, copies last; gives the ids of those that are no copies."""
    classes = load_taxonomy().classes
    ids = []
    with DatasetWriter(folder / "gathered", Image, rows_per_shard=PICTURES_PER_SHARD) as gathered:
        for place in [*range(shape.pictures), *copies.tolist()]:
            size = int(rng.integers(shape.picture_bytes // 2, shape.picture_bytes * 3 // 2))
            content = rng.bytes(size)
            harm = classes[place % len(classes)]
            ids.append(sha256(content).hexdigest())
            facts = (harm.domain, harm.category, harm.name, harm.name)
            source = f"picture-{len(ids)}"
            gathered.add(Image(ids[-1], content, "image/jpeg", 640, 480, source, "harmful", *facts))
    return ids[: shape.pictures]


def _write_answers(
    folder: Path, shape: Shape, ids: list[str], rates: Any, rng: np.random.Generator
) -> None:
    import pyarrow
    from pyarrow import parquet

    words = ["".join(chr(97 + each) for each in rng.integers(0, 26, 6)) for _ in range(2000)]
    sentences = [" ".join(rng.choice(words, 18)).capitalize() + "." for _ in range(SENTENCES)]
    questions = sorted(
        (record_id("question", image_id, kind), place, kind)
        for place, image_id in enumerate(ids)
        for kind in QUESTION_KINDS
    )
    writer = None
    for begin in range(0, len(questions), shape.block):
        block = questions[begin : begin + shape.block]
        alike = len(questions) - shape.rows - begin  # the first questions cannot be paired
        table = pyarrow.table(_block(block, ids, sentences, max(alike, 0), rates, rng))
        writer = writer or parquet.ParquetWriter(folder / "answered.parquet", table.schema)
        writer.write_table(table)
    assert writer is not None
    writer.close()


def _block(
    block: list[tuple[str, int, str]],
    ids: list[str],
    sentences: list[str],
    alike: int,
    rates: Any,
    rng: np.random.Generator,
) -> dict[str, list[Any]]:
    classes = load_taxonomy().classes
    harms = [classes[place % len(classes)].name for _, place, _ in block]
    said = rng.integers(0, SENTENCES, (len(block), len(RESPONDERS), 2)).tolist()
    safe = (rng.random((len(block), len(RESPONDERS))) < rates).tolist()
    texts = [[f"{sentences[one]} {sentences[two]}" for one, two in every] for every in said]
    texts[:alike] = [[every[0]] * len(RESPONDERS) for every in texts[:alike]]
    return {
        "question_id": [question_id for question_id, _, _ in block],
        "image_id": [ids[place] for _, place, _ in block],
        "kind": [kind for _, _, kind in block],
        "question": [f"What of {harm} is this, number {n}?" for n, harm in enumerate(harms)],
        "truth": ["harmful"] * len(block),
        "thing": harms,
        "class3": harms,
        "response_id": [[record_id(each[0], name) for name in RESPONDERS] for each in block],
        "responder": [list(RESPONDERS)] * len(block),
        "text": texts,
        "safe": safe,
    }


def judged(pairs: "pyarrow.Table") -> "pyarrow.Table":
    """Preferences of pairs: a safe answer wins, otherwise the first does.

    Stands for the judge, who is a model; both sides call it.
    """
    import pyarrow
    from pyarrow import compute

    swap = compute.and_not(pairs["second_safe"], pairs["first_safe"])
    count = pairs.num_rows
    columns = {name: pairs[name] for name in ASKED}
    for suffix in ("", "_response_id", "_responder", "_safe"):
        first, second = pairs[f"first{suffix}"], pairs[f"second{suffix}"]
        columns[f"chosen{suffix}"] = compute.if_else(swap, second, first)
        columns[f"rejected{suffix}"] = compute.if_else(swap, first, second)
    columns["preference_id"] = record_ids("preference", pairs["pair_id"])
    columns["reason1"] = columns["reason2"] = pyarrow.repeat("safer", count)
    schema = schema_of(Preference)
    maker = pyarrow.scalar(asdict(Maker("benchmark")), schema.field("maker").type)
    columns["maker"] = pyarrow.repeat(maker, count)
    return pyarrow.table([columns[name] for name in schema.names], schema=schema)
