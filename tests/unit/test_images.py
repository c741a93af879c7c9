"""Containerfiles and their locks: what every image of ours has to be."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

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
    assert "org.opencontainers.image.title=" in final
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
