"""What evaluation needs: known before a run starts, not after days of training."""

import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import TypeAdapter

from pipelines.preflight_models import chat_models
from spavl.chat.settings import ChatSettings, OpenAISettings
from spavl.errors import InputError
from spavl.settings.evaluation import EvaluationSettings, JudgeSettings
from spavl.settings.gate import GateSettings

JUDGE_SECONDS = 8
"""How long an endpoint may take to say what it serves."""


def check_evaluation(evaluation: Mapping[str, Any], gate: Mapping[str, Any]) -> None:
    """Check that the benchmarks' files and the judges are there.

    Args:
        evaluation: Raw `EvaluationSettings`.
        gate: Raw `GateSettings`.

    Raises:
        InputError: If files are missing or a judge does not answer.
    """
    from components.evaluation.requirements import require_files

    settings = EvaluationSettings.parse(dict(evaluation), "evaluation")
    require_files(settings, GateSettings.parse(dict(gate), "gate"))
    for judge, model in _judges(settings.judges):
        if isinstance(model, OpenAISettings):
            check_endpoint(f"evaluation.judges.{judge}", model)


def check_endpoints(stages: Mapping[str, Any]) -> None:
    """Check that every endpoint of the stages answers.

    Raises:
        InputError: Names the first one that does not.
    """
    for where, settings in chat_models(stages):
        if settings["backend"] == "openai":
            check_endpoint(where, TypeAdapter(OpenAISettings).validate_python(settings))


def check_endpoint(where: str, model: OpenAISettings) -> None:
    """Check that an endpoint answers and, where it tells what it serves, that it serves the model.

    Args:
        where: The key whose model it is.
        model: The endpoint and the model's name there.

    Raises:
        InputError: If it does not.
    """
    address = f"{model.base_url.rstrip('/')}/models"
    request = urllib.request.Request(address)
    if key := os.environ.get(model.api_key_env or "", "").strip():
        request.add_header("Authorization", f"Bearer {key}")
    try:
        with urllib.request.urlopen(request, timeout=JUDGE_SECONDS) as answer:
            served = _served(answer.read())
    except urllib.error.HTTPError:
        return  # somebody answers; not every endpoint tells what it serves
    except (OSError, ValueError) as error:
        reason = str(getattr(error, "reason", error)) or type(error).__name__
        raise InputError(
            f"the endpoint does not answer: {reason}",
            f"{where}: {model.base_url}",
            f"serve {model.model} there, or name another endpoint",
        ) from None
    if served and model.model not in served:
        raise InputError(
            f"the endpoint does not serve {model.model}",
            f"{where}: {model.base_url}",
            f"serve it there, or name one of {', '.join(sorted(served)[:8])}",
        )


def check_gate(
    evaluation: Mapping[str, Any], gate: Mapping[str, Any], data: str | Mapping[str, Any]
) -> None:
    """Check that the gate's figures will be made.

    Args:
        evaluation: Raw `EvaluationSettings`.
        gate: Raw `GateSettings`.
        data: The address of a given data set, or the raw `LabelingSettings` that make one.

    Raises:
        InputError: If one will not.
    """
    from components.evaluation.requirements import needs_held_out, require_figures

    figures = GateSettings.parse(dict(gate), "gate")
    require_figures(EvaluationSettings.parse(dict(evaluation), "evaluation"), figures)
    if needs_held_out(figures):
        _check_held_out(data)


def _check_held_out(data: str | Mapping[str, Any]) -> None:
    """Check that a data set has test items of its own, or will have."""
    from components.importing import has_items
    from spavl.settings.labeling import LabelingSettings

    if isinstance(data, str):
        where, made, remedy = data, has_items(data), "import one that has HarmEval and HelpEval"
    else:
        where = "labeling.splitting.test_per_class"
        made = LabelingSettings.parse(dict(data), "labeling").splitting.test_per_class > 0
        remedy = "set it, e.g. to 5"
    if not made:
        raise InputError(
            "the gate goes by the data set's own test items, and it has none",
            where,
            f"{remedy}, or let the gate go by other figures",
        )


def check_lmms_eval(evaluation: Mapping[str, Any], runner: str) -> None:
    """Check that there is an lmms-eval to call, where tasks of it are named.

    Containers may have one that this machine has not; their folder of task files is this machine's.

    Args:
        evaluation: Raw `EvaluationSettings`.
        runner: What tasks are: `subprocess` or `docker`.

    Raises:
        InputError: If there is none, or its folder of task files is not there.
    """
    from components.evaluation.lmms_eval import check_command, check_task_files

    settings = EvaluationSettings.parse(dict(evaluation), "evaluation")
    if settings.lmms_eval:
        check_task_files(settings.lmms_eval)
        if runner == "subprocess":
            check_command(settings.lmms_eval)


def _judges(judges: tuple[JudgeSettings, ...]) -> Iterator[tuple[str, ChatSettings]]:
    for judge in judges:
        model = judge.chat or (judge.moderator and judge.moderator.chat)
        if model:
            yield judge.id, model


def _served(body: bytes) -> set[str]:
    """Names of the models that an endpoint lists; none where it lists otherwise."""
    try:
        return {str(each["id"]) for each in json.loads(body)["data"]}
    except (ValueError, LookupError, TypeError):
        return set()
