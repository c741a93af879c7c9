"""PPO: right at every batch size and padding, driven by the reward alone, resumable."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from components.ppo import train
from components.ppo.experience import Experience, gather_experience, judge, rows_that_fit
from components.ppo.players import ModelPlaces, Players, load_players
from components.ppo.prompts import Prompt, PromptStream, read_prompts
from components.ppo.update import accumulate, learn, minibatches
from spavl.alignment.loop import Trainer
from spavl.alignment.rows import Tokeniser
from spavl.errors import InputError
from spavl.models.caches import cache_bytes
from spavl.models.load import load_reward_model
from spavl.models.saving import save_model
from spavl.records import Preference, Rollout
from spavl.settings.ppo import PpoSettings
from spavl.shards import DatasetWriter, read_records
from spavl.work import Stage, Work
from tests.unit.alignment.worlds import World, make_preference, make_world

SETTINGS: dict[str, object] = {
    "threads": 1,
    "learning_rate": 1e-3,
    "batch_size": 4,
    "gradient_accumulation_steps": 1,
    "warmup_steps": 0,
    "dtype": "float32",
    "gradient_checkpointing": False,
    "save_steps": 2,
    "max_length": 64,
    "total_episodes": 32,
    "rollout_batch_size": 8,
    "generation_batch_size": 8,
    "num_ppo_epochs": 2,
    "response_length": 8,
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def reward_model(tmp_path_factory: pytest.TempPathFactory, world: World) -> str:
    folder = tmp_path_factory.mktemp("reward")
    torch.manual_seed(3)
    model, processor = load_reward_model(world.base.uri)
    save_model(model, processor, folder, {})
    return str(folder)


def play(
    world: World, reward_model: str, **changes: object
) -> tuple[PpoSettings, Players, list[Prompt]]:
    settings = PpoSettings.parse({**SETTINGS, **changes}, "ppo")
    players = load_players(settings, ModelPlaces(world.images.uri, world.base.uri, reward_model))
    tokeniser = Tokeniser(players.processor, players.pictures, settings.max_length)
    found = read_prompts(world.train, tokeniser, players.pictures, settings)
    return settings, players, found.prompts[:8]


def run(
    world: World,
    reward_model: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    **changes: object,
) -> Path:
    monkeypatch.setenv("SPAVL_WORK_ROOT", str(folder / "work"))
    policy = train(
        {**SETTINGS, **changes},
        world.train,
        world.images,
        world.base,
        reward_model,
        str(folder / "rollouts"),
    )
    return Path(policy.uri)


def trainer_of(players: Players, settings: PpoSettings, folder: Path) -> Trainer:
    work = Work(Stage("ppo", "components.ppo", {}, {}), folder)
    return Trainer(players.weights, settings, 100, work)


def test_what_the_models_say_of_rows_does_not_depend_on_the_batch(
    world: World, reward_model: str
) -> None:
    settings, players, prompts = play(world, reward_model)
    experience = gather_experience(players, prompts, settings, iteration=0)
    assert len(set(experience.mask.sum(dim=1).tolist())) > 1  # answers of several lengths
    one_by_one = settings.model_copy(update={"generation_batch_size": 1})
    alone = judge(players, experience.rows, one_by_one)
    mask = experience.mask
    assert torch.equal(alone.mask, mask)
    for found, expected in (
        (alone.log_probs, experience.log_probs),
        (alone.log_probs - alone.reference_log_probs, experience.kl),
        (alone.values, experience.values),
    ):
        torch.testing.assert_close(found[mask], expected[mask], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(alone.scores, experience.scores, atol=1e-4, rtol=1e-4)


def test_before_any_update_the_policy_is_the_reference_and_every_ratio_is_1(
    world: World, reward_model: str
) -> None:
    settings, players, prompts = play(world, reward_model)
    experience = gather_experience(players, prompts, settings, iteration=0)
    assert experience.kl.abs().max() < 1e-5
    for minibatch in ([5], [0, 3], list(range(8))):
        rows = [experience.rows[place] for place in minibatch]
        found = players.engines.log_probs.response_log_probs(players.policy.model, rows)
        old = experience.log_probs[minibatch, : found.mask.shape[1]]
        ratio = torch.exp(found.values - old)[found.mask]
        torch.testing.assert_close(ratio, torch.ones_like(ratio), atol=1e-4, rtol=0)
        metrics = accumulate(players, experience, minibatch, settings)
        assert metrics["clip_fraction"] == metrics["value_clip_fraction"] == 0.0


def test_the_drawn_tokens_log_probs_are_those_that_generation_drew_from(
    world: World, reward_model: str
) -> None:
    settings, players, prompts = play(world, reward_model)
    experience = gather_experience(players, prompts, settings, iteration=0)
    row = experience.rows[0]
    pictures = players.pictures.inputs_for(players.policy.model, [row.image_id])
    found = players.policy.model.generate(
        input_ids=torch.tensor([row.token_ids[: row.boundary]]),
        **pictures,
        do_sample=False,
        max_new_tokens=1,
        output_logits=True,
        return_dict_in_generate=True,
    )
    first = found.logits[0].log_softmax(-1)[0, row.token_ids[row.boundary]]
    torch.testing.assert_close(first, experience.log_probs[0, 0], atol=1e-4, rtol=1e-4)


def test_minibatch_gradients_do_not_depend_on_how_they_are_cut_into_passes(
    world: World, reward_model: str
) -> None:
    settings, players, prompts = play(world, reward_model)
    experience = gather_experience(players, prompts, settings, iteration=0)
    trained = [weight for weights in players.weights.values() for weight in weights.values()]
    gradients = []
    for batch_size in (8, 1):
        cut = settings.model_copy(update={"batch_size": batch_size})
        accumulate(players, experience, list(range(8)), cut)
        gradients.append(torch.cat([weight.grad.flatten() for weight in trained]))
        for weight in trained:
            weight.grad = None
    whole, parts = gradients
    assert (whole - parts).norm() <= 1e-4 * whole.norm()
    assert whole.norm() > 0


def test_a_policy_with_zero_advantages_does_not_move_and_the_values_do(
    world: World, reward_model: str, tmp_path: Path
) -> None:
    settings, players, prompts = play(world, reward_model)
    experience = gather_experience(players, prompts, settings, iteration=0)
    still = Experience(**{**vars(experience), "advantages": torch.zeros_like(experience.values)})
    before = {name: value.clone() for name, value in players.policy.model.state_dict().items()}
    head = players.value.model.score.weight.clone()
    learn(players, trainer_of(players, settings, tmp_path), still, settings, 0)
    after = players.policy.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not torch.equal(head, players.value.model.score.weight)


def test_the_missing_end_penalty_is_in_the_return_and_not_in_the_told_score(
    world: World, reward_model: str
) -> None:
    settings, players, prompts = play(world, reward_model, missing_eos_penalty=5.0, kl_coef=0.0)
    found = gather_experience(players, prompts, settings, iteration=0)
    assert 0 < found.ended.sum() < 8
    last = found.mask.sum(dim=1) - 1
    final = found.returns[torch.arange(8), last]
    torch.testing.assert_close(final, found.scores - 5.0 * (~found.ended).float())


def test_rows_are_answered_together_as_far_as_their_cache_fits(
    world: World, reward_model: str
) -> None:
    settings, players, prompts = play(world, reward_model, generation_batch_size=6)
    model = players.policy.model
    # Keys and values of 2 layers, 2 heads of 8 numbers of 4 bytes.
    assert cache_bytes(model) == 2 * 2 * 2 * 8 * 4
    longest = max(len(prompt.token_ids) for prompt in prompts) + 8
    assert rows_that_fit(model, prompts, settings) == 6
    five = settings.model_copy(update={"generation_cache_mib": 5.5 * longest * 256 / 2**20})
    assert rows_that_fit(model, prompts, five) == 5
    none = settings.model_copy(update={"generation_cache_mib": 1e-9})
    assert rows_that_fit(model, prompts, none) == 1


def test_minibatches_hold_every_row_once_in_an_order_of_their_own() -> None:
    settings = PpoSettings.parse({**SETTINGS, "batch_size": 3}, "ppo")
    first, second = (minibatches(8, settings, 0, epoch) for epoch in (0, 1))
    assert sorted(place for batch in first for place in batch) == list(range(8))
    assert [len(batch) for batch in first] == [3, 3, 2]
    assert first != second


def test_the_answers_of_a_prompt_share_a_minibatch() -> None:
    settings = PpoSettings.parse({**SETTINGS, "num_generations": 2}, "ppo")
    for batch in minibatches(8, settings, 0, 0):
        assert [place + 1 for place in batch[::2]] == batch[1::2]
        assert all(place % 2 == 0 for place in batch[::2])


def test_a_base_model_is_no_reward_model(world: World) -> None:
    with pytest.raises(InputError, match=r"no reward head here.*give a trained reward model"):
        play(world, world.base.uri)


def test_the_prompt_stream_asks_everything_once_before_anything_twice() -> None:
    prompts = [Prompt("a", str(number), "?", (1,)) for number in range(5)]
    stream = PromptStream(prompts, seed=0)
    first, second = stream.take(0, 5), stream.take(5, 5)
    assert sorted(p.question_id for p in first) == sorted(p.question_id for p in second)
    assert first != second
    assert stream.take(3, 4) == (first + second)[3:7]


def test_questions_that_cannot_be_asked_are_dropped_and_counted(
    world: World, reward_model: str, tmp_path: Path
) -> None:
    settings, players, _ = play(world, reward_model, max_length=40)
    known = next(read_records(world.train, Preference)).image_id
    asked = ["Tell me.", "<image>\nWhat is this?", "Bleib gesund und munter, lieber Leser! " * 2]
    with DatasetWriter(tmp_path / "train", Preference, {}, {}) as writer:
        for number, question in enumerate(asked):
            writer.add(make_preference(number, known, question))
        writer.add(make_preference(3, "not in the store"))
    tokeniser = Tokeniser(players.processor, players.pictures, settings.max_length)
    found = read_prompts(tmp_path / "train", tokeniser, players.pictures, settings)
    assert [prompt.text for prompt in found.prompts] == ["Tell me."]
    assert found.dropped == {"picture_token_in_text": 1, "too_long": 1, "unreadable_picture": 1}


def test_rollouts_and_curves_are_complete(
    world: World, reward_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = run(world, reward_model, tmp_path, monkeypatch)
    rollouts = list(read_records(tmp_path / "rollouts", Rollout))
    assert [rollout.iteration for rollout in rollouts] == [i for i in range(4) for _ in range(8)]
    assert len({rollout.rollout_id for rollout in rollouts}) == 32
    lines = [json.loads(line) for line in (output / "curves.jsonl").read_text().splitlines()]
    told = {"reward_mean", "reward_std", "kl", "entropy", "clip_fraction", "explained_variance"}
    assert told | {"value_loss", "response_length", "tokens_per_second"} <= lines[0].keys()
    mean = sum(rollout.reward for rollout in rollouts[:8]) / 8
    assert lines[0]["reward_mean"] == pytest.approx(mean, abs=1e-5)
    assert json.loads((output / "metrics.json").read_text())["rollouts"] == 32


def test_training_killed_and_resumed_ends_in_the_same_weights_and_rollouts(
    world: World, reward_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = run(world, reward_model, tmp_path / "one", monkeypatch)
    update, updates = Trainer.update, []

    def dying(self: Trainer) -> dict[str, float]:
        updates.append(1)
        if len(updates) == 14:  # amid the fourth iteration; two are in the checkpoint
            raise KeyboardInterrupt
        return update(self)

    monkeypatch.setattr(Trainer, "update", dying)
    with pytest.raises(KeyboardInterrupt):
        run(world, reward_model, tmp_path / "two", monkeypatch)
    resumed = run(world, reward_model, tmp_path / "two", monkeypatch)
    assert len(updates) == 14 + 8
    one, two = (load_file(folder / "model.safetensors") for folder in (undisturbed, resumed))
    assert all(torch.equal(one[name], two[name]) for name in one)
    told = [
        list(read_records(folder / "rollouts", Rollout))
        for folder in (tmp_path / "one", tmp_path / "two")
    ]
    assert told[0] == told[1]
