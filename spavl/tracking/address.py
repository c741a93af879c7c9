"""Where MLflow is: the store of this machine, or the one that `MLFLOW_TRACKING_URI` names."""

import base64
import json
import os
import re
import ssl
import threading
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from spavl.errors import InputError

VARIABLE = "MLFLOW_TRACKING_URI"
SECONDS_FOR_AN_ANSWER = 4.0
ARTIFACTS = "mlflow-artifacts"
DATABASES = ("postgresql", "mysql", "mssql")
_PASSWORD = re.compile(r"(?<=://)[^/@\s]+@")


def default_uri(out: Path) -> str:
    """The local store of all runs below a folder."""
    return f"sqlite:///{out}/mlflow.db"


def masked(text: str) -> str:
    """A text in which `user:password@` of any URI reads `***@`."""
    return _PASSWORD.sub("***@", text)


def database_file(uri: str) -> Path | None:
    """The file of an SQLite store; None for any other."""
    if not uri.startswith("sqlite:"):
        return None
    path = uri.split(":///", 1)[-1].split("?", 1)[0]
    return Path(urllib.parse.unquote(path))


def artifact_location(uri: str) -> str | None:
    """Where a new experiment keeps artifacts: beside an SQLite store, else as the server says.

    MLflow's own choice for SQLite would be the working directory.
    """
    file = database_file(uri)
    return (file.absolute().parent / ARTIFACTS).as_uri() if file else None


def run_link(uri: str, experiment: str, run: str) -> str:
    """What opens a run: its page on a server, or the command that serves a local store."""
    page = f"#/experiments/{experiment}/runs/{run}"
    if urllib.parse.urlsplit(uri).scheme in ("http", "https"):
        return f"{masked(uri).rstrip('/')}/{page}"
    return f"mlflow ui --backend-store-uri {masked(uri)}  # then http://127.0.0.1:5000/{page}"


def check_named() -> None:
    """See whether the MLflow that was named explicitly can be used, within seconds.

    MLflow's own client retries for minutes and takes seconds to import; this asks it one plain
    question. Does nothing where none is named.

    Raises:
        InputError: If it does not answer, wants a password, or is something else.
    """
    uri = os.environ.get(VARIABLE, "")
    if not uri:
        return
    scheme = urllib.parse.urlsplit(uri).scheme.split("+")[0]
    if scheme in ("http", "https"):
        _check_server(uri)
    elif scheme == "sqlite":
        _check_file(uri)
    elif scheme not in (*DATABASES, "databricks", "uc"):
        remedy = f"give an http(s) address or a sqlite:/// file in {VARIABLE}, or unset it"
        raise InputError("MLflow keeps no runs in such a place", masked(uri), remedy)


def _check_file(uri: str) -> None:
    file = database_file(uri) or Path()
    folder = file.absolute().parent
    if not folder.is_dir():
        remedy = f"make the folder {folder}, or name another in {VARIABLE}"
        raise InputError("no folder for MLflow's store", uri, remedy)
    if not os.access(file if file.exists() else folder, os.W_OK):
        raise InputError("MLflow's store may not be written", uri, "give yourself the right to")
    if file.exists() and file.stat().st_size and file.read_bytes()[:15] != b"SQLite format 3":
        raise InputError("no SQLite store of MLflow", uri, f"name another file in {VARIABLE}")


def _check_server(uri: str) -> None:
    """Ask in a thread: a server that drips its answer must not hold the run up either."""
    found: list[InputError | None] = []
    asking = threading.Thread(target=lambda: found.append(_ask(uri)), daemon=True)
    asking.start()
    asking.join(SECONDS_FOR_AN_ANSWER + 1)
    trouble = found[0] if found else _no_answer(uri, "no answer in time")
    if trouble is not None:
        raise trouble


def _ask(uri: str) -> InputError | None:
    try:
        request, context = _question(uri), _certificates()
        with urllib.request.urlopen(
            request, timeout=SECONDS_FOR_AN_ANSWER, context=context
        ) as reply:
            content = json.loads(reply.read(1 << 20) or b"{}")
            return None if isinstance(content, dict) else _something_else(uri)
    except urllib.error.HTTPError as error:
        return _refusal(uri, error)
    except ValueError:  # JSON's and Unicode's errors too; a bad port as well
        return _something_else(uri)
    except Exception as error:  # whatever answers there: refused, reset, not HTTP, bad certificate
        return _no_answer(uri, str(getattr(error, "reason", error)))


def _question(uri: str) -> urllib.request.Request:
    """A search for one experiment, with the credentials that MLflow's client would use."""
    parts = urllib.parse.urlsplit(uri)
    place = parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="")
    url = f"{place.geturl().rstrip('/')}/api/2.0/mlflow/experiments/search?max_results=1"
    request = urllib.request.Request(url)
    user = os.environ.get("MLFLOW_TRACKING_USERNAME") or urllib.parse.unquote(parts.username or "")
    secret = os.environ.get("MLFLOW_TRACKING_PASSWORD") or urllib.parse.unquote(
        parts.password or ""
    )
    token = os.environ.get("MLFLOW_TRACKING_TOKEN")
    if user:
        coded = base64.b64encode(f"{user}:{secret}".encode()).decode()
        request.add_header("Authorization", f"Basic {coded}")
    elif token:
        request.add_header("Authorization", f"Bearer {token}")
    return request


def _certificates() -> ssl.SSLContext:
    if os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in ("1", "true"):
        return ssl._create_unverified_context()
    named = ("MLFLOW_TRACKING_SERVER_CERT_PATH", "REQUESTS_CA_BUNDLE")
    file = next((os.environ[name] for name in named if os.environ.get(name)), None)
    return ssl.create_default_context(cafile=file)


def _refusal(uri: str, error: urllib.error.HTTPError) -> InputError:
    said = error.read(2000).decode("utf-8", "replace")
    if error.code == 403 and "host" in said.lower():
        remedy = "start its server with --allowed-hosts naming this host"
        return InputError("MLflow refuses to be called by this name", masked(uri), remedy)
    if error.code in (401, 403):
        remedy = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD to an account's"
        return InputError("MLflow wants a user and password", masked(uri), remedy)
    if error.code >= 500:
        return _no_answer(uri, f"status {error.code}")
    return _something_else(uri)


def _no_answer(uri: str, why: str) -> InputError:
    what = f"no MLflow answers: {masked(why)}"
    return InputError(what, masked(uri), f"start it, or mend or unset {VARIABLE}")


def _something_else(uri: str) -> InputError:
    what = "something that is no MLflow answers"
    return InputError(what, masked(uri), f"give MLflow's address in {VARIABLE}, or unset it")
