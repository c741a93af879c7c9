"""DPO on a LLaVA: ours against TRL's DPOTrainer, step by step on the same pairs.

Both sides train equal copies of one model in float32 with AdamW, one optimizer step of equal pairs
after the other; between TRL's steps ours takes the same pairs. Ours is measured in parts: the
frozen tower's pass over the pictures, the reference pass, the training step; and once more with the
plain engine. One epoch needs all parts, a later epoch or run finds the reference's log-probs kept.
"""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch

from benchmarks.dpo_baseline import between_steps, score_answers_only, trl_trainer
from benchmarks.llava_world import (
    Example,
    RandomPictures,
    Shape,
    make_examples,
    make_model,
    make_processor,
    pair_rows,
)
from benchmarks.measuring import Clock, machine, peak_growth_mib
from spavl.alignment.engines import Engines, choose_engines
from spavl.alignment.losses import reward_loss
from spavl.alignment.rows import PairRows
from spavl.models.pictures import Pictures, freeze_tower

BETA = 0.1
LEARNING_RATE = 1e-6
MAX_GRAD_NORM = 1.0
RATIOS = ("time_ratio", "time_ratio_cached", "plain_ratio")


@dataclass(frozen=True)
class Choice:
    """Whether and how much our side packs."""

    packing: Literal["auto", "plain"]
    packed_tokens: int


@dataclass
class Ours:
    """A policy of ours with its optimizer."""

    model: Any
    engines: Engines
    optimizer: torch.optim.Optimizer

    def log_probs(self, pairs: Sequence[PairRows]) -> torch.Tensor:
        """Summed answer log-probs: float `[2, pairs]`."""
        rows = [pair.chosen for pair in pairs] + [pair.rejected for pair in pairs]
        found = self.engines.log_probs.response_log_probs(self.model, rows)
        return found.sums().view(2, len(pairs))

    @torch.no_grad()
    def reference(self, pairs: Sequence[PairRows]) -> dict[str, torch.Tensor]:
        """The reference pass: log-probs by preference."""
        found = {}
        for part in self.engines.scoring_passes(pairs, len(pairs)):
            by_pair = self.log_probs(part).unbind(dim=1)
            ids = [pair.preference.preference_id for pair in part]
            found |= dict(zip(ids, by_pair, strict=True))
        return found

    def gradients(self, pairs: Sequence[PairRows], reference: dict[str, torch.Tensor]) -> None:
        """Forward and backward passes of a step."""
        for part in self.engines.training_passes(pairs, len(pairs)):
            before = torch.stack([reference[p.preference.preference_id] for p in part], dim=1)
            rewards = BETA * (self.log_probs(part) - before)
            loss = reward_loss(*rewards).loss * (len(part) / len(pairs))
            loss.backward()

    def step(self, pairs: Sequence[PairRows], reference: dict[str, torch.Tensor]) -> None:
        """A whole optimizer step."""
        self.gradients(pairs, reference)
        weights = [weight for weight in self.model.parameters() if weight.requires_grad]
        torch.nn.utils.clip_grad_norm_(weights, MAX_GRAD_NORM)
        self.optimizer.step()
        self.optimizer.zero_grad()


def run(
    shape: Shape, repetitions: int = 5, tokens: int = 4096, with_memory: bool = True
) -> dict[str, Any]:
    """Measure one shape.

    Args:
        shape: Model and pairs.
        repetitions: Timed steps a side; one more warms up.
        tokens: Most packed tokens of one of our forward passes.
        with_memory: Whether to measure memory too, in a fresh process a side.

    Returns:
        The figures of the bench's JSON.
    """
    processor = make_processor(shape)
    model = make_model(shape, processor)
    freeze_tower(model)
    examples = make_examples(shape, repetitions + 1)
    found: dict[str, Any] = {"shape": {**vars(shape), "pairs_per_step": shape.pairs}}
    found |= _seconds(shape, model, processor, examples, tokens)
    found |= _exactness(shape, model, processor, examples[0], tokens)
    if with_memory:
        ours, baseline = (
            peak_growth_mib("benchmarks.dpo_memory", [side, *_arguments(shape, tokens)])
            for side in ("ours", "trl")
        )
        found |= {
            "ours_peak_mib": ours,
            "baseline_peak_mib": baseline,
            "memory_ratio": ours / baseline,
        }
    return found | {"expected_ratio_7b": expected_at_7b(shape), "machine": machine()}


