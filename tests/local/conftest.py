"""One run of the whole DAG, at smaller settings, shared by the tests that look at it."""

from pathlib import Path

import pytest

from tests.local.running import Ended, spavl_run


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
