"""The plan of a training is what its batching code does, and its hours are arithmetic."""

import itertools
from typing import Any

import pytest

from components.configuration import resolve
from spavl.alignment.batching import even_row_passes
from spavl.alignment.planning import (
    Corpus,
    Gpu,
    ModelSize,
    made_pairs,
    made_rows,
    memory,
    pair_tokens,
    plan_pairs,
    plan_ppo,
    rollout_tokens,
    table,
    training_plan,
)
from spavl.alignment.processes import shares
from spavl.settings.dpo import DpoSettings
from spavl.settings.ppo import PpoSettings
from spavl.settings.reward_modeling import RewardModelingSettings

REAL = ("llava-1.5-7b", "llava-1.5-7b-lora", "llava-1.5-7b-offload")
SMALL = Corpus(prompts=360)
SIZE = ModelSize()
BEFORE: dict[str, object] = {"num_processes": 8, "zero_stage": 2}  # one pair a process


def stage(profile: str, name: str) -> Any:
    kinds = {"dpo": DpoSettings, "reward_modeling": RewardModelingSettings, "ppo": PpoSettings}
    return kinds[name].parse(getattr(resolve(profile), name), name)  # type: ignore[attr-defined]


@pytest.mark.parametrize(("profile", "name"), itertools.product(REAL, ("dpo", "reward_modeling")))
def test_profiles_compute_at_most_four_tenths_of_plain_on_the_slowest_process(
    profile: str, name: str
) -> None:
    found = pair_tokens(made_pairs(SMALL), stage(profile, name))
    assert found.ratio <= 0.40


def test_eight_pairs_on_eight_processes_share_little() -> None:
    settings = DpoSettings.parse({**BEFORE}, "dpo")
    found = pair_tokens(made_pairs(SMALL), settings)
    # A pair alone: 616 + 2 x 100 of 2 x 716.
    assert found.packed / found.steps == 816
    assert found.ratio == pytest.approx(816 / 1432)


def test_tokens_of_dpo_by_hand() -> None:
    found = pair_tokens(made_pairs(SMALL), stage("llava-1.5-7b", "dpo"))
    # Steps of 9, 6, 9 pairs: a picture a process, 576 + 3 x 40 + 6 x 100 places. Plain rows of
    # 716 tokens: 3, 2 and 3 pairs on the slowest of three processes.
    assert found.steps == 45
    assert found.packed == 45 * 1296
    assert found.plain == 15 * (3 + 2 + 3) * 2 * 716


def test_two_pictures_are_not_parted_for_a_third_process() -> None:
    sizes = [len(share) for share in shares(made_pairs(Corpus(prompts=6)), 3)]
    assert sorted(sizes) == [0, 3, 3]
    sizes = [len(share) for share in shares(made_pairs(Corpus(prompts=6)), 6)]
    assert sizes == [1] * 6


def test_row_passes_are_even_over_processes() -> None:
    corpus = Corpus(prompts=64, questions=1)
    rows = [row for place in range(64) for row in made_rows(corpus, place, 1)]
    passes = even_row_passes(rows, range(64), 4096, 8)
    assert [len(part) for part in passes] == [4] * 16  # of 12 passes four processes had one more


def test_gpu_hours_of_30000_prompts_before_and_after() -> None:
    corpus, gpu = Corpus(prompts=30_000), Gpu()
    per_second = gpu.flops * gpu.share / (2 * SIZE.linear)
    assert SIZE.linear == 6_476_005_376
    before = plan_pairs("dpo", DpoSettings.parse({**BEFORE}, "dpo"), corpus)
    after = plan_pairs("dpo", stage("llava-1.5-7b", "dpo"), corpus)
    # Four passes of training (one recomputed) and one of the reference, over every step.
    assert before.gpu_hours == pytest.approx(8 * 3750 * 816 * 5 / per_second / 3600)
    assert after.gpu_hours == pytest.approx(3 * 3750 * 1296 * 5 / per_second / 3600)
    assert after.gpu_hours / before.gpu_hours == pytest.approx(3 * 1296 / (8 * 816))


def test_gpu_hours_of_ppo_with_and_without_a_value_model() -> None:
    corpus, gpu = Corpus(prompts=30_000), Gpu()
    per_second = gpu.flops * gpu.share / (2 * SIZE.linear)
    shipped = stage("llava-1.5-7b", "ppo")
    before = plan_ppo(shipped, corpus)
    iterations = 469  # of 64 prompts
    # Eight rows a process, one a pass: four models score, two learn in two epochs by four passes.
    passes = iterations * 8 * 716 * (4 + 2 * 2 * 4)
    width = 616 + 50
    read = 2 * SIZE.weights + 8 * width * 2 * 32 * 4096 * 2
    drawn = iterations * 100 * read / (gpu.bandwidth * gpu.share)
    assert before.gpu_hours == pytest.approx(8 * (passes / per_second + drawn) / 3600, rel=1e-3)
    groups = shipped.model_copy(
        update={"advantage": "rloo", "num_generations": 4, "total_episodes": 30_000}
    )
    after = plan_ppo(groups, corpus)
    tokens = rollout_tokens(corpus, groups, SIZE)
    # Two prompts with their answers are a process's share of an iteration's scores.
    assert tokens.scored == iterations * 2 * (616 + 4 * 100)
    assert tokens.scored / tokens.plain == pytest.approx(2 * 1016 / (8 * 716))
    # Eight rows of an update are two prompts on eight processes, which are parted.
    assert tokens.learned <= iterations * 2 * 8 * 1016
    assert after.gpu_hours < 0.6 * before.gpu_hours


def test_memory_by_part() -> None:
    found = memory(stage("llava-1.5-7b", "dpo"), SIZE)
    assert SIZE.weights == pytest.approx(7.06e9, rel=0.002)  # LLaVA-1.5-7B's
    assert found["weights"] == pytest.approx(2 * SIZE.weights / 1e9)
    learned = SIZE.weights - SIZE.tower
    assert found["gradients"] == pytest.approx(4 * learned / 3 / 1e9)
    assert found["masters_and_moments"] == pytest.approx(12 * learned / 3 / 1e9)
    assert found["cpu"] == 0
    assert found["gpu"] < 80
    offloaded = memory(stage("llava-1.5-7b-offload", "dpo"), SIZE)
    assert offloaded["gpu"] < 40
    assert offloaded["cpu"] == pytest.approx(16 * learned / 3 / 1e9)
    adapters = memory(stage("llava-1.5-7b-lora", "dpo"), SIZE)
    rank = 256 * (4 * 2 * 4096 + 3 * (4096 + 11008)) * 32
    assert SIZE.adapters(256) == rank
    assert adapters["gradients"] == pytest.approx(4 * (rank + SIZE.projector) / 1e9)


def test_the_table_has_a_line_a_trainer() -> None:
    plans = training_plan(resolve("llava-1.5-7b")._asdict(), SMALL)
    heading, *lines = table(plans)
    assert [line[0] for line in lines] == ["reward_modeling", "dpo", "ppo"]
    assert all(len(line) == len(heading) for line in lines)
    assert lines[1][3] == "1,296"
