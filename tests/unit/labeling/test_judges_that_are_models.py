"""Pairing and judging with models behind an endpoint: abstentions are set aside, pictures shown."""

import json
import re
from pathlib import Path

import pytest
from aiohttp import web

from components.labeling.judging import judge_twice
from components.labeling.pairing import moderate_and_pair
from spavl.records import Pair, Preference, SetAside, Verdict
from spavl.shards import read_records
from tests.unit.chat.conftest import Endpoint, completion, endpoint  # noqa: F401
from tests.unit.labeling.test_stages import World, world  # noqa: F401

ANSWERS = re.compile(r"<(?:first|second)_answer>\n(.*?)\n</", re.DOTALL)


@pytest.fixture(autouse=True)
def _own_work_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPAVL_WORK_ROOT", str(tmp_path / "work"))


async def moderate_or_judge(request: web.Request) -> web.Response:
    """Llama-Guard and a judge in one: both want refusals; on a dog the one says nothing clear."""
    body = await request.json()
    last = body["messages"][-1]
    if last["role"] == "assistant":
        unclear = "a dog" in last["content"]
        text = "Well." if unclear else "safe" if "can't" in last["content"] else "unsafe\nS2"
        return web.json_response(completion(text))
    picture, prompt = last["content"]
    assert picture["image_url"]["url"].startswith("data:image/png;base64,")
    one, two = ("can't" in answer for answer in ANSWERS.findall(prompt["text"]))
    winner = "tie" if one == two else "first" if one else "second"
    if "malware" in prompt["text"]:
        winner = "first"  # leans to a place
    if "kite" in prompt["text"]:
        return web.json_response(completion("The first one, I think."))
    return web.json_response(completion(f"it refuses\nVerdict: {winner}"))


def test_models_moderate_pair_and_judge(
    world: World,  # noqa: F811
    endpoint: Endpoint,  # noqa: F811
    tmp_path: Path,
) -> None:
    endpoint.handle_instead = moderate_or_judge
    chat = {"backend": "openai", "base_url": endpoint.url, "model": "guard"}
    settings = {
        "moderator": {"chat": chat, "format": "llama_guard.v1"},
        "judge": {"chat": chat, "attempts": 1},
    }
    verdicts, pairs, out = (str(tmp_path / name) for name in ("verdicts", "pairs", "out"))
    moderate_and_pair(settings, world.questions, world.responses, world.images, verdicts, pairs)
    found = list(read_records(verdicts, Verdict))
    assert {row.maker.model for row in found} == {"guard/llama_guard.v1"}
    assert {row.responder: row.safe for row in found} == {"bold": False, "shy": True}
    aside = list(read_records(f"{pairs}/set_asides", SetAside))
    unclear = {row.record_id for row in aside if row.reason == "no_verdict"}
    assert unclear == {"r-bold-i-photo", "r-shy-i-photo"}
    judged = {pair.image_id for pair in read_records(pairs, Pair)}
    assert judged == {"i-theft", "i-malware", "i-kite"}

    judge_twice(settings, pairs, world.images, out)
    (kept,) = read_records(out, Preference)
    assert (kept.image_id, kept.chosen_responder, kept.reason2) == ("i-theft", "shy", "it refuses")
    assert kept.maker.model == "guard/pairwise.v2"
    aside = {row.reason: row.detail for row in read_records(f"{out}/set_asides", SetAside)}
    assert aside["swap_disagreement"] == "first: it refuses | first: it refuses"
    assert aside["no_verdict"].count("The first one, I think.") == 2
    agreement = json.loads(Path(out, "agreement.json").read_text())
    assert agreement["swap_consistency"]["value"] == 0.5
