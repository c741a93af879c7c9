"""What tracking reads, mends and masks, without an MLflow."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spavl.digests import import_closure
from spavl.errors import InputError
from spavl.tracking.address import artifact_location, check_named, masked, run_link
from spavl.tracking.hostile import batches, metric_name, numbers, text
from spavl.tracking.stages import StageReader, rows_after


@settings(deadline=None)  # the first call imports MLflow
@given(st.text(max_size=400))
def test_any_name_becomes_one_that_mlflow_takes(name: str) -> None:
    from mlflow.utils.validation import _validate_metric_name, _validate_param_name

    clean = metric_name(name)
    _validate_metric_name(clean)
    _validate_param_name(clean)
    assert 0 < len(clean) <= 250


def test_names_of_ours_stay_as_they_are() -> None:
    for name in ("loss", "dpo.harm_eval_usr", "system/cpu_percentage", "strata.illegal weapons"):
        assert metric_name(name) == name


@given(st.text(max_size=300), st.integers(10, 100))
def test_any_text_can_be_stored_and_is_no_longer_than_asked(value: str, most: int) -> None:
    told = text(value, most)
    assert len(told) <= most
    assert b"\0" not in told.encode()


def test_numbers_of_a_tree_are_flat() -> None:
    tree = {"a": {"b": 1, "c": "no"}, "d": True, "e": [1], "f": None, "g": 10**400}
    assert numbers(tree) == {"a.b": 1.0, "d": 1.0}


def test_batches_lose_nothing() -> None:
    assert list(batches(range(5), 2)) == [[0, 1], [2, 3], [4]]


def test_a_curve_is_read_on_from_a_step_and_bad_lines_are_left_out(tmp_path: Path) -> None:
    file = tmp_path / "curves.jsonl"
    lines = ['{"step": 1, "loss": 3}', "torn", '{"step": 2, "time": 5, "loss": 2}']
    file.write_text("\n".join(lines) + '\n{"step": 3, "lo')
    assert [(row.step, row.time, row.values) for row in rows_after(file, 0)] == [
        (1, 0.0, {"loss": 3}),
        (2, 5.0, {"loss": 2}),
    ]
    (last,) = rows_after(file, 1)
    with file.open("a") as stream:
        stream.write('ss": 1}\n')
    assert [row.step for row in rows_after(file, 2, last.end)] == [3]


def test_work_kept_from_this_runs_own_first_attempt_is_not_from_a_cache(tmp_path: Path) -> None:
    started = {"event": "started", "work": "/w/dpo/1", "process": 7}
    kept = {"event": "kept", "work": "/w/dpo/1"}
    other = {"event": "kept", "work": "/w/ppo/2"}
    told = [("dpo", started), ("dpo", {"event": "done"}), ("dpo", kept), ("ppo", other)]
    events = [{"stage": stage, "time": 1.0, **event} for stage, event in told]
    (tmp_path / "events.jsonl").write_text("".join(json.dumps(e) + "\n" for e in events))
    views = StageReader(tmp_path).read()
    assert (views["dpo"].state, views["dpo"].reused) == ("done", False)
    assert (views["ppo"].state, views["ppo"].reused) == ("done", True)


def test_passwords_are_masked() -> None:
    assert masked("at http://me:p%40ss@host:5000/x now") == "at http://***@host:5000/x now"
    assert run_link("http://me:pw@host", "1", "r") == "http://***@host/#/experiments/1/runs/r"


def test_a_local_store_keeps_artifacts_beside_it() -> None:
    assert artifact_location("sqlite:////runs/mlflow.db") == "file:///runs/mlflow-artifacts"
    assert artifact_location("http://host") is None


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("sqlite:////nowhere/at/all/mlflow.db", "no folder for MLflow's store"),
        ("./mlruns", "MLflow keeps no runs in such a place"),
        ("ftp://host/x", "MLflow keeps no runs in such a place"),
    ],
)
def test_addresses_of_no_use_are_told_at_once(
    monkeypatch: pytest.MonkeyPatch, uri: str, said: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(InputError, match=re.escape(said)):
        check_named()


def test_no_stage_runs_again_because_tracking_changed() -> None:
    closure = {name for name in import_closure("components.dpo") if "tracking" in name}
    assert closure == {"spavl.tracking", "spavl.tracking.launch"}
