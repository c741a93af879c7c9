"""A folder of hostile files: the good ones are used, each bad one is named with its reason."""

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import PIL.Image
import psutil
import pytest

from components.collection import collect
from components.collection.decoding import Unusable, decode
from components.collection.sandbox import Decoders
from spavl.digests import folder_digest
from spavl.folders import open_regular, walk
from spavl.images import ImageStore
from spavl.records import SetAside
from spavl.settings.collection import CollectionSettings
from spavl.shards import read_records
from tests.unit.collection.hostile import (
    BAD,
    GOOD,
    crowded_tiff,
    deep_grey,
    encoded,
    endless_tags_tiff,
    large_tile_tiff,
    long_animation,
    names_in,
    photo,
    plant,
    png,
    profile_bomb,
    text_bomb,
    without_root_powers,
)

REPOSITORY = Path(__file__).parents[3]
PHOTOGRAPHS = (
    Path(os.environ.get("SPAVL_SHARED_DATA", REPOSITORY.parent / "shared" / "data")) / "photos"
)
COLLECT = """
import json, resource, sys
from pathlib import Path
from components.collection import collect
from spavl.digests import folder_digest
if __name__ == "__main__":
    folder, settings = sys.argv[1], json.loads(sys.argv[2])
    collected = collect(settings, folder, "")
    # Not getrusage of ourselves: its peak is that of the process which started us, if higher.
    status = Path("/proc/self/status").read_text()
    own = int(status.partition("VmHWM:")[2].split()[0]) / 1024
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(json.dumps({"uri": collected.uri, "peaks": [own, children]}))
"""


