"""RLOO and GRPO: known answers, gradients of a loss written out, and no value model anywhere."""

import dataclasses
import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

import components.ppo.players as players_module
from components.ppo.experience import Experience, gather_experience
from components.ppo.players import Players
from components.ppo.training import figures_of
from components.ppo.update import accumulate, learn
from spavl.alignment.loop import Trainer
from spavl.alignment.ppo_math import group_relative, kl_loss, leave_one_out, token_weights
from spavl.alignment.rows import Row
from spavl.errors import InputError
from spavl.settings.ppo import PpoSettings
from spavl.work import Stage, Work
from tests.unit.alignment.worlds import World
from tests.unit.ppo.test_known_answers import (  # noqa: F401
    LORA,
    SETTINGS,
    first_token,
    lora_reward_model,
    play,
    whole_reward_model,
    world,
)

GROUPS = {"num_generations": 4}


def test_leave_one_out_worked_by_hand() -> None:
    found = leave_one_out(torch.tensor([1.0, 2.0, 6.0, 0.0, 0.0, 3.0]), together=3)
    # 1 - (2 + 6) / 2, 2 - (1 + 6) / 2, 6 - (1 + 2) / 2; the second prompt by itself.
    assert found.tolist() == [-3.0, -1.5, 4.5, -1.5, -1.5, 3.0]


def test_group_relative_worked_by_hand() -> None:
    rewards = torch.tensor([1.0, 2.0, 3.0, 10.0, 10.0, 10.0])
    found = group_relative(rewards, together=3)
    torch.testing.assert_close(found, torch.tensor([-1.0, 0.0, 1.0, 0.0, 0.0, 0.0]))
    undivided = group_relative(2 * rewards, together=3, divide=False)
    assert undivided.tolist() == [-2.0, 0.0, 2.0, 0.0, 0.0, 0.0]
    tenths = torch.full((4,), 0.1)  # equal rewards whose mean is rounded
    assert group_relative(tenths, together=4).tolist() == [0.0] * 4


def test_what_tokens_count_worked_by_hand() -> None:
    mask = torch.tensor([[True, False, False], [True, True, True]])
    quarter, half, sixth, tenth = 1 / 4, 1 / 2, 1 / 6, 1 / 10
    for name, expected in {
        "tokens": [[quarter, 0, 0], [quarter] * 3],
        "answers": [[half, 0, 0], [sixth] * 3],
        "constant": [[tenth, 0, 0], [tenth] * 3],  # two rows of at most five tokens
    }.items():
        torch.testing.assert_close(
            token_weights(mask, name, longest=5),  # type: ignore[arg-type]
            torch.tensor(expected, dtype=torch.float32),
        )


def test_the_penalty_in_the_loss_worked_by_hand() -> None:
    mask = torch.tensor([[True, True, False]])
    policy = torch.tensor([[math.log(0.5), math.log(0.2), 9.0]], requires_grad=True)
    reference = torch.tensor([[math.log(0.25), math.log(0.2), -9.0]])
    found = kl_loss(policy, reference, mask, mask.float())
    # 0.25 / 0.5 - log(0.25 / 0.5) - 1 = 0.193147; the second token's is 0.
    assert float(found.detach()) == pytest.approx(0.193147, abs=1e-6)
    found.backward()
    assert policy.grad is not None
    assert policy.grad.tolist()[0] == pytest.approx([0.5, 0.0, 0.0])  # 1 - pi_ref / pi


def moved(players: Players) -> None:
    """Take the policy away from where its rollouts were drawn: ratios are not 1, nor is KL 0."""
    torch.manual_seed(5)
    with torch.no_grad():
        for weight in players.policy.weights.values():
            weight.add_(0.02 * torch.randn_like(weight))


