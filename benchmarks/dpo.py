"""DPO on a LLaVA: ours against the strongest that others do, step by step on the same pairs.

All sides train equal copies of one model in float32 with fused AdamW, one optimizer step of equal
pairs after the other. The rivals: a question's prompt shared by its answers (`benchmarks.rivals`),
one padded row an answer with the reference's log-probs kept, and TRL's DPOTrainer with its head on
answers only. The headline is the ratio to the fastest of them; TRL as it comes stands beside.

Ours is measured in parts: the frozen tower's pass over the pictures, the reference pass, the
training step. One epoch needs all parts, a later epoch or run finds the reference's log-probs kept.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch

from benchmarks.dpo_baseline import between_steps, head_on_answers, trl_trainer
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
from benchmarks.rivals import (
    flash_pref_error,
    grouped_engines,
    package_engines,
    package_error,
    see_groups,
)
from spavl.alignment.engines import Engines, choose_engines
from spavl.alignment.losses import reward_loss
from spavl.alignment.rows import PairRows
from spavl.models.pictures import Pictures, freeze_tower

BETA = 0.1
LEARNING_RATE = 1e-6
MAX_GRAD_NORM = 1.0
RIVALS = ("grouped", "prefix_grouper", "plain")
RATIOS = ("time_ratio", "baseline", "ratios", "trl_as_it_comes", "trl_as_it_comes_with_reference")


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

    def gradients(self, pairs: Sequence[PairRows], reference: dict[str, torch.Tensor]) -> float:
        """Forward and backward passes of a step; gives the loss."""
        total = 0.0
        for part in self.engines.training_passes(pairs, len(pairs)):
            before = torch.stack([reference[p.preference.preference_id] for p in part], dim=1)
            rewards = BETA * (self.log_probs(part) - before)
            loss = reward_loss(*rewards).loss * (len(part) / len(pairs))
            loss.backward()
            total += float(loss.detach())
        return total

    def step(self, pairs: Sequence[PairRows], reference: dict[str, torch.Tensor]) -> None:
        """A whole optimizer step."""
        self.gradients(pairs, reference)
        weights = [weight for weight in self.model.parameters() if weight.requires_grad]
        torch.nn.utils.clip_grad_norm_(weights, MAX_GRAD_NORM)
        self.optimizer.step()
        self.optimizer.zero_grad()


def run(
    shape: Shape,
    repetitions: int = 5,
    tokens: int = 4096,
    with_memory: bool = True,
    keep: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Measure one shape.

    Args:
        shape: Model and pairs.
        repetitions: Timed steps a side; one more warms up.
        tokens: Most packed tokens of one of our forward passes.
        with_memory: Whether to measure memory too, in a fresh process a side.
        keep: Given the figures so far after every repetition.

    Returns:
        The figures of the bench's JSON.
    """
    processor = make_processor(shape)
    model = make_model(shape, processor)
    freeze_tower(model)
    examples = make_examples(shape, repetitions + 1)
    found: dict[str, Any] = {"shape": {**vars(shape), "pairs_per_step": shape.pairs}}
    found |= {"expected_ratio_7b": expected_at_7b(shape), "machine": machine()}
    found |= _exactness(shape, model, processor, examples[0], tokens)
    found["not_run"] = {
        name: error
        for name, error in (("prefix_grouper", package_error()), ("flash_pref", flash_pref_error()))
        if error
    }
    rounds = Rounds(2 * len(examples), found, keep or (lambda _: None))
    clock = Clock()
    _beside_trl(clock, rounds, Sides(shape, model, processor, tokens), examples, lean=True)
    found |= _figures(clock)
    # As it comes TRL is slow and no rival: it has its own turn, without ours between its steps.
    _beside_trl(clock, rounds, None, examples, lean=False, world=(shape, model, processor))
    found |= _figures(clock)
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
    return found


class Sides:
    """Ours and those rivals that train as ours does but for the packing.

    Args:
        shape: Model and pairs.
        model: The model that all begin with.
        processor: Its processor.
        tokens: Most packed tokens of a forward pass.
    """

    def __init__(self, shape: Shape, model: Any, processor: Any, tokens: int) -> None:
        self.shape, self.model, self.processor = shape, model, processor
        self.by_name = {"step": make_ours(copy.deepcopy(model), processor, shape, "auto", tokens)}
        for name in RIVALS:
            if name != "prefix_grouper" or not package_error():
                self.by_name[name] = make_rival(
                    name, copy.deepcopy(model), processor, shape, tokens
                )

    def take(self, clock: Clock, examples: Sequence[Example]) -> None:
        """One step of every side on the same pairs."""
        ours = self.by_name["step"]
        with clock.timed("tower"):
            ours.engines.pictures.read([example.image_id for example in examples])
        pairs = [pair_rows(self.processor, ours.engines.pictures, e) for e in examples]
        with clock.timed("reference"):
            reference = ours.reference(pairs)
        for name, side in self.by_name.items():
            side.engines.pictures.read([example.image_id for example in examples])
            with clock.timed(name):
                side.step(pairs, reference)


def make_rival(name: str, model: Any, processor: Any, shape: Shape, tokens: int) -> Ours:
    """A side by name, see `benchmarks.rivals`; `plain` is one padded row an answer."""
    side = make_ours(model, processor, shape, "plain" if name == "plain" else "auto", tokens)
    if name == "grouped":
        side.engines = grouped_engines(side.engines.pictures, side.engines, tokens)
    if name == "prefix_grouper":
        see_groups(model)
        side.engines = package_engines(side.engines.pictures, side.engines)
    return side