@pytest.fixture(autouse=True)
def work_root(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("SPAVL_WORK_ROOT", str(tmp_path_factory.mktemp("work")))


def collected_as_a_mortal(folder: Path, **settings: object) -> dict[str, object]:
    """Collects in a process that file permissions bind; returns the store and peaks in MiB."""
    start = without_root_powers()
    if start is None:
        pytest.skip("root reads everything, and setpriv is not here to take that from it")
    command = [*start, sys.executable, "-c", COLLECT, str(folder)]
    ended = subprocess.run(
        [*command, json.dumps({"pocket_pictures": 0, **settings})],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if "setpriv:" in ended.stderr:
        pytest.skip(f"root reads everything here: {ended.stderr.strip()}")
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout.splitlines()[-1])


def aside(uri):
    rows = read_records(f"{uri}/set_asides", SetAside)
    return {row.record_id: row.reason for row in rows}


def stored(uri):
    store = ImageStore(uri)
    return {facts.source: store.open(facts.image_id) for facts in store.facts()}


@pytest.mark.parametrize("real", [False, True], ids=["alone", "among the real photographs"])
def test_good_files_are_used_and_bad_ones_named_with_their_reason(tmp_path, real):
    folder = tmp_path / "photos"
    folder.mkdir()
    photographs = sorted(PHOTOGRAPHS.glob("*")) if real else []
    if real and not photographs:
        pytest.skip(f"no photographs in {PHOTOGRAPHS}")
    for path in photographs:
        (folder / path.name).write_bytes(path.read_bytes())
    plant(folder, tmp_path / "outside")
    told = collected_as_a_mortal(folder)
    reasons = aside(told["uri"])
    pictures = stored(told["uri"])
    duplicates = {name for name, reason in reasons.items() if "duplicate" in reason}
    assert {name: reason for name, reason in reasons.items() if name not in duplicates} == BAD
    assert set(pictures) == {*GOOD, *(path.name for path in photographs)} - duplicates
    assert not duplicates & set(GOOD)
    # 40 MB is the largest picture here; what the bad ones claim together is over 14 GB.
    assert max(told["peaks"]) < 900

    red, green, blue = pictures["cmyk.jpg"].getpixel((20, 20))
    assert red > 240 > 15 > max(green, blue)
    expected = np.round(deep_grey()[1] / 65535 * 255)
    assert np.abs(np.asarray(pictures["deep.png"])[..., 0] - expected).max() <= 1
    assert pictures["moving.gif"].getpixel((9, 9)) == (0, 255, 0)
    assert pictures["many pages.tiff"].size == (30, 30)


def test_the_claims_of_a_header_cost_nothing():
    bombs = {
        "claim": png(60_000, 60_000),
        "text": text_bomb(),
        "profile": profile_bomb(),
        "tags": endless_tags_tiff(),
        "tile": large_tile_tiff(),
    }
    good = {"frames": long_animation(20_000), "pages": crowded_tiff(100_000)}
    with Decoders(CollectionSettings(threads=1)) as decoders:
        for name, content in {**bombs, **good}.items():
            list(decoders.decoded([("start", encoded(photo()))]))
            [decoder] = decoders._decoders
            process = decoder._process.pid
            start = seconds_of(process)
            [(_, outcome)] = decoders.decoded([(name, content)])
            assert isinstance(outcome, Unusable) == (name in bombs), name
            if decoder._process and decoder._process.pid == process:  # else it was ended
                assert seconds_of(process) - start < 5, name


def seconds_of(process: int) -> float:
    """Processor time, so that other work on the machine does not count."""
    times = psutil.Process(process).cpu_times()
    return times.user + times.system


CONFINED = """
import json, os, socket, sys
from components.collection.confining import confine
from spavl.settings.collection import CollectionSettings
sys.stdout.flush()
confine(CollectionSettings(max_pixels=1_000_000))
def tried(what):
    try:
        what()
    except BaseException as error:
        return type(error).__name__
tries = {
    "memory": lambda: bytearray(2**30),
    "little memory": lambda: bytearray(2**20),
    "file": lambda: open("/etc/hostname"),
    "new file": lambda: open("/tmp/confined", "w"),
    "network": lambda: socket.socket(),
    "pipe": os.pipe,
}
os.write(1, json.dumps({name: tried(what) for name, what in tries.items()}).encode())
"""


def test_a_confined_process_holds_little_and_opens_nothing():
    ended = subprocess.run(
        [sys.executable, "-c", CONFINED],
        env={"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        check=True,
    )
    outcomes = json.loads(ended.stdout)
    assert outcomes.pop("little memory") is None
    assert outcomes.pop("memory") == "MemoryError"
    assert all(each in ("OSError", "PermissionError") for each in outcomes.values()), outcomes


def test_a_decoder_is_told_nothing_of_the_environment(monkeypatch):
    monkeypatch.setenv("SECRET", "told to nobody")
    with Decoders(CollectionSettings(threads=1)) as decoders:
        list(decoders.decoded([("a", encoded(photo()))]))
        [decoder] = decoders._decoders
        assert Path(f"/proc/{decoder._process.pid}/environ").read_bytes() == b""


@pytest.mark.parametrize(
    "said",
    [
        b"\x00" * 7 + b"\x02{}" + b"\xff" * 8,
        b"\x00" * 7 + b"\x02{}" + b"\x00" * 7 + b"\x04none",
        b"\x00" * 7 + b"\x02[]",
        b"\x00" * 7 + b"\x06{broke",
        b"\x80\x04" * 9,
        b"",
    ],
)
def test_a_decoder_that_says_anything_else_costs_its_picture_alone(said, monkeypatch):
    program = f"import sys; sys.stdin.buffer.read(8); sys.stdout.buffer.write({said!r})"
    with Decoders(CollectionSettings(threads=1)) as decoders:
        monkeypatch.setattr("components.collection.sandbox.PROGRAM", program)
        [(_, outcome)] = decoders.decoded([("a", encoded(photo()))])
        assert (outcome.reason, outcome.detail) == ("not decodable", "it ends the decoder")
        monkeypatch.undo()
        [(_, after)] = decoders.decoded([("b", encoded(photo()))])
    assert not isinstance(after, Unusable)


def test_a_decoder_that_dies_costs_its_picture_alone():
    with Decoders(CollectionSettings(threads=1)) as decoders:
        [(_, before)] = decoders.decoded([("a", encoded(photo()))])
        [decoder] = decoders._decoders
        decoder._process.kill()
        [(_, dead)] = decoders.decoded([("b", encoded(photo()))])
        [(_, after)] = decoders.decoded([("c", encoded(photo()))])
    assert (dead.reason, dead.detail) == ("not decodable", "it ends the decoder")
    assert before == after


def test_a_slow_picture_ends_its_decoder_and_not_the_run():
    slow = encoded(PIL.Image.new("RGB", (6000, 6000)), "PNG")
    settings = CollectionSettings(threads=1, max_decode_seconds=0.05)
    quick = encoded(photo((16, 16)))
    with Decoders(settings) as decoders:
        outcomes = dict(decoders.decoded([("slow", slow), ("quick", quick)]))
    assert outcomes["slow"].reason == "too slow"
    assert not isinstance(outcomes["quick"], Unusable)


STAY = """
import sys, time
from components.collection.sandbox import Decoder
from spavl.settings.collection import CollectionSettings
if __name__ == "__main__":
    with Decoder(CollectionSettings()) as decoder:
        decoder.begin(b"nothing")()
        print(decoder._process.pid, flush=True)
        time.sleep(600)
"""


def test_a_decoder_ends_with_the_step_that_started_it():
    step = subprocess.Popen(
        [sys.executable, "-c", STAY],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        text=True,
    )
    decoder = int(step.stdout.readline())
    os.kill(decoder, 0)
    step.kill()
    step.wait()
    until = time.monotonic() + 30
    while Path(f"/proc/{decoder}").exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert not Path(f"/proc/{decoder}/exe").exists()


def oriented(kind, mode, orientation):
    """A picture with a mark in one corner, stored lying as a camera stores it."""
    upright = PIL.Image.new("L", (48, 64), 20)
    upright.paste(230, (0, 48, 12, 64))
    turned = upright if orientation == 1 else upright.transpose(BACK[orientation])
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    if mode == "I;16":
        turned = PIL.Image.fromarray(np.asarray(turned).astype(np.uint16) * 257)
    else:
        turned = turned.convert("RGB").convert(mode)
    return encoded(turned, kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {}))


T = PIL.Image.Transpose
BACK = {
    2: T.FLIP_LEFT_RIGHT, 3: T.ROTATE_180, 4: T.FLIP_TOP_BOTTOM, 5: T.TRANSPOSE,
    6: T.ROTATE_90, 7: T.TRANSVERSE, 8: T.ROTATE_270,
}  # fmt: skip
STORED = [
    ("JPEG", "RGB"), ("JPEG", "L"), ("PNG", "RGB"), ("PNG", "P"), ("PNG", "RGBA"), ("WEBP", "RGB"),
    ("AVIF", "RGB"), ("TIFF", "RGB"), ("TIFF", "L"), ("TIFF", "P"), ("TIFF", "CMYK"),
    ("TIFF", "RGBA"), ("TIFF", "1"), ("TIFF", "I;16"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "mode"), STORED)
@pytest.mark.parametrize("side", [672, 32])
def test_a_picture_is_turned_once_whatever_its_format(kind, mode, side):
    settings = CollectionSettings(max_side=side)
    for orientation in range(1, 9):
        picture = decode(oriented(kind, mode, orientation), settings)
        assert picture.size == ((48, 64) if side > 64 else (24, 32)), orientation
        corner = picture.getpixel((2, picture.height - 3))
        opposite = picture.getpixel((picture.width - 3, 2))
        assert min(corner) > 150 > 110 > max(opposite), orientation


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic", "HEIC unsupported"),
        (b"\x00\x00\x00\x18ftypmif1\x00\x00\x00\x00mif1heix", "HEIC unsupported"),
        (b"\x00\x00\x00\x1cftypmsf1\x00\x00\x00\x00msf1hevcmif1", "HEIC unsupported"),
        (b"\x00\x00\x00\x0cjP  \r\n\x87\n" + bytes(20), "JPEG 2000 unsupported"),
        (b"\xffO\xffQ\x00/" + bytes(20), "JPEG 2000 unsupported"),
        (b"\xff\x0a" + bytes(20), "JPEG XL unsupported"),
        (b"\x00\x00\x00\x0cJXL \r\n\x87\n" + bytes(20), "JPEG XL unsupported"),
        (b"%PDF-1.7\n", "PDF unsupported"),
        (b"8BPS\x00\x01" + bytes(20), "Photoshop unsupported"),
        (b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom", "video unsupported"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG unsupported"),
        (b"\x00\x00\x00\x18ftypavif\x00\x00\x00\x00mif1avif", "not decodable"),
        (b"\x00\x00\x00\xffftyp", "not an image"),
    ],
)
def test_a_picture_of_an_unread_format_is_told_by_name(content, reason):
    with pytest.raises(Unusable) as caught:
        decode(content, CollectionSettings())
    assert caught.value.reason == reason