def written_out(players: Players, experience: Experience, settings: PpoSettings) -> torch.Tensor:
    """The loss of all rows, token by token, from the library's own logits of one row at a time."""
    together, rows = settings.num_generations, experience.rows
    rewards = experience.scores.tolist()
    if settings.advantage == "rloo":
        penalties = (experience.kl * experience.mask).sum(dim=1).tolist()
        rewards = [r - settings.kl_coef * p for r, p in zip(rewards, penalties, strict=True)]
    tokens = sum(row.response_length for row in rows)
    total = torch.zeros(())
    for place, row in enumerate(rows):
        first = place - place % together
        others = [rewards[n] for n in range(first, first + together) if n != place]
        group = rewards[first : first + together]
        if settings.advantage == "rloo":
            advantage = rewards[place] - sum(others) / len(others)
        else:
            advantage = (rewards[place] - statistics.mean(group)) / statistics.stdev(group)
        shown = players.pictures.inputs_for(players.policy.model, [row.image_id])
        logits = players.policy.model(input_ids=torch.tensor([row.token_ids]), **shown).logits[0]
        for at in range(row.boundary, row.length):
            now = logits[at - 1].log_softmax(-1)[row.token_ids[at]]
            before = experience.log_probs[place, at - row.boundary]
            ratio = (now - before).exp()
            least = torch.minimum(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage)
            loss = -least
            if settings.advantage == "grpo":
                log_ratio = before - experience.kl[place, at - row.boundary] - now
                loss = loss + settings.kl_coef * (log_ratio.exp() - log_ratio - 1)
            total = (
                total
                + loss
                * {
                    "tokens": 1 / tokens,
                    "answers": 1 / (row.response_length * len(rows)),
                    "constant": 1 / (len(rows) * settings.response_length),
                }[settings.normalisation]
            )
    return total


@pytest.mark.parametrize(
    "changes",
    [
        {"advantage": "rloo"},
        {"advantage": "grpo", "normalisation": "answers"},
        {"advantage": "grpo", "normalisation": "constant", "packed_tokens": 64},
        {"advantage": "rloo", "packing": "plain", "batch_size": 3},
    ],
    ids=["rloo", "grpo", "grpo-constant-many-passes", "rloo-plain"],
)
def test_loss_and_gradient_are_those_of_the_equations_written_out(
    world: World,  # noqa: F811
    whole_reward_model: str,  # noqa: F811
    changes: dict[str, object],
) -> None:
    settings, players, prompts = play(world, whole_reward_model, **GROUPS, kl_coef=0.3, **changes)
    moved(players)  # away from the reference
    experience = gather_experience(players, prompts[:2], settings, iteration=0)
    moved(players)  # and from the rollouts
    assert experience.kl.abs().max() > 0.01
    figures = accumulate(players, experience, range(8), settings)
    assert 0 < figures["clip_fraction"] < 1
    weights = players.policy.weights
    found = {
        name: weight.grad.clone() for name, weight in weights.items() if weight.grad is not None
    }
    players.policy.model.zero_grad()
    loss = written_out(players, experience, settings)
    assert figures["policy_loss"] == pytest.approx(float(loss.detach()), rel=1e-4, abs=1e-6)
    loss.backward()
    right = torch.cat([weights[name].grad.flatten() for name in found])  # type: ignore[union-attr]
    ours = torch.cat([gradient.flatten() for gradient in found.values()])
    assert (ours - right).norm() <= 1e-4 * right.norm()


