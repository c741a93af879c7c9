"""lmms-eval as a command: one task of one model.

It runs as a process of its own, so it may live in another environment than ours. It ends with code
0 whatever happens, so only its results file tells whether a task was measured.
"""

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO

from components.evaluation.lmms_results import Capability, failed, printable, read_results
from spavl.child_processes import ends_with_this_process
from spavl.errors import InputError
from spavl.settings.evaluation import LmmsEvalSettings

MODELS = {"llava": "llava_hf", "qwen2_5_vl": "qwen2_5_vl"}
"""Its model class by our backbone's model type."""
_CONTROL_SEQUENCE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
# An error may have several lines; its first is the reason.
_SAID_ERROR = re.compile(
    r"Error during evaluation: (.*?)(?:\. Please set `--verbosity|$)", re.MULTILINE
)
_CAUSE = re.compile(r"^(?!tenacity\.)[\w.]+(?:Error|Exception): .+$", re.MULTILINE)
_LOST_ANSWER = re.compile(r" in generating$", re.MULTILINE)  # an error of any number of lines
_REASON_CHARACTERS = 160


@dataclass(frozen=True)
class Measurement:
    """What is measured of which model.

    Attributes:
        task: lmms-eval's name of a task or a group.
        model: The model's folder.
        settings: How lmms-eval is called.
        seed: The run's seed.
    """

    task: str
    model: str
    settings: LmmsEvalSettings
    seed: int


def check_command(settings: LmmsEvalSettings) -> None:
    """Check that there is an lmms-eval to call: its package here, or the named command's program.

    Whether that program has an lmms-eval is not known before it is called.

    Raises:
        InputError: If it is not installed here, or there is no such program.
    """
    program = _command(settings)[0]
    found = find_spec("lmms_eval") if settings.command is None else shutil.which(program)
    if found is None:
        raise InputError(
            "no lmms-eval here",
            f"evaluation.lmms_eval.command: {settings.command or 'this Python'}",
            "install the extra lmms-eval, or name the command of an environment that has it",
        )


def check_task_files(settings: LmmsEvalSettings) -> None:
    """Check that the folder of further task files is there, where one is named.

    Raises:
        InputError: If it is not.
    """
    if settings.include_path is not None and not Path(settings.include_path).is_dir():
        raise InputError(
            "no such folder",
            f"evaluation.lmms_eval.include_path: {settings.include_path}",
            "name the folder that holds your task files",
        )


def run_task(measurement: Measurement, confidence: float, keep: Path) -> dict[str, Capability]:
    """Measures one task; one that fails has n = 0 and the reason.

    So has one that cannot be called: what is missing here must not cost the training before it.

    Args:
        measurement: What is measured.
        confidence: Coverage of the intervals.
        keep: Where the log (`.log`) and the results as they are (`.results.json`) are kept.
    """
    try:
        return _run_task(measurement, confidence, keep)
    except InputError as error:
        return {measurement.task: failed(_shown(str(error)))}


def _run_task(measurement: Measurement, confidence: float, keep: Path) -> dict[str, Capability]:
    check_command(measurement.settings)
    check_task_files(measurement.settings)
    log = keep.with_suffix(".log")
    with tempfile.TemporaryDirectory(prefix="spavl-lmms-eval-") as place:
        # Its arguments are split at commas and equals signs, so no path of ours is among them.
        (Path(place) / "model").symlink_to(Path(measurement.model).resolve())
        ended = _call(command_line(measurement), Path(place), log, measurement.settings)
        results = sorted(Path(place).glob("results/**/*_results.json"))
        if trouble := _trouble(ended, log, bool(results)):
            return {measurement.task: failed(trouble)}
        content = json.loads(results[-1].read_text(encoding="utf-8"))
    keep.with_suffix(".results.json").write_text(json.dumps(content, indent=1), encoding="utf-8")
    found = read_results(content, confidence)
    return found or {measurement.task: failed("its results hold no figure")}


def command_line(measurement: Measurement) -> list[str]:
    """The command and its arguments, for a folder in which `model` is the model."""
    settings = measurement.settings
    device = settings.device or _device()
    model_class = settings.model or _model_class(measurement.model)
    arguments = ["pretrained=model"]
    if model_class in MODELS.values():
        arguments.append(f"device_map={device}")  # its own default for LLaVA is refused
    arguments += [settings.model_args] if settings.model_args else []
    command = [
        *_command(settings),
        "--model", model_class,
        "--model_args", ",".join(arguments),
        "--tasks", measurement.task,
        "--batch_size", str(settings.batch_size),
        "--device", device,
        "--seed", str(measurement.seed),
        "--output_path", "results",
    ]  # fmt: skip
    if settings.limit is not None:
        command += ["--limit", str(settings.limit)]
    if settings.include_path is not None:
        command += ["--include_path", str(Path(settings.include_path).resolve())]
    return command


def _command(settings: LmmsEvalSettings) -> list[str]:
    if settings.command is None:
        return [sys.executable, "-m", "lmms_eval"]
    program, *rest = shlex.split(settings.command)
    found = shutil.which(program)  # it is called from another folder
    return [str(Path(found).absolute()) if found else program, *rest]


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _model_class(folder: str) -> str:
    kind = json.loads((Path(folder) / "config.json").read_text())["model_type"]
    if kind not in MODELS:
        raise InputError(
            f"no model class of lmms-eval is known for {kind}",
            "evaluation.lmms_eval.model",
            "name the class that lmms-eval loads it by",
        )
    return MODELS[kind]


def _call(command: list[str], place: Path, log: Path, settings: LmmsEvalSettings) -> int | None:
    """Runs the command in a folder; its code, or None where its time is up."""
    with log.open("wb") as out:
        process = _start(command, place, out)
        try:
            return process.wait(settings.timeout_seconds)
        except subprocess.TimeoutExpired:
            return None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _start(command: list[str], place: Path, out: BinaryIO) -> "subprocess.Popen[bytes]":
    try:
        return subprocess.Popen(
            command,
            cwd=place,
            stdout=out,
            stderr=subprocess.STDOUT,
            # Compiled files beside the task files would change the folder's digest.
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
            start_new_session=True,
            preexec_fn=ends_with_this_process(),
        )
    except OSError as error:
        raise InputError(
            "lmms-eval cannot be started", command[0], error.strerror or str(error)
        ) from None


def _trouble(code: int | None, log: Path, has_results: bool) -> str:
    """Why the results cannot be taken; empty where they can."""
    if code is None:
        return "its time was up (evaluation.lmms_eval.timeout_seconds; then count attempt up)"
    text = _CONTROL_SEQUENCE.sub("", log.read_text(errors="replace"))
    # It scores an answer that could not be generated as an empty one.
    if lost := len(_LOST_ANSWER.findall(text)):
        return f"{lost} answers could not be generated"
    if code == 0 and has_results:
        return ""
    said = _SAID_ERROR.findall(text)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    reason = said[-1] if said else lines[-1] if lines else "it said nothing"
    causes = _CAUSE.findall(text)
    if reason.startswith("RetryError") and causes:  # it says only that something was tried again
        reason = causes[-1]
    return _shown(reason)


def _shown(reason: str) -> str:
    """A reason as terminals and pages may show it: short, on one line, no control signs."""
    return textwrap.shorten(printable(reason), _REASON_CHARACTERS, placeholder=" …")
