"""Judging: compares the two answers of each pair twice, the second time swapped.

In: pairs. Out: a data set of preferences, with `agreement.json` (how often the two verdicts agree,
and how far the judge leans to one place) and `set_asides/` (ties and disagreements) beside its
shards. The judge sees question, answers and what the picture shows; never who answered.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from spavl.images import ImageStore
from spavl.judges import Comparison, PairwiseJudge, RulePairwiseJudge, Shown
from spavl.records import Maker, Pair, Preference, SetAside, record_id
from spavl.settings.labeling import LabelingSettings
from spavl.shards import read_manifest, read_records, write_json
from spavl.statistics import rate
from spavl.taxonomy import load_taxonomy
from spavl.work import Reference, Stage, Work, run_stage

STAGE = "judging"
_OTHER = {"first": "second", "second": "first", "tie": "tie"}


def judge_twice(settings: dict[str, Any], pairs: str, images: Reference, preferences: str) -> None:
    """Writes the preferences on which both orders agree.

    Args:
        settings: Raw `LabelingSettings`.
        pairs: Data set of pairs.
        images: The image store; its names of things are the judge's vocabulary.
        preferences: Output data set of preferences.
    """
    LabelingSettings.parse(settings, "labeling")
    inputs = {"pairs": read_manifest(pairs).digest, "images": images.digest}
    stage = Stage(STAGE, "components.labeling.judging", {}, inputs)

    def body(work: Work) -> dict[str, Any]:
        judge = RulePairwiseJudge(_vocabulary(ImageStore(images.uri)))
        return judge_pairs(work, judge, pairs)

    run_stage(stage, body, {"preferences": preferences})


def judge_pairs(work: Work, judge: PairwiseJudge, pairs: str) -> dict[str, Any]:
    """Judges a data set of pairs into `preferences/` of the work folder; gives the agreement."""
    tally = Tally()
    total = read_manifest(pairs).rows
    with (
        work.writer("preferences", Preference) as kept,
        work.writer("preferences/set_asides", SetAside) as aside,
    ):
        for pair in read_records(pairs, Pair):
            outcome = judge_pair(judge, pair, tally)
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

        `swap_consistency`: share of pairs whose two verdicts name the same answer or both a tie.
        `first_place_rate`: share of verdicts for the answer shown first, ties left out; a judge
        without position bias has 0.5, since every answer is shown once in each place.
        """
        pairs = sum(self.outcomes.values())
        decided = self.places["first"] + self.places["second"]
        return {
            "pairs": pairs,
            "outcomes": dict(sorted(self.outcomes.items())),
            "swap_consistency": asdict(rate(pairs - self.outcomes["swap_disagreement"], pairs)),
            "first_place_rate": asdict(rate(self.places["first"], decided)),
            "kept_by_safety": {
                f"chosen_{_safe(chosen)}_rejected_{_safe(rejected)}": count
                for (chosen, rejected), count in sorted(self.safety.items())
            },
        }


def judge_pair(judge: PairwiseJudge, pair: Pair, tally: Tally) -> Preference | SetAside:
    """Judges one pair in both orders; a tie or a disagreement sets it aside with both reasons."""
    shown = Shown(pair.truth, pair.thing or pair.class3)
    straight = judge.compare(pair.question, pair.first, pair.second, shown)
    swapped = judge.compare(pair.question, pair.second, pair.first, shown)
    tally.places.update([straight.winner, swapped.winner])
    if straight.winner != _OTHER[swapped.winner]:
        return _set_aside(pair, "swap_disagreement", (straight, swapped), tally)
    if straight.winner == "tie":
        return _set_aside(pair, "tie", (straight, swapped), tally)
    tally.outcomes["kept"] += 1
    preference = _preference(judge, pair, straight, swapped)
    tally.safety[preference.chosen_safe, preference.rejected_safe] += 1
    return preference


def _set_aside(pair: Pair, reason: str, verdicts: Iterable[Comparison], tally: Tally) -> SetAside:
    tally.outcomes[reason] += 1
    detail = " | ".join(f"{verdict.winner}: {verdict.reason}" for verdict in verdicts)
    return SetAside(pair.pair_id, STAGE, reason, detail)


def _preference(
    judge: PairwiseJudge, pair: Pair, straight: Comparison, swapped: Comparison
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


def _safe(safe: bool) -> str:
    return "safe" if safe else "unsafe"
