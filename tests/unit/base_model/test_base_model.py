"""The base model: trained once and kept, or a folder that is checked before anything is loaded."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from components.base_model import prepare
from components.base_model.pocket_cache import commit_folder
from spavl.digests import folder_digest
from spavl.errors import InputError
from tests.unit.models.tiny import save_tiny

SMALL = {
    "threads": 1,
    "pocket": {
        "tower_width": 16,
        "tower_layers": 1,
        "tower_pictures": 72,
        "tower_steps": 1,
        "tower_batch": 8,
        "text_width": 16,
        "text_layers": 1,
        "heads": 2,
        "rows": 100,
        "row_pictures": 72,
    },
}


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SPAVL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def model(tmp_path):
    return save_tiny(tmp_path / "model")


@pytest.fixture(autouse=True)
def work_root(tmp_path, monkeypatch):
    monkeypatch.setenv("SPAVL_WORK_ROOT", str(tmp_path / "work"))


def given(folder):
    return prepare({"source": "path", "path": str(folder)})


def test_the_pocket_base_is_trained_once_and_outlives_the_work_root(cache, tmp_path, monkeypatch):
    first = prepare(SMALL)
    assert Path(first.uri).parent == cache / "base_models"
    assert first.digest == folder_digest(Path(first.uri))
    written = {path: path.stat().st_mtime_ns for path in Path(first.uri).iterdir()}
    monkeypatch.setenv("SPAVL_WORK_ROOT", str(tmp_path / "new"))
    assert prepare(SMALL) == first
    assert {path: path.stat().st_mtime_ns for path in Path(first.uri).iterdir()} == written
    assert not (tmp_path / "new" / "base_model_training").exists()


def test_another_seed_is_another_base_and_a_lost_cache_is_filled_from_the_work(cache):
    first = prepare(SMALL)
    other = prepare({**SMALL, "seed": 7})
    assert other.uri != first.uri
    assert other.digest != first.digest
    cache.rename(cache.with_name("lost"))
    assert prepare(SMALL) == first


def test_two_processes_at_once_get_one_whole_base(cache, tmp_path):
    code = (
        "import json, sys\n"
        "from components.base_model import prepare\n"
        "print(json.dumps(prepare(json.loads(sys.argv[1]))))\n"
    )
    both = [
        subprocess.Popen([sys.executable, "-c", code, json.dumps(SMALL)], stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    handles = [json.loads(each.communicate()[0].splitlines()[-1]) for each in both]
    assert handles[0] == handles[1]
    assert [path.name for path in (cache / "base_models").iterdir()] == [Path(handles[0][0]).name]
    assert folder_digest(Path(handles[0][0])) == handles[0][1]


def test_a_commit_that_comes_second_leaves_the_first_alone(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "weights").write_text(name)
    commit_folder(tmp_path / "one", tmp_path / "kept" / "base")
    commit_folder(tmp_path / "two", tmp_path / "kept" / "base")
    assert (tmp_path / "kept" / "base" / "weights").read_text() == "one"
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["base"]


def test_a_given_folder_is_named_by_its_content(model, tmp_path):
    first = given(model)
    assert first.uri == str(model)
    (model / "README.md").write_text("changed")
    assert given(model).digest != first.digest


def break_config(model):
    (model / "config.json").write_text("{")


def bring_code(model):
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModel": "x.Y"}}))


def add_pickle(model):
    (model / "model.safetensors").rename(model / "pytorch_model.bin")


def cut_weights(model):
    path = model / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-10])


def cut_header(model):
    path = model / "model.safetensors"
    path.write_bytes(path.read_bytes()[:20])


def lose_weights(model):
    (model / "model.safetensors").unlink()


def lose_a_shard(model):
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors"}}
    (model / "model.safetensors.index.json").write_text(json.dumps(index))


def lead_outside(model):
    index = {"weight_map": {"a": "../model.safetensors"}}
    (model / "model.safetensors.index.json").write_text(json.dumps(index))


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (break_config, "not JSON"),
        (bring_code, "code of its own"),
        (add_pickle, r"pickled weights.*pytorch_model\.bin"),
        (cut_weights, "bytes instead of"),
        (cut_header, "not safetensors"),
        (lose_weights, "weights are missing"),
        (lose_a_shard, "00001-of-00002"),
        (lead_outside, "weights are missing"),
    ],
)
def test_a_folder_that_cannot_be_loaded_safely_is_bad_input(model, damage, told):
    given(model)
    damage(model)
    with pytest.raises(InputError, match=told):
        given(model)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"source": "path"}, r"base_model\.path"),
        ({"source": "path", "path": "/no/such/folder"}, "no such folder"),
        ({"source": "hub"}, r"base_model\.source"),
        ({"pocket": {"tower_steps": 0}}, r"base_model\.pocket\.tower_steps"),
    ],
)
def test_wrong_settings_are_named(settings, told):
    with pytest.raises(InputError, match=told):
        prepare(settings)


def test_a_folder_without_a_model_is_bad_input(tmp_path):
    with pytest.raises(InputError, match=r"config\.json"):
        given(tmp_path)


def test_what_is_wrong_is_left_in_the_run_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SPAVL_RUN_FOLDER", str(tmp_path / "run"))
    with pytest.raises(InputError):
        given(tmp_path / "missing")
    told = json.loads((tmp_path / "run" / "error.json").read_text())
    assert (told["stage"], told["exit_code"]) == ("base_model", 2)
