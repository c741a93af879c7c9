"""PPO's training: ask, answer, score, update; again."""

import json
import time
from dataclasses import dataclass
from typing import Any

from components.ppo.experience import Experience, gather_experience
from components.ppo.journal import RolloutJournal
from components.ppo.players import ModelPlaces, Players, load_players
from components.ppo.prompts import PromptStream, read_prompts
from components.ppo.update import learn
from spavl.alignment.loop import Trainer
from spavl.alignment.outputs import Trained, save_trained
from spavl.alignment.ppo_math import KlController, explained_variance, masked_mean
from spavl.alignment.rows import Tokeniser
from spavl.seeds import seed_everything
from spavl.settings.ppo import PpoSettings
from spavl.work import Work

FINAL_ITERATIONS = 10  # the figures of metrics.json are means over this many last iterations


@dataclass(frozen=True)
class Places:
    """Where PPO's inputs are: a data set of `Preference`, and where its models come from."""

    train: str
    models: ModelPlaces


def train_policy(work: Work, settings: PpoSettings, places: Places) -> dict[str, Any]:
    """Train, write the rollouts, save.

    Args:
        work: The stage's work; the model is left in its folder `model`, the rollouts in `rollouts`.
        settings: How to train.
        places: Where the inputs are.

    Returns:
        The figures of `metrics.json`.
    """
    seed_everything(settings.seed, settings.threads)
    players = load_players(settings, places.models, work.note)
    tokeniser = Tokeniser(players.processor, players.pictures, settings.max_length)
    asked = read_prompts(places.train, tokeniser, players.pictures, settings)
    stream = PromptStream(asked.prompts, settings.seed)
    asked_at_once = settings.rollout_batch_size // settings.num_generations
    episodes = settings.total_episodes or len(asked.prompts) * settings.num_generations
    iterations = -(-episodes // settings.rollout_batch_size)
    controller = KlController(settings.kl_coef, settings.kl_target, settings.kl_horizon)
    trainer = Trainer(
        players.weights,
        settings,
        iterations * updates_per_iteration(settings),
        work,
        {"value": settings.value_learning_rate or settings.learning_rate},
        {"kl_controller": controller},
        players.models,
    )
    journal = RolloutJournal(work, trainer.start)

    def step(iteration: int) -> dict[str, float]:
        begun = time.monotonic()
        prompts = stream.take(iteration * asked_at_once, asked_at_once)
        coefficient = controller.coefficient
        experience = gather_experience(players, prompts, settings, iteration, coefficient)
        learned = learn(players, trainer, experience, settings, iteration)
        journal.add(experience, iteration)
        figures = figures_of(experience) | learned | {"kl_coef": coefficient}
        controller.update(figures["kl"], len(experience.rows))
        tokens = int(experience.mask.sum())
        return figures | {"tokens_per_second": tokens / (time.monotonic() - begun)}

    trainer.run(step, iterations, "iterations")
    metrics = {
        "final": final_figures(work),
        "prompts": len(asked.prompts),
        "dropped": asked.dropped,
        "engine": players.engines.told,
        "rollouts": journal.publish(),
    }
    digest = save_trained(work, _trained(players), metrics)
    return {**metrics, "digest": digest}


def _trained(players: Players) -> Trained:
    policy = players.policy
    return Trained(policy.model, players.processor, policy.adapters, policy.adapter or "")


def updates_per_iteration(settings: PpoSettings) -> int:
    """Optimizer steps of one iteration."""
    minibatch = settings.batch_size * settings.gradient_accumulation_steps
    return settings.num_ppo_epochs * -(-settings.rollout_batch_size // minibatch)


def figures_of(experience: Experience) -> dict[str, float]:
    """What is logged of an iteration's rollouts; KL is per answer, entropy per token, in nats."""
    mask = experience.mask
    explained: dict[str, float] = {}
    if experience.values is not None and experience.returns is not None:
        found = explained_variance(experience.values, experience.returns, mask)
        explained["explained_variance"] = float(found)
    return explained | {
        "reward_mean": float(experience.scores.mean()),
        "reward_std": float(experience.scores.std(correction=0)),
        "kl": float((experience.kl * mask).sum(dim=1).mean()),
        "entropy": float(masked_mean(experience.entropy, mask)),
        "response_length": float(mask.sum(dim=1).float().mean()),
        "ended": float(experience.ended.float().mean()),
    }


def final_figures(work: Work) -> dict[str, float]:
    """Means over the last iterations of what was logged, but for speed."""
    lines = (work.folder / "curves.jsonl").read_text().splitlines()[-FINAL_ITERATIONS:]
    logged = [json.loads(line) for line in lines]
    names = logged[-1].keys() - {"step", "time", "tokens_per_second"}
    return {name: sum(line[name] for line in logged) / len(logged) for name in sorted(names)}
