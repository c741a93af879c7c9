"""Files of rows that claim much, or are no files, end in one line and in bounded memory."""

import contextlib
import io
import os

import pyarrow
import pytest
from pyarrow import parquet

from spavl.errors import InputError
from spavl.published import cells, import_, pages
from spavl.published.files import read_rows
from tests.unit.published.test_pictures_of_rows import PNG, table
from tests.unit.published.test_round_trip import let_in

WRITINGS = [
    {},
    {"use_dictionary": False},
    {"data_page_version": "2.0"},
    {"compression": "zstd", "write_statistics": False},
    {"compression": "none", "write_page_index": True, "write_page_checksum": True},
    {"data_page_size": 64, "row_group_size": 300},
]


@pytest.mark.parametrize("writing", WRITINGS, ids=str)
def test_a_pages_size_is_that_of_its_own_header(tmp_path, writing):
    path = tmp_path / "t.parquet"
    columns = {"a": [f"text {n}" * 9 for n in range(1000)], "b": [[{"c": n}] for n in range(1000)]}
    parquet.write_table(pyarrow.table(columns), path, **writing)
    with path.open("rb") as stream:
        metadata = parquet.ParquetFile(path).metadata
        for number in range(metadata.num_row_groups):
            group = metadata.row_group(number)
            for place in range(group.num_columns):
                chunk = group.column(place)
                sizes = [*pages._sizes(stream, chunk)]
                headers = chunk.total_uncompressed_size - sum(sizes)  # it counts them as well
                assert 0 < headers < 300 * len(sizes)


def test_pages_that_do_not_fit_are_told_before_they_are_unpacked(tmp_path, monkeypatch):
    path = table(tmp_path, [PNG * 50])
    monkeypatch.setattr(pages, "LARGEST_PAGE", 1000)
    before = pyarrow.total_allocated_bytes()
    with pytest.raises(InputError, match=r"a page of 0 MiB .*in row groups of fewer rows"):
        list(read_rows(path, "train"))
    assert pyarrow.total_allocated_bytes() == before


def test_a_value_that_is_larger_than_any_picture_costs_its_row(tmp_path, monkeypatch):
    path = table(tmp_path, [PNG, b"x" * 5000, PNG])
    monkeypatch.setattr(cells, "LARGEST_VALUE", 4000)
    monkeypatch.setattr(cells, "BATCH_BYTES", 1)
    first, bad, last = read_rows(path, "train")
    assert bad.reason == "too large"
    assert first == last


@pytest.mark.parametrize("place", range(4, 40, 3))
def test_a_header_that_is_damaged_is_one_line(tmp_path, place):
    path = table(tmp_path, [PNG] * 3)
    content = bytearray(path.read_bytes())
    content[place : place + 3] = b"\xff\xff\xff"
    path.write_bytes(content)
    with contextlib.suppress(InputError):  # what is damaged may be the picture alone
        assert len(list(read_rows(path, "train"))) == 3


@pytest.mark.parametrize(
    "header",
    [
        b"\x19" * 2000,  # lists in lists
        b"\x1c" * 2000,  # structs in structs
        b"\x19\xf1" + b"\xff" * 8 + b"\x7f",  # a list of 2**63 truths
        b"\x19\xf7" + b"\xff" * 8 + b"\x7f",  # as many numbers
        b"\x18" + b"\xff" * 8 + b"\x7f",  # a text of as many bytes
        b"\x15" + b"\xff" * 40,  # a number without end
        b"\x1b\x00",  # a map, of which there is none
        b"",
    ],
    ids=range(8),
)
def test_no_header_is_read_for_long(header):
    with pytest.raises((IndexError, ValueError)):
        pages._read_header(io.BytesIO(header), 0)


@pytest.mark.parametrize("name", ["train.json", "train.jsonl", "train.parquet"])
def test_a_pipe_called_like_rows_is_not_waited_for(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(InputError, match="a pipe in the place of rows"):
        import_(str(tmp_path), tmp_path / "out", let_in)


def test_a_sparse_file_is_no_rows(tmp_path):
    with (tmp_path / "train.json").open("wb") as stream:
        stream.truncate(3 * 2**30)
    with pytest.raises(InputError, match="a row above 64 MiB"):
        import_(str(tmp_path), tmp_path / "out", let_in)