def _seconds(
    shape: Shape,
    model: Any,
    processor: Any,
    steps: Sequence[Sequence[Example]],
    tokens: int,
) -> dict[str, Any]:
    clock = Clock()
    packed = make_ours(copy.deepcopy(model), processor, shape, "auto", tokens)
    plain = make_ours(copy.deepcopy(model), processor, shape, "plain", tokens)

    def end(done: int) -> None:
        clock.end("trl")
        _our_step(clock, packed, plain, processor, steps[done - 1])

    trainer = trl_trainer(
        copy.deepcopy(model),
        copy.deepcopy(model),
        processor,
        steps,
        shape.side,
        [between_steps(clock.begin, end)],
    )
    trainer.train()
    wall, cpu = clock.medians()
    ratios = _ratios(wall)
    return {
        "ours_s": ratios["time_ratio"] * wall["trl"],
        "baseline_s": wall["trl"],
        **ratios,
        "seconds": wall,
        "cpu_seconds": cpu,
        "of_cpu_seconds": _ratios(cpu),
    }


def _ratios(seconds: dict[str, float]) -> dict[str, float]:
    """Ours over TRL; the tower's pass belongs to all of ours."""
    cached, plain = (seconds["tower"] + seconds[part] for part in ("step", "plain"))
    return {
        "time_ratio": (cached + seconds["reference"]) / seconds["trl"],
        "time_ratio_cached": cached / seconds["trl"],
        "plain_ratio": plain / seconds["trl"],
    }


def _our_step(
    clock: Clock, packed: Ours, plain: Ours, processor: Any, examples: Sequence[Example]
) -> None:
    with clock.timed("tower"):
        packed.engines.pictures.read([example.image_id for example in examples])
    plain.engines.pictures.read([example.image_id for example in examples])
    pairs = [pair_rows(processor, packed.engines.pictures, example) for example in examples]
    with clock.timed("reference"):
        reference = packed.reference(pairs)
    with clock.timed("step"):
        packed.step(pairs, reference)
    with clock.timed("plain"):
        plain.step(pairs, reference)


def make_ours(model: Any, processor: Any, shape: Shape, packing: Any, tokens: int) -> Ours:
    """Our side, with pictures that are not read yet."""
    pictures = Pictures(model, processor, RandomPictures(shape.side))
    engines = choose_engines(model, pictures, 0, Choice(packing, tokens), print)
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=LEARNING_RATE, weight_decay=0.0)
    return Ours(model, engines, optimizer)


def _exactness(
    shape: Shape, model: Any, processor: Any, examples: Sequence[Example], tokens: int
) -> dict[str, float]:
    """Our log-probs and gradients against TRL's own on one batch, before any step."""
    ours = make_ours(copy.deepcopy(model), processor, shape, "auto", tokens)
    ours.engines.pictures.read([example.image_id for example in examples])
    pairs = [pair_rows(processor, ours.engines.pictures, example) for example in examples]
    policy = copy.deepcopy(model)
    trainer = trl_trainer(policy, copy.deepcopy(model), processor, [list(examples)], shape.side)
    batch = trainer.data_collator([trainer.train_dataset[n] for n in range(len(examples))])
    rows = [pair.chosen for pair in pairs] + [pair.rejected for pair in pairs]
    for row, ids in zip(rows, batch["input_ids"].tolist(), strict=True):
        if tuple(ids[: row.length]) != row.token_ids:
            raise AssertionError("the two sides do not see the same tokens")
    scored = batch["completion_mask"][:, 1:].bool()
    labels = batch["input_ids"].masked_fill(batch["completion_mask"] == 0, -100)
    asked = {key: value for key, value in batch.items() if key != "completion_mask"}
    with torch.no_grad():
        theirs = policy(**asked, labels=labels, fused_lm_head=True).log_probs[scored]
        found = ours.engines.log_probs.response_log_probs(ours.model, rows)
    trainer.compute_loss(policy, batch).backward()
    ours.gradients(pairs, ours.reference(pairs))
    right, mine = _gradient(policy), _gradient(ours.model)
    return {
        "max_token_logp_diff": float((found.values[found.mask] - theirs).abs().max()),
        "grad_rel_diff": float((mine - right).norm() / right.norm()),
    }


