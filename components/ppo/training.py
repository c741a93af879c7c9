"""PPO's training: ask, answer, score, update; again."""

import json
import time
from dataclasses import dataclass
from typing import Any

from components.ppo.experience import Experience, gather_experience
from components.ppo.journal import RolloutJournal
from components.ppo.players import load_players
from components.ppo.prompts import PromptStream, read_prompts
from components.ppo.update import learn
from spavl.alignment.loop import Trainer, trainable_weights
from spavl.alignment.outputs import Trained, save_trained
from spavl.alignment.ppo_math import explained_variance, masked_mean
from spavl.alignment.rows import Tokeniser
from spavl.seeds import seed_everything
from spavl.settings.ppo import PpoSettings
from spavl.work import Work

FINAL_ITERATIONS = 10  # the figures of metrics.json are means over this many last iterations


@dataclass(frozen=True)
class Places:
    """Where PPO's inputs are: a data set of `Preference`, an image store, two model folders."""

    train: str
    images: str
    base: str
    reward_model: str


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
    players = load_players(
        settings, places.images, places.base.removeprefix("file://"), places.reward_model
    )
    tokeniser = Tokeniser(players.processor, players.pictures, settings.max_length)
    asked = read_prompts(places.train, tokeniser, players.pictures, settings.response_length)
    stream = PromptStream(asked.prompts, settings.seed)
    episodes = settings.total_episodes or len(asked.prompts)
    iterations = -(-episodes // settings.rollout_batch_size)
    trainer = Trainer(
        {"policy": trainable_weights(players.policy), "value": trainable_weights(players.value)},
        settings,
        iterations * updates_per_iteration(settings),
        work,
        {"value": settings.value_learning_rate or settings.learning_rate},
    )
    journal = RolloutJournal(work, trainer.start)

    def step(iteration: int) -> dict[str, float]:
        begun = time.monotonic()
        prompts = stream.take(iteration * settings.rollout_batch_size, settings.rollout_batch_size)
        experience = gather_experience(players, prompts, settings, iteration)
        learned = learn(players, trainer, experience, settings, iteration)
        journal.add(experience, iteration)
        tokens = int(experience.mask.sum())
        rate = {"tokens_per_second": tokens / (time.monotonic() - begun)}
        return figures_of(experience) | learned | rate

    trainer.run(step, iterations, "iterations")
    metrics = {
        "final": final_figures(work),
        "prompts": len(asked.prompts),
        "dropped": asked.dropped,
        "rollouts": journal.publish(),
    }
    digest = save_trained(work, Trained(players.policy, players.processor), metrics)
    return {**metrics, "digest": digest}


def updates_per_iteration(settings: PpoSettings) -> int:
    """Optimizer steps of one iteration."""
    minibatch = settings.batch_size * settings.gradient_accumulation_steps
    return settings.num_ppo_epochs * -(-settings.rollout_batch_size // minibatch)


def figures_of(experience: Experience) -> dict[str, float]:
    """What is logged of an iteration's rollouts; KL is per answer, entropy per token, in nats."""
    mask = experience.mask
    return {
        "reward_mean": float(experience.scores.mean()),
        "reward_std": float(experience.scores.std(correction=0)),
        "kl": float((experience.kl * mask).sum(dim=1).mean()),
        "entropy": float(masked_mean(experience.entropy, mask)),
        "explained_variance": float(
            explained_variance(experience.values, experience.returns, mask)
        ),
        "response_length": float(mask.sum(dim=1).float().mean()),
        "ended": float(experience.ended.float().mean()),
    }


def final_figures(work: Work) -> dict[str, float]:
    """Means over the last iterations of what was logged, but for speed."""
    lines = (work.folder / "curves.jsonl").read_text().splitlines()[-FINAL_ITERATIONS:]
    logged = [json.loads(line) for line in lines]
    names = logged[-1].keys() - {"step", "time", "tokens_per_second"}
    return {name: sum(line[name] for line in logged) / len(logged) for name in sorted(names)}
