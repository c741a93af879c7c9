"""What is written, shown or sent holds no secret, after a finished run and after a failed one."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from components.configuration import resolve
from pipelines.local_run import REQUEST, RunRequest, start_run, unfinished_run
from spavl.errors import InputError, SpavlError
from spavl.records import SetAside
from spavl.secrets import MaskedStream, masked, masked_tree, remember
from spavl.shards import DatasetWriter
from spavl.tracking.hostile import parameters
from spavl.work import Stage, run_stage

PLANTED = ("hunter22xyz", "kl9-Secret+Value", "sk-abcdefghijklmnopqrstuv", "q8Zz17Token")
ADDRESS = f"https://user:{PLANTED[0]}@host.example/v1?api-version=3&key={PLANTED[3]}"


@pytest.fixture(autouse=True)
def planted(tmp_path, monkeypatch):
    monkeypatch.setenv("JUDGE_API_KEY", PLANTED[1])
    monkeypatch.setenv("SPAVL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SPAVL_WORK_ROOT", str(tmp_path / "work"))
    monkeypatch.setenv("SPAVL_RUN_FOLDER", str(tmp_path / "run"))


def found(folder):
    """Files below a folder that hold a planted secret."""
    return [
        (str(path.relative_to(folder)), secret)
        for path in folder.rglob("*")
        if path.is_file()
        for secret in PLANTED
        if secret.encode() in path.read_bytes()
    ]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://user:hunter2@host/v1", "http://***@host/v1"),
        ("postgresql://u:p%40ss@db:5432/x", "postgresql://***@db:5432/x"),
        ("https://0123456789abcdef@sentry.example/1", "https://***@sentry.example/1"),
        ("https://h/v1?api-version=3&key=abc123&x=1", "https://h/v1?api-version=3&key=***&x=1"),
        ("https://h/a?X-Amz-Signature=ab12&b=1", "https://h/a?X-Amz-Signature=***&b=1"),
        ("https://h/a?X-Amz-Security-Token=ab12", "https://h/a?X-Amz-Security-Token=***"),
        ("https://x.blob/y?sv=1&sig=AB%2BC&se=2", "https://x.blob/y?sv=1&sig=***&se=2"),
        ("https://h/?access_token=xyz", "https://h/?access_token=***"),
        ("Authorization: Bearer abcdefgh", "Authorization: Bearer ***"),
        ("{'authorization': 'Basic dXNlcjpw'}", "{'authorization': 'Basic ***'}"),
        ('{"api_key": "abcdefg"}', '{"api_key": "***"}'),
        ("x-goog-api-key: abcdefg", "x-goog-api-key: ***"),
        ("Incorrect API key provided: sk-abcdefghijklmnop.", "Incorrect API key provided: ***."),
        ("token hf_ABCDEFGHIJKLMNOPQR", "token ***"),
        ("AKIAIOSFODNN7EXAMPLE", "***"),
        ("key kl9-Secret+Value, or kl9-Secret%2BValue", "key ***, or ***"),
    ],
)
def test_a_secret_is_masked_wherever_secrets_stand(text, shown):
    assert masked(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "s3://bucket/prefix", "http://host:8080/v1", "max_tokens=5", "http://host/a@b",
        "the key is in the lock", "tokens: 12, key 3", "mail me@example.org", "risk-averse-answer",
        "/data/keys/model", "https://h/v1?api-version=2024-10-21&top=5", "sha256 " + "ab" * 32,
    ],
)  # fmt: skip
def test_what_is_no_secret_stays(text, monkeypatch):
    for name, value in (("TOKENIZERS_PARALLELISM", "false"), ("SSH_KEY_PATH", "/data/keys"),
                        ("CACHE_KEY", "answer"), ("AWS_WEB_IDENTITY_TOKEN_FILE", "model"),
                        ("MAX_TOKEN", "12"), ("KEY", "prefix")):  # fmt: skip
        monkeypatch.setenv(name, value)
    assert masked(text) == text


def words():
    return f"no answer from {ADDRESS}: {PLANTED[1]} is wrong, {PLANTED[2]} as well"


def work_that(fails):
    def body(work):
        work.note(words())
        work.progress(1, 1, "rows")
        with work.writer("aside", SetAside) as writer:
            writer.add(SetAside(ADDRESS, "x", "refused", words()))
        if fails:
            raise fails
        return {"rows": 1}

    return body


@pytest.mark.parametrize(
    "fails",
    [None, InputError("bad key", ADDRESS, words()), SpavlError(words()), RuntimeError(words()),
     OSError(13, words(), ADDRESS)],
    ids=lambda each: type(each).__name__,
)  # fmt: skip
def test_neither_a_finished_stage_nor_a_failed_one_leaves_a_secret(tmp_path, fails, capsys):
    stage = Stage("asking", "spavl.seeds", {"chat": {"base_url": ADDRESS}}, {})
    if fails:
        with pytest.raises(type(fails)):
            run_stage(stage, work_that(fails))
        assert (tmp_path / "run/error.json").exists()
    else:
        run_stage(stage, work_that(None))
    assert (tmp_path / "run/events.jsonl").exists()
    assert not found(tmp_path)
    said = "".join(capsys.readouterr())
    assert "no answer from" in said
    assert not [secret for secret in PLANTED if secret in said]


def test_settings_are_shown_kept_and_tracked_masked(tmp_path):
    chat = f"{{backend: openai, model: m, base_url: '{ADDRESS}'}}"
    override = f"questions.captioner={chat}"
    resolve("pocket", [override], str(tmp_path / "snapshot.json"))
    assert not found(tmp_path)
    assert not [s for s in PLANTED if s in str(parameters({"chat": {"base_url": ADDRESS}}))]
    shown = subprocess.run(
        [sys.executable, "-m", "pipelines.cli", "config", "show", "questions", "--set", override],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "host.example" in shown.stdout
    assert not [secret for secret in PLANTED if secret in shown.stdout + shown.stderr]


def test_a_request_is_kept_masked_and_goes_on_as_it_was(tmp_path):
    request = RunRequest("pocket", (f"questions.captioner.base_url={ADDRESS}",))
    folder = start_run(request, tmp_path / "runs", "one")
    assert not found(tmp_path / "runs")
    assert unfinished_run(tmp_path / "runs", "one") == (folder, request)
    (kept,) = (tmp_path / "cache/requests").iterdir()
    assert kept.stat().st_mode & 0o077 == 0
    kept.unlink()
    with pytest.raises(InputError, match="unreadable request"):
        unfinished_run(tmp_path / "runs", "one")
    assert "host.example" in (folder / REQUEST).read_text()


def test_a_secret_that_comes_in_pieces_is_masked_in_the_log():
    told = io.StringIO()
    log = MaskedStream(told)
    for piece in ("a ", PLANTED[1][:5], PLANTED[1][5:], " b\nBearer abc", "defgh"):
        log.write(piece)
    log.finish()
    assert told.getvalue() == "a *** b\nBearer ***"


def test_a_key_of_any_name_is_masked_once_it_was_read():
    remember("odd name, odd value 7")
    assert masked("it is odd name, odd value 7!") == "it is ***!"
    assert masked_tree({"a": ["odd name, odd value 7", 3]}) == {"a": ["***", 3]}


def test_records_of_others_keep_their_texts(tmp_path):
    with DatasetWriter(tmp_path / "rows", SetAside) as writer:
        writer.add(SetAside("a", "b", "c", "d"))
    assert Path(tmp_path / "rows/manifest.json").exists()
    assert json.loads((tmp_path / "rows/manifest.json").read_text())["schema"] == "SetAside"
