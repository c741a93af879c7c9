"""Chat with any endpoint that speaks OpenAI's chat completions.

Requests run side by side up to a bound. What may pass by itself (408, 429, 5xx, time-outs, dropped
connections, bodies that are no completion) is tried again with growing, jittered waits, or after
the time that the endpoint asks for by Retry-After. A request that the endpoint turns down for what
it says (400, 413, 422) comes back as a reply with finish reason `error`, so that one bad picture
does not end the work; where it turns down one after another, the work ends and names the endpoint.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, Collection, Iterator, Sequence
from typing import TYPE_CHECKING

from spavl.chat.interface import ChatReply, ChatRequest, Sampling
from spavl.chat.openai_wire import completion_body, read_completion, turned_down
from spavl.chat.settings import OpenAISettings
from spavl.chat.tries import Pace, TransientError, is_transient, retrying, seconds_to_wait
from spavl.errors import TRY_AGAIN, InputError, SpavlError

if TYPE_CHECKING:
    import aiohttp

_TURNED_DOWN = (400, 413, 422)
_HOPELESS_AFTER = 16
"""So many requests turned down and none served: the settings are wrong, not the requests."""


class EndpointError(SpavlError):
    """An endpoint did not serve a request in spite of all attempts; trying later may help."""

    exit_code = TRY_AGAIN


class OpenAIChat:
    """A model behind an OpenAI-compatible endpoint.

    Raises:
        InputError: The environment variable that shall hold the key is not set.
    """

    def __init__(self, settings: OpenAISettings) -> None:
        self._settings = settings
        self._key = _read_key(settings)

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
            EndpointError: It did not serve a request in spite of all attempts.
        """
        skip = set(done)
        todo = [request for request in requests if request.record_id not in skip]
        replies = _Conversation(self._settings, self._key, sampling).replies(todo)
        with asyncio.Runner() as runner:
            try:
                while (reply := runner.run(_next(replies))) is not None:
                    yield reply
            finally:
                runner.run(replies.aclose())


class _Conversation:
    """One call of `reply`: its session, its pace and what it has seen so far."""

    def __init__(self, settings: OpenAISettings, key: str | None, sampling: Sampling) -> None:
        self._settings = settings
        self._sampling = sampling
        self._url = settings.base_url.rstrip("/") + "/chat/completions"
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._pace = Pace(settings.requests_per_minute)
        self._served = 0
        self._turned_down = 0

    async def replies(self, requests: Sequence[ChatRequest]) -> AsyncGenerator[ChatReply, None]:
        """Serves the requests by as many workers as may run side by side."""
        import aiohttp

        todo = iter(requests)
        finished: asyncio.Queue[ChatReply | Exception] = asyncio.Queue()
        many = min(self._settings.concurrency, len(requests))
        async with aiohttp.ClientSession(
            headers=self._headers,
            timeout=aiohttp.ClientTimeout(total=self._settings.timeout_seconds),
            connector=aiohttp.TCPConnector(limit=self._settings.concurrency),
            trust_env=True,
        ) as session:
            work = [self._work(session, todo, finished) for _ in range(many)]
            workers = [asyncio.create_task(each) for each in work]
            try:
                for _ in requests:
                    yield self._checked(await finished.get())
            finally:
                for worker in workers:
                    worker.cancel()
                await asyncio.gather(*workers, return_exceptions=True)

    async def _work(
        self,
        session: "aiohttp.ClientSession",
        todo: Iterator[ChatRequest],
        finished: "asyncio.Queue[ChatReply | Exception]",
    ) -> None:
        for request in todo:
            try:
                finished.put_nowait(await self._ask(session, request))
            except Exception as error:  # raised again where the replies are read
                finished.put_nowait(error)

    async def _ask(self, session: "aiohttp.ClientSession", request: ChatRequest) -> ChatReply:
        import aiohttp

        body = completion_body(request, self._sampling, self._settings)
        try:
            async for attempt in retrying(self._settings):
                with attempt:
                    await self._pace.turn()
                    async with session.post(self._url, json=body) as response:
                        return await self._read(request.record_id, response)
        except (TransientError, aiohttp.ClientError, TimeoutError) as error:
            raise EndpointError(
                f"no answer after {self._settings.max_attempts} attempts ({self._url}): "
                f"{str(error) or type(error).__name__}; see that the endpoint is up and run again"
            ) from error
        raise AssertionError("the last attempt returns or raises")

    async def _read(self, record_id: str, response: "aiohttp.ClientResponse") -> ChatReply:
        body = await response.read()
        status, said = response.status, " ".join(body[:400].decode("utf-8", "replace").split())
        if is_transient(status):
            wait = seconds_to_wait(response.headers.get("Retry-After"))
            raise TransientError(f"status {status}: {said}", wait)
        if status in _TURNED_DOWN:
            return turned_down(record_id, f"status {status}: {said}")
        if status != 200:
            raise InputError(f"status {status}: {said}", self._url, self._remedy(status))
        try:
            return read_completion(record_id, body)
        except ValueError as error:
            raise TransientError(f"{error}: {said}") from error

    def _checked(self, reply: ChatReply | Exception) -> ChatReply:
        if isinstance(reply, Exception):
            raise reply
        if reply.finish_reason != "error":
            self._served += 1
            return reply
        self._turned_down += 1
        if not self._served and self._turned_down >= _HOPELESS_AFTER:
            raise InputError(
                f"the endpoint turns down every request, last: {reply.detail}",
                self._url,
                "correct model, token_limit_field or send_seed of this endpoint's settings",
            )
        return reply

    def _remedy(self, status: int) -> str:
        if status in (401, 403):
            name = self._settings.api_key_env
            return f"set {name} to a valid key" if name else "name the key's variable: api_key_env"
        if status == 404:
            return f"correct base_url or model ({self._settings.model})"
        return "correct base_url: this does not look like a chat completions endpoint"


async def _next(replies: AsyncGenerator[ChatReply, None]) -> ChatReply | None:
    return await anext(replies, None)


def _read_key(settings: OpenAISettings) -> str | None:
    if settings.api_key_env is None:
        return None
    key = os.environ.get(settings.api_key_env, "").strip()
    if not key:
        raise InputError(
            f"no key in the environment variable {settings.api_key_env}",
            settings.base_url,
            "set it, or remove api_key_env where the endpoint needs no key",
        )
    return key
