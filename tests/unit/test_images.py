"""Containerfiles and their locks, the script that ships images, and what CI may do with them."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from pipelines.image_tags import image_tags

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ("pipeline", "trainer", "responder")
HASHED = [
    *(f"{image}/requirements.lock" for image in IMAGES),
    "trainer/deepspeed.lock",
    "tools.lock",
]


def pins(text: str) -> dict[str, str]:
    """Distribution to version, of a lock."""
    return dict(re.findall(r"^([A-Za-z0-9._-]+)==([^\s\\;]+)", text, re.M))


def containerfile(image: str) -> str:
    return (ROOT / "images" / image / "Containerfile").read_text()


def final_stage(image: str) -> str:
    return re.split(r"^FROM ", containerfile(image), flags=re.M)[-1]


@pytest.mark.parametrize("image", IMAGES)
def test_hadolint_finds_nothing(image: str) -> None:
    tool = Path(sys.executable).parent / "hadolint"
    command = [tool if tool.exists() else shutil.which("hadolint") or "hadolint"]
    done = subprocess.run(
        [*command, ROOT / "images" / image / "Containerfile"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("image", IMAGES)
def test_the_final_stage_is_nobodys_and_gives_way_to_kfps_command(image: str) -> None:
    final = final_stage(image)
    assert re.findall(r"^USER (.*)$", final, re.M) == ["10001:10001"]
    assert re.findall(r"^ENTRYPOINT (.*)$", final, re.M) == ["[]"]
    assert "HEALTHCHECK" not in final  # probes are Kubernetes'
    labels = re.findall(r"org\.opencontainers\.image\.(\w+)=", final)
    assert labels == ["title", "description", "licenses"]
    assert containerfile(image).count("ARG BASE_IMAGE=docker.io/library/python:3.11-slim") == 1


@pytest.mark.parametrize("image", IMAGES)
def test_no_compiler_comes_into_the_final_stage(image: str) -> None:
    assert not re.search(r"\b(g\+\+|gcc|build-essential|clang|nvcc)\b", final_stage(image))


@pytest.mark.parametrize("image", ["pipeline", "trainer"])
def test_our_code_is_the_last_layer(image: str) -> None:
    layers = re.findall(r"^(?:RUN|COPY|ADD) .*$", final_stage(image), re.M)
    assert layers[-1] == "COPY --from=code /spa-vl /opt/spa-vl"


@pytest.mark.parametrize("lock", HASHED)
def test_every_pin_has_hashes(lock: str) -> None:
    text = (ROOT / "images" / lock).read_text()
    entries = [part for part in re.split(r"^(?=[A-Za-z0-9])", text, flags=re.M) if "==" in part]
    assert len(entries) == len(pins(text)) > 0
    assert all("--hash=sha256:" in entry for entry in entries)


@pytest.mark.parametrize("lock", ["pipeline/requirements.lock", "trainer/requirements.lock"])
def test_images_and_laptops_have_the_same_versions(lock: str) -> None:
    here = pins((ROOT / "requirements.lock").read_text().lower().replace("_", "-"))
    there = pins((ROOT / "images" / lock).read_text().lower().replace("_", "-"))
    shared = here.keys() & there.keys()
    assert len(shared) > 80
    assert {name: there[name] for name in shared} == {name: here[name] for name in shared}


def test_torch_and_the_trainers_own_libraries_are_those_of_pyproject() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = pins("\n".join(project["dependencies"]))
    folder = ROOT / "images" / "trainer"
    assert pins((folder / "torch.lock").read_text())["torch"] == asked["torch"]
    trainer = pins("\n".join(project["optional-dependencies"]["trainer"]))
    locked = {
        **pins((folder / "requirements.lock").read_text()),
        **pins((folder / "deepspeed.lock").read_text()),
    }
    assert trainer.items() <= locked.items()


def images(
    *arguments: str, engine: str = "false", **environment: str
) -> "subprocess.CompletedProcess[str]":
    """Run images.sh with a program in the engine's place."""
    given = {name: value for name, value in os.environ.items() if name != "REGISTRY"}
    own = {"PYTHON": sys.executable, "PYTHONPATH": str(ROOT), "ENGINE": engine}
    return subprocess.run(
        [ROOT / "images" / "images.sh", *arguments],
        env={**given, **own, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "environment", "told"),
    [
        (["push"], {}, "where to? say REGISTRY=registry.example.com/team"),
        (["push", "judge"], {}, 'no image "judge": pipeline, trainer or responder'),
        (["pull"], {}, 'no verb "pull": build, push or kind-load'),
        (
            ["build"],
            {"PLATFORMS": "linux/amd64,linux/arm64"},
            "several platforms go straight to a registry: say REGISTRY=registry.example.com/team",
        ),
    ],
)
def test_a_refusal_is_one_line(
    arguments: list[str], environment: dict[str, str], told: str
) -> None:
    done = images(*arguments, **environment)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"images: {told}\n")


def test_several_platforms_are_one_build_that_pushes_every_tag(tmp_path: Path) -> None:
    """What buildx is asked for; it is not here to answer."""
    engine = tmp_path / "engine"
    engine.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/asked\n')
    engine.chmod(0o700)
    both = {"REGISTRY": "registry.example/team", "PLATFORMS": "linux/amd64,linux/arm64"}
    done = images("build", "pipeline", engine=str(engine), **both)
    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked[:5] == ["buildx", "build", "--platform", both["PLATFORMS"], "--push"], done.stderr
    tags = [asked[place + 1] for place, word in enumerate(asked) if word == "--tag"]
    wanted = image_tags(both["REGISTRY"])["pipeline"]
    assert sorted(tags) == sorted([*wanted, "registry.example/team/spa-vl/pipeline:v0.1.0"])


WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yaml"))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_pin_actions_and_take_no_permission_for_granted(path: Path) -> None:
    text = path.read_text()
    used = re.findall(r"uses: (.*)$", text, re.M)
    assert used
    for action in used:
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}  # v\d+\.\d+\.\d+", action), action
    assert yaml.safe_load(text)["permissions"] in ({}, {"contents": "read"})


IMPORTED_WITHOUT = """
import ast, importlib, importlib.abc, importlib.metadata, sys
from pathlib import Path

locked, components = set(sys.argv[1].split()), sys.argv[2:]
owners = importlib.metadata.packages_distributions()

class OnlyOfTheImage(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        told = {owner.lower().replace("_", "-").replace(".", "-") for owner in owners.get(name, ())}
        if told and not told & locked and name not in ("spavl", "components", "pipelines"):
            raise ModuleNotFoundError(f"No module named {name!r} in the image")

sys.meta_path.insert(0, OnlyOfTheImage())
for path in components:
    for body in ast.parse(Path(path).read_text()).body:
        image = ast.unparse(body.decorator_list[0]) if isinstance(body, ast.FunctionDef) else ""
        if "spa-vl/pipeline:" in image:
            for line in body.body:
                if isinstance(line, ast.ImportFrom):
                    importlib.import_module(line.module)
                    print(line.module)
"""


def test_stages_without_accelerators_import_nothing_that_their_image_lacks() -> None:
    """A model library that slips into the scorer's imports ends it in its container alone."""
    lock = (ROOT / "images" / "pipeline" / "requirements.lock").read_text()
    locked = {re.sub(r"[._]", "-", name.lower()) for name in pins(lock)}
    components = sorted(map(str, ROOT.glob("components/*/component.py")))
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED_WITHOUT, " ".join(locked), *components],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "components.evaluation.scoring" in done.stdout.split()
