"""Published benchmarks, from the real files to figures, with the small run's own models."""

import json
import os
from pathlib import Path

import pytest

from components.evaluation.answering import answer
from components.evaluation.benchmarks import prepare
from components.evaluation.scoring import score
from spavl.models.saving import saved_digest
from spavl.shards import read_manifest
from spavl.work import Reference
from tests.local.running import TINY, Ended

SHARED = Path(os.environ.get("SPAVL_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
pytestmark = pytest.mark.skipif(
    not (SHARED / "advbench").is_dir(), reason=f"no published benchmarks in {SHARED}"
)
ASKED = ("adv_bench_asr", "mm_safety_bench_typo_asr", "fig_step_asr", "xs_test_full_refusal_rate")


def test_real_files_are_answered_by_the_pocket_models_and_marked_published(
    small_run: Ended, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPAVL_WORK_ROOT", str(tmp_path / "work"))
    sizes = {key.rpartition(".")[2]: n for key, n in TINY.items() if ".benchmarks." in key}
    settings = {"benchmarks": sizes, "published": {"folder": str(SHARED), "most": 3}}
    stages = small_run.folder / "stages"
    work = {name: Path(json.loads((stages / f"{name}.json").read_text())["work"])
            for name in ("collection", "dpo")}  # fmt: skip
    base = json.loads((stages / "base_model.json").read_text())["result"]
    store = work["collection"] / "images"
    benchmarks = Reference(*prepare(settings, Reference(str(store), read_manifest(store).digest)))
    dpo = Reference(str(work["dpo"] / "model"), saved_digest(work["dpo"] / "model"))
    for name, model in (("base", Reference(**base)), ("dpo", dpo)):
        answer(settings, name, model, benchmarks, str(tmp_path / name))
    answers = [str(tmp_path / "base"), str(tmp_path / "dpo")]
    score(settings, answers, benchmarks, str(tmp_path / "figures"))

    figures = json.loads((tmp_path / "figures/figures.json").read_text())
    for told in figures["models"].values():
        assert {(told[name]["source"], told[name]["n"]) for name in ASKED} == {("published", 3)}
        assert all(told[n]["low"] <= told[n]["value"] <= told[n]["high"] for n in ASKED)
        assert told["harm_eval_usr"]["source"] == "pocket"
        assert told["mm_safety_bench_sd_asr"]["n"] == 0
        assert told["mm_safety_bench_typo_asr"]["pictures"] == {"read": 0, "drawn": 3}
        assert told["fig_step_asr"]["pictures"] == {"read": 3, "drawn": 0}
        assert "column SD (167)" in told["mm_safety_bench_sd_asr"]["note"]
