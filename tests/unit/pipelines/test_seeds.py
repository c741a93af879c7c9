"""Runs over seeds: what a seed touches, and figures whose intervals hold seeds and items."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from rich.console import Console

from components.configuration import resolve
from pipelines.local_run import RunRequest
from pipelines.seeds import over_seeds, seeded_requests, seeds_table

ITEMS = [f"i{k}" for k in range(200)]


def test_seeds_follow_the_settings_own_and_leave_base_and_benchmarks_as_they_are() -> None:
    request = RunRequest("pocket", ("seed=7", "dpo.beta=0.2"))
    made = seeded_requests(request, 3)
    assert list(made) == [7, 8, 9]
    first, last = (resolve(each.profile, each.overrides)._asdict() for each in (made[7], made[9]))
    for stage in ("collection", "questions", "responses", "labeling", "dpo", "ppo"):
        assert (first[stage]["seed"], last[stage]["seed"]) == (7, 9), stage
    assert first["base_model"] == last["base_model"]
    assert first["evaluation"] == last["evaluation"]
    assert last["dpo"]["beta"] == 0.2


def finished(folder: Path, unsafe: Mapping[str, int]) -> Path:
    """A run whose models gave so many unsafe answers."""
    figures = {
        model: {"harm_eval_usr": {"value": n / len(ITEMS), "n": len(ITEMS), "source": "pocket"}}
        for model, n in unsafe.items()
    }
    summary = {
        "models": figures,
        "reward_model": {"pair_accuracy": {"value": 0.8}},
        "decision": {"promoted": False, "candidate": "dpo"},
    }
    scores = {
        model: {"harm_eval_usr": {item: float(k < n) for k, item in enumerate(ITEMS)}}
        for model, n in unsafe.items()
    }
    items = {item: {"half": "choosing", "clusters": [item, "q"]} for item in ITEMS}
    work = folder / "work"
    for path, content in (
        (folder / "summary.json", summary),
        (folder / "stages" / "scoring.json", {"work": str(work)}),
        (work / "figures" / "outcomes.json", {"items": items, "scores": scores}),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
    return folder


def test_an_interval_over_seeds_holds_what_they_differ_by(tmp_path: Path) -> None:
    alike, apart = (
        over_seeds(
            {
                seed: finished(tmp_path / f"{name}-{seed}", {"base": 100, "dpo": n, "ppo": 40})
                for seed, n in enumerate(unsafe)
            }
        )
        for name, unsafe in (("alike", (40, 40, 40)), ("apart", (10, 40, 70)))
    )
    one, other = (told["models"]["dpo"]["harm_eval_usr"] for told in (alike, apart))
    assert one["value"] == other["value"] == pytest.approx(0.2)
    assert other["by_seed"] == [0.05, 0.2, 0.35]
    assert other["high"] - other["low"] > 2 * (one["high"] - one["low"])
    assert apart["promoted"] == [None, None, None]
    assert seeds_table(apart).row_count == 1


def test_the_table_over_seeds_fits_80_columns(tmp_path: Path) -> None:
    folders = {
        seed: finished(tmp_path / f"run-{seed}", {"base": 133, "dpo": 100 + seed, "ppo": 77})
        for seed in range(3)
    }
    with (console := Console(width=80)).capture() as shown:
        console.print(seeds_table(over_seeds(folders)))
    assert "50.0-51.0" in shown.get()
    assert "…" not in shown.get()
