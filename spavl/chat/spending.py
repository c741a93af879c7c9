"""Calls as their endpoint charges for them: entered before they are sent, closed by what they cost.

What a call costs is known when its answer is there. Before, it is entered with the most that it
should cost: its prompt by its length and by how far such guesses were off so far, its answer by the
longest of those so far, or by its token limit while few are known; and there must be room for one
answer of that limit. Where a budget has no room, a call waits for those under way to tell what they
cost; once there are none, the budget is reached.
"""

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from spavl.chat.accounts import Heading, shown_address
from spavl.chat.interface import ChatReply, ChatRequest, Sampling
from spavl.chat.ledger import Budgets, Ledger
from spavl.chat.settings import OpenAISettings
from spavl.errors import TRY_AGAIN, SpavlError

ENOUGH = 16
"""So many answers tell how long answers are."""
SECONDS_BETWEEN_LOOKS = 0.5
"""At what other processes' calls have come to."""


class BudgetError(SpavlError):
    """A budget is reached: what was paid for is kept, and a larger budget goes on from there."""

    exit_code = TRY_AGAIN


@dataclass(frozen=True)
class Purse:
    """Who asks, and out of what.

    Attributes:
        stage: The stage that asks.
        budget: Money that all calls of the run may cost; None is no limit.
    """

    stage: str = "chat"
    budget: float | None = None


@dataclass
class _Seen:
    """Answers so far, of one token limit.

    Attributes:
        answers: How many.
        longest: Tokens of the longest.
    """

    answers: int = 0
    longest: int = 0


@dataclass
class Call:
    """One call; a context manager that closes it as lost or free if nobody has.

    Attributes:
        sent: Whether any of it has gone out.
        lost_before: Calls about the same request that were lost before it.
    """

    spending: "Spending"
    name: str
    request: ChatRequest
    sampling: Sampling
    sent: bool = False
    lost_before: int = 0
    is_open: bool = field(default=True, init=False)

    def answered(self, reply: ChatReply) -> None:
        """The endpoint answered, and charges for it."""
        self.spending._answered(self, reply)

    def free(self) -> None:
        """The endpoint does not charge for it."""
        self.spending._closed(self, lost=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.is_open:
            self.spending._closed(self, lost=self.sent)


class Spending:
    """What one stage's calls to one endpoint cost.

    Args:
        settings: The endpoint's.
        purse: Who asks, and what the run may spend.
    """

    def __init__(self, settings: OpenAISettings, purse: Purse) -> None:
        prices = settings.prompt_price, settings.completion_price
        self._settings = settings
        heading = Heading(purse.stage, shown_address(settings.base_url), settings.model, *prices)
        self._ledger = Ledger(heading, Budgets(purse.budget, settings.budget))
        self._seen: dict[int, _Seen] = defaultdict(_Seen)
        self._excess = 0
        self._under_way = 0
        self._waiting: list[asyncio.Future[None]] = []

    async def opened(self, request: ChatRequest, sampling: Sampling) -> Call:
        """Enters a call, as soon as there is room for it.

        Raises:
            BudgetError: There is none, and no call of the run is under way that could make any.
        """
        while True:
            at_most, limit = self._at_most(request, sampling)
            # One of those under way may be longer than any before.
            name = self._ledger.enter(at_most, margin=limit - at_most)
            if name is not None:
                self._under_way += 1
                return Call(self, name, request, sampling)
            if self._under_way:
                await self._until_one_is_closed()
            elif self._ledger.may_have_room(limit):
                await asyncio.sleep(SECONDS_BETWEEN_LOOKS)
            else:
                raise BudgetError(self._told(limit))

    def close(self) -> None:
        """Lets go of the ledger."""
        self._ledger.close()

    def _answered(self, call: Call, reply: ChatReply) -> None:
        prompt, completion = self._tokens(call, reply)
        self._ledger.answered(call.name, prompt, completion)
        self._excess = max(self._excess, prompt - prompt_guess(call.request, self._settings))
        seen = self._seen[call.sampling.max_new_tokens]
        seen.answers += 1
        seen.longest = max(seen.longest, completion)
        self._gone(call)

    def _closed(self, call: Call, *, lost: bool) -> None:
        (self._ledger.lost if lost else self._ledger.free)(call.name)
        self._gone(call)

    def _gone(self, call: Call) -> None:
        call.is_open = False
        self._under_way -= 1
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            if not each.done():
                each.set_result(None)

    async def _until_one_is_closed(self) -> None:
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        await future

    def _tokens(self, call: Call, reply: ChatReply) -> tuple[int, int]:
        """Tokens of a call; guessed where the endpoint does not tell them."""
        if reply.prompt_tokens or reply.completion_tokens or reply.refused:
            return reply.prompt_tokens, reply.completion_tokens
        written = len(reply.text) + len(reply.reasoning)
        guess = prompt_guess(call.request, self._settings)
        return guess, round(written / self._settings.characters_per_token)

    def _at_most(self, request: ChatRequest, sampling: Sampling) -> tuple[float, float]:
        """What a call costs whose answer is as long as the longest so far, and as its limit."""
        seen = self._seen[sampling.max_new_tokens]
        limit = max(sampling.max_new_tokens, seen.longest)
        longest = seen.longest if seen.answers >= ENOUGH else limit
        prompt = prompt_guess(request, self._settings) + self._excess
        cost = self._ledger.account.heading.cost
        return cost(prompt, longest) or 0.0, cost(prompt, limit) or 0.0

    def _told(self, at_most: float) -> str:
        over, budgets = self._ledger.over(at_most), self._ledger.budgets
        endpoint = self._ledger.account.heading.endpoint
        if "endpoint" in over:
            which, limit = f"of {self._settings.model}", budgets.endpoint
            remedy = "raise this endpoint's budget"
        else:
            which, limit, remedy = "of the run", budgets.run, "raise budget"
        spent = self._ledger.spent(this_endpoint="endpoint" in over)
        return (
            f"the budget {which} is reached ({endpoint}): {spent:.4g} of {limit:g} spent, and the "
            f"next call may cost {at_most:.2g}; {remedy} and go on with spavl run --resume, which "
            "takes --set for budgets"
        )


def prompt_guess(request: ChatRequest, settings: OpenAISettings) -> int:
    """About how many tokens a request has."""
    return tokens_guess(
        sum(len(message.text) for message in request.messages),
        request.image is not None,
        settings,
    )


def tokens_guess(characters: int, picture: bool, settings: OpenAISettings) -> int:
    """About how many tokens so many characters have, with a picture or without."""
    text = -(-characters // settings.characters_per_token)
    return int(text) + (settings.picture_tokens if picture else 0)
