"""Stages are called as people call them, wherever Argo puts them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.stage_names import StageNames

COMPILED = Path(__file__).resolve().parents[3] / "manifests" / "pipelines" / "spa_vl.yaml"
SPEC: dict[str, Any] = next(yaml.load_all(COMPILED.read_text(), yaml.CSafeLoader))
NAMES = StageNames(SPEC)


def nodes(component: dict[str, Any], above: str) -> Iterator[tuple[str, str]]:
    """(task, Argo's node of its pod), as KFP 2.17 compiles tasks, loops and pipelines in them."""
    for name, task in component.get("dag", {}).get("tasks", {}).items():
        within = SPEC["components"][task["componentRef"]["name"]]
        node = f"{above}.{name}"
        if "parameterIterator" in task:
            node += ".iteration-iterations(1:1).iteration-item"
        if "dag" in within:
            yield from nodes(within, node)
        else:
            yield name, f"{node}.executor(0)"


NODES = dict(nodes(SPEC["root"], "spa-vl-x7k2p.root"))


@pytest.mark.parametrize(
    ("task", "label"),
    [
        ("resolve-configuration", "Resolve configuration"),
        ("collect-images", "Collect images"),
        ("train-dpo", "Align by DPO"),
        ("publish-champion", "Publish champion"),
        ("answer-questions", "Answer questions (2)"),
    ],
)
def test_a_pods_stage_is_found_by_its_node(task: str, label: str) -> None:
    stage = NAMES.at(NODES[task])
    assert stage is not None
    assert (stage.task, stage.label) == (task, label)


def test_every_stage_that_can_run_has_a_display_name_of_its_own() -> None:
    stages = [NAMES.at(node) for node in NODES.values()]
    assert len({stage and stage.label for stage in stages}) == len(NODES) > 15


def test_a_driver_is_the_stages_that_it_prepares() -> None:
    driver = NODES["train-dpo"].removesuffix(".executor(0)") + "-driver(0)"
    stage = NAMES.at(driver)
    assert stage is not None
    assert stage.label == "Align by DPO"


def test_in_a_loop_the_item_is_told_instead_of_its_number() -> None:
    stage = NAMES.at(NODES["answer-questions"])
    assert stage is not None
    assert stage.item_input == "responders"
    assert stage.of("llava") == "Answer questions (llava)"
    assert stage.of("") == "Answer questions (2)"


def test_what_the_pipeline_does_not_have_is_no_stage() -> None:
    assert NAMES.at("spa-vl-x7k2p.root.other.executor(0)") is None
    assert NAMES.at("spa-vl-x7k2p") is None


@pytest.mark.parametrize(
    "name", ["executor", "executor(0)", "train-dpo-driver", "root", "iteration-item", "alignment"]
)
def test_what_argo_has_beside_a_stage_is_not_shown(name: str) -> None:
    assert NAMES.display(name) is None


def test_without_the_specification_tasks_have_argos_names() -> None:
    names = StageNames({})
    stage = names.at(NODES["train-dpo"])
    assert stage is not None
    assert stage.label == "train-dpo"
    assert names.display("train-dpo") == "train-dpo"
    assert names.display("executor(0)") is None


def test_a_version_of_kfp_gives_the_specification_with_its_platforms() -> None:
    assert StageNames({"pipeline_spec": SPEC, "platform_spec": {}}).display("train-dpo")
