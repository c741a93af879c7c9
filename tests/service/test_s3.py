"""Work on S3, against a real server: what one machine did, another goes on from."""

import io
import multiprocessing
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from spavl.environment import work_root
from spavl.errors import AwayError, BusyError, CorruptShardError, InputError
from spavl.records import SetAside
from spavl.shards import read_records
from spavl.storage import Bucket, Stored, local_copy, refreshed
from spavl.storage.copies import fetch
from spavl.storage.lease import LapsedError, Lease
from spavl.work import Stage, Work, run_stage, stage_uri
from tests.service.servers import S3Server, breaking, holding

STAGE = Stage("trial", "spavl.seeds", {"rows": 3}, {"images": "abc"})
PLACE = f"work/trial/{STAGE.digest[:32]}"
MIB = 2**20


def write_rows(work: Work) -> dict[str, int]:
    with work.writer("rows", SetAside) as writer:
        for index in range(3):
            writer.add(SetAside(str(index), "trial", "reason", "detail"))
    return {"rows": 3}


def fail_to_work(work: Work) -> dict[str, int]:
    raise AssertionError("the work was done already")


def rows_of(folder: Path) -> list[str]:
    return [row.record_id for row in read_records(folder, SetAside)]


def journal(work: Work, *lines: str) -> list[str]:
    """Append lines as a journal does; the lines that are there then."""
    path = work.folder / "journal.jsonl"
    with path.open("a") as stream:
        stream.writelines(f"{line}\n" for line in lines)
    return path.read_text().split()


def checkpoint(work: Work, step: int, content: bytes = b"weights") -> None:
    folder = work.checkpoint / f"step-{step}"
    folder.mkdir()
    (folder / "state.safetensors").write_bytes(content)
    (folder / "state.json").write_text("{}")


def test_finished_work_is_found_by_another_machine(
    s3: S3Server, tmp_path: Path, another_machine: Callable[[], None]
) -> None:
    run_stage(STAGE, write_rows, {"rows": tmp_path / "one"})
    assert stage_uri(STAGE) == f"s3://spa-vl/{PLACE}"
    assert s3.names() == {
        f"{PLACE}.writer",
        f"{PLACE}/commit.json",
        f"{PLACE}/rows/manifest.json",
        f"{PLACE}/rows/part-00000.parquet",
    }
    another_machine()
    assert run_stage(STAGE, fail_to_work, {"rows": tmp_path / "two"}) == {"rows": 3}
    for folder in (tmp_path / "one", tmp_path / "two", local_copy(f"{stage_uri(STAGE)}/rows")):
        assert rows_of(folder) == ["0", "1", "2"]


