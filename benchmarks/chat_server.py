"""An OpenAI-compatible server that answers everything alike, after a fixed time.

Prints its port, then serves until it is ended. `GET /seen` says how many calls it has answered, how
many of them at once, and how many bytes it has read.
"""

import argparse
import asyncio
import json
from dataclasses import asdict, dataclass

from aiohttp import web

ANSWER = json.dumps(
    {
        "model": "bench",
        "choices": [
            {
                "message": {"role": "assistant", "content": "It shows a red kite. " * 8},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 640, "completion_tokens": 48},
    }
).encode()


@dataclass
class Seen:
    """What the server has done so far."""

    calls: int = 0
    at_once: int = 0
    most_at_once: int = 0
    bytes_read: int = 0


def main() -> None:
    """Serve on a free port of loopback."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, required=True, help="Time of one answer.")
    with asyncio.Runner(loop_factory=_fast_loop()) as runner:
        runner.run(_serve(parser.parse_args().seconds))


async def _serve(seconds: float) -> None:
    seen = Seen()

    async def complete(request: web.Request) -> web.Response:
        seen.bytes_read += len(await request.read())
        seen.at_once += 1
        seen.most_at_once = max(seen.most_at_once, seen.at_once)
        await asyncio.sleep(seconds)
        seen.at_once -= 1
        seen.calls += 1
        return web.Response(body=ANSWER, content_type="application/json")

    async def tell(_: web.Request) -> web.Response:
        return web.json_response(asdict(seen))

    app = web.Application(client_max_size=2**26)
    app.router.add_post("/v1/chat/completions", complete)
    app.router.add_get("/seen", tell)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


def _fast_loop():  # type: ignore[no-untyped-def]  # uvloop brings no types
    """The server should not be what is measured: uvloop where it is installed."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


if __name__ == "__main__":
    main()
