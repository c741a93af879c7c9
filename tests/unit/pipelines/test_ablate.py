"""`spavl ablate`: what is wrong is said before anything starts."""

import json
import sys
from pathlib import Path

import pytest

from components.ablation.plan import plan_text
from pipelines import cli
from pipelines.local_ablation import AblationRequest, start_ablation, unfinished_ablation
from spavl.errors import InputError
from tests.unit.ablation.test_points import data_sets

PLAN = """
seeds: [1]
settings: [dpo.beta=0.2, dpo.batch_size=8]
variants: {few: {rows: {pairs: 4}}}
axes: {scale: {by: pairs, variants: [few]}}
"""


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "no data set"),
        (["--data=nowhere"], "no such folder"),
        (["--data=nowhere", "--plan=pockets"], "unknown plan"),
        (["--data=nowhere", "--plan=mine.yaml"], "unreadable plan"),
        (["scales", "--data=nowhere"], "unknown axis"),
        (["--data=nowhere", "--set=dpo.betta=1"], "unknown setting"),
        (["--resume"], "no unfinished run"),
    ],
)
def test_a_mistake_is_one_line_and_starts_nothing(
    arguments: list[str],
    line: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["spavl", "ablate", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    (told,) = capsys.readouterr().err.splitlines()
    assert line in told
    assert not [path for path in (tmp_path / "runs").glob("*") if path.is_dir()]


def test_a_torn_data_set_starts_nothing(tmp_path: Path) -> None:
    data = data_sets(tmp_path / "data")
    (data / "images" / "part-00000.parquet").write_bytes(b"")
    request = AblationRequest(PLAN, (), str(data), "pocket", ())
    with pytest.raises(InputError, match="import or copy"):
        start_ablation(request, tmp_path / "runs", None)
    assert not (tmp_path / "runs").exists()


def test_the_users_settings_come_after_the_plans() -> None:
    request = AblationRequest(plan_text(PLAN), (), "data", "pocket", ("dpo.beta=0.3",))
    assert request.settings == ("dpo.beta=0.2", "dpo.batch_size=8", "dpo.beta=0.3")


def test_an_unfinished_ablation_is_gone_on_with_as_it_was_asked_for(tmp_path: Path) -> None:
    request = AblationRequest(PLAN, ("scale",), "data", "pocket", ("seed=7",))
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "ablation.json").write_text(json.dumps(vars(request)))
    (tmp_path / "second" / "finished.json").touch()
    assert unfinished_ablation(tmp_path, None) == (tmp_path / "first", request)


def test_a_torn_request_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "ablation.json").write_text('{"plan": ')
    with pytest.raises(InputError, match="unreadable request"):
        unfinished_ablation(tmp_path, None)
