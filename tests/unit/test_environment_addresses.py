"""An address of another cloud is never taken for a folder."""

import os
import subprocess
import sys

import pytest

from spavl.environment import work_root
from spavl.errors import InputError


@pytest.mark.parametrize(
    "address", ["gs://b/p", "az://b", "S3://b/p", "abfs://c@a/p", "https://h/b", "hdfs://n/p"]
)
def test_a_work_root_of_another_scheme_is_refused(monkeypatch, address):
    monkeypatch.setenv("SPAVL_WORK_ROOT", address)
    with pytest.raises(InputError, match="neither a folder nor on S3"):
        work_root()


def test_a_folder_may_be_written_as_an_address(monkeypatch, tmp_path):
    monkeypatch.setenv("SPAVL_WORK_ROOT", f"file://{tmp_path}")
    assert work_root() == tmp_path


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "cp1252"])
def test_a_terminal_of_another_encoding_ends_no_command(encoding):
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    command = [sys.executable, "-m", "pipelines.cli", "run", "--help"]
    ended = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert ended.returncode == 0, ended.stderr
