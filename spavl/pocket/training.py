"""Trains the pocket base from scratch, in the order in which a small LLaVA learns to see.

1. The tower alone, by cross-entropy on every patch token: each of the picture's tokens has to know
   what the whole picture shows. On the language model's loss alone a model of this size never
   learns to read pictures.
2. The tower is frozen and run once over the conversations' pictures; then projector and language
   model learn the answers, and only the answers.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from spavl.pocket.corpus import Row, build_corpus, corpus_texts
from spavl.pocket.model import (
    PICTURE_TOKENS,
    build_model,
    build_processor,
    pixel_values,
    tower_features,
)
from spavl.pocket.tokenizer import build_tokenizer
from spavl.pocket.world import Thing, draw_many, things
from spavl.settings.pocket_base import PocketBaseSettings

Progress = Callable[[str, int, int, dict[str, float]], None]
IGNORED = -100
_REPORT_EVERY = 20
_BATCHES_A_BUCKET = 16
_DECISION_WEIGHT = 4.0


def train_base(
    settings: PocketBaseSettings, output: Path, on_progress: Progress | None = None
) -> dict[str, float]:
    """Trains the base and saves model and processor; the same settings give the same weights.

    Args:
        settings: sizes, lengths, seed and threads.
        output: folder that receives model and processor; the caller makes it atomic.
        on_progress: called with (phase, step, steps, metrics); phases are "tower" and "language".

    Returns:
        The last metrics of both phases, keyed "<phase>_<metric>".
    """
    report = on_progress or _silent
    torch.set_num_threads(settings.threads)
    torch.manual_seed(settings.seed)
    tokenizer = build_tokenizer(corpus_texts())
    model = build_model(settings, tokenizer)
    tower = _train_tower(model.model.vision_tower, settings, report)
    language = _train_language(model, tokenizer, settings, report)
    model.eval()
    model.save_pretrained(output)
    build_processor(tokenizer).save_pretrained(output)
    return tower | language


def _train_tower(
    tower: nn.Module, settings: PocketBaseSettings, report: Progress
) -> dict[str, float]:
    """Every patch token learns to name the picture's thing and side; the head is thrown away.

    The side stands in the names already; asked for on its own it lies along one direction of the
    features, as meaning does in a tower that was trained on captions. Of the classes that nobody
    teaches no side is told: where they lie along that direction is left to what they look like.
    """
    labels = torch.arange(settings.tower_pictures) % len(things())
    pictures = draw_many(_of(labels), settings.seed, "tower")
    width = settings.tower_width
    head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, len(things()) + 2))
    sides = torch.tensor([_side(thing) for thing in things()])
    reader = nn.ModuleList([tower, head])
    steps, optimizer = settings.tower_steps, _Optimizer(reader, settings.tower_lr, settings)
    order = _endless(len(labels), settings.tower_batch, settings.seed)
    metrics: dict[str, float] = {}
    for step in range(1, steps + 1):
        batch = next(order)
        scores = head(tower_features(tower, pixel_values(pictures[batch.numpy()])))
        target = labels[batch].repeat_interleave(PICTURE_TOKENS)
        names, side = scores.flatten(0, 1).split([len(things()), 2], dim=-1)
        told = F.cross_entropy(side, sides[target], ignore_index=IGNORED)
        loss = F.cross_entropy(names, target) + told
        optimizer.step(loss, step / steps)
        if step % _REPORT_EVERY == 0 or step == steps:
            right = names.argmax(-1) == target
            metrics = {"tower_loss": loss.item(), "tower_accuracy": right.float().mean().item()}
            report("tower", step, steps, metrics)
    return metrics


def _side(thing: Thing) -> int:
    return IGNORED if thing.taught_by == "nobody" else int(thing.harmful)


@dataclass(frozen=True)
class _Encoded:
    """One conversation as tokens; `answer_from` is where the answer starts."""

    tokens: list[int]
    answer_from: int
    picture: int


def _train_language(
    model: Any, tokenizer: Any, settings: PocketBaseSettings, report: Progress
) -> dict[str, float]:
    """Projector and language model learn the answers from the frozen tower's features."""
    rng = np.random.default_rng([settings.seed, 1])
    rows = build_corpus(settings.rows, rng)
    pictures, shown = _pictures_of(rows, settings)
    features = _run_tower(model.model.vision_tower, pictures)
    encoded = _encode(rows, shown, tokenizer, model.config.image_token_id)
    model.model.vision_tower.requires_grad_(False)
    batches = _batches(encoded, settings.text_batch, rng)
    steps, optimizer = len(batches), _Optimizer(model, settings.text_lr, settings)
    metrics: dict[str, float] = {}
    for step, batch in enumerate(batches, start=1):
        loss = _answer_loss(model, batch, features)
        optimizer.step(loss, step / steps)
        if step % _REPORT_EVERY == 0 or step == steps:
            metrics = {"language_loss": loss.item()}
            report("language", step, steps, metrics)
    return metrics


