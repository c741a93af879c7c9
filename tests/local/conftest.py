"""One run of the whole DAG, at smaller settings, shared by the tests that look at it."""

from pathlib import Path

import PIL.Image
import pytest

from tests.local.running import TINY, Ended, spavl_run


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the session's runs."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="session")
def small_run(runs: Path) -> Ended:
    """The whole DAG at smaller settings. The trained pocket base is kept in the user's cache."""
    ended = spavl_run(runs, "small")
    assert ended.code == 0, ended.output
    return ended


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder: six usable pictures, a torn one, an empty one."""
    folder = tmp_path_factory.mktemp("photographs")
    for index in range(6):
        part = (-2 + index / 5, -1, 1, 1 + index / 5)  # far enough apart to be no duplicates
        picture = PIL.Image.effect_mandelbrot((320, 200), part, 40)
        picture.convert("RGB").save(folder / f"photograph {index}.jpg")
    (folder / "torn.jpg").write_bytes((folder / "photograph 0.jpg").read_bytes()[:200])
    (folder / "empty.png").touch()
    return folder


@pytest.fixture(scope="session")
def with_photographs(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """A tiny run with the user's folder added."""
    out = tmp_path_factory.mktemp("first")
    ended = spavl_run(out, "run", f"--images={photographs}", settings=TINY)
    assert ended.code == 0, ended.output
    return ended
