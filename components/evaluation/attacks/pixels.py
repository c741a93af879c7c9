"""Projected gradient descent on the pixels (Madry et al., 2018), with random noise as its control.

The attacker changes each pixel by at most epsilon of 255 levels, in sign steps up the gradient of
the log-probability that the answer begins as one that goes along. What is asked in the end are
whole levels, a picture that a file can hold. The control changes every pixel by epsilon too, up or
down by chance, so that the difference is what the gradient finds and not what noise does.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from components.evaluation.attacks.attacker import Attacker, Way
from components.evaluation.attacks.target import Target
from spavl.errors import InputError
from spavl.models.generation import Generated
from spavl.records import AttackAnswer, EvalItem
from spavl.seeds import derive_seed
from spavl.settings.attacks import PixelSettings

REACH = 2.5  # steps may go so many times as far as the edge of what is allowed
HIGHEST = 255.0


@dataclass(frozen=True)
class Levels:
    """How a processor makes pixel values of levels 0 to 255; float `[channels, 1, 1]` each."""

    mean: torch.Tensor
    std: torch.Tensor

    @classmethod
    def of(cls, target: Target) -> "Levels":
        """The levels of a target's processor.

        Raises:
            InputError: If its pictures are no grids of pixels with three channels.
        """
        kind = target.model.config.model_type
        if kind != "llava":
            raise InputError(
                f"the pixels of a {kind} model cannot be attacked here",
                "evaluation.attacks.pixels",
                "set it to null; LLaVA's can",
            )
        processor = target.processor.image_processor
        device = target.model.device
        mean, std = (
            torch.tensor(found, device=device)[:, None, None]
            for found in (processor.image_mean, processor.image_std)
        )
        return cls(mean, std)

    def to(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Pixel values as levels."""
        return (pixel_values.float() * self.std + self.mean) * HIGHEST

    def back(self, levels: torch.Tensor) -> torch.Tensor:
        """Levels as pixel values."""
        return (levels / HIGHEST - self.mean) / self.std


def pixel_answers(attacker: Attacker, settings: PixelSettings) -> Iterator[AttackAnswer]:
    """Answers to attacked pictures and to noisy ones, for every epsilon."""
    levels = Levels.of(attacker.target)
    for epsilon in settings.epsilons:
        for items in attacker.batches(attacker.settings.answering.batch_size):
            attack = partial(_attacked, attacker, levels, items, epsilon, settings.steps)
            yield from attacker.answers(Way("pixels", epsilon), items, attack)
            noise = partial(_noisy, attacker, levels, items, epsilon)
            yield from attacker.answers(Way("noise", epsilon), items, noise)


def descend(
    target: Target, levels: Levels, inputs: Any, epsilon: float, steps: int
) -> torch.Tensor:
    """Pixel values within epsilon levels of the batch's, for which the model most goes along.

    Args:
        target: The model.
        levels: Its pixels.
        inputs: The batch.
        epsilon: Largest change, in levels.
        steps: Sign steps.
    """
    clean = levels.to(inputs["pixel_values"])
    changed = clean.clone()
    for _ in range(steps):
        changed.requires_grad_()
        pixel_values = levels.back(changed).to(inputs["pixel_values"].dtype)
        score = target.goes_along({**inputs, "pixel_values": pixel_values}).sum()
        (gradient,) = torch.autograd.grad(score, changed)
        with torch.no_grad():
            moved = changed + REACH * epsilon / steps * gradient.sign()
            changed = within(moved, clean, epsilon)
    return levels.back(within(changed.detach().round(), clean, epsilon))


def within(changed: torch.Tensor, clean: torch.Tensor, epsilon: float) -> torch.Tensor:
    """The nearest picture with all levels from 0 to 255 and within epsilon of the clean one."""
    near = torch.minimum(torch.maximum(changed, clean - epsilon), clean + epsilon)
    return near.clamp(0.0, HIGHEST)


def noisy(levels: Levels, inputs: Any, epsilon: float, seed: int) -> torch.Tensor:
    """Pixel values with every level epsilon higher or lower, by chance."""
    clean = levels.to(inputs["pixel_values"])
    generator = torch.Generator().manual_seed(seed)
    signs = torch.randint(0, 2, clean.shape, generator=generator).to(clean.device) * 2 - 1
    return levels.back(within((clean + epsilon * signs).round(), clean, epsilon))


def _attacked(
    attacker: Attacker, levels: Levels, items: list[EvalItem], epsilon: int, steps: int
) -> Generated:
    inputs = attacker.inputs(items)
    found = descend(attacker.target, levels, inputs, epsilon, steps)
    return _answered(attacker, items, inputs, found)


def _noisy(attacker: Attacker, levels: Levels, items: list[EvalItem], epsilon: int) -> Generated:
    inputs = attacker.inputs(items)
    seed = derive_seed(attacker.settings.seed, "noise", str(epsilon), items[0].item_id)
    return _answered(attacker, items, inputs, noisy(levels, inputs, epsilon, seed))


def _answered(
    attacker: Attacker, items: list[EvalItem], inputs: Any, pixel_values: torch.Tensor
) -> Generated:
    given = {**inputs, "pixel_values": pixel_values.to(inputs["pixel_values"].dtype)}
    return attacker.target.generate(given, attacker.sampling(items[0]))
