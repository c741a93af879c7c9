"""Chat with any endpoint that speaks OpenAI's chat completions.

Requests run side by side up to a bound. What may pass by itself (408, 429, 5xx, time-outs, dropped
connections, bodies that are no completion, answers of another model) is tried again with growing,
jittered waits, or after the time that the endpoint asks for by Retry-After. A request that is not
served in spite of all attempts, or that the endpoint turns down for what it says, comes back as a
reply with finish reason `error`, and `refused` where its content was refused; one bad picture does
not end the work. Where too many are lost, or all for the key, the address or the model's name, the
work ends and says so (`spavl.chat.health`).

Answers are kept in the journal of paid calls before their place is given to the next request.
Every call is entered in the run's ledger before it is sent (`spavl.chat.spending`), and waited for
longer than such calls take (`spavl.chat.patience`): one that is given up is charged all the same.
"""

import asyncio
import gc
import os
import re
from collections.abc import AsyncGenerator, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from spavl.chat.health import Health
from spavl.chat.interface import ChatReply, ChatRequest, Sampling
from spavl.chat.openai_wire import (
    OtherModelError,
    completion_body,
    not_served,
    read_completion,
    refused,
)
from spavl.chat.paid_calls import PaidCalls
from spavl.chat.patience import MOST_GIVEN_UP, Patience
from spavl.chat.proxies import proxy_of
from spavl.chat.saying_no import error_tells_of_a_block, tells_of_length
from spavl.chat.settings import OpenAISettings
from spavl.chat.spending import Call, Purse, Spending
from spavl.chat.tries import (
    Pace,
    TransientError,
    is_transient,
    may_be_charged,
    seconds_to_next,
    seconds_to_wait,
)
from spavl.errors import InputError
from spavl.secrets import remember
from spavl.storable import text_of

if TYPE_CHECKING:
    import aiohttp

_TURNED_DOWN = (400, 413, 422)
_NO_CREDIT = 402
_NOT_FOUND = 404
_FOR_LEGAL_REASONS = 451
_OF_ALL_REQUESTS = (401, _NO_CREDIT, _NOT_FOUND, 405, 429)
"""These are never about what one request says."""
_CONNECT_SECONDS = 30.0
_GATHERED_SECONDS = 0.01
"""Replies are handed on together with those of the next moment: each time stops the event loop."""

Finished = asyncio.Queue[ChatReply | Exception]


