"""Images reach a registry, and a kind cluster, under every tag that pipelines ask for.

Images are small here: what they hold is no matter. Their engine is one of their own, so that their
names hide no real image.
"""

import json
import os
import shutil
import stat
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.container.conftest import ROOT
from tests.container.engine import CLIENT, Engine, engine_or_reason
from tests.container.registry import Registry, registry_or_reason

IMAGES = ("pipeline", "trainer")
SMALL = "FROM scratch\nCOPY images/tools.lock /tools.lock\nCOPY images/{image} /{image}\n"
LAYERS = 2


@dataclass
class Tree:
    """A checkout with small images, and the engine that has them built."""

    folder: Path
    engine: Engine

    def images(self, verb: str, *images: str, **environment: str) -> "subprocess.CompletedProcess":
        """Run images.sh as make does."""
        own = {
            "DOCKER_HOST": self.engine.host,
            "ENGINE": CLIENT,
            "PYTHON": sys.executable,
            "PYTHONPATH": str(self.folder),
        }
        return subprocess.run(
            ["images/images.sh", verb, *images],
            cwd=self.folder,
            env={**os.environ, **own, **environment},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def references(self, registry: str = "") -> dict[str, set[str]]:
        """Image to the references that this checkout's pipelines ask for, and the version's."""
        found = {image: {f"{prefixed(image, registry)}:v0.1.0"} for image in IMAGES}
        told = subprocess.run(
            [sys.executable, "-m", "pipelines.image_tags", "--registry", registry],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(self.folder)},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout
        for line in told.splitlines():
            image, reference = line.split()
            found[image].add(reference)
        return found


def prefixed(image: str, registry: str) -> str:
    return f"{registry}/spa-vl/{image}" if registry else f"spa-vl/{image}"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tree]:
    """The checkout, its images built."""
    place = tmp_path_factory.mktemp("push")
    engine = engine_or_reason(place / "engine")
    if isinstance(engine, str):
        pytest.skip(engine)
    try:
        built = Tree(small_checkout(place / "tree"), engine)
        done = built.images("build", *IMAGES)
        assert done.returncode == 0, done.stdout + done.stderr
        yield built
    finally:
        engine.stop()


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    started = registry_or_reason(tmp_path_factory.mktemp("registry"))
    if isinstance(started, str):
        pytest.skip(started)
    yield started
    started.stop()


