"""Variables that come as files of a mounted ConfigMap and mounted Secrets."""

import os
from pathlib import Path

import pytest

from spavl.pod_environment import load_pod_environment


@pytest.fixture
def mounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """As the kubelet lays them: names are links into a folder that is swapped at once."""
    files = {
        "environment": {"SPAVL_RUNS": "/work/runs\n", "AWS_DEFAULT_REGION": "here", "readme": "x"},
        "secrets/spa-vl-s3": {"AWS_SECRET_ACCESS_KEY": "two\n\n", "tls.crt": "x"},
        "secrets/spa-vl-mlflow": {"MLFLOW_TRACKING_PASSWORD": "pass word"},
    }
    for place, content in files.items():
        folder = tmp_path / place
        (folder / "..2026_11_29").mkdir(parents=True)
        (folder / "..data").symlink_to("..2026_11_29")
        for name, text in content.items():
            (folder / "..data" / name).write_text(text)
            (folder / name).symlink_to(Path("..data") / name)
    monkeypatch.setattr(os, "environ", {"AWS_DEFAULT_REGION": "elsewhere"})
    return tmp_path / "environment", tmp_path / "secrets"


def test_each_file_becomes_a_variable_unless_it_is_set(mounts: tuple[Path, Path]) -> None:
    load_pod_environment(*mounts)
    os.environ.pop("PYTEST_CURRENT_TEST", None)
    assert os.environ == {
        "SPAVL_RUNS": "/work/runs",
        "AWS_DEFAULT_REGION": "elsewhere",
        "AWS_SECRET_ACCESS_KEY": "two\n",
        "MLFLOW_TRACKING_PASSWORD": "pass word",
    }


def test_where_nothing_is_mounted_nothing_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", {"HOME": "/tmp"})
    load_pod_environment(tmp_path / "no", tmp_path / "neither")
    os.environ.pop("PYTEST_CURRENT_TEST", None)
    assert os.environ == {"HOME": "/tmp"}
