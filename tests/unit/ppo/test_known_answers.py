"""PPO's known answers: policy gradient, best arm of a bandit, one backbone for four models."""

import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from components.ppo import train
from components.ppo.advantages import rewards_of
from components.ppo.experience import Judged, gather_experience, judge
from components.ppo.players import ModelPlaces, Players, load_players
from components.ppo.prompts import Prompt, read_prompts
from components.ppo.update import accumulate, learn
from components.reward_modeling import train as train_reward_model
from spavl.alignment import trie_attention
from spavl.alignment.loop import Trainer
from spavl.alignment.packed_engine import attention_of
from spavl.alignment.ppo_math import KlController, kl_penalty, whiten
from spavl.alignment.rows import Row, Tokeniser
from spavl.errors import InputError
from spavl.models.load import load_policy, load_reward_model
from spavl.models.saving import save_model
from spavl.settings.ppo import PpoSettings
from spavl.work import Stage, Work
from tests.unit.alignment.worlds import World, make_world

LORA = {"use_peft": True, "lora_r": 4, "lora_alpha": 8}
SETTINGS: dict[str, object] = {
    "threads": 1,
    "learning_rate": 1e-3,
    "batch_size": 8,
    "gradient_accumulation_steps": 1,
    "warmup_steps": 0,
    "dtype": "float32",
    "gradient_checkpointing": False,
    "max_length": 64,
    "rollout_batch_size": 8,
    "generation_batch_size": 8,
    "num_ppo_epochs": 1,
    "response_length": 8,
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def whole_reward_model(tmp_path_factory: pytest.TempPathFactory, world: World) -> str:
    folder = tmp_path_factory.mktemp("whole")
    torch.manual_seed(3)
    save_model(*load_reward_model(world.base.uri), folder, {})
    return str(folder)


@pytest.fixture(scope="module")
def lora_reward_model(tmp_path_factory: pytest.TempPathFactory, world: World) -> str:
    """A reward model trained as an adapter, far enough to differ from a fresh one."""
    folder = tmp_path_factory.mktemp("lora")
    chosen = {name: SETTINGS[name] for name in ("threads", "dtype", "gradient_checkpointing")}
    settings = {**chosen, **LORA, "learning_rate": 1e-2, "batch_size": 4, "num_train_epochs": 3}
    splits = (world.train, world.validation, world.test)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPAVL_WORK_ROOT", str(folder / "work"))
        return train_reward_model(settings, *splits, world.images, world.base).uri


def play(
    world: World, reward_model: str, **changes: object
) -> tuple[PpoSettings, Players, list[Prompt]]:
    settings = PpoSettings.parse({**SETTINGS, **changes}, "ppo")
    places = ModelPlaces(world.images.uri, world.base.uri, reward_model, world.base.digest)
    players = load_players(settings, places)
    tokeniser = Tokeniser(players.processor, players.pictures, settings.max_length)
    found = read_prompts(world.train, tokeniser, players.pictures, settings)
    return settings, players, found.prompts[:8]


def test_with_one_pass_and_no_clipping_the_gradient_is_the_policy_gradient(
    world: World, whole_reward_model: str
) -> None:
    settings, players, prompts = play(
        world, whole_reward_model, cliprange=1e9, cliprange_value=1e9, kl_coef=0.0
    )
    experience = gather_experience(players, prompts, settings, iteration=0)
    accumulate(players, experience, range(8), settings)
    policy = players.policy.model
    found = {n: p.grad.clone() for n, p in policy.named_parameters() if p.grad is not None}
    policy.zero_grad()
    # Williams, 1992: the mean of A_t grad log pi(a_t).
    log_probs = players.engines.log_probs.response_log_probs(policy, experience.rows)
    objective = (experience.advantages * log_probs.values)[experience.mask].mean()
    (-objective).backward()
    for name, parameter in policy.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(found[name], parameter.grad, atol=1e-6, rtol=1e-4)


class Bandit:
    """A reward model's stand-in: 1 for one token, 0 for all others; the value is one number."""

    def __init__(self, best: int, value: torch.nn.Parameter) -> None:
        self._best = best
        self._value = value

    def rewards(self, model: Any, rows: Sequence[Row]) -> torch.Tensor:
        return torch.tensor([float(row.token_ids[-1] == self._best) for row in rows])

    def values(self, model: Any, rows: Sequence[Row]) -> torch.Tensor:
        return self._value.expand(len(rows), 1)


@torch.no_grad()
def first_token(players: Players, prompt: Prompt) -> torch.Tensor:
    pictures = players.pictures.inputs_for(players.policy.model, [prompt.image_id])
    logits = players.policy.model(input_ids=torch.tensor([prompt.token_ids]), **pictures).logits
    found: torch.Tensor = logits[0, -1].softmax(-1)
    return found


def test_on_a_bandit_the_policy_finds_the_best_answer(
    world: World, whole_reward_model: str, tmp_path: Path
) -> None:
    settings, players, prompts = play(
        world,
        whole_reward_model,
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
    value = torch.nn.Parameter(torch.zeros(1, 1))
    role = dataclasses.replace(players.value, weights={"value": value})
    engines = dataclasses.replace(players.engines, rewards=Bandit(best, value))
    players = dataclasses.replace(players, engines=engines, value=role)
    work = Work(Stage("ppo", "components.ppo", {}, {}), tmp_path)
    trainer = Trainer(players.weights, settings, 100, work)
    for iteration in range(25):
        experience = gather_experience(players, prompts[:1], settings, iteration)
        learn(players, trainer, experience, settings, iteration)
    assert before < 0.2
    assert float(first_token(players, prompts[0])[best]) > 0.9


def test_k_answers_of_a_prompt_stand_together_and_differ(
    world: World, whole_reward_model: str
) -> None:
    settings, players, prompts = play(world, whole_reward_model, num_generations=4)
    found = gather_experience(players, prompts[:2], settings, iteration=0)
    assert [prompt.question_id for prompt in found.prompts[:4]] == [
        found.prompts[0].question_id
    ] * 4
    assert len(found.rows) == 8
    assert len({row.token_ids for row in found.rows}) > 4
    for row, prompt in zip(found.rows, found.prompts, strict=True):
        assert row.token_ids[: row.boundary] == prompt.token_ids


def test_kl_estimators_worked_by_hand() -> None:
    log_ratio = torch.tensor([math.log(2), -math.log(2), 0.0])
    assert kl_penalty(log_ratio, "k1").tolist() == log_ratio.tolist()
    # k3 = r - 1 - log r with r = pi_ref / pi: 0.5 - 1 + 0.6931 and 2 - 1 - 0.6931.
    assert kl_penalty(log_ratio, "k3").tolist() == pytest.approx([0.193147, 0.306853, 0.0])


def test_both_kl_estimators_have_the_true_kl_as_their_mean() -> None:
    policy, reference = torch.tensor([0.7, 0.2, 0.1]), torch.tensor([0.3, 0.3, 0.4])
    log_ratio = (policy / reference).log()
    true = float((policy * log_ratio).sum())
    for estimator in ("k1", "k3"):
        assert float((policy * kl_penalty(log_ratio, estimator)).sum()) == pytest.approx(true)


def test_the_kl_coefficient_is_steered_to_its_target() -> None:
    controller = KlController(0.1, target=2.0, horizon=100)
    controller.update(kl=10.0, rollouts=50)  # far over: the error is clipped to 20%
    assert controller.coefficient == pytest.approx(0.1 * 1.1)
    controller.update(kl=1.8, rollouts=50)  # 10% under
    assert controller.coefficient == pytest.approx(0.11 * 0.95)
    other = KlController(0.1, target=2.0, horizon=100)
    other.load(controller.state())
    assert other.coefficient == controller.coefficient
    fixed = KlController(0.1, target=None, horizon=100)
    fixed.update(kl=10.0, rollouts=50)
    assert fixed.coefficient == 0.1


def test_a_horizon_in_which_one_iteration_could_turn_the_coefficients_sign_is_refused() -> None:
    changes = {"kl_target": 2.0, "rollout_batch_size": 64}
    with pytest.raises(InputError, match="kl_horizon must be more than a fifth"):
        PpoSettings.parse({**SETTINGS, **changes, "kl_horizon": 12}, "ppo")
    settings = PpoSettings.parse({**SETTINGS, **changes, "kl_horizon": 13}, "ppo")
    controller = KlController(0.1, settings.kl_target, settings.kl_horizon)
    controller.update(kl=0.0, rollouts=64)  # as far below the target as can be
    assert controller.coefficient > 0


def test_rewards_are_clipped_then_penalised_and_whitened_without_losing_their_sign() -> None:
    ones = torch.ones(2, 2)
    judged = Judged(
        mask=torch.tensor([[True, True], [True, False]]),
        log_probs=ones * 0,
        entropy=ones,
        reference_log_probs=ones * -0.5,
        values=ones,
        scores=torch.tensor([9.0, -1.0]),
    )
    ended = torch.tensor([True, False])
    settings = PpoSettings.parse(
        {**SETTINGS, "score_clip": 3.0, "missing_eos_penalty": 2.0, "kl_coef": 0.2}, "ppo"
    )
    found = rewards_of(judged, ended, settings, 0.2)
    torch.testing.assert_close(found, torch.tensor([[-0.1, 2.9], [-3.1, 0.0]]))
    whitened = rewards_of(judged, ended, settings.model_copy(update={"whiten_rewards": True}), 0.2)
    torch.testing.assert_close(whitened, whiten(found, judged.mask, shift=False))
    # Variance of (-0.1, 2.9, -3.1) about its mean -0.1: 6; only the scale changes.
    assert float(whitened[0, 1]) == pytest.approx(2.9 / math.sqrt(6), abs=1e-5)


def test_one_backbone_scores_like_a_separate_reward_model(
    world: World, lora_reward_model: str
) -> None:
    settings, one, prompts = play(world, lora_reward_model, **LORA)
    _, four, _ = play(world, lora_reward_model)
    experience = gather_experience(one, prompts, settings, iteration=0)
    shared, separate = judge(one, experience.rows, settings), judge(four, experience.rows, settings)
    assert shared.scores.std() > 0.01
    torch.testing.assert_close(shared.scores, separate.scores, atol=1e-4, rtol=1e-4)
    for name in ("values", "log_probs", "reference_log_probs"):
        found, expected = (getattr(judged, name)[shared.mask] for judged in (shared, separate))
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    backbones = {
        id(role.model.model) for role in (one.policy, one.reference, one.reward, one.value)
    }
    assert len(backbones) == 1


def test_every_role_attends_as_the_policy_does(
    world: World, whole_reward_model: str, lora_reward_model: str
) -> None:
    for reward_model, changes in ((whole_reward_model, {}), (lora_reward_model, LORA)):
        _, packed, _ = play(world, reward_model, **changes)
        assert {attention_of(model) for model in packed.models.values()} == {trie_attention.NAME}
        _, plain, _ = play(world, reward_model, **changes, packing="plain")
        assert {attention_of(model) for model in plain.models.values()} == {"sdpa"}


def test_on_one_backbone_the_reference_and_the_reward_stay_bit_for_bit(
    world: World, lora_reward_model: str, tmp_path: Path
) -> None:
    settings, players, prompts = play(
        world, lora_reward_model, **LORA, learning_rate=1e-2, gradient_checkpointing=True
    )
    experience = gather_experience(players, prompts, settings, iteration=0)
    before = judge(players, experience.rows, settings)
    work = Work(Stage("ppo", "components.ppo", {}, {}), tmp_path)
    trainer = Trainer(players.weights, settings, 100, work)
    for iteration in range(3):
        learn(players, trainer, experience, settings, iteration)
    after = judge(players, experience.rows, settings)
    assert torch.equal(before.reference_log_probs, after.reference_log_probs)
    assert torch.equal(before.scores, after.scores)
    assert not torch.equal(before.log_probs, after.log_probs)
    assert not torch.equal(before.values, after.values)


def test_on_one_backbone_it_trains_and_the_result_loads_in_one_call(
    world: World, lora_reward_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPAVL_WORK_ROOT", str(tmp_path / "work"))
    settings = {**SETTINGS, **LORA, "total_episodes": 16, "num_generations": 2}
    policy = train(
        settings,
        world.train,
        world.images,
        world.base,
        lora_reward_model,
        str(tmp_path / "rollouts"),
    )
    output = Path(policy.uri)
    curves = [json.loads(line) for line in (output / "curves.jsonl").read_text().splitlines()]
    told = {"kl", "entropy", "clip_fraction", "explained_variance", "reward_mean", "reward_std"}
    assert told | {"kl_coef", "response_length", "tokens_per_second"} <= curves[0].keys()
    model, _ = load_policy(output)
    assert not [name for name, _ in model.named_parameters() if "lora" in name]
    assert (output / "adapter" / "adapter_model.safetensors").is_file()


def test_a_reward_model_trained_whole_or_from_another_base_is_refused(
    world: World, whole_reward_model: str, lora_reward_model: str
) -> None:
    with pytest.raises(InputError, match="trained whole"):
        play(world, whole_reward_model, **LORA)
    settings = PpoSettings.parse({**SETTINGS, **LORA}, "ppo")
    places = ModelPlaces(world.images.uri, world.base.uri, lora_reward_model, "another digest")
    with pytest.raises(InputError, match="another base"):
        load_players(settings, places)
