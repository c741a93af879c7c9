"""The data contract holds: what is written is read, and what is damaged is refused by name."""

import dataclasses
import signal
import subprocess
import sys
import textwrap
import tracemalloc
from pathlib import Path

import pyarrow
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spavl.errors import CorruptShardError, InputError
from spavl.images import ImageStore
from spavl.records import Image, Maker, Question, SetAside, record_id, schema_of
from spavl.shards import DatasetWriter, read_manifest, read_records, read_tables


def question(index: int) -> Question:
    return Question(
        record_id("q", str(index)),
        f"image-{index}",
        "easy_question",
        f"What? {index}",
        "a cup",
        Maker("writer", "easy.v1"),
    )


def write(folder: Path, rows: int, per_shard: int = 10) -> None:
    with DatasetWriter(folder, Question, {"stage": "t"}, {"x": "1"}, per_shard) as writer:
        for index in range(rows):
            writer.add(question(index))


def test_what_is_written_is_read_in_order(tmp_path: Path) -> None:
    write(tmp_path / "set", 25)
    assert list(read_records(tmp_path / "set", Question)) == [question(i) for i in range(25)]
    manifest = read_manifest(tmp_path / "set")
    assert [shard.rows for shard in manifest.shards] == [10, 10, 5]
    assert manifest.inputs == {"x": "1"}


def test_the_digest_names_the_rows_whatever_they_were_made_from(tmp_path: Path) -> None:
    write(tmp_path / "a", 25)
    with DatasetWriter(tmp_path / "b", Question, {"stage": "other"}, {}, 10) as writer:
        for index in range(25):
            writer.add(question(index))
    write(tmp_path / "c", 24)
    first, second, third = (read_manifest(tmp_path / name).digest for name in "abc")
    assert first == second != third


def test_a_changed_byte_is_refused_with_the_shards_name(tmp_path: Path) -> None:
    write(tmp_path / "set", 25)
    shard = tmp_path / "set" / "part-00001.parquet"
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    with pytest.raises(CorruptShardError, match="part-00001"):
        list(read_records(tmp_path / "set", Question))


def test_a_missing_shard_is_refused_with_its_name(tmp_path: Path) -> None:
    write(tmp_path / "set", 25)
    (tmp_path / "set" / "part-00002.parquet").unlink()
    with pytest.raises(CorruptShardError, match="part-00002"):
        list(read_records(tmp_path / "set", Question))


def test_an_error_while_writing_commits_nothing(tmp_path: Path) -> None:
    def write_until_the_power_is_cut() -> None:
        with DatasetWriter(tmp_path / "set", Question, rows_per_shard=2) as writer:
            for index in range(5):
                writer.add(question(index))
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        write_until_the_power_is_cut()
    with pytest.raises(InputError, match="no finished data set"):
        read_manifest(tmp_path / "set")


