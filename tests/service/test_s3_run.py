"""A whole run whose pictures, work and results lie on S3, against a real server."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.cli import main
from spavl.storage import local_copy
from tests.local.running import TINY, spavl_run, start_spavl_run, when
from tests.service.servers import S3Server
from tests.service.test_s3_stages import files, fill

SETTINGS = {**TINY, "collection.s3_prefix": "s3://spa-vl/photos"}
WORK = {
    "SPAVL_WORK_ROOT": "s3://spa-vl/work",
    "SPAVL_LEASE_SECONDS": "60",  # the fixture's are for tests of leases
    "SPAVL_KEEP_SECONDS": "10",
}
KEPT = {"collection", "questions", "pairing", "judging", "splitting", "reward_modeling", "dpo"}


def test_a_run_lies_on_s3_survives_its_bucket_and_is_reused_elsewhere(
    s3: S3Server, tmp_path: Path, another_machine: Callable[[], None]
) -> None:
    fill(s3, tmp_path / "photos", files())
    process = start_spavl_run(tmp_path / "runs", "one", settings=SETTINGS, env=WORK)
    when(tmp_path / "runs" / "one", process, "judging")
    s3.lose()
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 2, output
    assert "no such bucket (s3://spa-vl/)" in output.splitlines()[-1]
    assert "Traceback" not in output

    s3.client.make_bucket(s3.bucket)
    fill(s3, tmp_path / "photos", files())
    resumed = spavl_run(tmp_path / "runs", "one", "--resume", settings={}, env=WORK)
    assert resumed.code == 0, resumed.output
    report = (resumed.folder / "report.html").read_text()

    another_machine()
    assert local_copy("s3://spa-vl/work/runs/one/report.html").read_text() == report
    again = spavl_run(tmp_path / "elsewhere", "two", settings=SETTINGS, env=WORK)
    assert again.code == 0, again.output
    assert set(again.summary["seconds"]["reused"]) >= KEPT
    assert again.summary["made_by"]["inputs"] == resumed.summary["made_by"]["inputs"]
    assert again.summary["quarantine"]["used"] == 3


@pytest.mark.parametrize(
    ("wrong", "code", "line"),
    [
        ({"AWS_SECRET_ACCESS_KEY": "another"}, 2, "S3 refuses these credentials"),
        ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, 2, "no credentials for S3"),
        ({"SPAVL_WORK_ROOT": "s3://none/work"}, 2, "no such bucket (s3://none/)"),
        ({"SPAVL_WORK_ROOT": "s3:///work"}, 2, "no address on S3"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, 75, "S3 does not answer"),
    ],
)
def test_a_place_on_s3_that_cannot_be_worked_in_is_one_line_and_starts_nothing(
    s3: S3Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    wrong: dict[str, str],
    code: int,
    line: str,
) -> None:
    for name, value in {**WORK, **wrong}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "argv", ["spavl", "run", f"--out={tmp_path / 'runs'}", "--name=one"])
    with pytest.raises(SystemExit) as ended:
        main()
    output = capsys.readouterr()
    assert ended.value.code == code, output
    (told,) = (output.out + output.err).splitlines()
    assert line in told
    assert not (tmp_path / "runs" / "one").exists()