def _gradient(model: Any) -> torch.Tensor:
    return torch.cat([w.grad.flatten() for w in model.parameters() if w.grad is not None])


def _arguments(shape: Shape, tokens: int) -> list[str]:
    """A shape as the memory side's arguments."""
    import json

    return [json.dumps(vars(shape)), str(tokens), str(torch.get_num_threads())]


def tables(
    shape: Shape, measured: dict[str, Any], repetitions: int = 3, tokens: int = 4096
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """The gain over picture tokens, over answers a question, and with unequal answers.

    Args:
        shape: What the tables vary.
        measured: Its own figures, as `run` gives them; not measured again.
        repetitions: Timed steps a side.
        tokens: Most packed tokens of one of our forward passes.

    Yields:
        Table, what it varies and the figures, as they are measured: the whole takes half an hour.
    """
    rows = [
        *(("picture_tokens", n, replace(shape, picture_tokens=n)) for n in (64, 256, 576, 1024)),
        *(("answers_per_question", n, replace(shape, answers=n)) for n in (2, 4, 8)),
        ("answers_of_20_to_300", "20-300", replace(shape, answer_tokens=(20, 300))),
    ]
    kept = (*RATIOS, "of_cpu_seconds", "ours_s", "baseline_s")
    for table, name, varied in rows:
        figures = measured
        if varied != shape:
            figures = run(varied, repetitions, tokens, with_memory=False)
        yield table, str(name), {key: figures[key] for key in kept}


def answers_only(shape: Shape, repetitions: int = 3, tokens: int = 4096) -> dict[str, Any]:
    """The ratios when TRL's head skips what no loss needs, as on a GPU."""
    score_answers_only()
    figures = run(shape, repetitions, tokens, with_memory=False)
    return {key: figures[key] for key in (*RATIOS, "of_cpu_seconds")}


def expected_at_7b(shape: Shape) -> dict[str, Any]:
    """Arithmetic for LLaVA-1.5-7B on a GPU, where TRL's head scores answers only.

    Work is counted in floating point operations of policy and reference on one picture's pairs:
    forward 1, backward 2, recomputation under activation checkpointing 1, for both sides.
    """
    longest = max(shape.answer_tokens)
    prompt = shape.picture_tokens + shape.text_tokens
    rows = 2 * shape.questions * (shape.answers - 1)
    plain = rows * (prompt + longest)
    trie = shape.picture_tokens + shape.questions * (shape.text_tokens + shape.answers * longest)
    weights, layers, width, head, tower = 6.48e9, 32, 4096, 0.13e9, 0.3e9

    def passes(tokens: float, seen: float, pictures: float) -> float:
        language = 2 * weights * tokens + 4 * layers * width * seen
        return language + 2 * tower * (shape.picture_tokens + 1) * pictures

    causal = rows * (prompt + longest) ** 2 / 2
    dense = trie**2
    scored = rows * longest, shape.questions * shape.answers * longest
    theirs = 5 * (passes(plain, causal, 0) + 2 * head * scored[0])
    # The tower in policy and reference, once a row: it is frozen, so nothing is recomputed.
    theirs += 2 * 2 * tower * (shape.picture_tokens + 1) * rows
    training = 4 * (passes(trie, dense, 0) + 2 * head * scored[1])
    once = passes(0, 0, 1)
    reference = passes(trie, dense, 0) + 2 * head * scored[1]
    return {
        "tokens_plain": plain,
        "tokens_packed": trie,
        "token_ratio": trie / plain,
        "with_reference_pass": (training + reference + once) / theirs,
        "reference_kept": (training + once) / theirs,
        "arithmetic": "2 x weights x tokens + 4 x layers x width x seen pairs; times 5 for TRL "
        "(reference 1, policy forward 1, recomputed 1, backward 2), times 4 + 1 for ours; dense "
        "masks see every pair of a trie's places, TRL's causal kernel half of each row's",
    }
