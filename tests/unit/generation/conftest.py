"""A small image store, a tiny base model, and a work root of the test's own."""

import hashlib
import io
from pathlib import Path

import pytest
import torch

from spavl.records import Image
from spavl.shards import DatasetWriter, read_manifest
from spavl.work import Reference
from tests.unit.models.tiny import PictureBook, save_tiny

PICTURES = 7


@pytest.fixture(autouse=True)
def work_root(tmp_path, monkeypatch):
    monkeypatch.setenv("SPAVL_WORK_ROOT", str(tmp_path / "work"))
    return tmp_path / "work"


@pytest.fixture(scope="session")
def images(tmp_path_factory) -> Reference:
    folder = tmp_path_factory.mktemp("store")
    with DatasetWriter(folder, Image) as writer:
        for place in range(PICTURES):
            writer.add(_image(place))
    return Reference(str(folder), read_manifest(folder).digest)


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> Reference:
    torch.set_num_threads(1)
    return Reference(str(save_tiny(tmp_path_factory.mktemp("models") / "tiny-base")), "tiny")


def _image(place: int) -> Image:
    buffer = io.BytesIO()
    PictureBook().open(str(place)).save(buffer, "PNG")
    content = buffer.getvalue()
    name = hashlib.sha256(content).hexdigest()
    truth = ("harmful", "harmless", "unknown")[place % 3]
    none = (None, None, None, None)
    return Image(name, content, "image/png", 16, 16, f"test/{place}", truth, *none)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path
