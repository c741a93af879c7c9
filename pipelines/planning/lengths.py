"""How long answers are: as a setting says, as earlier runs saw them, or as is usual.

`expected_tokens` of a sampling goes first. Where none of a stage's samplings at an endpoint has it,
the calls that earlier runs entered in their ledgers tell, prompts included. Otherwise answers are
as long as such answers usually are.
"""

from itertools import islice
from pathlib import Path
from statistics import fmean

from pipelines.planning.counting import CHARACTERS_PER_TOKEN, Books, Length
from spavl.chat.accounts import Account, Heading, read_accounts
from spavl.chat.settings import SamplingSettings
from spavl.published.sources import addresses_of
from spavl.records import EvalItem, Preference
from spavl.shards import MANIFEST, read_records
from spavl.storage import local_copy

ASSUMED = {
    "caption": 30.0,
    "question": 30.0,
    "answer": 150.0,
    "moderation": 3.0,
    "comparison": 60.0,
    "verdict": 60.0,
}
"""Tokens of an answer by its kind, where nobody knows better."""
EXPECTED, SEEN, USUAL = "expected", "seen", "assumed"
ROWS = 1000
"""Rows of a data set that tell how long its answers are."""
ENOUGH = 20
"""Calls of earlier runs that tell how long calls are."""


def length_of(kind: str, expected_tokens: float | None) -> Length:
    """How long an answer of a kind is, by its setting or as usual."""
    if expected_tokens is not None:
        return Length(expected_tokens, EXPECTED)
    return Length(ASSUMED[kind], USUAL)


def sampled(kind: str, sampling: SamplingSettings) -> Length:
    """The same of a sampling."""
    return length_of(kind, sampling.expected_tokens)


def answers_of(data: str) -> Length:
    """How long the answers of a data set are, which models learn: the first rows tell.

    Raises:
        InputError: There is no such data set.
    """
    rows = read_records(local_copy(addresses_of(data).train), Preference)
    lengths = [len(row.chosen) / CHARACTERS_PER_TOKEN for row in islice(rows, ROWS)]
    return Length(fmean(lengths), SEEN) if lengths else length_of("answer", None)


def test_items_of(data: str) -> list[EvalItem]:
    """A data set's own test items; none where it has none."""
    folder = local_copy(addresses_of(data).test) / "items"
    return list(read_records(folder, EvalItem)) if (folder / MANIFEST).exists() else []


def take_seen(books: Books, runs: Path) -> None:
    """Takes lengths from the ledgers of earlier runs, where no setting says what to expect.

    Args:
        books: The calls; those that nothing is known of stay as they are.
        runs: Folder of all runs.
    """
    seen = _seen(runs) if runs.is_dir() else {}
    for heading, calls in books.items():
        account = seen.get(_key(heading))
        if account is None or EXPECTED in calls.lengths or account.answered < ENOUGH:
            continue
        calls.prompt_tokens = calls.calls * account.prompt_tokens / account.answered
        calls.completion_tokens = calls.calls * account.completion_tokens / account.answered
        calls.lengths = {SEEN}


def _seen(runs: Path) -> dict[tuple[str, str, str], Account]:
    found: dict[tuple[str, str, str], Account] = {}
    for run in sorted(runs.iterdir()):
        for account in read_accounts(run):
            every = found.setdefault(_key(account.heading), Account(account.heading))
            every.answered += account.answered
            every.prompt_tokens += account.prompt_tokens
            every.completion_tokens += account.completion_tokens
    return found


def _key(heading: Heading) -> tuple[str, str, str]:
    return heading.stage, heading.endpoint, heading.model
