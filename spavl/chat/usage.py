"""What a model's work has cost: calls, tokens, money."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from spavl.chat.accounts import price_of
from spavl.chat.interface import ChatModel, ChatReply, ChatRequest, Sampling
from spavl.chat.settings import ChatSettings, OpenAISettings


def cost_of(settings: ChatSettings, prompt_tokens: int, completion_tokens: int) -> float | None:
    """Money for so many tokens, in the currency of the prices; None unless both are known."""
    if not isinstance(settings, OpenAISettings):
        return None
    prices = settings.prompt_price, settings.completion_price
    return price_of(*prices, prompt_tokens, completion_tokens)


class CountedChat:
    """A chat model whose replies are counted.

    Args:
        chat: The model.
        settings: Its settings, for the prices.
    """

    def __init__(self, chat: ChatModel, settings: ChatSettings) -> None:
        self._chat = chat
        self._settings = settings
        self._counts: Counter[str] = Counter()

    @property
    def model_id(self) -> str:
        """The name of the model behind."""
        return self._chat.model_id

    def reply(
        self, requests: Sequence[ChatRequest], sampling: Sampling, done: Collection[str] = ()
    ) -> Iterator[ChatReply]:
        """Counts what passes; see `ChatModel.reply`."""
        for reply in self._chat.reply(requests, sampling, done):
            self._counts["replies"] += 1
            self._counts["prompt_tokens"] += reply.prompt_tokens
            self._counts["completion_tokens"] += reply.completion_tokens
            self._counts["lost_calls"] += reply.lost_calls
            yield reply

    def usage(self) -> dict[str, Any]:
        """`replies`, `prompt_tokens`, `completion_tokens` and, with prices, `cost`.

        `lost_calls`, where there were any, may have been charged on top; nothing came of them.
        Replies that were paid for in an earlier run count too: it is what the rows cost, whoever
        paid.
        """
        names = ("replies", "prompt_tokens", "completion_tokens")
        counts: dict[str, Any] = {name: self._counts[name] for name in names}
        if lost := self._counts["lost_calls"]:
            counts["lost_calls"] = lost
        cost = cost_of(self._settings, counts["prompt_tokens"], counts["completion_tokens"])
        return counts if cost is None else {**counts, "cost": cost}
