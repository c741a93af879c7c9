"""Prometheus reads a running stage's figures at its process, as a pod gives them."""

import socket
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from spavl.events import EventReader, tell
from spavl.metrics import PORT
from spavl.work import Stage, Work, run_stage

STAGE = Stage("dpo", "spavl.seeds", {}, {})


@pytest.fixture
def port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free: int = probe.getsockname()[1]
    monkeypatch.setenv("SPAVL_WORK_ROOT", str(tmp_path / "work"))
    monkeypatch.setenv("SPAVL_RUN_FOLDER", str(tmp_path / "run"))
    monkeypatch.setenv(PORT, str(free))
    return free


def scraped(port: int) -> dict[tuple[str, ...], float]:
    """Every sample, by its name and its labels' values in the order of their names."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
    }


def test_a_running_stage_tells_progress_and_metrics_and_then_lets_go_of_its_port(
    port: int, tmp_path: Path
) -> None:
    tell("dpo", "progress", done=9, total=9, unit="steps", metrics={"loss": 9.0})  # an earlier try

    def body(work: Work) -> dict[str, int]:
        before = scraped(port)
        assert not [key for key in before if key[0] == "spavl_stage_done_total"]
        tell("ppo", "progress", done=1, total=2, unit="rollouts", metrics={})
        tell("dpo", "progress", done=3, total=40, unit="steps", metrics={"loss": 0.5})
        tell("dpo", "progress", done=4, total=40, unit="steps", metrics={"accuracy": 0.75})
        now = scraped(port)
        assert now["spavl_stage_done_total", "dpo", "steps"] == 4
        assert now["spavl_stage_planned", "dpo", "steps"] == 40
        assert now["spavl_stage_metric", "loss", "dpo"] == 0.5
        assert now["spavl_stage_metric", "accuracy", "dpo"] == 0.75
        assert not [key for key in now if "ppo" in key]
        assert time.time() - now["spavl_stage_told_timestamp_seconds", "dpo"] < 60
        assert now["process_resident_memory_bytes",] > 1e6
        return {}

    run_stage(STAGE, body)
    with pytest.raises(urllib.error.URLError):
        scraped(port)


@pytest.mark.parametrize("given", ["taken", "metrics", "70000"])
def test_a_port_that_cannot_be_had_is_told_and_stops_nothing(
    given: str, port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("", port)):
        monkeypatch.setenv(PORT, str(port) if given == "taken" else given)
        assert run_stage(STAGE, lambda work: {"rows": 3}) == {"rows": 3}
    notes = [e["text"] for e in EventReader(tmp_path / "run").new() if e["event"] == "note"]
    assert len(notes) == 1
    assert notes[0].startswith("no metrics for Prometheus: SPAVL_METRICS_PORT=")


def test_nothing_listens_where_no_port_is_named(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PORT)

    def body(work: Work) -> dict[str, int]:
        with pytest.raises(urllib.error.URLError):
            scraped(port)
        return {}

    run_stage(STAGE, body)
