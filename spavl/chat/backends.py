"""From settings to a chat model that never asks twice for what it was answered."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from spavl.chat.interface import ChatModel
from spavl.chat.journal import Journal, JournaledChat
from spavl.chat.paid_calls import PaidCalls
from spavl.chat.settings import (
    ChatSettings,
    OpenAISettings,
    PocketTemplatesSettings,
    TransformersSettings,
    VllmSettings,
)
from spavl.chat.spending import Purse
from spavl.digests import json_digest
from spavl.environment import work_root
from spavl.errors import InputError
from spavl.work import Reference


@contextmanager
def open_chat(
    settings: ChatSettings,
    journal: Journal,
    base_model: Reference | None = None,
    threads: int | None = None,
    purse: Purse | None = None,
) -> Iterator[ChatModel]:
    """Opens the chat model that the settings describe, for as long as the context lasts.

    Args:
        settings: One backend's settings.
        journal: Where a stage's answers are kept. An endpoint's are kept with its paid calls
            instead, which outlive the stage's work.
        base_model: The run's base model, for `transformers` settings that name no model.
        threads: Torch threads of a model in this process; None leaves them as they are.
        purse: Who asks an endpoint, and what the run may spend.

    Raises:
        InputError: A key's environment variable is not set, or no model is given at all.
    """
    match settings:
        case TransformersSettings():
            from spavl.chat.transformers_backend import TransformersChat

            model = settings.model or (base_model.uri if base_model else None)
            if model is None:
                raise InputError("no model", "chat.model", "name the folder of a model")
            local = TransformersChat(model, settings.batch_size, threads)
            yield JournaledChat(local, journal)
        case OpenAISettings():
            from spavl.chat.openai_backend import OpenAIChat

            paid_calls = PaidCalls(paid_folder(settings.base_url, settings.model))
            with paid_calls as paid, OpenAIChat(settings, paid, purse) as chat:
                yield chat
        case VllmSettings():
            from spavl.chat.openai_backend import OpenAIChat
            from spavl.chat.vllm_server import serving

            # Its port differs from run to run, so it is not part of what was asked.
            server = " ".join(("vllm", *settings.arguments))
            paid_calls = PaidCalls(paid_folder(server, settings.model))
            with (
                serving(settings) as endpoint,
                paid_calls as paid,
                OpenAIChat(endpoint, paid, purse) as chat,
            ):
                yield chat
        case PocketTemplatesSettings():
            from spavl.chat.pocket_templates import PocketTemplatesChat

            yield JournaledChat(PocketTemplatesChat(), journal)


def paid_folder(endpoint: str, model: str) -> Path:
    """Where the paid calls of a model at an endpoint lie: in the work root, beside the stages."""
    readable = re.sub(r"[^A-Za-z0-9.-]+", "-", model).strip("-")[:60]
    return work_root() / "paid" / f"{readable}-{json_digest([endpoint, model])[:12]}"
