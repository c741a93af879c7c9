"""Models that answer nothing and count what they are asked."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

from spavl.chat import ChatReply, ChatRequest, ChatSettings, Sampling
from spavl.chat.accounts import Heading, shown_address
from spavl.chat.settings import OpenAISettings

CHARACTERS_PER_TOKEN = 4.0
"""Of models that are no endpoint."""
_WORDS = "so it may well be as long as this one is "


@dataclass
class Calls:
    """Calls of one stage to one endpoint.

    Attributes:
        calls: How many.
        prompt_tokens: Tokens that they read.
        completion_tokens: Tokens that they write.
        lengths: Where the lengths of answers are from; see `pipelines.planning.lengths`.
    """

    calls: float = 0.0
    prompt_tokens: float = 0.0
    completion_tokens: float = 0.0
    lengths: set[str] = field(default_factory=set)


Books = defaultdict[Heading, Calls]
"""What is counted, by who asks and who is asked."""


def new_books() -> Books:
    """Books with nothing in them."""
    return defaultdict(Calls)


@dataclass(frozen=True)
class Length:
    """How long an answer is expected to be.

    Attributes:
        tokens: Tokens, before the limit of the sampling.
        source: `expected` by a setting, or `assumed`.
    """

    tokens: float
    source: str


class CountingChat:
    """A chat model that counts what it is asked; see `ChatModel`.

    Args:
        stage: Who asks.
        settings: Who is asked; only endpoints are entered in the books.
        length: How long its answers are.
        books: Where calls are entered.

    Attributes:
        weight: Calls that each request stands for.
    """

    def __init__(self, stage: str, settings: ChatSettings, length: Length, books: Books) -> None:
        self.model_id = str(getattr(settings, "model", None) or settings.backend)
        self.weight = 1.0
        self._stage = stage
        self._settings = settings
        self._length = length
        self._books = books

    def reply(
        self, requests: Sequence[ChatRequest], sampling: Sampling, done: Collection[str] = ()
    ) -> Iterator[ChatReply]:
        """Answers each request with a text of the expected length."""
        tokens = min(self._length.tokens, sampling.max_new_tokens)
        for request in requests:
            if isinstance(self._settings, OpenAISettings):
                self._enter(self._settings, request, tokens)
            text = filler(request.record_id, tokens * characters_per_token(self._settings))
            yield ChatReply(request.record_id, text, "stop", 0, round(tokens))

    def _enter(self, settings: OpenAISettings, request: ChatRequest, tokens: float) -> None:
        calls = self._books[heading_of(self._stage, settings)]
        characters = sum(len(message.text) for message in request.messages)
        pictures = settings.picture_tokens if request.image is not None else 0
        calls.calls += self.weight
        read = characters / settings.characters_per_token + pictures
        calls.prompt_tokens += self.weight * read
        calls.completion_tokens += self.weight * tokens
        calls.lengths.add(self._length.source)


def heading_of(stage: str, settings: OpenAISettings) -> Heading:
    """Who asks and who is asked."""
    return Heading(
        stage,
        shown_address(settings.base_url),
        settings.model,
        settings.prompt_price,
        settings.completion_price,
    )


def characters_per_token(settings: ChatSettings | None) -> float:
    """Characters of a token of a model's answers."""
    if isinstance(settings, OpenAISettings):
        return settings.characters_per_token
    return CHARACTERS_PER_TOKEN


def filler(name: str, characters: float) -> str:
    """Words of so many characters; texts of different names differ."""
    text = f"{name[:8]} " + _WORDS * (int(characters) // len(_WORDS) + 1)
    return text[: round(characters)].strip()
