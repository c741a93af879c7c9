"""Chat with vision-language models: batches of messages, pictures and sampling in, texts out.

Models are reached by one interface, `ChatModel`. Its backends run a model in this process
(`transformers_backend`), ask any OpenAI-compatible endpoint (`openai_backend`), one that the step
serves itself among them (`vllm_server`), or write the pocket world's questions from templates
(`pocket_templates`). Settings say which (`open_chat`).
"""

from spavl.chat.backends import open_chat
from spavl.chat.interface import ChatModel, ChatReply, ChatRequest, Message, Sampling
from spavl.chat.journal import Journal, JournaledChat
from spavl.chat.settings import ChatSettings, SamplingSettings

__all__ = [
    "ChatModel",
    "ChatReply",
    "ChatRequest",
    "ChatSettings",
    "Journal",
    "JournaledChat",
    "Message",
    "Sampling",
    "SamplingSettings",
    "open_chat",
]
