"""Planted: a model that does not look has no visual dependence, the pocket base has."""

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from components.evaluation.answering import answer
from components.evaluation.benchmarks import prepare
from components.evaluation.scoring import score
from spavl.chat import ChatReply, ChatRequest, Sampling
from spavl.records import Image
from spavl.shards import DatasetWriter, read_manifest
from spavl.work import Reference
from tests.local.running import Ended

SETTINGS = {
    "benchmarks": {
        "harm_per_class": 1,
        "unseen_per_class": 2,
        "help_per_thing": 3,
        "guards_per_class": 1,
        "naming_per_thing": 1,
    },
    "answering": {"batch_size": 128, "max_new_tokens": 40},
    "blind_items": 120,
}


@pytest.fixture
def world(small_run: Ended, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any]:
    """The benchmarks with their controls, and the trained pocket base."""
    monkeypatch.setenv("SPAVL_WORK_ROOT", str(tmp_path / "work"))
    with DatasetWriter(tmp_path / "store", Image):
        pass
    store = Reference(str(tmp_path / "store"), read_manifest(tmp_path / "store").digest)
    told = json.loads((small_run.folder / "stages/base_model.json").read_text())["result"]
    return Reference(*prepare(SETTINGS, store)), Reference(**told)


def dependence(world: tuple[Any, Any], out: Path) -> dict[str, Any]:
    benchmarks, base = world
    answer(SETTINGS, "base", base, benchmarks, str(out / "base"))
    score(SETTINGS, [str(out / "base")], benchmarks, str(out / "figures"))
    figures = json.loads((out / "figures/figures.json").read_text())
    found: dict[str, Any] = figures["visual_dependence"]["base"]
    return found


def test_the_pocket_base_depends_on_what_it_sees(world: tuple[Any, Any], tmp_path: Path) -> None:
    found = dependence(world, tmp_path)
    assert {key: each["blank"]["n"] for key, each in found.items()} == {
        "harm_eval_usr": 45,
        "unseen_classes_usr": 16,
        "over_refusal_rate": 110,
        "general_ability": 72,
    }
    for control in ("blank", "other"):
        assert found["general_ability"][control]["low"] > 0.3


def test_a_model_that_does_not_look_has_no_visual_dependence(
    world: tuple[Any, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from spavl.chat import transformers_backend

    class TextOnly(transformers_backend.TransformersChat):
        """The pocket base without eyes."""

        def reply(
            self, requests: Sequence[ChatRequest], sampling: Sampling, done: Collection[str] = ()
        ) -> Iterator[ChatReply]:
            blind = [replace(request, image=None) for request in requests]
            return super().reply(blind, sampling, done)

    monkeypatch.setattr(transformers_backend, "TransformersChat", TextOnly)
    found = dependence(world, tmp_path)
    assert len(found) == 4
    for each in found.values():
        for figure in each.values():
            assert figure["low"] <= 0 <= figure["high"]