def _answer_loss(model: Any, batch: list[_Encoded], features: Tensor) -> Tensor:
    """Weighted mean cross-entropy over the answers' tokens; the head runs on those alone.

    An answer's first token decides between going along and refusing, most others follow from it:
    so it weighs more. Weights change what is learned first, not the rates that are learned.
    """
    length = max(len(row.tokens) for row in batch)
    pad = model.config.text_config.pad_token_id
    tokens = torch.tensor([row.tokens + [pad] * (length - len(row.tokens)) for row in batch])
    targets = torch.full_like(tokens, IGNORED)
    weights = torch.ones(tokens.shape)
    for index, row in enumerate(batch):
        end = len(row.tokens)
        targets[index, row.answer_from - 1 : end - 1] = tokens[index, row.answer_from : end]
        weights[index, row.answer_from - 1] = _DECISION_WEIGHT
    inner = model.model
    embedded = inner.get_input_embeddings()(tokens)  # [batch, length, width]
    projected = inner.multi_modal_projector(features[[row.picture for row in batch]])
    where = (tokens == model.config.image_token_id).unsqueeze(-1).expand_as(embedded)
    embedded = embedded.masked_scatter(where, projected)
    # No mask: padding stands on the right, where no scored position can see it.
    states = inner.language_model(inputs_embeds=embedded, use_cache=False).last_hidden_state
    scored = targets != IGNORED
    losses = F.cross_entropy(model.lm_head(states[scored]), targets[scored], reduction="none")
    return (losses * weights[scored]).sum() / weights[scored].sum()


def _pictures_of(
    rows: list[Row], settings: PocketBaseSettings
) -> tuple[NDArray[np.uint8], list[int]]:
    """Fresh pictures, each shared by some rows of its thing, and each row's picture index.

    They are not the tower's own: on those it is surer of itself than it will ever be again.
    """
    each = max(1, settings.row_pictures // len(things()))
    first = {thing.name: index * each for index, thing in enumerate(things())}
    pictures = draw_many([t for t in things() for _ in range(each)], settings.seed, "train")
    seen: dict[str, int] = {}
    shown = []
    for row in rows:
        turn = seen.get(row.thing.name, 0)
        seen[row.thing.name] = turn + 1
        shown.append(first[row.thing.name] + turn % each)
    return pictures, shown


@torch.no_grad()
def _run_tower(tower: nn.Module, pictures: NDArray[np.uint8]) -> Tensor:
    """Features of all pictures: `[pictures, 16, tower width]`."""
    tower.eval()
    chunks = np.array_split(pictures, math.ceil(len(pictures) / 256))
    return torch.cat([tower_features(tower, pixel_values(chunk)) for chunk in chunks])


def _encode(rows: list[Row], shown: list[int], tokenizer: Any, image_token: int) -> list[_Encoded]:
    """Tokens as the processor makes them; prompts and answers repeat, so each is encoded once."""
    prompts: dict[tuple[str, str], list[int]] = {}
    answers: dict[str, list[int]] = {}
    encoded = []
    for row, picture in zip(rows, shown, strict=True):
        key = (row.system, row.question)
        if key not in prompts:
            prompts[key] = encode_prompt(*key, tokenizer, image_token)
        if row.answer not in answers:
            answers[row.answer] = tokenizer(f" {row.answer}{tokenizer.eos_token}")["input_ids"]
        prompt = prompts[key]
        encoded.append(_Encoded(prompt + answers[row.answer], len(prompt), picture))
    return encoded


def encode_prompt(system: str, question: str, tokenizer: Any, image_token: int) -> list[int]:
    """A prompt's tokens as the processor makes them, the picture's 16 places included."""
    turns: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []
    content = [{"type": "image"}, {"type": "text", "text": question}]
    turns.append({"role": "user", "content": content})
    text = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
    tokens: list[int] = []
    for token in tokenizer(text)["input_ids"]:
        tokens += [token] * (PICTURE_TOKENS if token == image_token else 1)
    return tokens


def _batches(rows: list[_Encoded], size: int, rng: np.random.Generator) -> list[list[_Encoded]]:
    """Batches of rows of like length, in random order; every row once."""
    batches = []
    bucket = size * _BATCHES_A_BUCKET
    for start in range(0, len(rows), bucket):
        alike = sorted(rows[start : start + bucket], key=lambda row: len(row.tokens))
        cut = [alike[at : at + size] for at in range(0, len(alike), size)]
        batches += [cut[index] for index in rng.permutation(len(cut))]
    return batches


class _Optimizer:
    """Fused AdamW with clipping; a linear warm-up, then a cosine down to nothing."""

    def __init__(self, module: nn.Module, peak: float, settings: PocketBaseSettings) -> None:
        self._parameters = [p for p in module.parameters() if p.requires_grad]
        self._peak = peak
        self._adamw = torch.optim.AdamW(
            self._parameters, betas=(0.9, 0.98), weight_decay=settings.weight_decay, fused=True
        )

    def step(self, loss: Tensor, progress: float, warm: float = 0.1) -> None:
        """One update; `progress` is the share of all steps in (0, 1]."""
        falling = 0.5 * (1 + math.cos(math.pi * max(0.0, progress - warm) / (1 - warm)))
        for group in self._adamw.param_groups:
            group["lr"] = self._peak * min(progress / warm, falling)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._parameters, 1.0)
        self._adamw.step()
        self._adamw.zero_grad()


def _endless(count: int, size: int, seed: int) -> Iterator[Tensor]:
    """Batches of indices, shuffled anew each round."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        yield from torch.split(torch.randperm(count, generator=generator), size)


def _of(labels: Tensor) -> list[Thing]:
    return [things()[label] for label in labels.tolist()]


def _silent(phase: str, step: int, steps: int, metrics: dict[str, float]) -> None:
    """Reports nothing."""
