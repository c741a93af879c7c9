"""Near-duplicates are found in linear time; nothing else is taken for one."""

import numpy as np
import PIL.Image
import pytest
import scipy.fft

from components.collection import collect
from components.collection.closeness import Closeness
from components.collection.filling import copy_without
from components.collection.fingerprints import FINGERPRINT, LUMA, PrintFile, fingerprints, views
from components.collection.near_duplicates import near_duplicates, verified_pairs
from components.collection.pocket_pictures import pocket_pictures
from spavl.images import ImageStore
from spavl.records import Image, SetAside
from spavl.settings.collection import CollectionSettings
from spavl.shards import DatasetWriter, read_manifest, read_records
from tests.unit.collection.planting import (
    CHANGES,
    PHOTOGRAPHS,
    both,
    judged,
    natural,
    nobody,
    photographs,
    planted,
    png,
    prints_of,
)


@pytest.fixture(autouse=True)
def work_root(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("SPAVL_WORK_ROOT", str(tmp_path_factory.mktemp("work")))


def test_the_hash_is_that_of_the_cosine_transform():
    batch = np.stack([views(png(PIL.Image.fromarray(each))) for each in natural(5, seed=1)])
    for made, pair in zip(fingerprints(batch), batch, strict=True):
        for hashed, view in zip(made["hashes"], pair, strict=True):
            low = scipy.fft.dctn(view @ LUMA, type=2)[:8, :8].ravel()
            bits = np.unpackbits(np.array([hashed]).view(np.uint8))
            assert (bits == (low > np.median(low))).all()


def test_planted_copies_are_found_and_little_else():
    recall, false = judged(*planted(count=8_000, each=400))
    assert recall >= 0.99
    assert false <= 0.001


def test_time_grows_with_the_number_of_pictures_alone():
    """Work is counted, not seconds: pairs met in a band, per picture."""
    from components.collection import near_duplicates as module

    for count in (10_000, 300_000):
        hashes = np.random.default_rng(0).integers(0, 2**64, 2 * count, dtype=np.uint64)
        masks = list(module._masks(len(hashes)))
        met = sum(len(one) for one, _ in module._meetings(hashes, masks[0])) / count
        assert met < 1.1
        assert len(masks) < 120


def test_entries_meet_where_a_bands_bits_are_equal():
    from components.collection import near_duplicates as module

    hashes = np.random.default_rng(1).integers(0, 2**64, 500, dtype=np.uint64)
    mask = np.uint64(0b11111)  # 32 buckets of some 16 entries
    met = [np.stack(pair, axis=1) for pair in module._meetings(hashes, mask)]
    buckets = [np.flatnonzero((hashes & mask) == bucket).tolist() for bucket in range(32)]
    expected = {
        (one, other)
        for bucket in buckets
        for place, other in enumerate(bucket)
        for one in bucket[: min(place, module.BUCKET)]
    }
    assert {tuple(pair) for pair in np.concatenate(met).tolist()} == expected


def test_thousands_of_blank_pages_are_one():
    prints = fingerprints(np.full((2000, 2, 32, 32, 3), 200, np.uint8))
    repeats = near_duplicates(*both(prints), nobody(prints), Closeness())
    assert set(repeats.values()) == {0}
    assert len(repeats) == 1999


def test_flat_colours_and_opposite_tones_are_not_alike():
    colours = ["red", "blue", "black", "white", "gray", (130, 130, 150)]
    pictures = [PIL.Image.new("RGB", (50, 50), colour) for colour in colours]
    assert near_duplicates(*both(prints_of(pictures)), np.zeros(6, np.int64), Closeness()) == {}


def test_pictures_of_different_labels_are_never_merged():
    prints = prints_of([PIL.Image.fromarray(natural(1, seed=3)[0])] * 4)
    assert near_duplicates(*both(prints), np.array([0, 1, 0, 1]), Closeness()) == {2: 0, 3: 1}


def test_what_repeats_a_dropped_picture_only_is_kept():
    """Being alike is not passed on: the third is like the second, which is gone."""
    prints = np.zeros(3, FINGERPRINT)
    prints["hashes"] = np.array([[0, 0], [2**8 - 1, 2**8 - 1], [2**16 - 1, 2**16 - 1]])
    found = verified_pairs(*both(prints), nobody(prints), Closeness(radius=8))
    assert found.tolist() == [[0, 1], [1, 2]]
    assert near_duplicates(*both(prints), nobody(prints), Closeness(radius=8)) == {1: 0}


def test_the_print_file_holds_what_is_computed_at_once(tmp_path):
    contents = [png(PIL.Image.fromarray(each)) for each in natural(300, seed=4)]
    with PrintFile(tmp_path / "prints.bin") as prints:
        for content in contents:
            prints.add(content)
    made = fingerprints(np.stack([views(content) for content in contents]))
    assert (prints.hashes() == made["hashes"]).all()
    places, turn = np.arange(300)[::-7], np.arange(300)[::-7] % 2
    assert (prints.thumbs()[places, turn] == made["thumbs"][places, turn]).all()
    assert (prints.thumbs()[places, 0] == made["thumbs"][places, 0]).all()


def test_pocket_pictures_lose_less_than_two_percent():
    images = list(pocket_pictures(CollectionSettings(pocket_pictures=12)))
    numbers: dict[object, int] = {}
    labels = np.array([numbers.setdefault((i.truth, i.thing), len(numbers)) for i in images])
    prints = fingerprints(np.stack([views(image.content) for image in images]))
    assert len(near_duplicates(*both(prints), labels, Closeness())) < 0.02 * len(images)


def test_real_photographs_are_found_again_and_told_apart():
    files = sorted(PHOTOGRAPHS.glob("*"))
    if not files:
        pytest.skip(f"no photographs in {PHOTOGRAPHS}")
    prints, expected = photographs(files)
    found = {
        tuple(pair) for pair in verified_pairs(*both(prints), nobody(prints), Closeness()).tolist()
    }
    assert len(found & expected) >= 0.99 * len(expected)
    alike = {(a, b) for a, b in found if b < len(files)}
    names = {
        tuple(sorted({files[a].stem.split("_")[0], files[b].stem.split("_")[0]})) for a, b in alike
    }
    # One picture in three sizes, and one wallpaper under four names.
    same = {"mate-stripes-light", "silk", "spring", "waves"}
    assert {pair for pair in names if not set(pair) <= same} == {("elephants",)}


def test_the_store_keeps_the_first_and_says_what_the_others_repeat(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    first, second = (PIL.Image.fromarray(each) for each in natural(2, seed=5, side=200))
    first.save(folder / "a.png")
    second.save(folder / "b.png")
    for order, change in enumerate(CHANGES.values()):
        change(first).save(folder / f"c{order}.png")
    first.save(folder / "d.png", compress_level=9)
    settings = {"pocket_pictures": 0, "threads": 1}
    collected = collect(settings, str(folder), "")
    facts = {each.source: each.image_id for each in ImageStore(collected.uri).facts()}
    rows = {
        row.record_id: (row.reason, row.detail)
        for row in read_records(f"{collected.uri}/set_asides", SetAside)
    }
    assert set(facts) == {"a.png", "b.png"}
    assert rows == {
        "d.png": ("duplicate", f"of {facts['a.png']}"),
        **{f"c{order}.png": ("near-duplicate", f"of {facts['a.png']}") for order in range(3)},
    }
    every = collect({**settings, "near_duplicates": False}, str(folder), "")
    assert len(list(ImageStore(every.uri).facts())) == 5


def test_shards_that_lose_nothing_are_linked_and_the_others_written_anew(tmp_path):
    facts = ("image/png", 1, 1, "here", "unknown", None, None, None, None)
    pictures = [Image(f"i{place}", b"png %d" % place, *facts) for place in range(14)]
    with DatasetWriter(tmp_path / "gathered", Image, rows_per_shard=4) as gathered:
        for picture in pictures:
            gathered.add(picture)
    with DatasetWriter(tmp_path / "kept", Image, rows_per_shard=4) as kept:
        told = list(copy_without({5: 1, 6: 5}, tmp_path / "gathered", kept))
    assert list(read_records(tmp_path / "kept", Image)) == [*pictures[:5], *pictures[7:]]
    assert [shard.rows for shard in read_manifest(tmp_path / "kept").shards] == [4, 2, 4, 2]
    linked = [
        (tmp_path / "kept" / path.name).samefile(path)
        for path in sorted((tmp_path / "gathered").glob("*.parquet"))
    ]
    assert linked == [True, False, True, True]
    assert [aside.detail for _, aside in told] == ["of i1", "of i5"]
