"""What the tests of this room share."""

from collections.abc import Callable
from pathlib import Path

import pytest

from components.reporting.inputs import ReportInputs
from tests.unit.reporting.made_by_hand import Plan, build

MakeRun = Callable[..., ReportInputs]


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    return lambda **changes: build(tmp_path / "run", Plan(**changes))