def test_no_value_model_is_loaded_and_the_figures_are_the_policys(
    world: World,  # noqa: F811
    whole_reward_model: str,  # noqa: F811
    lora_reward_model: str,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loaded: list[str] = []
    load = players_module.load_reward_model

    def counting(folder: Any, **options: Any) -> Any:
        loaded.append(str(folder))
        return load(folder, **options)

    monkeypatch.setattr(players_module, "load_reward_model", counting)
    settings, players, prompts = play(world, whole_reward_model, **GROUPS, advantage="rloo")
    assert len(loaded) == 1
    assert set(players.models) == {"policy", "reference", "reward"}
    experience = gather_experience(players, prompts[:2], settings, 0)
    assert experience.values is experience.returns is None
    work = Work(Stage("ppo", "components.ppo", {}, {}), tmp_path)
    trainer = Trainer(players.weights, settings, 100, work)
    found = figures_of(experience) | learn(players, trainer, experience, settings, 0)
    told = {"reward_mean", "kl", "entropy", "policy_loss", "clip_fraction", "policy_grad_norm"}
    assert told <= found.keys()
    assert not [name for name in found if "value" in name]
    _, one, _ = play(world, lora_reward_model, **LORA, **GROUPS, advantage="grpo")
    assert not [n for n, _ in one.policy.model.named_parameters() if ".value." in n]


class Bandit:
    """A reward model's stand-in: 1 for one token, 0 for all others."""

    def __init__(self, best: int) -> None:
        self._best = best

    def rewards(self, model: Any, rows: Sequence[Row]) -> torch.Tensor:
        return torch.tensor([float(row.token_ids[-1] == self._best) for row in rows])


@pytest.mark.parametrize("advantage", ["rloo", "grpo"])
def test_on_a_bandit_the_policy_finds_the_best_answer(
    world: World,  # noqa: F811
    whole_reward_model: str,  # noqa: F811
    tmp_path: Path,
    advantage: str,
) -> None:
    settings, players, prompts = play(
        world,
        whole_reward_model,
        advantage=advantage,
        response_length=1,
        num_generations=32,
        rollout_batch_size=32,
        generation_batch_size=32,
        batch_size=16,
        kl_coef=0.0,
        num_ppo_epochs=2,
        learning_rate=3e-3,
        lr_scheduler_type="constant",
    )
    best = int(first_token(players, prompts[0]).topk(8).indices[-1])  # not what it would say
    before = float(first_token(players, prompts[0])[best])
    engines = dataclasses.replace(players.engines, rewards=Bandit(best))
    players = dataclasses.replace(players, engines=engines)
    work = Work(Stage("ppo", "components.ppo", {}, {}), tmp_path)
    trainer = Trainer(players.weights, settings, 100, work)
    for iteration in range(20):
        experience = gather_experience(players, prompts[:1], settings, iteration)
        learn(players, trainer, experience, settings, iteration)
    assert before < 0.2
    assert float(first_token(players, prompts[0])[best]) > 0.9


@pytest.mark.parametrize("advantage", ["rloo", "grpo"])
def test_an_answer_alone_has_nothing_to_be_held_against(advantage: str) -> None:
    with pytest.raises(InputError, match="num_generations must be 2 or more"):
        PpoSettings.parse({**SETTINGS, "advantage": advantage}, "ppo")
    with pytest.raises(InputError, match="whiten_rewards has no meaning"):
        PpoSettings.parse(
            {**SETTINGS, **GROUPS, "advantage": advantage, "whiten_rewards": True}, "ppo"
        )


def test_update_passes_are_cut_by_tokens_and_share_their_prompts(
    world: World,  # noqa: F811
    whole_reward_model: str,  # noqa: F811
) -> None:
    settings, players, prompts = play(world, whole_reward_model, **GROUPS, batch_size=1)
    experience = gather_experience(players, prompts[:2], settings, iteration=0)
    passes = players.engines.row_passes(experience.rows, range(8), settings.batch_size)
    assert [sorted(part) for part in passes] == [list(range(8))]  # 4,096 tokens hold them all
    few = dataclasses.replace(players.engines, tokens=64)
    passes = few.row_passes(experience.rows, [7, 0, 5, 2], settings.batch_size)
    assert sorted(number for part in passes for number in part) == [0, 2, 5, 7]
    assert len(passes) < 4
    plain = dataclasses.replace(players.engines, tokens=None)
    assert plain.row_passes(experience.rows, [7, 0, 5], 2) == [[7, 0], [5]]
