"""What the doctor's pod runs in a cluster, against a real S3 and real folders."""

import json
import os
import subprocess
import sys
from pathlib import Path

from pipelines.doctor import probe
from tests.service.servers import S3Server


def ask(root: str, *folders: Path) -> dict[str, str]:
    """The script's answers, run as the pod runs it: as text, with nothing of ours to import."""
    script = Path(probe.__file__).read_text()
    command = [sys.executable, "-I", "-c", script, root, *map(str, folders)]
    done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ), check=True)
    answers: dict[str, str] = {}
    for line in done.stdout.splitlines():
        answers |= json.loads(line)
    return answers


def test_what_a_run_would_do_is_done_and_nothing_is_left(s3: S3Server, tmp_path: Path) -> None:
    answers = ask(f"s3://{s3.bucket}/spa-vl/kfp", tmp_path)
    assert answers["s3"].endswith(f"keeps objects under {s3.bucket}/spa-vl/kfp")
    assert answers["volumes"].startswith(f"{tmp_path} ")
    assert s3.names() == set()
    assert not [one for one in tmp_path.iterdir() if "doctor" in one.name]


def test_each_is_told_by_itself(s3: S3Server, tmp_path: Path) -> None:
    answers = ask("s3://no-such-bucket/x", tmp_path / "absent")
    assert answers["s3"].startswith("!")
    assert "NoSuchBucket" in answers["s3"]
    assert answers["volumes"].startswith(f"!user {os.getuid()} may not write to {tmp_path}/absent")


def test_a_server_that_is_away_is_broken_within_seconds(s3: S3Server, tmp_path: Path) -> None:
    s3.kill()
    assert ask(f"s3://{s3.bucket}/x", tmp_path)["s3"].startswith("!")
