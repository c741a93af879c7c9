"""One PPO update: clipped losses of policy and value model over a minibatch of rollouts."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from components.ppo.experience import Experience
from components.ppo.players import Players
from spavl.alignment import processes
from spavl.alignment.loop import Trainer
from spavl.alignment.ppo_math import kl_loss, policy_loss, token_weights, value_loss
from spavl.alignment.rows import Row
from spavl.seeds import derive_seed
from spavl.settings.ppo import PpoSettings

Backward = Callable[[torch.Tensor, str], None]  # a loss and the model that it is a function of


def learn(
    players: Players,
    trainer: Trainer,
    experience: Experience,
    settings: PpoSettings,
    iteration: int,
) -> dict[str, float]:
    """Update policy and value model on an iteration's rollouts, several passes over them.

    Returns:
        Losses, clip fractions and gradient norms, averaged over the updates; those of a value
        model where there is one.
    """
    found: dict[str, list[float]] = defaultdict(list)
    for epoch in range(settings.num_ppo_epochs):
        for minibatch in minibatches(len(experience.rows), settings, iteration, epoch):
            metrics = accumulate(players, experience, minibatch, settings, trainer.backward)
            updated = trainer.update()
            if "grad_norm" in updated:  # the policy is alone
                updated["policy_grad_norm"] = updated.pop("grad_norm")
            metrics |= updated
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

    Tokens count as in the whole minibatch, so the gradient does not depend on how many passes it is
    cut into.

    Returns:
        Losses and clip fractions of policy and, where there is one, value model over the minibatch.
    """
    numbers = list(minibatch)
    mask = experience.mask[numbers]
    weights = torch.zeros(experience.mask.shape)
    weights[numbers] = token_weights(mask, settings.normalisation, settings.response_length)
    passes = players.engines.row_passes(experience.rows, minibatch, settings.batch_size)
    totals: dict[str, torch.Tensor] = {}
    for part, counts in processes.share_of_passes(passes):
        share = counts * int(experience.mask[part].sum()) / int(mask.sum())
        one = Pass(experience, part, weights * counts, share)
        for name, figure in _backward(players, one, settings, backward).items():
            totals[name] = totals.get(name, torch.zeros((), dtype=torch.float64)) + figure
    summed = processes.summed(torch.stack(list(totals.values())))
    return dict(zip(totals, summed.tolist(), strict=True))


@dataclass(frozen=True)
class Pass:
    """One forward and backward pass of an update.

    Attributes:
        experience: The iteration's.
        numbers: Which of its rows.
        weights: What each token of every row counts: float `[rows, longest answer]`.
        share: The pass's part of the update's tokens; 0 where it does not count.
    """

    experience: Experience
    numbers: list[int]
    weights: torch.Tensor
    share: float

    @property
    def rows(self) -> list[Row]:
        """The pass's rows."""
        return [self.experience.rows[number] for number in self.numbers]

    def old(self, whole: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        """The pass's part of what is fixed about all rows, as wide as `like`."""
        return whole[self.numbers, : like.shape[1]].to(like.device)


def _backward(
    players: Players, one: Pass, settings: PpoSettings, backward: Backward
) -> dict[str, float]:
    """Gradients of a pass; each role's loss goes back while its own adapter is active."""
    figures, mask = _policy_backward(players, one, settings, backward)
    if players.value is None:
        return figures
    experience = one.experience
    assert experience.values is not None
    assert experience.returns is not None
    with players.value.active():
        found = value_loss(
            players.engines.rewards.values(players.value.model, one.rows),
            one.old(experience.values, mask),
            one.old(experience.returns, mask),
            mask,
            settings.cliprange_value,
        )
        backward(one.share * settings.vf_coef * found.loss, "value")
    return figures | {
        "value_loss": one.share * float(found.loss.detach()),
        "value_clip_fraction": one.share * float(found.clip_fraction),
    }


def _policy_backward(
    players: Players, one: Pass, settings: PpoSettings, backward: Backward
) -> tuple[dict[str, float], torch.Tensor]:
    experience = one.experience
    with players.policy.active():
        found = players.engines.log_probs.response_log_probs(
            players.policy.model, one.rows, settings.temperature
        )
        mask = found.mask
        before, weights = one.old(experience.log_probs, mask), one.old(one.weights, mask)
        clipped = policy_loss(
            found.values,
            before,
            one.old(experience.advantages, mask),
            mask,
            settings.cliprange,
            weights,
        )
        loss = clipped.loss
        if settings.advantage == "grpo" and experience.kl_coef:
            reference = before - one.old(experience.kl, mask)
            loss = loss + experience.kl_coef * kl_loss(found.values, reference, mask, weights)
        backward(loss, "policy")
    figures = {
        "policy_loss": float(loss.detach()),
        "clip_fraction": one.share * float(clipped.clip_fraction),
    }
    return figures, mask
