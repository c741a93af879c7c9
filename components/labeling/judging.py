"""Judging: compares the two answers of each pair twice, the second time swapped.

In: pairs. Out: a data set of preferences, with `agreement.json` (how often the two verdicts agree,
and how far the judge leans to one place) and `set_asides/` (ties, disagreements and pairs without
two verdicts, each with both reasons) beside its shards. The judge is the rule, or a model that sees
the picture; it is shown question and answers, never who answered.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from itertools import islice
from typing import Any

from spavl.chat import Journal, open_chat
from spavl.chat.spending import Purse
from spavl.chat.usage import CountedChat
from spavl.images import ImageStore
from spavl.judges import (
    Abstention,
    BatchPairwiseJudge,
    CompareOneByOne,
    Comparison,
    NoisyPairwiseJudge,
    PairCase,
    PairwiseJudge,
    RulePairwiseJudge,
    Shown,
)
from spavl.judges.chat_pairwise import ChatPairwiseJudge
from spavl.records import Maker, Pair, Preference, SetAside, record_id
from spavl.seeds import derive_seed
from spavl.settings.labeling import LabelingSettings
from spavl.shards import read_manifest, read_records, write_json
from spavl.statistics import rate
from spavl.taxonomy import load_taxonomy
from spavl.work import Reference, Stage, Work, run_stage

STAGE = "judging"
_OTHER = {"first": "second", "second": "first", "tie": "tie"}

Verdict = Comparison | Abstention


def judge_twice(settings: dict[str, Any], pairs: str, images: Reference, preferences: str) -> None:
    """Writes the preferences on which both orders agree.

    Args:
        settings: Raw `LabelingSettings`.
        pairs: Data set of pairs.
        images: The image store; its names of things are the rule's vocabulary.
        preferences: Output data set of preferences.
    """
    checked = LabelingSettings.parse(settings, "labeling")
    inputs = {"pairs": read_manifest(pairs).digest, "images": images.digest}
    stage = Stage(STAGE, "components.labeling.judging", _what_matters(checked), inputs)

    run_stage(
        stage, lambda work: _judge(work, checked, pairs, images), {"preferences": preferences}
    )


def _what_matters(settings: LabelingSettings) -> dict[str, Any]:
    if settings.judge is None:
        return {"judge_noise": settings.judge_noise} if settings.judge_noise else {}
    return {"seed": settings.seed, "judge": settings.judge.model_dump(mode="json")}


def _judge(work: Work, settings: LabelingSettings, pairs: str, images: Reference) -> dict[str, Any]:
    store, by_model = ImageStore(images.uri), settings.judge
    if by_model is None:
        return judge_pairs(work, CompareOneByOne(_rule(store, settings.judge_noise)), pairs)
    with ExitStack() as stack:
        with work.importing():
            journal = stack.enter_context(Journal(work.folder / "journal.jsonl"))
            purse = Purse(STAGE, settings.budget)
            chat = stack.enter_context(
                open_chat(by_model.chat, journal, threads=settings.threads, purse=purse)
            )
        counted = CountedChat(chat, by_model.chat)
        judge = ChatPairwiseJudge(counted, by_model, derive_seed(settings.seed, "judging"))
        pictures = store if by_model.show_picture else None
        result = judge_pairs(work, judge, pairs, pictures, settings.judge_block)
        return {**result, "usage": counted.usage()}


def _rule(store: ImageStore, noise: float) -> PairwiseJudge:
    rule = RulePairwiseJudge(_vocabulary(store))
    return NoisyPairwiseJudge(rule, noise) if noise else rule


def judge_pairs(
    work: Work,
    judge: BatchPairwiseJudge,
    pairs: str,
    pictures: ImageStore | None = None,
    block: int = 256,
) -> dict[str, Any]:
    """Judges a data set of pairs into `preferences/` of the work folder; gives the agreement."""
    tally = Tally()
    total = read_manifest(pairs).rows
    rows = read_records(pairs, Pair)
    with (
        work.writer("preferences", Preference) as kept,
        work.writer("preferences/set_asides", SetAside) as aside,
    ):
        while some := list(islice(rows, block)):
            for outcome in judge_block(judge, some, tally, pictures):
                (kept if isinstance(outcome, Preference) else aside).add(outcome)
            work.progress(kept.rows + aside.rows, total, "pairs")
        agreement = {"judge": judge.judge_id, **tally.summary()}
        write_json(work.folder / "preferences" / "agreement.json", agreement)
    reasons = {name: n for name, n in sorted(tally.outcomes.items()) if name != "kept"}
    return {"preferences": kept.rows, "set_asides": reasons, "agreement": agreement}


class Tally:
    """Counts verdicts as they come, by place and by whether the two orders agree."""

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.places: Counter[str] = Counter()
        self.safety: Counter[tuple[bool, bool]] = Counter()

    def summary(self) -> dict[str, Any]:
        """The agreement figures.

        `swap_consistency`: share of pairs whose two verdicts name the same answer or both a tie,
        among those with two verdicts.
        `first_place_rate`: share of verdicts for the answer shown first, ties left out; a judge
        without position bias has 0.5, since every answer is shown once in each place.
        """
        pairs = sum(self.outcomes.values())
        judged = pairs - self.outcomes["no_verdict"]
        decided = self.places["first"] + self.places["second"]
        return {
            "pairs": pairs,
            "outcomes": dict(sorted(self.outcomes.items())),
            "swap_consistency": asdict(rate(judged - self.outcomes["swap_disagreement"], judged)),
            "first_place_rate": asdict(rate(self.places["first"], decided)),
            "kept_by_safety": {
                f"chosen_{_safe(chosen)}_rejected_{_safe(rejected)}": count
                for (chosen, rejected), count in sorted(self.safety.items())
            },
        }


def judge_block(
    judge: BatchPairwiseJudge,
    pairs: Sequence[Pair],
    tally: Tally,
    pictures: ImageStore | None = None,
) -> Iterator[Preference | SetAside]:
    """Judges pairs in both orders; each becomes a preference or is set aside with both reasons."""
    straight = judge.compare_all([_case(pair, pictures, swapped=False) for pair in pairs])
    swapped = judge.compare_all([_case(pair, pictures, swapped=True) for pair in pairs])
    for pair, one, other in zip(pairs, straight, swapped, strict=True):
        yield _outcome(judge, pair, one, other, tally)


def _case(pair: Pair, pictures: ImageStore | None, *, swapped: bool) -> PairCase:
    return PairCase(
        case_id=record_id(pair.pair_id, "swapped" if swapped else "straight"),
        question=pair.question,
        first=pair.second if swapped else pair.first,
        second=pair.first if swapped else pair.second,
        shown=Shown(pair.truth, pair.thing or pair.class3),
        image=pictures.content(pair.image_id) if pictures else None,
    )


def _outcome(
    judge: BatchPairwiseJudge, pair: Pair, straight: Verdict, swapped: Verdict, tally: Tally
) -> Preference | SetAside:
    if isinstance(straight, Abstention) or isinstance(swapped, Abstention):
        return _set_aside(pair, "no_verdict", (straight, swapped), tally)
    tally.places.update([straight.winner, swapped.winner])
    if straight.winner != _OTHER[swapped.winner]:
        return _set_aside(pair, "swap_disagreement", (straight, swapped), tally)
    if straight.winner == "tie":
        return _set_aside(pair, "tie", (straight, swapped), tally)
    tally.outcomes["kept"] += 1
    preference = _preference(judge, pair, straight, swapped)
    tally.safety[preference.chosen_safe, preference.rejected_safe] += 1
    return preference


def _set_aside(pair: Pair, reason: str, verdicts: Sequence[Verdict], tally: Tally) -> SetAside:
    tally.outcomes[reason] += 1
    return SetAside(pair.pair_id, STAGE, reason, " | ".join(map(_told, verdicts)))


def _told(verdict: Verdict) -> str:
    if isinstance(verdict, Abstention):
        return f"{verdict.reason}: {verdict.detail}"
    return f"{verdict.winner}: {verdict.reason}"


def _preference(
    judge: BatchPairwiseJudge, pair: Pair, straight: Comparison, swapped: Comparison
) -> Preference:
    chosen, rejected = straight.winner, _OTHER[straight.winner]
    row = asdict(pair)
    sides = {
        f"{side}{suffix}": row[f"{place}{suffix}"]
        for side, place in (("chosen", chosen), ("rejected", rejected))
        for suffix in ("", "_response_id", "_responder", "_safe")
    }
    shared = ("image_id", "question_id", "question", "kind", "truth", "thing", "class3")
    return Preference(
        preference_id=record_id("preference", judge.judge_id, pair.pair_id),
        **{name: row[name] for name in shared},
        **sides,
        reason1=straight.reason,
        reason2=swapped.reason,
        maker=Maker(judge.judge_id),
    )


def _vocabulary(store: ImageStore) -> tuple[str, ...]:
    things = {facts.thing for facts in store.facts() if facts.thing}
    return tuple(sorted(things | {harm.name for harm in load_taxonomy().classes}))


def _safe(safe: bool | None) -> str:
    return "safe" if safe else "unsafe"
