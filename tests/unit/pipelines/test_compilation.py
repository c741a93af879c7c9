"""What someone meets in the KFP UI: names on tasks, descriptions on parameters, honest tags."""

from typing import Any

import pytest
import yaml
from kfp.compiler import Compiler

from pipelines.compilation import PIPELINES, compile_all, stage_image
from pipelines.targeting import Target


@pytest.fixture(scope="module")
def compiled() -> dict[str, dict[str, Any]]:
    return {name: next(yaml.safe_load_all(text)) for name, text in compile_all(Target()).items()}


def tasks(spec: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    dags = [spec["root"], *spec["components"].values()]
    return [task for dag in dags for task in dag.get("dag", {}).get("tasks", {}).items()]


def test_every_pipeline_compiles_alone(compiled: dict[str, dict[str, Any]]) -> None:
    assert set(compiled) == {f"{name}.yaml" for name in PIPELINES}


def test_compiling_twice_gives_the_same_bytes() -> None:
    assert compile_all(Target("registry.example")) == compile_all(Target("registry.example"))


def test_every_task_has_a_name_of_its_own(compiled: dict[str, dict[str, Any]]) -> None:
    for name, task in tasks(compiled["spa_vl.yaml"]):
        shown = task["taskInfo"]["name"]
        assert shown != name, f"{name} has no display name"
        assert shown[0].isupper() or shown == "responders", shown


def test_every_parameter_of_the_form_is_described(compiled: dict[str, dict[str, Any]]) -> None:
    for file, spec in compiled.items():
        inputs = spec["root"]["inputDefinitions"]
        for group in inputs.values():
            for name, definition in group.items():
                assert definition.get("description"), f"{file}: {name}"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The whole DAG as KFP compiles it, before anything is left out."""
    path = tmp_path_factory.mktemp("written") / "pipeline.yaml"
    Compiler().compile(PIPELINES["spa_vl"], str(path))
    return dict(next(yaml.safe_load_all(path.read_text())))


def test_every_component_parameter_is_described(written: dict[str, Any]) -> None:
    for label, component in written["components"].items():
        if "executorLabel" not in component:
            continue
        for group in component.get("inputDefinitions", {}).values():
            for name, definition in group.items():
                if definition.get("parameterType") != "TASK_FINAL_STATUS":
                    assert definition.get("description"), f"{label}: {name}"


def test_bodies_are_thin(written: dict[str, Any]) -> None:
    executors = written["deploymentSpec"]["executors"]
    for label, executor in executors.items():
        source = executor["container"]["command"][-1]
        assert source.count("import ") <= 8, label
        assert "pip install" not in " ".join(executor["container"]["command"]), label


def test_no_entrypoint_needs_a_network_install(compiled: dict[str, dict[str, Any]]) -> None:
    for executor in compiled["spa_vl.yaml"]["deploymentSpec"]["executors"].values():
        name, tag = executor["container"]["image"].split(":")
        assert name in {"spa-vl/pipeline", "spa-vl/trainer"}
        assert len(tag) == 16
        int(tag, 16)


def test_a_registry_goes_in_front() -> None:
    plain, named = (
        stage_image("spa-vl/trainer:components.dpo", ""),
        stage_image("spa-vl/trainer:components.dpo", "registry.example/team"),
    )
    assert named == f"registry.example/team/{plain}"


def test_the_report_is_never_cached(compiled: dict[str, dict[str, Any]]) -> None:
    cached = {
        task["taskInfo"]["name"]: task.get("cachingOptions", {}).get("enableCache", False)
        for _, task in tasks(compiled["spa_vl.yaml"])
    }
    assert cached["Write report"] is False
    assert cached["Align by DPO"] is True
