"""An endpoint's books: what it has charged for, by its own count."""

import asyncio
from collections import Counter

from aiohttp import web

from tests.unit.chat.conftest import completion, last_text

PROMPT_PRICE, COMPLETION_PRICE = 2.0, 8.0


class Books:
    """Answers with so many tokens as asked, and charges as soon as a call has come in.

    Args:
        seconds: How long an answer takes, by the text that is asked.
        tokens: Tokens that it reads and writes, likewise.
    """

    def __init__(self, seconds=lambda text: 0.0, tokens=lambda text: (100, 10)):
        self._seconds = seconds
        self._tokens = tokens
        self.calls = Counter()
        self.cost = 0.0

    async def __call__(self, request):
        text = last_text(await request.json())
        self.calls[text] += 1
        prompt, written = self._tokens(text)
        self.cost += (PROMPT_PRICE * prompt + COMPLETION_PRICE * written) / 1e6
        await asyncio.sleep(self._seconds(text))
        usage = {"prompt_tokens": prompt, "completion_tokens": written}
        return web.json_response({**completion(f"echo {text}"), "usage": usage})