@pytest.fixture(scope="module")
def pushed(tree: Tree, registry: Registry) -> list[str]:
    """What the first push printed, line by line."""
    done = tree.images("push", *IMAGES, REGISTRY=team(registry))
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def small_checkout(folder: Path) -> Path:
    for name in ("spavl", "components", "pipelines", "images"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", folder)
    for image in IMAGES:
        (folder / "images" / image / "Containerfile").write_text(SMALL.format(image=image))
    return folder


def team(registry: Registry) -> str:
    return f"{registry.address}/team"


def test_the_registry_has_every_tag_and_each_names_the_image_that_was_built(
    tree: Tree, registry: Registry, pushed: list[str]
) -> None:
    for image, references in tree.references(team(registry)).items():
        name = f"team/spa-vl/{image}"
        tags = {reference.rsplit(":", 1)[1] for reference in references}
        assert len(tags) > 5
        assert registry.tags(name) == tags
        digests = {registry.digest(name, tag) for tag in tags}
        assert [f"digest {registry.address}/{name}@{digest}" for digest in digests] == [
            line for line in pushed if line.startswith("digest") and f"/{image}@" in line
        ]
        built = tree.engine.docker(
            "image", "inspect", "--format", "{{.Id}}", f"spa-vl/{image}:v0.1.0"
        )
        manifest = registry.manifest(name, digests.pop())
        assert manifest["config"]["digest"] == built
        assert len(manifest["layers"]) == LAYERS


def test_a_push_prints_each_reference(tree: Tree, registry: Registry, pushed: list[str]) -> None:
    told = {line.removeprefix("pushed ") for line in pushed if line.startswith("pushed ")}
    assert told == set().union(*tree.references(team(registry)).values())


def test_layers_are_uploaded_once_for_all_tags_and_never_again(
    tree: Tree, registry: Registry, pushed: list[str]
) -> None:
    uploads = registry.uploads()
    assert len(uploads) == len(set(uploads))
    manifests = [registry.manifest(f"team/spa-vl/{image}", "v0.1.0") for image in IMAGES]
    assert {blob["digest"] for each in manifests for blob in (each["config"], *each["layers"])} == {
        f"sha256:{digest}" for digest in uploads
    }
    again = tree.images("push", *IMAGES, REGISTRY=team(registry))
    assert again.stdout.splitlines() == pushed
    assert registry.uploads() == uploads


def test_what_is_not_built_is_not_pushed(tree: Tree, registry: Registry, pushed: list[str]) -> None:
    before = registry.uploads()
    done = tree.images("push", "pipeline", "responder", REGISTRY=f"{registry.address}/other")
    assert refused(done) == (
        "images: spa-vl/responder:v0.1.0 is not built: make images IMAGES=responder, "
        "or name in IMAGES what is to go"
    )
    assert registry.uploads() == before


@pytest.mark.parametrize(
    "file", ["components/reporting/report.py", "images/pipeline/requirements.lock"]
)
def test_an_image_of_other_files_is_not_pushed(tree: Tree, tmp_path: Path, file: str) -> None:
    changed = Tree(tmp_path / "tree", tree.engine)
    shutil.copytree(tree.folder, changed.folder)
    with (changed.folder / file).open("a") as stream:
        stream.write("\n# another line\n")
    assert refused(changed.images("push", "pipeline", REGISTRY="registry.example")) == (
        "images: spa-vl/pipeline:v0.1.0 was made of other files than lie here: "
        "make images IMAGES=pipeline"
    )


def test_a_registry_that_does_not_answer_is_one_line(tree: Tree) -> None:
    line = refused(tree.images("push", "pipeline", REGISTRY="127.0.0.1:1/team"))
    assert line.startswith("images: 127.0.0.1:1/team/spa-vl/pipeline:v0.1.0 is not pushed: ")
    assert "connection refused" in line


def test_an_engine_that_does_not_answer_is_one_line(tree: Tree, tmp_path: Path) -> None:
    away = {"DOCKER_HOST": f"unix://{tmp_path}/none.sock", "REGISTRY": "registry.example"}
    line = refused(tree.images("push", "pipeline", **away))
    assert line == f"images: {CLIENT} does not answer: start it"


def refused(done: "subprocess.CompletedProcess") -> str:
    """The one line of a refusal."""
    assert done.returncode == 2, done.stdout + done.stderr
    assert not done.stdout
    assert done.stderr.count("\n") == 1
    return done.stderr.strip()


def test_kind_gets_every_tag_in_one_archive(tree: Tree, tmp_path: Path) -> None:
    """A program in kind's place keeps what it is given."""
    kind = tmp_path / "bin" / "kind"
    kind.parent.mkdir()
    kind.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\ncp "$3" {tmp_path}/archive\n')
    kind.chmod(kind.stat().st_mode | stat.S_IXUSR)
    path = f"{kind.parent}:{os.environ['PATH']}"
    done = tree.images("kind-load", *IMAGES, PATH=path, KIND_CLUSTER="mine")
    assert done.returncode == 0, done.stderr
    asked = (tmp_path / "asked").read_text().split()
    assert asked[:2] + asked[3:] == ["load", "image-archive", "--name", "mine"]
    assert not Path(asked[2]).exists(), "the archive stayed"
    with tarfile.open(tmp_path / "archive") as archive:
        stream = archive.extractfile("manifest.json")
        assert stream is not None
        held = json.load(stream)
    assert len(held) == len(IMAGES)
    for references in tree.references().values():
        assert references in [set(image["RepoTags"]) for image in held]
    assert [len(image["Layers"]) for image in held] == [LAYERS, LAYERS]
