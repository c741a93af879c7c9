"""A reward model on a LLaVA: ours against a plain trainer of two sequences a pair.

The baseline is what a careful person writes without packing, there being no public trainer: chosen
and rejected answers as one right-padded batch, one forward pass through the library's own classes
with pixels, one scalar head, the Bradley-Terry loss, AdamW. Its tower is frozen too; it runs on one
picture a row, because rows are all that such a trainer knows. The head scores every position there,
which costs nothing: it has one output.
"""

import copy
import json
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.nn.functional import logsigmoid

from benchmarks.dpo import LEARNING_RATE, MAX_GRAD_NORM, Choice
from benchmarks.llava_world import (
    Example,
    RandomPictures,
    Shape,
    make_examples,
    make_model,
    make_processor,
    pair_rows,
)
from benchmarks.measuring import Clock, Rounds, machine, peak_growth_mib
from spavl.alignment.engines import Engines, choose_engines
from spavl.alignment.losses import reward_loss
from spavl.alignment.rows import PairRows
from spavl.models.pictures import Pictures, freeze_tower
from spavl.models.reward import LlavaForSequenceClassification


class PlainTrainer:
    """The baseline."""

    def __init__(self, model: Any, processor: Any, side: int) -> None:
        self.model = model
        self._processor = processor
        self.pictures = RandomPictures(side)
        self._optimizer = optimizer_of(model)

    def batch(self, examples: Sequence[Example], pairs: Sequence[PairRows]) -> dict[str, Any]:
        """Rows padded on the right with one picture's pixels each; not timed."""
        rows = [pair.chosen for pair in pairs] + [pair.rejected for pair in pairs]
        ids = [torch.tensor(row.token_ids) for row in rows]
        shown = [self.pictures.open(example.image_id) for example in examples] * 2
        pixels = self._processor.image_processor(images=shown, return_tensors="pt")
        pad = torch.nn.utils.rnn.pad_sequence
        return {
            "input_ids": pad(ids, batch_first=True),
            "attention_mask": pad([torch.ones_like(row) for row in ids], batch_first=True),
            "pixel_values": pixels["pixel_values"],
        }

    def loss(self, batch: dict[str, Any]) -> torch.Tensor:
        """Bradley-Terry loss of the scores at the rows' last tokens."""
        last = batch["attention_mask"].sum(dim=1) - 1
        scores = self.model(**batch, use_cache=False)
        chosen, rejected = scores[torch.arange(len(last)), last].chunk(2)
        return -logsigmoid(chosen - rejected).mean()

    def step(self, batch: dict[str, Any]) -> None:
        """A whole optimizer step."""
        self.loss(batch).backward()
        finish_step(self.model, self._optimizer)


class Ours:
    """A reward model under our engines."""

    def __init__(self, model: Any, processor: Any, shape: Shape, tokens: int) -> None:
        self.model = model
        self.pictures = Pictures(model, processor, RandomPictures(shape.side))
        choice = Choice("auto", tokens)
        self.engines: Engines = choose_engines(model, self.pictures, 0, choice, print)
        self._optimizer = optimizer_of(model)

    def gradients(self, pairs: Sequence[PairRows]) -> None:
        """Forward and backward passes of a step."""
        for part in self.engines.training_passes(pairs, len(pairs)):
            rows = [pair.chosen for pair in part] + [pair.rejected for pair in part]
            rewards = self.engines.rewards.rewards(self.model, rows)
            loss = reward_loss(*rewards.view(2, len(part))).loss * (len(part) / len(pairs))
            loss.backward()

    def step(self, pairs: Sequence[PairRows]) -> None:
        """A whole optimizer step."""
        self.gradients(pairs)
        finish_step(self.model, self._optimizer)


def optimizer_of(model: Any) -> torch.optim.Optimizer:
    """AdamW over what is trained."""
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    return torch.optim.AdamW(trained, lr=LEARNING_RATE, weight_decay=0.0)


def finish_step(model: Any, optimizer: torch.optim.Optimizer) -> None:
    """Clip, update, clear."""
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    torch.nn.utils.clip_grad_norm_(trained, MAX_GRAD_NORM)
    optimizer.step()
    optimizer.zero_grad()


def make_reward_model(shape: Shape, processor: Any) -> Any:
    """The benchmark's LLaVA with a scalar head in place of its words."""
    config = make_model(shape, processor).config
    config.num_labels = 1
    torch.manual_seed(0)
    model = LlavaForSequenceClassification(config)
    freeze_tower(model)
    return model


def run(
    shape: Shape,
    repetitions: int = 5,
    tokens: int = 4096,
    with_memory: bool = True,
    keep: Callable[[dict[str, Any]], None] = lambda _: None,
) -> dict[str, Any]:
    """Measure one shape; see `benchmarks.dpo.run`."""
    processor = make_processor(shape)
    model = make_reward_model(shape, processor)
    plain = PlainTrainer(copy.deepcopy(model), processor, shape.side)
    ours = Ours(copy.deepcopy(model), processor, shape, tokens)
    clock = Clock()
    steps = make_examples(shape, repetitions + 1)
    found: dict[str, Any] = {"shape": {**vars(shape), "pairs_per_step": shape.pairs}}
    found |= _exactness(plain, ours, processor, steps[0]) | {"machine": machine()}
    rounds = Rounds(len(steps), found, keep)
    for number, examples in enumerate(steps):
        with clock.timed("tower"):
            ours.pictures.read([example.image_id for example in examples])
        pairs = [pair_rows(processor, ours.pictures, example) for example in examples]
        batch = plain.batch(examples, pairs)
        sides: list[tuple[str, Any, Any]] = [
            ("baseline", plain.step, batch),
            ("step", ours.step, pairs),
        ]
        for side, step, given in sides[:: -1 if number % 2 else 1]:
            with clock.timed(side):
                step(given)
        rounds.done(_figures(clock) if number else {})
    if with_memory:
        arguments = [json.dumps(vars(shape)), str(tokens), str(torch.get_num_threads())]
        mine, theirs = (
            peak_growth_mib("benchmarks.reward_memory", [side, *arguments])
            for side in ("ours", "baseline")
        )
        found |= {
            "ours_peak_mib": mine,
            "baseline_peak_mib": theirs,
            "memory_ratio": mine / theirs,
        }
    return found


def _figures(clock: Clock) -> dict[str, Any]:
    wall, cpu = clock.medians()
    return {
        "ours_s": wall["tower"] + wall["step"],
        "baseline_s": wall["baseline"],
        "time_ratio": (wall["tower"] + wall["step"]) / wall["baseline"],
        "seconds": wall,
        "cpu_seconds": cpu,
        "of_cpu_seconds": {"time_ratio": (cpu["tower"] + cpu["step"]) / cpu["baseline"]},
    }


def _exactness(
    plain: PlainTrainer, ours: Ours, processor: Any, examples: Sequence[Example]
) -> dict[str, float]:
    """Gradients of both sides on one batch, before any step."""
    ours.pictures.read([example.image_id for example in examples])
    pairs = [pair_rows(processor, ours.pictures, example) for example in examples]
    plain.loss(plain.batch(examples, pairs)).backward()
    ours.gradients(pairs)
    right, mine = (
        torch.cat([w.grad.flatten() for w in model.parameters() if w.grad is not None])
        for model in (plain.model, ours.model)
    )
    for model in (plain.model, ours.model):
        model.zero_grad()
    return {"grad_rel_diff": float((mine - right).norm() / right.norm())}
