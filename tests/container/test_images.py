"""The images that our Containerfiles make."""

import re
import shutil
from pathlib import Path

import pytest

from tests.container.conftest import ROOT, build, stage_image_of
from tests.container.engine import Engine

CONFINED = (
    "run",
    "--rm",
    "--network=none",
    "--read-only",
    "--tmpfs=/tmp",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
)
COMPILERS = "cc gcc g++ c++ clang nvcc make"


@pytest.mark.parametrize("image", ["pipeline", "trainer"])
def test_an_image_runs_confined_as_nobody_and_has_no_compiler(images: Engine, image: str) -> None:
    look = f"id -u; for tool in {COMPILERS}; do command -v $tool; done; touch /here 2>&1"
    told = images.try_docker(*CONFINED, stage_image_of(image), "sh", "-c", look).stdout.split("\n")
    assert told[0] == "10001"
    assert "Read-only file system" in told[1]


@pytest.mark.parametrize(
    ("image", "modules"),
    [
        (
            "pipeline",
            "kfp, kfp.client, mlflow, boto3, psycopg2, minio, requests, spavl.tracking, "
            "components.reporting",
        ),
        ("trainer", "torch, transformers, trl, peft, deepspeed, mlflow, components.dpo"),
    ],
)
def test_an_image_holds_what_its_stages_import(images: Engine, image: str, modules: str) -> None:
    code = f"import kfp.dsl.executor_main, {modules}, spavl.digests as d; print(d.__file__)"
    runtime = ("--env=_KFP_RUNTIME=true",) if image == "trainer" else ()  # the executor alone
    told = images.docker(*CONFINED, *runtime, stage_image_of(image), "python3", "-c", code)
    assert told.endswith("/opt/spa-vl/spavl/digests.py")


def test_the_pipeline_image_carries_no_torch(images: Engine) -> None:
    code = "import importlib.util as u; print(u.find_spec('torch'))"
    assert images.docker(*CONFINED, stage_image_of("pipeline"), "python3", "-c", code) == "None"


def test_building_again_builds_nothing_and_a_changed_file_only_the_last_layer(
    images: Engine, tmp_path: Path
) -> None:
    again = build(images, "pipeline")
    assert ran(again) == []
    for name in ("spavl", "components", "pipelines", "images"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    path = tmp_path / "components" / "reporting" / "report.py"
    path.write_text(path.read_text() + "\n# another line\n")
    before = layers(images)
    changed = build(images, "pipeline", tmp_path)
    after = layers(images)
    assert not any("requirements.lock" in step or "/opt/venv" in step for step in ran(changed))
    assert after[:-1] == before[:-1]
    assert after[-1] != before[-1]


def layers(engine: Engine) -> list[str]:
    told = engine.docker(
        "image", "inspect", "--format", '{{join .RootFS.Layers " "}}', "spa-vl/pipeline:v0.1.0"
    )
    return told.split()


def ran(printed: str) -> list[str]:
    """The steps of a build's output that were not taken from the cache."""
    steps = dict(re.findall(r"^#(\d+) (\[(?!internal).*)$", printed, re.M))
    cached = set(re.findall(r"^#(\d+) CACHED", printed, re.M))
    return [step for number, step in steps.items() if number not in cached and " FROM " not in step]
