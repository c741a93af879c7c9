"""Budgets hold by the endpoint's own count, over all processes of a run; nothing paid is lost."""

import asyncio
import os
import signal
import subprocess
import sys
import time

import pytest

from spavl.chat import ChatReply, ChatRequest, Message, Sampling
from spavl.chat.accounts import FOLDER, read_accounts, shown_address, summed_up
from spavl.chat.openai_backend import OpenAIChat
from spavl.chat.paid_calls import PaidCalls
from spavl.chat.settings import OpenAISettings
from spavl.chat.spending import BudgetError, Purse, Spending
from tests.unit.chat.charging import COMPLETION_PRICE, PROMPT_PRICE, Books
from tests.unit.chat.test_openai_backend import drop, status

SAMPLED = Sampling(max_new_tokens=64, temperature=1.0)
PRICES = {"prompt_price": PROMPT_PRICE, "completion_price": COMPLETION_PRICE}


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("SPAVL_RUN_FOLDER", str(tmp_path / "run"))
    return tmp_path / "run"


def settings(url, **changes):
    fast = {"backoff_seconds": 0.01, "concurrency": 64, "picture_tokens": 0, **PRICES, **changes}
    return OpenAISettings(backend="openai", base_url=url, model="m", **fast)


def requests(count):
    return [ChatRequest(f"r{i}", (Message("user", f"q{i} " + "x" * 300),)) for i in range(count)]


def tokens(text):
    """Prompts of about one length, answers of any up to the limit, most of them short."""
    number = int(text.split()[0][1:])
    return 80 + number % 7, 4 + number * number % 31


def whole_cost(count):
    read, written = zip(*(tokens(f"q{i}") for i in range(count)), strict=True)
    return (PROMPT_PRICE * sum(read) + COMPLETION_PRICE * sum(written)) / 1e6


@pytest.mark.parametrize("whose", ["endpoint", "run"])
def test_half_the_cost_at_64_calls_is_kept_to_and_more_pays_nothing_twice(
    endpoint, run, tmp_path, whose
):
    endpoint.handle_instead = books = Books(lambda _: 0.02, tokens)
    planned = whole_cost(1200)

    def ask(budget):
        own = {"budget": budget} if whose == "endpoint" else {}
        purse = Purse("responses", budget if whose == "run" else None)
        given = settings(endpoint.url, **own)
        with PaidCalls(tmp_path / "paid") as paid, OpenAIChat(given, paid, purse) as chat:
            yield from chat.reply(requests(1200), SAMPLED)

    with pytest.raises(BudgetError, match="is reached") as caught:
        list(ask(planned / 2))
    assert caught.value.exit_code == 75
    assert planned / 2 * 0.97 <= books.cost <= planned / 2 * 1.01
    assert max(books.calls.values()) == 1
    answered = books.calls.total()
    assert sum(account.answered for account in read_accounts(run)) == answered

    assert len(list(ask(planned * 1.2))) == 1200
    assert max(books.calls.values()) == 1
    (row,) = summed_up(read_accounts(run))
    assert (row["stage"], row["calls"], row["lost"]) == ("responses", 1200, 0)
    assert row["cost"] == pytest.approx(books.cost)


def test_an_answer_longer_than_all_before_does_not_break_the_budget(endpoint, run):
    """Every hundredth answer is as long as its limit, the others have four tokens."""

    def rarely_long(text):
        return 80, 512 if int(text.split()[0][1:]) % 100 == 99 else 4

    endpoint.handle_instead = books = Books(lambda _: 0.01, rarely_long)
    long = Sampling(max_new_tokens=512, temperature=1.0)
    # Half of 198 calls, of which the 100th is the first long one.
    budget = (198 * (80 * PROMPT_PRICE + 4 * COMPLETION_PRICE) / 2) / 1e6
    given = settings(endpoint.url, budget=budget)
    with OpenAIChat(given) as chat, pytest.raises(BudgetError):
        list(chat.reply(requests(600), long))
    assert books.cost <= 1.01 * budget


