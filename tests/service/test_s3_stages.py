"""Stages with sources, work and outputs on S3, against a real server."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from components.ablation.points import draw_points
from components.base_model import prepare
from components.collection import collect
from components.collection.objects import listed
from components.dpo import train
from components.importing import import_data, import_splits, require_whole
from components.reporting.files import share_beside_work
from components.reporting.publishing import publish
from pipelines.preflight import check_bucket
from spavl.environment import work_root
from spavl.errors import AwayError, InputError
from spavl.images import ImageStore
from spavl.points import read_points
from spavl.published.sources import addresses_of
from spavl.records import Image, Preference, SetAside
from spavl.shards import read_records
from spavl.storage import local_copy
from spavl.work import Reference
from tests.local.test_trainers_survive import PAIRS, PROGRAM, ROOT
from tests.service.servers import S3Server
from tests.unit.ablation.test_points import SETTINGS, data_sets
from tests.unit.alignment.worlds import make_world
from tests.unit.collection.hostile import encoded, photo, text_bomb
from tests.unit.reporting.conftest import Plan, build

OWN_ONLY = {"pocket_pictures": 0, "threads": 1, "max_bytes": 400_000}
ABLATION = """
seeds: [1, 2]
variants: {few: {rows: {pairs: 4}}}
axes: {scale: {by: pairs, variants: [few]}}
"""
LONG = {**PAIRS, "num_train_epochs": 10}  # 60 steps


def files() -> dict[str, bytes]:
    """Good ones and others; in the order that both kinds of source have."""
    return {
        "a.png": encoded(photo(seed=1)),
        "b.jpg": encoded(photo(seed=2), "JPEG"),
        "c.png": b"<html>no picture</html>",
        "d.png": text_bomb(),
        "e.png": b"",
        "f.png": b"x" * 400_001,
        "g/deep ünï.png": encoded(photo(seed=3)),
        "g/same.png": encoded(photo(seed=1)),
    }


def fill(s3: S3Server, folder: Path, objects: dict[str, bytes]) -> None:
    for name, content in objects.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        s3.client.fput_object(s3.bucket, f"photos/{name}", str(place))


def test_pictures_of_a_prefix_are_those_of_a_folder(
    s3: S3Server,
    tmp_path: Path,
    another_machine: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Hostile objects too: each is set aside for the reason that a file would be."""
    fill(s3, tmp_path / "photos", files())
    settings = {**OWN_ONLY, "s3_prefix": "s3://spa-vl/photos"}
    from_s3 = collect(settings, "", "")
    assert from_s3.uri.startswith("s3://spa-vl/work/collection/")
    assert collect(settings, "", "") == from_s3
    monkeypatch.setenv("SPAVL_WORK_ROOT", str(tmp_path / "work"))
    from_folder = collect(OWN_ONLY, str(tmp_path / "photos"), "")
    assert from_s3.digest == from_folder.digest
    another_machine()
    for record in (Image, SetAside):
        one, other = (
            list(read_records(local_copy(f"{uri}{below}"), record))
            for uri in (from_s3.uri, from_folder.uri)
            for below in ("/set_asides" if record is SetAside else "",)
        )
        assert one == other
    assert len(ImageStore(from_s3.uri)) == 3
    assert {row.reason for row in read_records(local_copy(f"{from_s3.uri}/set_asides"), SetAside)}


def test_another_object_is_another_collection(s3: S3Server, tmp_path: Path) -> None:
    told = []
    for content in (b"one", b"one", b"two"):
        fill(s3, tmp_path, {"a.png": content})
        told.append(listed("s3://spa-vl/photos"))
    assert [each.count for each in told] == [1, 1, 1]
    assert told[0].digest == told[1].digest != told[2].digest
    assert listed("s3://spa-vl/phot").count == 0  # a prefix is a folder, not a beginning


