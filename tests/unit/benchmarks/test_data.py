"""The data benchmark's sides make the same rows, in SPA-VL's numbers at SPA-VL's size."""

import json

import pytest

from benchmarks.data_world import Shape

pytest.importorskip("datasets")


def test_both_sides_make_the_same_rows() -> None:
    from benchmarks.data import run

    shape = Shape(pictures=160, rows=478, picture_bytes=2000, block=20, per_class=1)
    found = run(shape, repetitions=1, with_memory=False)  # compares the rows itself
    rows = found["shape"]["rows_by_data_set"]
    assert rows["images"] == 160
    assert rows["test/items"] == 2 * 53
    assert sum(rows[name] for name in ("train", "validation", "test")) == 478 - 2 * 53
    assert found["time_ratio"] > 0
    json.dumps(found)


def test_the_whole_shape_is_the_papers() -> None:
    shape = Shape()
    items = 2 * 53 * shape.per_class
    assert (shape.rows - items, items, shape.pictures) == (100_258, 530, 33_600)