def test_two_stages_and_two_processes_share_the_runs_budget(endpoint, run):
    endpoint.handle_instead = books = Books(lambda _: 0.01, tokens)
    planned = whole_cost(600)
    script = (
        "import sys; from tests.unit.chat.test_spending import *\n"
        "url, stage, budget = sys.argv[1:]\n"
        "try:\n"
        "    chat = OpenAIChat(settings(url), None, Purse(stage, float(budget)))\n"
        "    list(chat.reply(requests(600), SAMPLED))\n"
        "except BudgetError: sys.exit(75)"
    )
    command = [sys.executable, "-c", script, endpoint.url]
    both = [subprocess.Popen([*command, stage, str(planned)]) for stage in ("one", "two")]
    assert [each.wait(120) for each in both] == [75, 75]
    assert planned * 0.97 <= books.cost <= planned * 1.01


def test_calls_that_a_killed_process_had_under_way_are_told_as_charged(endpoint, run):
    endpoint.handle_instead = books = Books(lambda text: 0.01 if "q0 " in text else 60.0)
    script = (
        "import sys; from tests.unit.chat.test_spending import *\n"
        "chat = OpenAIChat(settings(sys.argv[1], concurrency=8), None, Purse('judging'))\n"
        "list(chat.reply(requests(30), SAMPLED))"
    )
    process = subprocess.Popen([sys.executable, "-c", script, endpoint.url])
    deadline = time.monotonic() + 60
    while books.calls.total() < 9 and time.monotonic() < deadline:
        time.sleep(0.05)
    (alive,) = read_accounts(run)
    assert (alive.lost, len(alive.under_way)) == (0, 8)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    (dead,) = read_accounts(run)
    assert (dead.answered, dead.lost, len(dead.under_way)) == (1, 8, 0)
    assert dead.lost_cost == pytest.approx(8 * dead.cost)


def test_what_is_turned_down_is_free_and_what_breaks_off_may_be_charged(endpoint, run):
    endpoint.misbehave = [status(500), status(429), drop, status(504)]
    with OpenAIChat(settings(endpoint.url, concurrency=1), None, Purse("questions")) as chat:
        (reply,) = chat.reply(requests(1), SAMPLED)
    assert reply.lost_calls == 2
    (row,) = summed_up(read_accounts(run))
    assert (row["calls"], row["lost"]) == (1, 2)


def test_tokens_that_an_endpoint_does_not_tell_are_guessed(endpoint, run):
    endpoint.handle_instead = Books(tokens=lambda _: (0, 0))
    with OpenAIChat(settings(endpoint.url, budget=0.01)) as chat:
        list(chat.reply(requests(10), SAMPLED))
    (account,) = read_accounts(run)
    assert account.prompt_tokens == 10 * 76
    assert account.cost > 0


def test_without_a_price_there_is_no_cost(endpoint, run):
    with OpenAIChat(settings(endpoint.url, prompt_price=None)) as chat:
        list(chat.reply(requests(3), SAMPLED))
    (row,) = summed_up(read_accounts(run))
    assert (row["calls"], row["cost"], row["lost_cost"]) == (3, None, None)


def test_accounts_stand_torn_lines(endpoint, run):
    with OpenAIChat(settings(endpoint.url)) as chat:
        list(chat.reply(requests(2), SAMPLED))
    (path,) = (run / FOLDER).glob("*.calls")
    path.write_text(path.read_text() + "= 7\n+ \n\x00\n? 99\n= 1")
    (account,) = read_accounts(run)
    assert account.answered == 2


def test_addresses_are_kept_without_what_may_be_secret():
    address = shown_address("http://user:secret@host:8000/v1?key=secret")
    assert address == "http://host:8000/v1"


def test_a_stage_waits_for_what_the_calls_of_another_come_to(run):
    """Ten calls under way may cost the whole budget; as it turns out they cost a hundredth."""
    priced = {"prompt_price": 0, "completion_price": 1000.0}
    given = OpenAISettings(backend="openai", base_url="http://a/v1", model="m", **priced)
    long = Sampling(1000, 0.0)
    question = ChatRequest("r", (Message("user", "q"),))

    async def both():
        one, other = (Spending(given, Purse(stage, 10.0)) for stage in ("responses", "judging"))
        calls = [await one.opened(question, long) for _ in range(10)]
        waiting = asyncio.create_task(other.opened(question, long))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        for call in calls:
            call.sent = True
            call.answered(ChatReply("r", "a", "stop", 1, 10))
        (await asyncio.wait_for(waiting, 30)).free()
        spent = [await one.opened(question, long) for _ in range(9)]
        for call in spent:
            call.sent = True
            call.answered(ChatReply("r", "a", "stop", 1, 1000))
        with pytest.raises(BudgetError):
            await other.opened(question, long)

    asyncio.run(both())
