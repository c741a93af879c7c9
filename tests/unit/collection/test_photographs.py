"""Hostile folders: every file becomes a picture or a set-aside with the right reason."""

import os

import numpy as np
import PIL.Image
import pytest

from components.collection import collect
from spavl.errors import InputError
from spavl.images import ImageStore
from spavl.records import SetAside
from spavl.shards import read_records
from tests.unit.collection.hostile import encoded, photo, png

NO_POCKET = {
    "pocket_pictures": 0,
    "max_side": 64,
    "max_pixels": 1_000_000,
    "max_bytes": 300_000,
    "threads": 1,
}


@pytest.fixture(autouse=True)
def work_root(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("SPAVL_WORK_ROOT", str(tmp_path_factory.mktemp("work")))


@pytest.fixture
def folder(tmp_path):
    """A folder with one good photograph."""
    path = tmp_path / "photos"
    path.mkdir()
    photo().save(path / "good.jpg")
    return path


def run(folder, **changes):
    return collect({**NO_POCKET, **changes}, str(folder), "")


def stored(collected):
    store = ImageStore(collected.uri)
    return {facts.source: store.open(facts.image_id) for facts in store.facts()}


def aside(collected):
    rows = read_records(f"{collected.uri}/set_asides", SetAside)
    return {row.record_id: row.reason for row in rows}


def wide():
    """A PNG over our bound, under Pillow's."""
    return encoded(PIL.Image.new("L", (2000, 600)))


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("empty.jpg", b"", "empty file"),
        ("notes.png", b"these are notes", "not an image"),
        ("bomb.png", png(50_000, 50_000), "too large"),
        ("wide.png", wide(), "too large"),
        ("heavy.bmp", encoded(photo((400, 300)), "BMP"), "too large"),
        ("cut.jpg", encoded(photo((300, 300)), "JPEG")[:9000], "truncated"),
        ("cut.png", encoded(photo((200, 200)))[:5000], "truncated"),
        ("dot.png", encoded(PIL.Image.new("RGB", (1, 1))), "too small"),
        ("strip.png", encoded(PIL.Image.new("RGB", (1000, 9))), "too small"),
        ("drawing.svg", b'<?xml version="1.0"?>\n<svg xmlns="x"></svg>', "SVG unsupported"),
        ("drawing2.svg", b"\xef\xbb\xbf <svg></svg>", "SVG unsupported"),
        ("page.html", b"<!DOCTYPE html><html></html>", "not an image"),
        (
            "program.eps",
            b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
            "PostScript unsupported",
        ),
    ],
)
def test_what_cannot_be_used_is_set_aside_with_its_reason(folder, name, content, reason):
    (folder / name).write_bytes(content)
    collected = run(folder)
    assert aside(collected) == {name: reason}
    assert set(stored(collected)) == {"good.jpg"}


def test_damage_anywhere_in_a_file_never_ends_the_run(folder):
    rng = np.random.default_rng(0)
    whole = {
        "png": encoded(photo((60, 60))),
        "jpg": encoded(photo((60, 60)), "JPEG"),
        "gif": encoded(photo((60, 60)), "GIF"),
        "webp": encoded(photo((60, 60)), "WEBP"),
        "tiff": encoded(photo((60, 60)), "TIFF", compression="tiff_lzw"),
        "bmp": encoded(photo((60, 60)), "BMP"),
    }
    for kind, content in whole.items():
        for trial in range(25):
            damaged = bytearray(content)
            for place in rng.integers(0, min(len(content), 400), 6):
                damaged[place] = rng.integers(256)
            (folder / f"{trial}.{kind}").write_bytes(damaged)
    collected = run(folder)
    assert len(stored(collected)) + len(aside(collected)) == 1 + 25 * len(whole)


def test_links_are_followed_inside_the_folder_only(folder, tmp_path):
    photo(seed=5).save(tmp_path / "outside.png")
    (folder / "deep").mkdir()
    photo(seed=6).save(folder / "deep" / "own.png")
    (folder / "out.png").symlink_to(tmp_path / "outside.png")
    (folder / "later").mkdir()
    (folder / "later" / "in.png").symlink_to(folder / "deep" / "own.png")
    (folder / "gone.png").symlink_to(folder / "nothing")
    (folder / "loop.png").symlink_to(folder / "loop.png")
    (folder / "up").symlink_to(tmp_path)
    collected = run(folder)
    assert aside(collected) == {
        "out.png": "symlink to outside",
        "up": "symlink to outside",
        "gone.png": "unreadable",
        "loop.png": "unreadable",
        "later/in.png": "duplicate",
    }
    assert set(stored(collected)) == {"good.jpg", "deep/own.png"}


