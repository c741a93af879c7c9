"""From settings to a chat model."""

from spavl.chat.interface import ChatModel
from spavl.chat.settings import (
    ChatSettings,
    OpenAISettings,
    PocketTemplatesSettings,
    TransformersSettings,
)
from spavl.errors import InputError
from spavl.work import Reference


def chat_from_settings(
    settings: ChatSettings, base_model: Reference | None = None, threads: int | None = None
) -> ChatModel:
    """Opens the chat model that the settings describe.

    Args:
        settings: One backend's settings.
        base_model: The run's base model, for `transformers` settings that name no model.
        threads: Torch threads of a model in this process; None leaves them as they are.

    Raises:
        InputError: A key's environment variable is not set, or no model is given at all.
    """
    match settings:
        case TransformersSettings():
            from spavl.chat.transformers_backend import TransformersChat

            folder = settings.model or (base_model.uri if base_model else None)
            if folder is None:
                raise InputError("no model", "chat.model", "name the folder of a model")
            return TransformersChat(folder, settings.batch_size, threads)
        case OpenAISettings():
            from spavl.chat.openai_backend import OpenAIChat

            return OpenAIChat(settings)
        case PocketTemplatesSettings():
            from spavl.chat.pocket_templates import PocketTemplatesChat

            return PocketTemplatesChat()