class OpenAIChat:
    """A model behind an OpenAI-compatible endpoint.

    Args:
        settings: The endpoint's settings.
        paid: Where answers are kept; what was answered before is not asked again.
        purse: Who asks, and what the run may spend.

    Raises:
        InputError: The environment variable that shall hold the key is not set.
    """

    def __init__(
        self, settings: OpenAISettings, paid: PaidCalls | None = None, purse: Purse | None = None
    ) -> None:
        self._settings = settings
        self._paid = paid
        self._spending = Spending(settings, purse or Purse())
        self._patience = Patience(settings.timeout_seconds)
        self._url = settings.base_url.rstrip("/") + "/chat/completions"
        expected = settings.expected_model
        self._expected = settings.model if expected is None else expected
        key = _read_key(settings)
        self._headers = {"Content-Type": "application/json"}
        if key:
            self._headers["Authorization"] = f"Bearer {key}"
        self._pace = Pace(settings.requests_per_minute, settings.tokens_per_minute)
        self._health = Health(self._url, settings.max_set_aside)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._spending.close()

    @property
    def model_id(self) -> str:
        """The model's name at the endpoint."""
        return self._settings.model

    def reply(
        self, requests: Sequence[ChatRequest], sampling: Sampling, done: Collection[str] = ()
    ) -> Iterator[ChatReply]:
        """Answers the requests in the order in which replies come; see `ChatModel.reply`.

        Raises:
            InputError: The endpoint refuses the key, does not know the model, or turns down
                request after request.
            EndpointError: It serves nobody in spite of all attempts.
            BudgetError: A budget is reached; no call is under way then.
        """
        skip, todo = set(done), []
        for request in requests:
            if request.record_id in skip:
                continue
            kept = self._paid.get(request, sampling) if self._paid else None
            if kept is None:
                todo.append(request)
            else:
                yield kept
        if not todo:
            return
        self._health.asked(len(todo))
        replies = self._replies(todo, sampling)
        with asyncio.Runner() as runner, _short_collections():
            try:
                while some := runner.run(_next(replies)):
                    yield from some
            finally:
                runner.run(replies.aclose())

    async def _replies(
        self, requests: Sequence[ChatRequest], sampling: Sampling
    ) -> AsyncGenerator[list[ChatReply], None]:
        """Serves the requests by as many workers as may run side by side; yields what is there."""
        todo = iter(requests)
        finished: Finished = asyncio.Queue()
        many = min(self._settings.concurrency, len(requests))
        async with self._session() as session:
            work = [self._work(session, todo, sampling, finished) for _ in range(many)]
            workers = [asyncio.create_task(each) for each in work]
            try:
                left = len(requests)
                while left:
                    some = [_raised(await finished.get())]
                    await asyncio.sleep(_GATHERED_SECONDS)
                    while not finished.empty():
                        some.append(_raised(finished.get_nowait()))
                    left -= len(some)
                    yield some
            finally:
                for worker in workers:
                    worker.cancel()
                await asyncio.gather(*workers, return_exceptions=True)

    def _session(self) -> "aiohttp.ClientSession":
        import aiohttp

        # Of the environment only the proxy counts, and it is looked up once, not at every call.
        proxy, proxy_auth = proxy_of(self._url)
        trace = aiohttp.TraceConfig()
        trace.on_request_headers_sent.append(_note_sent)
        connecting = min(_CONNECT_SECONDS, self._settings.timeout_seconds)
        return aiohttp.ClientSession(
            headers=self._headers,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=connecting),
            trace_configs=[trace],
            connector=aiohttp.TCPConnector(limit=self._settings.concurrency),
            cookie_jar=aiohttp.DummyCookieJar(),
            proxy=proxy,
            proxy_auth=proxy_auth,
        )

    async def _work(
        self,
        session: "aiohttp.ClientSession",
        todo: Iterator[ChatRequest],
        sampling: Sampling,
        finished: Finished,
    ) -> None:
        for request in todo:
            try:
                finished.put_nowait(await self._ask(session, request, sampling))
            except Exception as error:  # raised again where the replies are read
                finished.put_nowait(error)

    async def _ask(
        self, session: "aiohttp.ClientSession", request: ChatRequest, sampling: Sampling
    ) -> ChatReply:
        """One request's reply, after as many attempts as it takes."""
        import aiohttp

        body = completion_body(request, sampling, self._settings)
        attempt = given_up = lost = 0
        while True:
            attempt += 1
            call = await self._spending.opened(request, sampling)
            try:
                call.lost_before = lost
                with call:
                    return await self._try(session, call, body, given_up)
            except (TransientError, aiohttp.ClientError, TimeoutError) as error:
                lost += call.sent
                given_up += call.sent and isinstance(error, TimeoutError)
                if attempt == self._settings.max_attempts or given_up == MOST_GIVEN_UP:
                    said = str(error) or type(error).__name__
                    detail = self._health.unanswered(attempt, said)
                    return replace(not_served(request.record_id, detail), lost_calls=lost)
                await asyncio.sleep(seconds_to_next(self._settings, attempt, error))

    async def _try(
        self, session: "aiohttp.ClientSession", call: Call, body: bytes, given_up: int
    ) -> ChatReply:
        """One attempt's reply, which is kept where it says something; what may pass is raised."""
        reserved = await self._pace.turn()
        reply, charged = await self._patience.within(self._post(session, call, body), given_up)
        self._pace.used(reserved, reply.prompt_tokens + reply.completion_tokens)
        reply = replace(reply, lost_calls=call.lost_before) if call.lost_before else reply
        if charged:
            call.answered(reply)
        else:
            call.free()
        if self._paid and (charged or reply.refused):  # a refusal is about the row: it stays one
            self._paid.add(call.request, call.sampling, reply)
        return reply

    async def _post(
        self, session: "aiohttp.ClientSession", call: Call, body: bytes
    ) -> tuple[ChatReply, bool]:
        """What comes back, and whether it is an answer, which is charged."""
        async with session.post(
            self._url, data=body, allow_redirects=False, trace_request_ctx=call
        ) as response:
            content = await response.read()
            if not may_be_charged(response.status):
                call.sent = False
            return self._read(call.request.record_id, response, content), response.status == 200

    def _read(self, record_id: str, response: "aiohttp.ClientResponse", body: bytes) -> ChatReply:
        status, said = response.status, " ".join(text_of(body[:400]).split())
        if status != 200:
            return self._not_ok(record_id, response, text_of(body[:20_000]), said)
        try:
            reply = read_completion(record_id, body, self._expected)
        except OtherModelError as error:
            self._health.by_another(error.model, self._expected)
            raise TransientError(f"{error}: {said}") from error
        except ValueError as error:
            raise TransientError(f"{error}: {said}") from error
        self._health.served()
        return reply

    def _not_ok(
        self, record_id: str, response: "aiohttp.ClientResponse", body: str, said: str
    ) -> ChatReply:
        status = response.status
        detail = f"status {status}: {said}"
        about_the_prompt = 400 <= status < 500 and status not in _OF_ALL_REQUESTS
        if status == _FOR_LEGAL_REASONS or (about_the_prompt and error_tells_of_a_block(body)):
            self._health.served()
            return refused(record_id, detail)
        if is_transient(status) or (status in (401, _NOT_FOUND) and self._health.has_served):
            raise TransientError(detail, seconds_to_wait(response.headers.get("Retry-After")))
        remedy = self._remedy(status, said, text_of(response.headers.get("Location")))
        if status == 401:
            raise InputError(detail, self._url, remedy)
        if (status in _TURNED_DOWN and not _names_a_field(said)) or status == _NO_CREDIT:
            self._health.lost(detail, remedy)
        else:
            self._health.at_fault(detail, remedy)
        return not_served(record_id, detail)

    def _remedy(self, status: int, said: str, location: str) -> str:
        if status in (401, 403):
            name = self._settings.api_key_env
            return f"set {name} to a valid key" if name else "name the key's variable: api_key_env"
        if status == _NO_CREDIT:
            return "top up the account, which has no credit"
        if status == _NOT_FOUND:
            return f"correct base_url or model ({self._settings.model})"
        if location:
            return f"correct base_url: it leads on to {location[:200]}"
        if status in _TURNED_DOWN:
            if "temperature" in said or "top_p" in said:
                return "set send_temperature or send_top_p of this endpoint's settings to false"
            return "correct model, token_limit_field or send_seed of this endpoint's settings"
        return "correct base_url: this does not look like a chat completions endpoint"