def test_unfinished_work_is_gone_on_with_by_another_machine_and_then_by_the_first(
    s3: S3Server, another_machine: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def begin(work: Work) -> dict[str, int]:
        journal(work, "1", "2")
        checkpoint(work, 1)
        checkpoint(work, 2)
        (work.folder / "half.tmp").write_text("not to be seen elsewhere")
        raise InputError("a bad row", "row 3", "mend it")

    def go_on(work: Work) -> dict[str, int]:
        assert journal(work, "3") == ["1", "2", "3"]
        assert sorted(path.name for path in work.checkpoint.iterdir()) == ["step-1", "step-2"]
        assert not (work.folder / "half.tmp").exists()
        for path in (work.checkpoint / "step-1").iterdir():
            path.unlink()
        work.progress(1, 2, "rows")
        raise InputError("a bad row", "row 4", "mend it")

    def end(work: Work) -> dict[str, int]:
        found = journal(work)
        assert [path.parent.name for path in work.checkpoint.glob("*/state.json")] == ["step-2"]
        return {"lines": len(found)}

    first = os.environ["SPAVL_SCRATCH"]
    with pytest.raises(InputError, match="row 3"):
        run_stage(STAGE, begin)
    another_machine()
    with pytest.raises(InputError, match="row 4"):
        run_stage(STAGE, go_on)
    monkeypatch.setenv("SPAVL_SCRATCH", first)  # its own copy is older than what lies on S3
    assert run_stage(STAGE, end) == {"lines": 3}
    assert not [name for name in s3.names() if "checkpoint" in name or "half" in name]


def test_a_checkpoint_that_is_dropped_amid_its_copy_leaves_the_one_before(
    s3: S3Server, another_machine: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trainers of several processes go on while their work is copied."""
    upload = Bucket.upload

    def train(work: Work) -> dict[str, int]:
        checkpoint(work, 1)
        work.progress(1, 9, "steps")
        shutil.rmtree(work.checkpoint / "step-1")
        checkpoint(work, 2)
        monkeypatch.setattr(Bucket, "upload", upload_while_trained)
        work.progress(2, 9, "steps")
        raise KeyboardInterrupt  # ends at once, as kill -9 does

    def upload_while_trained(self: Bucket, path: Path, name: str) -> None:
        upload(self, path, name)
        if path.name == "state.safetensors":
            shutil.rmtree(path.parent)

    def go_on(work: Work) -> dict[str, int]:
        whole = work.checkpoint.glob("*/state.json")
        return {"step": max(int(path.parent.name.removeprefix("step-")) for path in whole)}

    with pytest.raises(KeyboardInterrupt):
        run_stage(STAGE, train)
    monkeypatch.setattr(Bucket, "upload", upload)
    another_machine()
    assert run_stage(STAGE, go_on) == {"step": 1}


def test_what_stages_share_beside_their_work_is_there_for_another_machine(
    s3: S3Server, another_machine: Callable[[], None]
) -> None:
    def pay(work: Work) -> dict[str, int]:
        paid = refreshed(work_root() / "paid" / "model")
        paid.mkdir(parents=True)
        with (paid / "one.jsonl").open("w") as stream:
            for line in ("1", "2"):
                stream.write(f"{line}\n")
                stream.flush()
                work.progress(1, 2, "answers")
        raise InputError("a bad row", "row 3", "mend it")

    with pytest.raises(InputError):
        run_stage(STAGE, pay)
    another_machine()
    assert (refreshed(work_root() / "paid" / "model") / "one.jsonl").read_text() == "1\n2\n"


def test_wrong_credentials_end_the_stage_before_any_work(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
    with pytest.raises(InputError, match=r"^S3 refuses these credentials \(.*\) \(s3://spa-vl/"):
        run_stage(STAGE, fail_to_work)
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(InputError, match="no credentials for S3"):
        run_stage(STAGE, fail_to_work)


def test_a_bucket_that_vanishes_ends_the_stage_and_takes_nothing_with_it(
    s3: S3Server, tmp_path: Path
) -> None:
    def lose_bucket(work: Work) -> dict[str, int]:
        journal(work, "1", "2")
        s3.lose()
        work.progress(1, 2, "rows")
        raise AssertionError("not noticed")

    def go_on(work: Work) -> dict[str, int]:
        assert journal(work, "3") == ["1", "2", "3"]
        return write_rows(work)

    with pytest.raises(InputError, match=r"^no such bucket \(s3://spa-vl/\): make it"):
        run_stage(STAGE, lose_bucket)
    s3.empty()
    run_stage(STAGE, go_on, {"rows": tmp_path / "rows"})
    assert rows_of(tmp_path / "rows") == ["0", "1", "2"]


def test_a_server_that_stops_amid_a_write_costs_nothing_once_it_is_back(
    s3: S3Server, tmp_path: Path, another_machine: Callable[[], None]
) -> None:
    """The large file goes up in parts; the server dies when some of them have arrived."""

    def write_much(work: Work) -> dict[str, int]:
        (work.folder / "large.bin").write_bytes(os.urandom(72 * MIB))
        threading.Thread(target=die_amid).start()
        return write_rows(work)

    def die_amid() -> None:
        while not any((s3.folder / "data").rglob("*part*")):
            time.sleep(0.01)
        s3.kill()

    with pytest.raises(AwayError, match=r"^S3 does not answer \(http://127.0.0.1:.*try again"):
        run_stage(STAGE, write_much, {"rows": tmp_path / "one"})
    assert AwayError.exit_code == 75
    s3.start()
    assert f"{PLACE}/commit.json" not in s3.names()
    assert run_stage(STAGE, fail_to_work, {"rows": tmp_path / "one"}) == {"rows": 3}
    one = local_copy(f"{stage_uri(STAGE)}/large.bin").read_bytes()
    another_machine()
    assert run_stage(STAGE, fail_to_work, {"rows": tmp_path / "two"}) == {"rows": 3}
    assert rows_of(tmp_path / "one") == rows_of(tmp_path / "two") == ["0", "1", "2"]
    assert local_copy(f"{stage_uri(STAGE)}/large.bin").read_bytes() == one


def test_work_goes_on_while_the_server_is_away_and_says_so(
    s3: S3Server, capsys: pytest.CaptureFixture[str]
) -> None:
    def work_alone(work: Work) -> dict[str, int]:
        s3.kill()
        work.progress(1, 3, "rows")
        s3.start()
        return write_rows(work)

    assert run_stage(STAGE, work_alone) == {"rows": 3}
    assert "going on, and kept here for now: S3 does not answer" in capsys.readouterr().out


def hold(name: str, claimant: str, held: "multiprocessing.synchronize.Event") -> None:
    with Lease(Bucket("spa-vl"), name).held(claimant, 30):
        held.set()
        time.sleep(60)


def test_a_writer_is_waited_for_while_it_lives_and_not_longer(s3: S3Server) -> None:
    context = multiprocessing.get_context("spawn")
    held = context.Event()
    holder = context.Process(target=hold, args=("work/x", "one", held))
    holder.start()
    assert held.wait(30)
    lease = Lease(Bucket("spa-vl"), "work/x")
    with pytest.raises(BusyError, match="another process holds"), lease.held("two", patience=9):
        pass  # longer than the lease: the holder renews it
    assert holder.pid is not None
    os.kill(holder.pid, signal.SIGKILL)
    holder.join()
    with lease.held("two", patience=40):
        lease.check()
    assert s3.names() == set()


def test_a_renewal_that_was_held_back_gives_no_right_and_takes_none(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reaches the server when another holds the lease: a claim anew, of which nothing comes."""
    with holding(s3.port, b"/work/late.lock/") as way:
        monkeypatch.setenv("AWS_ENDPOINT_URL", way.uri)
        first = Lease(Bucket("spa-vl"), "work/late")
        first.acquire("one", patience=30)
        first.check()
        way.hold()
        faults: list[BusyError | AwayError] = []

        def renew() -> None:
            try:
                first.renew()
            except (BusyError, AwayError) as error:
                faults.append(error)

        renewing = threading.Thread(target=renew)
        renewing.start()
        assert way.held.wait(30)
        monkeypatch.setenv("AWS_ENDPOINT_URL", s3.uri)
        second = Lease(Bucket("spa-vl"), "work/late")
        with second.held("two", patience=60):
            with pytest.raises(LapsedError):  # the first one's right was over by then
                first.require()
            way.let_through()
            renewing.join(60)
            assert faults
            with pytest.raises(BusyError):
                first.check()
            second.check()
            assert {name.split("/")[2].split(".")[0] for name in s3.names()} == {"two"}
    assert s3.names() == set()


def test_of_many_that_want_to_write_one_does_at_a_time(s3: S3Server) -> None:
    inside, most, order = [], [], []

    def work(claimant: str) -> None:
        with Lease(Bucket("spa-vl"), "work/x").held(claimant, patience=60):
            inside.append(claimant)
            most.append(len(inside))
            time.sleep(0.2)
            inside.remove(claimant)
            order.append(claimant)

    threads = [threading.Thread(target=work, args=(str(number),)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1
    assert sorted(order) == ["0", "1", "2"]


def test_who_was_taken_for_dead_writes_no_more(s3: S3Server) -> None:
    def lose_the_lease(work: Work) -> dict[str, int]:
        (claim,) = (name for name in s3.names() if ".lock/" in name)
        s3.client.remove_object("spa-vl", claim)
        return write_rows(work)

    with pytest.raises(BusyError, match="another process took over"):
        run_stage(STAGE, lose_the_lease)
    assert f"{PLACE}/commit.json" not in s3.names()


def test_a_download_that_breaks_is_taken_up_where_it_broke(
    s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = os.urandom(10 * MIB)
    (tmp_path / "large").write_bytes(content)
    Bucket("spa-vl").upload(tmp_path / "large", "models/large")
    with breaking(s3.port, after=4 * MIB, times=2) as way:
        monkeypatch.setenv("AWS_ENDPOINT_URL", way)
        monkeypatch.setattr("spavl.storage.bucket.TRIES", 3)
        assert local_copy("s3://spa-vl/models/large").read_bytes() == content


def test_a_damaged_object_is_refused_by_name_and_its_work_done_anew(
    s3: S3Server, another_machine: Callable[[], None]
) -> None:
    run_stage(STAGE, write_rows)
    [shard] = (s3.folder / "data").rglob("part-00000.parquet")
    shard.write_bytes(shard.read_bytes()[:-1] + b"x")
    another_machine()
    later = Stage("later", "spavl.seeds", {}, {})

    def read(work: Work) -> dict[str, int]:
        return {"rows": len(rows_of(local_copy(f"{stage_uri(STAGE)}/rows")))}

    with pytest.raises(CorruptShardError, match=r"s3://.*part-00000.parquet does not match"):
        run_stage(later, read)
    run_stage(STAGE, write_rows)
    assert run_stage(later, read) == {"rows": 3}


def test_what_somebody_else_left_damaged_is_refused_and_stays(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that carries a checksum of another content: it is not ours to remove."""
    s3.client.put_object(
        "spa-vl", "a/b/model", io.BytesIO(b"x"), 1, metadata={"sha256": "of another"}
    )
    monkeypatch.setenv("SPAVL_WORK_ROOT", "s3://spa-vl")
    with pytest.raises(CorruptShardError, match="s3://spa-vl/a/b/model does not match"):
        run_stage(STAGE, lambda work: {"path": str(local_copy("s3://spa-vl/a/b/model"))})
    assert "a/b/model" in s3.names()


@pytest.mark.parametrize("name", ["work/../../x", "work//x", "work/x/..", "work/./x", "/x"])
def test_an_object_whose_name_would_leave_its_folder_is_refused(s3: S3Server, name: str) -> None:
    with pytest.raises(InputError, match="a name that is no file's"):
        fetch(Bucket("spa-vl"), [Stored(name, 1, 0.0, "")])


def test_an_address_where_nothing_lies_is_told(s3: S3Server) -> None:
    with pytest.raises(InputError, match=r"^nothing lies there \(s3://spa-vl/models/none\)"):
        local_copy("s3://spa-vl/models/none")
    with pytest.raises(InputError, match="no address on S3"):
        local_copy("s3:///models")


def test_places_here_cost_no_look_at_s3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPAVL_WORK_ROOT", str(tmp_path / "work"))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    assert local_copy(str(tmp_path)) == local_copy(f"file://{tmp_path}") == tmp_path
    assert stage_uri(STAGE) == str(tmp_path / "work/trial" / STAGE.digest[:32])
    assert run_stage(STAGE, write_rows, {"rows": tmp_path / "rows"}) == {"rows": 3}
    assert not list(tmp_path.rglob(".writer"))