def test_special_files_are_not_opened(folder):
    os.mkfifo(folder / "pipe.png")
    assert aside(run(folder)) == {"pipe.png": "not a file"}


def test_names_that_are_not_utf8_are_kept_readable(folder):
    (folder / os.fsdecode(b"caf\xe9.png")).write_bytes(encoded(photo(seed=9)))
    (folder / os.fsdecode(b"bad\xff.png")).write_bytes(b"x")
    collected = run(folder)
    assert "caf\\xe9.png" in stored(collected)
    assert aside(collected) == {"bad\\xff.png": "not an image"}


def test_equal_pixels_are_stored_once_whatever_their_files_say(folder):
    picture = photo((40, 40), seed=3)
    (folder / "a.png").write_bytes(encoded(picture))
    (folder / "b.bmp").write_bytes(encoded(picture, "BMP"))
    (folder / "sub").mkdir()
    (folder / "sub" / "c.png").write_bytes(encoded(picture, compress_level=1))
    collected = run(folder)
    assert aside(collected) == {"b.bmp": "duplicate", "sub/c.png": "duplicate"}
    assert set(stored(collected)) == {"a.png", "good.jpg"}


def test_photographs_are_shown_upright_and_small(folder):
    left_red = PIL.Image.new("RGB", (120, 80), "blue")
    left_red.paste("red", (0, 0, 60, 80))
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # the camera was turned: left is up
    left_red.save(folder / "turned.jpg", exif=exif, quality=95)
    turned = stored(run(folder))["turned.jpg"]
    assert turned.size == (43, 64)
    red, _, blue = turned.getpixel((20, 5))
    assert red > 200 > 60 > blue


def test_of_an_animation_the_first_frame_is_kept(folder):
    frames = [PIL.Image.new("RGB", (20, 20), colour) for colour in ("red", "green", "blue")]
    frames[0].save(folder / "moving.gif", save_all=True, append_images=frames[1:])
    assert stored(run(folder))["moving.gif"].getpixel((9, 9)) == (255, 0, 0)


def test_transparency_is_shown_on_white_and_deep_greys_keep_their_steps(folder):
    PIL.Image.new("RGBA", (20, 20), (0, 0, 0, 0)).save(folder / "clear.png")
    ramp = np.linspace(0, 65535, 400).reshape(20, 20).astype(np.uint16)
    PIL.Image.fromarray(ramp).save(folder / "deep.png")
    pictures = stored(run(folder))
    assert pictures["clear.png"].getpixel((5, 5)) == (255, 255, 255)
    assert pictures["deep.png"].getpixel((10, 10))[0] == round(ramp[10, 10] / 65535 * 255)


def test_nothing_usable_is_bad_input_that_says_what_was_found(tmp_path):
    (tmp_path / "a.txt").write_text("hello")
    (tmp_path / "b.jpg").write_bytes(b"")
    with pytest.raises(InputError, match=r"1 set aside: empty file, 1 set aside: not an image"):
        run(tmp_path)


@pytest.mark.parametrize("name", ["missing", "file"])
def test_a_folder_that_is_none_is_bad_input(tmp_path, name):
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="no such folder"):
        run(tmp_path / name)


def test_the_order_and_digest_do_not_depend_on_the_file_system(folder, tmp_path, monkeypatch):
    for name in ("z.png", "b.png", "a.png"):
        photo(seed=ord(name[0])).save(folder / name)
    other = tmp_path / "copy"
    other.mkdir()
    for name in ("a.png", "z.png", "good.jpg", "b.png"):
        (other / name).write_bytes((folder / name).read_bytes())
    first = collect(NO_POCKET, str(folder), "")
    assert collect(NO_POCKET, str(other), "") == first  # the same pictures are the same work
    monkeypatch.setenv("SPAVL_WORK_ROOT", str(tmp_path / "elsewhere"))
    second = collect(NO_POCKET, str(other), "")
    assert first.uri != second.uri
    assert first.digest == second.digest
    assert [*stored(first)] == [*stored(second)] == ["a.png", "b.png", "good.jpg", "z.png"]