def cheap_bombs():
    white = PIL.Image.new("1", (9900, 9900), 1)
    yield encoded(PIL.Image.new("RGB", (9900, 9900)), "WEBP", lossless=True)
    yield encoded(white, "TIFF", compression="group4")
    side = b"\xac&" * 2
    colours = b"\x80\x00\x00" + b"\xff" * 3 + bytes(3)
    yield b"GIF89a" + side + colours + b"," + bytes(4) + side + b"\x00\x02\x02D\x01\x00;"
    yield (
        b"BM"
        + bytes(8)
        + (54).to_bytes(4, "little")
        + (40).to_bytes(4, "little")
        + ((9900).to_bytes(4, "little") * 2 + b"\x01\x00\x18\x00" + bytes(24))
    )
    yield png(9900, 9900)


def test_a_few_bytes_buy_no_seconds():
    for content in cheap_bombs():
        start = time.process_time()
        with pytest.raises(Unusable):
            decode(content, CollectionSettings())
        assert time.process_time() - start < 0.5


def test_outcomes_keep_their_order_over_several_processes():
    contents = [(place, encoded(photo((20 + place, 20)))) for place in range(7)]
    contents[3] = (3, Unusable("empty file", "0 bytes"))
    contents[5] = (5, b"nothing")
    with Decoders(CollectionSettings(threads=3)) as decoders:
        outcomes = list(decoders.decoded(contents))
    assert [place for place, _ in outcomes] == list(range(7))
    kinds = [each.reason if isinstance(each, Unusable) else each.width for _, each in outcomes]
    assert kinds == [20, 21, 22, "empty file", 24, "not an image", 26]