def _names_a_field(said: str) -> bool:
    """Whether a refusal is about what is sent with every request."""
    if tells_of_length(said):
        return False
    fields = ("temperature", "top_p", "max_tokens", "max_completion_tokens", "seed", "model")
    return any(re.search(rf"\b{field}\b", said) for field in fields)


async def _note_sent(_: Any, context: Any, __: Any) -> None:
    """From here on the endpoint may charge for a call."""
    call: Call = context.trace_request_ctx
    call.sent = True


@contextmanager
def _short_collections() -> Iterator[None]:
    """Leaves to the garbage collector only what is made meanwhile.

    A whole collection goes over everything that libraries have loaded; for that tenth of a second
    no request would be sent or answer read.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


async def _next(replies: AsyncGenerator[list[ChatReply], None]) -> list[ChatReply]:
    return await anext(replies, [])


def _raised(reply: ChatReply | Exception) -> ChatReply:
    if isinstance(reply, Exception):
        raise reply
    return reply


def _read_key(settings: OpenAISettings) -> str | None:
    if settings.api_key_env is None:
        return None
    key = os.environ.get(settings.api_key_env, "").strip()
    remember(key)
    if not key:
        raise InputError(
            f"no key in the environment variable {settings.api_key_env}",
            settings.base_url,
            "set it, or remove api_key_env where the endpoint needs no key",
        )
    return key