def when_there_is(s3: S3Server, ending: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 120
    while not any(name.endswith(ending) for name in s3.names()):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_training_that_is_killed_is_gone_on_with_elsewhere_to_the_same_weights(
    s3: S3Server,
    tmp_path: Path,
    another_machine: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """kill -9 of DPO in mid-work; another machine has nothing but what lies on S3."""
    world = make_world(tmp_path / "world")
    for path in Path(world.base.uri).iterdir():
        s3.client.fput_object(s3.bucket, f"models/tiny/{path.name}", str(path))
    base = prepare({"source": "path", "path": "s3://spa-vl/models/tiny"})
    assert base.uri == "s3://spa-vl/models/tiny"

    arguments = [LONG, world.train, world.validation, world.images, Reference(*base)]
    killed = subprocess.Popen(
        [
            sys.executable,
            "-c",
            PROGRAM,
            "dpo",
            json.dumps(arguments, default=vars),
            str(tmp_path / "a"),
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    when_there_is(s3, "/state.json", killed)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait(10) == -signal.SIGKILL
    assert not any(name.endswith("dpo/commit.json") for name in s3.names())

    another_machine()
    capsys.readouterr()
    resumed = local_copy(train(*arguments).uri)
    told = capsys.readouterr().out
    assert "0 pairs computed" in told  # the reference's log-probs were on S3 as well

    monkeypatch.setenv("SPAVL_WORK_ROOT", str(tmp_path / "work"))
    undisturbed = local_copy(train(*arguments).uri)
    one, other = (load_file(each / "model.safetensors") for each in (resumed, undisturbed))
    assert all(torch.equal(one[name], other[name]) for name in one)
    steps = [
        [json.loads(line)["step"] for line in (each / "curves.jsonl").open()]
        for each in (resumed, undisturbed)
    ]
    assert steps[0] == steps[1] == list(range(1, 61))


def test_the_champion_and_the_report_lie_on_s3(
    s3: S3Server, tmp_path: Path, another_machine: Callable[[], None]
) -> None:
    made = build(tmp_path / "made", Plan())
    output = str(tmp_path / "output")
    champion = publish({}, "ppo", made.ppo, made.figures, made.decision, output)
    assert champion["folder"] == "s3://spa-vl/work/champion/ppo-digest"
    run = tmp_path / "runs" / "one"
    run.mkdir(parents=True)
    (run / "report.html").write_text("<p>report</p>")
    share_beside_work(run, ["report.html"])
    another_machine()
    assert json.loads(local_copy("s3://spa-vl/work/champion/champion.json").read_text()) == champion
    folder = local_copy(champion["folder"])
    assert (folder / "model.safetensors").read_bytes() == b"weights of ppo"
    assert (folder / "README.md").is_file()
    assert local_copy("s3://spa-vl/work/runs/one/report.html").read_text() == "<p>report</p>"


def test_what_can_be_known_of_s3_is_told_before_a_run(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_bucket("s3://spa-vl/work")
    check_bucket("/work")
    with pytest.raises(InputError, match=r"^no such bucket \(s3://none/\)"):
        check_bucket("s3://none/work")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "127.0.0.1:9000")
    with pytest.raises(InputError, match="no address of an S3 server"):
        check_bucket("s3://spa-vl/work")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(AwayError, match="S3 does not answer"):
        check_bucket("s3://spa-vl/work")


def test_a_data_set_on_s3_is_handed_to_a_run_whole_or_not_at_all(
    s3: S3Server, tmp_path: Path, another_machine: Callable[[], None]
) -> None:
    folder = data_sets(tmp_path / "made-elsewhere")
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        s3.client.fput_object(s3.bucket, f"data/{path.relative_to(folder)}", str(path))
    outputs = {name: str(tmp_path / "out" / name) for name in ("train", "validation", "test")}
    found = import_splits("s3://spa-vl/data", outputs)
    assert found.images_uri == "s3://spa-vl/data/images"
    assert len(list(read_records(outputs["train"], Preference))) == 10
    require_whole("s3://spa-vl/data")
    with pytest.raises(InputError, match="nothing lies there"):
        require_whole("s3://spa-vl/dat")
    train = folder / "train" / "part-00000.parquet"
    s3.client.fput_object(s3.bucket, "data/test/part-00000.parquet", str(train))
    another_machine()
    with pytest.raises(InputError, match=r"does not match its checksum .*import or copy"):
        require_whole("s3://spa-vl/data")


def test_a_run_whose_work_is_on_s3_is_found_there_from_its_folder(
    s3: S3Server, tmp_path: Path
) -> None:
    stages = tmp_path / "runs" / "one" / "stages"
    stages.mkdir(parents=True)
    for stage in ("collection", "splitting"):
        work = work_root() / stage / "0123"
        (stages / f"{stage}.json").write_text(json.dumps({"work": str(work)}))
    found = addresses_of(str(tmp_path / "runs" / "one"))
    assert found.images == "s3://spa-vl/work/collection/0123/images"
    assert found.train == "s3://spa-vl/work/splitting/0123/train"


def test_an_ablation_draws_its_points_from_a_data_set_on_s3(
    s3: S3Server, tmp_path: Path, another_machine: Callable[[], None]
) -> None:
    folder = data_sets(tmp_path / "made-elsewhere")
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        s3.client.fput_object(s3.bucket, f"data/{path.relative_to(folder)}", str(path))
    imported = import_data("s3://spa-vl/data")
    assert imported.train == "s3://spa-vl/data/train"
    drawn = draw_points(ABLATION, [], SETTINGS, imported)
    another_machine()
    points = read_points(drawn.points_uri)
    for seed in (1, 2):
        place = points[f"few-s{seed}"].train
        assert place.startswith("s3://spa-vl/work/points/")
        assert len(list(read_records(local_copy(place), Preference))) == 4
