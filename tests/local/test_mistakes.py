"""A user's mistake ends at once with one line that says what, where and what to do."""

import contextlib
import http.server
import json
import re
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import PIL.Image
import pytest

from tests.local.running import spavl

SECONDS = 60  # far above what a start takes and far below any long work


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A user's desk: pictures, a table of classes, models of several kinds, another run."""
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    PIL.Image.new("RGB", (64, 48), "teal").save(pictures / "sea.png")
    (tmp_path / "empty").mkdir()
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "notes.png").write_text("no picture")
    (tmp_path / "classes.csv").write_text("file,class\nsea.png,harmless\n")
    (tmp_path / "columns.csv").write_text("name,label\nsea.png,harmless\n")
    (tmp_path / "absent.csv").write_text("file,class\nland.png,harmless\n")
    for name, family in (("gpt", "gpt2"), ("pickled", "llava"), ("cut", "llava")):
        model = tmp_path / name
        model.mkdir()
        (model / "config.json").write_text(json.dumps({"model_type": family}))
    (tmp_path / "pickled" / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    (tmp_path / "cut" / "model.safetensors").write_bytes(b"\xff" * 64)
    run = tmp_path / "runs" / "earlier"
    run.mkdir(parents=True)
    (run / "request.json").write_text(json.dumps({"profile": "pocket", "overrides": []}))
    (run / "finished.json").write_text("{}")
    (tmp_path / "file").write_text("no folder")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("--set dpo.beta=-1", r"-1 is not above 0 \(dpo\.beta\)"),
        ("--set dop.beta=1", r"unknown stage \(dop\): did you mean dpo\?"),
        ("--set dpo.bata=1", r"unknown setting \(dpo\.bata\): did you mean dpo\.beta\?"),
        ("--set labeling.pairing.pair_per_question=2", r"labeling\.pairing\.pair_per_question"),
        ("--set dpo.beta=much", r"number.*\(dpo\.beta\)"),
        ("--set dpo.beta", r"and '='.*dpo\.beta.*stage\.key=value"),
        ("--set dpo.beta=[", r"no YAML.*dpo\.beta=\["),
        ("--set seed=-1", r"\(.*seed\)"),
        ("--set threads=0", r"\(.*threads\)"),
        ("--set evaluation.answering.batch_size=0", r"evaluation\.answering\.batch_size"),
        ("--profile pokcet", r"pokcet.*did you mean pocket\?"),
        ("--images {}/nothing", r"no such folder .*nothing"),
        ("--images {}/file", r"no such folder .*file"),
        ("--images {}/empty", r"no usable picture .*empty"),
        ("--images {}/words", r"no usable picture .*words"),
        ("--images {} --out {}/runs", r"among the pictures.*--out"),
        ("--images {}/pictures --classes {}/nothing.csv", r"no such file .*nothing\.csv"),
        ("--images {}/pictures --classes {}/columns.csv", r"column class and file missing"),
        ("--images {}/pictures --classes {}/absent.csv", r"land\.png"),
        ("--classes {}/classes.csv", r"classes without pictures.*--images"),
        ("--out /proc/runs", r"cannot write here.*/proc/runs.*--out"),
        ("--out {}/file", r"cannot write here.*--out"),
        ("--out {}/runs/earlier", r"the folder of one run.*say --out"),
        ("--name earlier", r"a run of that name exists"),
        ("--name ../elsewhere", r"a run's name.*\.\./elsewhere"),
        ("--resume", r"no unfinished run"),
        ("--resume --set seed=7", r"a resumed run keeps"),
        ("--resume --name earlier", r"that run is finished"),
        ("--set base_model.source=path", r"no folder \(base_model\.path\)"),
        ("--set base_model.source=path --set base_model.path={}/empty", r"no model here"),
        (
            "--set base_model.source=path --set base_model.path={}/gpt",
            r"family 'gpt2'.*gpt\): give one of llava",
        ),
        ("--set base_model.source=path --set base_model.path={}/pickled", r"pickled weights"),
        ("--set base_model.source=path --set base_model.path={}/cut", r"not safetensors"),
        (
            "--set questions.captioner.backend=openai --set questions.captioner.model=m "
            "--set questions.captioner.base_url=http://127.0.0.1/v1 "
            "--set questions.captioner.api_key_env=NO_SUCH_KEY",
            r"no key in the environment variable NO_SUCH_KEY \(questions\.captioner\.api_key_env\)",
        ),
        ("--set dpo.num_nodes=2", r"no pod of a cluster \(dpo\.num_nodes\)"),
        ("--log loud", r"--log.*'auto', 'plain', 'json'"),
        ("--unknown", r"No such option: --unknown"),
    ],
)
def test_a_mistake_is_told_before_anything_starts(folder: Path, arguments: str, line: str) -> None:
    given = arguments.replace("{}", str(folder)).split()
    if "--out" not in given:
        given += ["--out", str(folder / "runs")]
    ended = spavl("run", *given, timeout=SECONDS)
    assert ended.returncode == 2, ended.stdout
    assert re.search(line, ended.stdout), ended.stdout
    assert len(ended.stdout.splitlines()) == 1
    assert ended.stdout.startswith("spavl: ")
    assert [path.name for path in (folder / "runs").glob("*/")] == ["earlier"]


@contextlib.contextmanager
def answering(status: int, headers: dict[str, str]) -> Iterator[str]:
    """A server that gives everybody the same answer."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_POST = do_GET

        def log_message(self, *_: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        pytest.param(401, {"WWW-Authenticate": 'Basic realm="mlflow"'}, id="wants a password"),
        pytest.param(404, {}, id="port in use by something else"),
        pytest.param(500, {}, id="broken"),
    ],
)
def test_an_mlflow_that_cannot_be_used_is_told_before_anything_starts(
    folder: Path, status: int, headers: dict[str, str]
) -> None:
    with answering(status, headers) as uri:
        ended = spavl(
            "run", f"--out={folder}/runs", timeout=SECONDS, env={"MLFLOW_TRACKING_URI": uri}
        )
    assert_one_line(ended, uri)


def test_an_mlflow_that_nobody_answers_for_is_told_before_anything_starts(folder: Path) -> None:
    uri = "http://user:hidden@127.0.0.1:9"
    environment = {"MLFLOW_TRACKING_URI": uri}
    ended = spavl("run", f"--out={folder}/runs", timeout=SECONDS, env=environment)
    assert_one_line(ended, "127.0.0.1:9")
    assert "hidden" not in ended.stdout


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, of 64 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", place]).returncode:
        pytest.skip("only root can mount a small disk")
    yield place
    subprocess.run(["umount", place], check=True)


def test_a_nearly_full_disk_is_told_before_anything_starts(disk: Path) -> None:
    assert_one_line(spavl("run", f"--out={disk}/runs", timeout=SECONDS), "64 MiB free")


def test_a_disk_that_may_only_be_read_is_told_before_anything_starts(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    ended = spavl("run", f"--out={disk}/runs", timeout=SECONDS)
    assert_one_line(ended, "cannot write here: read-only file system")


def assert_one_line(ended: "subprocess.CompletedProcess[str]", what: str) -> None:
    assert ended.returncode == 2, ended.stdout
    assert what in ended.stdout
    assert len(ended.stdout.splitlines()) == 1