def _beside_trl(
    clock: Clock,
    rounds: Rounds,
    sides: Sides | None,
    steps: Sequence[Sequence[Example]],
    lean: bool,
    world: tuple[Shape, Any, Any] | None = None,
) -> None:
    """TRL's own loop; between its steps the other sides take the same pairs."""
    if sides is not None:
        world = (sides.shape, sides.model, sides.processor)
    assert world is not None
    shape, model, processor = world

    def end(done: int) -> None:
        clock.end("trl_lean" if lean else "trl")
        if sides is not None:
            sides.take(clock, steps[done - 1])
        rounds.done(_figures(clock) if done > 1 else {})

    policy, reference = copy.deepcopy(model), copy.deepcopy(model)
    callbacks = [between_steps(clock.begin, end)]
    with head_on_answers() if lean else nullcontext():
        trl_trainer(policy, reference, processor, steps, shape.side, callbacks).train()


def _figures(clock: Clock) -> dict[str, Any]:
    wall, cpu = clock.medians()
    ratios = _ratios(wall)
    return {
        "ours_s": wall["tower"] + wall["step"],
        "baseline_s": ratios.pop("baseline_s"),
        **ratios,
        "seconds": wall,
        "cpu_seconds": cpu,
        "of_cpu_seconds": _ratios(cpu),
    }


def _ratios(seconds: dict[str, float]) -> dict[str, Any]:
    """Ours over each rival; all but TRL have the reference's log-probs kept, as ours.

    The tower's pass belongs to every side; TRL makes it itself, with each row. TRL's steps hold its
    reference pass, which it makes at every step.
    """
    ours = seconds["tower"] + seconds["step"]
    first = ours + seconds["reference"]
    rivals = {n: seconds[n] + seconds["tower"] for n in RIVALS if n in seconds}
    rivals["trl_lean"] = seconds["trl_lean"]
    fastest = min(rivals, key=lambda name: rivals[name])
    found: dict[str, Any] = {
        "time_ratio": ours / rivals[fastest],
        "baseline": fastest,
        "baseline_s": rivals[fastest],
        "ratios": {name: ours / taken for name, taken in rivals.items()},
        "trl_lean_with_reference": first / seconds["trl_lean"],
    }
    if "trl" in seconds:
        found["trl_as_it_comes"] = ours / seconds["trl"]
        found["trl_as_it_comes_with_reference"] = first / seconds["trl"]
    return found


def make_ours(model: Any, processor: Any, shape: Shape, packing: Any, tokens: int) -> Ours:
    """Our side, with pictures that are not read yet."""
    pictures = Pictures(model, processor, RandomPictures(shape.side))
    engines = choose_engines(model, pictures, 0, Choice(packing, tokens), print)
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=LEARNING_RATE, weight_decay=0.0, fused=True)
    return Ours(model, engines, optimizer)


def _exactness(
    shape: Shape, model: Any, processor: Any, examples: Sequence[Example], tokens: int
) -> dict[str, Any]:
    """Every rival's loss and gradient against ours on one batch, after the policy has moved.

    Before that all losses would be log 2.
    """
    moved = copy.deepcopy(model)
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in moved.parameters():
            if weight.requires_grad:
                weight.add_(0.1 * weight.std() * torch.randn_like(weight))
    ours = make_ours(copy.deepcopy(moved), processor, shape, "auto", tokens)
    ours.engines.pictures.read([example.image_id for example in examples])
    pairs = [pair_rows(processor, ours.engines.pictures, example) for example in examples]
    before = make_ours(copy.deepcopy(model), processor, shape, "auto", tokens)
    before.engines.pictures.read([example.image_id for example in examples])
    reference = before.reference(pairs)
    loss = ours.gradients(pairs, reference)
    mine = _gradient(ours.model)
    same: dict[str, dict[str, float]] = {}
    for name in RIVALS:
        if name == "prefix_grouper" and package_error():
            continue
        side = make_rival(name, copy.deepcopy(moved), processor, shape, tokens)
        side.engines.pictures.read([example.image_id for example in examples])
        same[name] = _differences(loss, mine, side.gradients(pairs, reference), side.model)
    found: dict[str, Any] = {}
    for name in ("trl_lean", "trl"):
        policy = copy.deepcopy(moved)
        with head_on_answers() if name == "trl_lean" else nullcontext():
            trainer = trl_trainer(
                policy, copy.deepcopy(model), processor, [list(examples)], shape.side
            )
            batch = trainer.data_collator([trainer.train_dataset[n] for n in range(len(examples))])
            if name == "trl":
                found["max_token_logp_diff"] = _token_difference(ours, policy, batch, pairs)
            theirs = trainer.compute_loss(policy, batch)
            theirs.backward()
        same[name] = _differences(loss, mine, float(theirs.detach()), policy)
    found["same"] = same
    found["grad_rel_diff"] = max(one["gradient"] for one in same.values())
    found["loss_diff"] = max(one["loss"] for one in same.values())
    return found


def _differences(
    loss: float, mine: torch.Tensor, their_loss: float, their_model: Any
) -> dict[str, float]:
    theirs = _gradient(their_model)
    return {
        "loss": abs(their_loss - loss) / abs(loss),
        "gradient": float((mine - theirs).norm() / theirs.norm()),
    }


def _token_difference(
    ours: Ours, policy: Any, batch: dict[str, torch.Tensor], pairs: Sequence[PairRows]
) -> float:
    """The largest difference of a token's log-prob from TRL's, on the same tokens."""
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
    return float((found.values[found.mask] - theirs).abs().max())


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