@pytest.fixture
def deep_folder(tmp_path):
    """A tree deeper than Python recurses, pytest's own removal of it included."""
    yield tmp_path
    subprocess.run(["rm", "-rf", str(tmp_path / "d")], check=True)


def test_trees_of_any_depth_are_gone_through(deep_folder):
    tmp_path = deepest = deep_folder
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(1900):  # within what a path may hold
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
        deepest = deepest / "d"
    os.close(here)
    (deepest / "x.txt").write_text("x")
    assert list(walk(tmp_path)) == [deepest / "x.txt"]
    assert folder_digest(tmp_path) != folder_digest(deepest)


def test_hard_links_are_files_like_any_other(tmp_path):
    (tmp_path / "a.png").write_bytes(encoded(photo()))
    os.link(tmp_path / "a.png", tmp_path / "b.png")
    collected = collect({"pocket_pictures": 0, "threads": 1}, str(tmp_path), "")
    assert set(stored(collected.uri)) == {"a.png"}
    assert aside(collected.uri) == {"b.png": "duplicate"}


def test_a_file_that_changes_or_vanishes_while_it_is_read_is_set_aside(tmp_path, monkeypatch):
    for name in ("grows.png", "vanishes.png", "stays.png"):
        (tmp_path / name).write_bytes(encoded(photo()))

    def opened(path):
        if path.name == "vanishes.png":
            path.unlink()
        stream = open_regular(path)
        if path.name == "grows.png":
            read = stream.read
            grow = path.open("ab", buffering=0)
            stream = contextlib.nullcontext(
                SimpleNamespace(
                    fileno=stream.fileno, read=lambda size: read(size)[: grow.write(b"x") * size]
                )
            )
        return stream

    monkeypatch.setattr("components.collection.photographs.open_regular", opened)
    collected = collect({"pocket_pictures": 0, "threads": 1}, str(tmp_path), "")
    assert set(stored(collected.uri)) == {"stays.png"}
    details = {
        row.record_id: row.detail
        for row in read_records(f"{collected.uri}/set_asides", SetAside)
        if row.reason == "unreadable"
    }
    assert details == {
        "grows.png": "it changed while it was read",
        "vanishes.png": "No such file or directory",
    }


def test_every_change_to_a_hostile_folder_changes_its_digest(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    plant(folder, tmp_path / "outside")
    (folder / "secret folder").chmod(0o700)

    def digest():
        return folder_digest(folder, whole_bytes=2**30)

    seen = [digest()]
    assert digest() == seen[0]
    for change in (
        lambda: (folder / "notes.png").write_bytes(b"other notes"),
        lambda: (folder / "pipe.jpg").unlink(),
        lambda: (folder / "two\nlines.png").rename(folder / "two lines.png"),
        lambda: os.truncate(folder / "sparse.jpg", 2**40 + 1),
        lambda: (folder / "secret folder" / "new.png").write_bytes(b"x"),
        lambda: (folder / os.fsdecode(b"bad \xff byte.jpg")).unlink(),
    ):
        change()
        seen.append(digest())
    assert len(set(seen)) == len(seen)


def test_names_cannot_make_two_folders_look_the_same(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
    (first / "a\nfile b").write_text("x")
    (second / "a").write_text("x")
    (second / "file b").write_text("x")
    assert folder_digest(first) != folder_digest(second)
    assert sorted(names_in(second)) == ["a", "file b"]
