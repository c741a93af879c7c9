"""The chat interface: what is asked, how it is sampled, what comes back."""

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

Role = Literal["system", "user", "assistant"]

FinishReason = Literal["stop", "length", "error"]
"""Why an answer ended: by itself, at its token limit, or because the endpoint did not serve it."""


@dataclass(frozen=True)
class Message:
    """One turn of a conversation."""

    role: Role
    text: str


@dataclass(frozen=True)
class ChatRequest:
    """One conversation to be answered.

    Attributes:
        record_id: Names the request; unique among the requests of a call.
        messages: The turns so far; the last one is the user's.
        image: The encoded picture, which belongs to the first user turn; None for text alone.
    """

    record_id: str
    messages: tuple[Message, ...]
    image: bytes | None = None


@dataclass(frozen=True)
class Sampling:
    """How an answer's tokens are drawn.

    Attributes:
        max_new_tokens: Token limit of the answer.
        temperature: 0 is greedy decoding.
        top_p: Nucleus sampling's share of probability, 1 is all of it.
        seed: Seed of the draws; greedy decoding ignores it.
    """

    max_new_tokens: int
    temperature: float
    top_p: float = 1.0
    seed: int = 0

    def to_json(self) -> str:
        """Compact JSON, as a record's maker keeps it."""
        return json.dumps(vars(self), separators=(",", ":"))


@dataclass(frozen=True)
class ChatReply:
    """An answer.

    Attributes:
        record_id: The request's id.
        text: The answer; of an `error` the endpoint's reason is in `detail` and this is empty.
        finish_reason: See `FinishReason`.
        prompt_tokens: Tokens read, picture included; 0 where an endpoint does not say.
        completion_tokens: Tokens written; 0 where an endpoint does not say.
        detail: Why the endpoint did not serve the request; empty otherwise.
        refused: Whether an `error` is an answer about the request: its content was refused.
        reasoning: What the model thought before it answered, where it tells; no part of the answer.
        lost_calls: Calls before this one that may have been charged and of which nothing came.
    """

    record_id: str
    text: str
    finish_reason: FinishReason
    prompt_tokens: int
    completion_tokens: int
    detail: str = ""
    refused: bool = False
    reasoning: str = ""
    lost_calls: int = 0


class ChatModel(Protocol):
    """A model that answers."""

    @property
    def model_id(self) -> str:
        """The model's name, as records keep it."""
        ...

    def reply(
        self, requests: Sequence[ChatRequest], sampling: Sampling, done: Collection[str] = ()
    ) -> Iterator[ChatReply]:
        """Answers all requests but those done before; replies come as they finish, in any order.

        Args:
            requests: All requests of the work, those done before included: a model that answers in
                batches composes them from the whole, so an answer never depends on when it was
                interrupted.
            sampling: How to draw the answers.
            done: Record ids that are not to be answered again.
        """
        ...