def test_kill_9_while_writing_commits_nothing_and_a_second_try_is_whole(tmp_path: Path) -> None:
    script = textwrap.dedent(
        f"""
        import os, signal
        from spavl.records import SetAside
        from spavl.shards import DatasetWriter
        with DatasetWriter({str(tmp_path / "set")!r}, SetAside, rows_per_shard=3) as writer:
            for index in range(100):
                writer.add(SetAside(str(index), "s", "r", "d"))
                if index == 50:
                    os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    ended = subprocess.run([sys.executable, "-c", script], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert list((tmp_path / "set").glob("part-*.parquet"))
    with pytest.raises(InputError):
        read_manifest(tmp_path / "set")
    with DatasetWriter(tmp_path / "set", SetAside) as writer:
        writer.add(SetAside("1", "s", "r", "d"))
    assert len(list((tmp_path / "set").glob("part-*"))) == 1


def test_a_data_set_of_another_record_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "set", 1)
    with pytest.raises(InputError, match="a data set of Question"):
        list(read_records(tmp_path / "set", SetAside))


def test_a_record_of_another_class_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError), DatasetWriter(tmp_path / "set", Question) as writer:
        writer.add(SetAside("1", "s", "r", "d"))


def test_reading_streams(tmp_path: Path) -> None:
    rows, text = 20_000, "x" * 1000
    with DatasetWriter(tmp_path / "set", SetAside, rows_per_shard=2000) as writer:
        for index in range(rows):
            writer.add(SetAside(str(index), "s", "r", text + str(index)))
    tracemalloc.start()
    assert sum(1 for _ in read_records(tmp_path / "set", SetAside)) == rows
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < rows * len(text) / 4


def test_nullable_follows_the_types() -> None:
    schema = schema_of(Image)
    assert schema.field("class3").nullable
    assert not schema.field("image_id").nullable


def test_id_parts_do_not_run_together() -> None:
    assert record_id("ab", "c") != record_id("a", "bc")
    assert record_id("ab", "c") == record_id("ab", "c")


def test_image_store_reads_any_order(tmp_path: Path) -> None:
    images = [
        Image(f"id{i}", bytes([i]) * 10, "image/png", 1, 1, "s", "unknown", None, None, None, None)
        for i in range(200)
    ]
    with DatasetWriter(tmp_path / "images", Image) as writer:
        for image in images:
            writer.add(image)
    store = ImageStore(f"file://{tmp_path / 'images'}")
    assert len(store) == 200
    assert [store.content(f"id{i}")[0] for i in (150, 3, 199, 64)] == [150, 3, 199, 64]
    assert [facts.image_id for facts in store.facts()] == [image.image_id for image in images]
    with pytest.raises(InputError, match="no picture"):
        store.content("absent")


def test_a_full_disk_commits_nothing(tmp_path: Path) -> None:
    script = textwrap.dedent(
        f"""
        import random, resource, signal
        from spavl.records import SetAside
        from spavl.shards import DatasetWriter
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
        with DatasetWriter({str(tmp_path / "set")!r}, SetAside, rows_per_shard=500) as writer:
            for index in range(2000):
                writer.add(SetAside(str(random.random()), "s", "r", str(random.random())))
        """
    )
    ended = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True)
    assert ended.returncode == 1
    with pytest.raises(InputError):
        read_manifest(tmp_path / "set")


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 25)), max_size=8))
@settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_shards_hang_on_the_rows_alone_not_on_how_they_came(
    tmp_path: Path, parts: list[tuple[bool, int]]
) -> None:
    total = sum(size for _, size in parts)
    write(tmp_path / "one by one", total)
    begin = 0
    with DatasetWriter(tmp_path / "in parts", Question, rows_per_shard=10) as writer:
        for as_table, size in parts:
            rows = [question(index) for index in range(begin, begin + size)]
            begin += size
            if as_table:
                columns = [dataclasses.asdict(row) for row in rows]
                writer.add_table(pyarrow.Table.from_pylist(columns, schema_of(Question)))
            for row in () if as_table else rows:
                writer.add(row)
    manifests = [read_manifest(tmp_path / name) for name in ("one by one", "in parts")]
    assert manifests[0].shards == manifests[1].shards
    assert list(read_records(tmp_path / "in parts", Question)) == [
        question(index) for index in range(total)
    ]


@pytest.mark.parametrize("cut", range(5))
def test_a_cut_at_any_shard_leaves_no_trace(tmp_path: Path, cut: int) -> None:
    """What was written before the cut is written again, to the same bytes."""

    def copy(folder: Path, fail_at: int | None = None) -> None:
        with DatasetWriter(folder, Question, rows_per_shard=10) as writer:
            for number, table in enumerate(read_tables(tmp_path / "set", Question)):
                if number == fail_at:
                    raise RuntimeError("power cut")
                writer.add_table(table)

    write(tmp_path / "set", 45)
    copy(tmp_path / "whole")
    with pytest.raises(RuntimeError):
        copy(tmp_path / "cut", fail_at=cut)
    copy(tmp_path / "cut")
    files = [sorted(folder.iterdir()) for folder in (tmp_path / "whole", tmp_path / "cut")]
    assert [path.name for path in files[0]] == [path.name for path in files[1]]
    assert [path.read_bytes() for path in files[0]] == [path.read_bytes() for path in files[1]]
