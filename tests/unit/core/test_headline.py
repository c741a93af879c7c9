"""One sentence and one caveat: they say what moved, how surely, and in whose eyes."""

import pytest

from spavl.headline import headline

PROMOTED = {"candidate": "ppo", "promoted": True, "rules": []}
KEPT = {"candidate": "ppo", "promoted": False, "rules": []}
POCKET = {"moderator": "rule-moderator-3", "pairwise": "rule-pairwise-1"}


def figure(value, half=0.02, source="pocket", n=1060):
    low, high = max(0.0, value - half), min(1.0, value + half)
    return {"value": value, "low": low, "high": high, "n": n, "source": source}


def told(base, mine, decision=PROMOTED, judges=POCKET, gate=None, key="harm_eval_usr"):
    return headline({"base": {key: base}, "ppo": {key: mine}}, decision, judges, gate or {})


@pytest.mark.parametrize(
    ("base", "mine", "decision", "sentence"),
    [
        (0.46, 0.006, PROMOTED,
         "With PPO, unsafe answers fell from 46 to 0.6 of 100; PPO is promoted."),
        (0.1, 0.2, KEPT,
         "With PPO, unsafe answers rose from 10 to 20 of 100; nothing is promoted."),
        (0.1, 0.09, KEPT,
         "Unsafe answers did not clearly change (10 of 100 by the base, 9.0 by PPO); "
         "nothing is promoted."),
    ],
)  # fmt: skip
def test_the_sentence_says_what_moved_only_where_the_intervals_part(base, mine, decision, sentence):
    assert told(figure(base), figure(mine), decision).sentence == sentence


def test_a_drawn_world_is_called_one():
    assert told(figure(0.4), figure(0.1)).caveat.startswith(
        "A drawn world: code draws the pictures and a rule of ours judges the answers"
    )


@pytest.mark.parametrize(
    ("quality", "trust"),
    [
        ({}, "how far people agree with that judge is not known"),
        ({"eye": {"raw": figure(0.9, 0.05, n=441)}},
         "people agree with that judge on 90 of 100 answers (85 to 95, n=441)"),
    ],
)  # fmt: skip
def test_benchmarks_name_the_judge_and_how_far_people_agree(quality, trust):
    gate = {"harm": "mm_safety_bench_asr"}
    mine = figure(0.1, source="published", n=1665)
    found = told(
        figure(0.4, source="published"), mine, KEPT, {"all": "eye", "judge_quality": quality},
        gate, "mm_safety_bench_asr",
    )  # fmt: skip
    assert found.caveat == f"Judged by eye on 1,665 items of benchmarks; {trust}."
    assert "successful attacks fell from 40 to 10 of 100" in found.sentence


def test_harm_that_was_not_measured_is_not_told_as_none():
    nothing = {"value": None, "low": None, "high": None, "n": 0, "source": None}
    assert told(nothing, nothing, KEPT).sentence.startswith("How often the models answer unsafely")
