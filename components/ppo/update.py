"""One PPO update: clipped policy and value losses over a minibatch of rollouts."""

from collections import defaultdict
from collections.abc import Callable, Sequence

import torch

from components.ppo.experience import Experience
from components.ppo.players import Players
from spavl.alignment import processes
from spavl.alignment.loop import Trainer
from spavl.alignment.ppo_math import policy_loss, value_loss
from spavl.seeds import derive_seed
from spavl.settings.ppo import PpoSettings

Backward = Callable[[torch.Tensor, str], None]  # a loss and the model that it is a function of
FIGURES = ("policy_loss", "value_loss", "clip_fraction", "value_clip_fraction")


def learn(
    players: Players,
    trainer: Trainer,
    experience: Experience,
    settings: PpoSettings,
    iteration: int,
) -> dict[str, float]:
    """Update policy and value model on an iteration's rollouts, several passes over them.

    Returns:
        Losses, clip fractions and gradient norms, averaged over the updates.
    """
    found: dict[str, list[float]] = defaultdict(list)
    for epoch in range(settings.num_ppo_epochs):
        for minibatch in minibatches(len(experience.rows), settings, iteration, epoch):
            metrics = accumulate(players, experience, minibatch, settings, trainer.backward)
            metrics |= trainer.update()
            for name, value in metrics.items():
                found[name].append(value)
    return {name: sum(values) / len(values) for name, values in found.items()}


def minibatches(rows: int, settings: PpoSettings, iteration: int, epoch: int) -> list[list[int]]:
    """Row numbers of each update of one pass over the rollouts, shuffled by seed.

    Prompts are shuffled, not rows: the answers of a prompt stay side by side, where an engine that
    packs rows finds what they share.
    """
    seed = derive_seed(settings.seed, "minibatches", str(iteration), str(epoch))
    together = settings.num_generations
    chance = torch.Generator().manual_seed(seed)
    prompts = torch.randperm(rows // together, generator=chance).tolist()
    order = [prompt * together + place for prompt in prompts for place in range(together)]
    size = settings.batch_size * settings.gradient_accumulation_steps
    return [order[start : start + size] for start in range(0, rows, size)]


def plain_backward(loss: torch.Tensor, model: str) -> None:
    """Backward as it is in one process."""
    loss.backward()  # type: ignore[no-untyped-call]


def accumulate(
    players: Players,
    experience: Experience,
    minibatch: Sequence[int],
    settings: PpoSettings,
    backward: Backward = plain_backward,
) -> dict[str, float]:
    """Gradients of a minibatch's loss, in passes that fit into memory; each process takes a share.

    The mean runs over the answer tokens of the whole minibatch: a pass counts by its tokens, so the
    gradient does not depend on how many passes it is cut into.

    Returns:
        Policy loss, value loss and their clip fractions over the minibatch.
    """
    tokens = int(experience.mask[list(minibatch)].sum())
    size = settings.batch_size
    parts = [list(minibatch[start : start + size]) for start in range(0, len(minibatch), size)]
    totals = torch.zeros(len(FIGURES), dtype=torch.float64)
    for part, counts in processes.share_of_passes(parts):
        share = counts * int(experience.mask[part].sum()) / tokens
        figures = _backward(players, experience, part, settings, share, backward)
        totals += share * torch.tensor([figures[name] for name in FIGURES], dtype=torch.float64)
    return dict(zip(FIGURES, processes.summed(totals).tolist(), strict=True))


def _backward(
    players: Players,
    experience: Experience,
    part: list[int],
    settings: PpoSettings,
    share: float,
    backward: Backward,
) -> dict[str, float]:
    """Gradients of a pass; each role's loss goes back while its own adapter is active."""
    rows = [experience.rows[place] for place in part]

    def old(whole: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        return whole[part, : like.shape[1]].to(like.device)

    with players.policy.active():
        found = players.engines.log_probs.response_log_probs(
            players.policy.model, rows, settings.temperature
        )
        policy_part = policy_loss(
            found.values,
            old(experience.log_probs, found.mask),
            old(experience.advantages, found.mask),
            found.mask,
            settings.cliprange,
        )
        backward(share * policy_part.loss, "policy")
    with players.value.active():
        values = players.engines.rewards.values(players.value.model, rows)
        value_part = value_loss(
            values,
            old(experience.values, found.mask),
            old(experience.returns, found.mask),
            found.mask,
            settings.cliprange_value,
        )
        backward(share * settings.vf_coef * value_part.loss, "value")
    return {
        "policy_loss": float(policy_part.loss.detach()),
        "value_loss": float(value_part.loss.detach()),
        "clip_fraction": float(policy_part.clip_fraction),
        "value_clip_fraction": float(value_part.clip_fraction),
    }
