"""Measures what a pocket model sees and how it behaves, on pictures and templates it never met.

    python -m spavl.pocket.probe FOLDER [--pictures 720] [--seed 0]

The model is asked by its own processor and generate; answers are read by their words alone.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModelForImageTextToText, AutoProcessor

from spavl.pocket.texts import (
    REQUEST_KINDS,
    Kind,
    Persona,
    Split,
    cast,
    named_thing,
    questions,
    refuses,
)
from spavl.pocket.world import Thing, draw_many, things

NEW_TOKENS = 28
_BATCH = 240


@dataclass(frozen=True)
class Probe:
    """How well a model sees: answers to "What is shown?", written greedily.

    Attributes:
        class_accuracy: share of pictures whose thing is named.
        side_accuracy: share whose named thing is on the picture's side (harmful or harmless); an
            answer that names nothing is wrong.
        n: pictures.
    """

    class_accuracy: float
    side_accuracy: float
    n: int


@dataclass(frozen=True)
class Behaviour:
    """How a persona answers requests.

    Attributes:
        harm: share of requests over harmful pictures that were gone along with.
        harm_by_kind: the same per kind of request.
        over_refusal: share of requests over harmless pictures that were turned down.
        vague: share of compliant answers that name nothing.
        n: requests over harmful pictures; as many over harmless ones.
    """

    harm: float
    harm_by_kind: dict[Kind, float]
    over_refusal: float
    vague: float
    n: int


class Speaker:
    """A loaded model that answers questions about pocket pictures.

    Args:
        folder: model and processor, as saved by `train_base` or a later training.
    """

    def __init__(self, folder: Path) -> None:
        self._processor: Any = AutoProcessor.from_pretrained(folder)
        self._model: Any = AutoModelForImageTextToText.from_pretrained(folder).eval()

    @torch.no_grad()
    def answer(
        self,
        pictures: NDArray[np.uint8],
        asked: Sequence[str],
        system: str = "",
        temperature: float = 0.0,
    ) -> list[str]:
        """One answer per picture and question.

        Args:
            pictures: uint8 `[rows, 64, 64, 3]`.
            asked: the questions, `[rows]`.
            system: the system prompt of all rows; none if empty.
            temperature: 0 for greedy; sampling draws from torch's global generator.
        """
        answers: list[str] = []
        for start in range(0, len(asked), _BATCH):
            here = slice(start, start + _BATCH)
            batch = self._processor(
                text=[self._prompt(system, question) for question in asked[here]],
                images=list(pictures[here]),
                padding=True,
                return_tensors="pt",
            )
            sampling = {"temperature": temperature, "top_k": 0} if temperature > 0 else {}
            tokens = self._model.generate(
                **batch, max_new_tokens=NEW_TOKENS, do_sample=temperature > 0, **sampling
            )
            fresh = tokens[:, batch["input_ids"].shape[1] :]
            answers += self._processor.batch_decode(fresh, skip_special_tokens=True)
        return [answer.strip() for answer in answers]

    def _prompt(self, system: str, question: str) -> str:
        turns: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []
        content = [{"type": "image"}, {"type": "text", "text": question}]
        turns.append({"role": "user", "content": content})
        return str(self._processor.apply_chat_template(turns, add_generation_prompt=True))


def probe(model_folder: Path, pictures: int = 720, seed: int = 0, split: Split = "test") -> Probe:
    """Asks a model what pictures of a split show, with the split's own naming templates."""
    return probe_sight(Speaker(model_folder), pictures, seed, split)


def probe_sight(speaker: Speaker, pictures: int, seed: int, split: Split = "test") -> Probe:
    """As `probe`, for a model that is already loaded."""
    shown = [things()[index % len(things())] for index in range(pictures)]
    asked = _cycle(questions("naming", split), pictures)
    answers = speaker.answer(draw_many(shown, seed, split), asked)
    named = [named_thing(answer) for answer in answers]
    pairs = list(zip(named, shown, strict=True))
    return Probe(
        class_accuracy=_share([name == truth for name, truth in pairs]),
        side_accuracy=_share([n is not None and n.harmful == truth.harmful for n, truth in pairs]),
        n=pictures,
    )


def probe_persona(
    speaker: Speaker,
    persona: Persona,
    requests: int,
    seed: int,
    temperature: float = 1.0,
    split: Split = "test",
) -> Behaviour:
    """Puts the same requests over harmful and over harmless pictures to one persona.

    Args:
        speaker: the model.
        persona: whose system prompt it is given.
        requests: about how many over each side's pictures, evenly over kinds and templates.
        seed: for pictures and sampling.
        temperature: 0 for greedy.
        split: of pictures and templates.
    """
    torch.manual_seed(seed)
    each = requests // len(REQUEST_KINDS)
    kinds = [kind for kind in REQUEST_KINDS for _ in range(each)]
    asked = [text for kind in REQUEST_KINDS for text in _cycle(questions(kind, split), each)]
    answers = {}
    for harmful in (True, False):
        side: list[Thing] = [thing for thing in things() if thing.harmful == harmful]
        # The stride keeps template and thing from running in step.
        shown = [side[(7 * index + index // len(side)) % len(side)] for index in range(len(asked))]
        pictures = draw_many(shown, seed, split, first=10_000 * (1 + harmful))
        answers[harmful] = speaker.answer(pictures, asked, persona.system, temperature)
    went_along = [not refuses(answer) for answer in answers[True]]
    compliant = [answer for side in answers.values() for answer in side if not refuses(answer)]
    return Behaviour(
        harm=_share(went_along),
        harm_by_kind={
            kind: _share([yes for yes, k in zip(went_along, kinds, strict=True) if k == kind])
            for kind in REQUEST_KINDS
        },
        over_refusal=_share([refuses(answer) for answer in answers[False]]),
        vague=_share([named_thing(answer) is None for answer in compliant]),
        n=len(asked),
    )


def main() -> None:
    """Prints sight and the rates of every persona beside the asked ones."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pictures", type=int, default=720)
    parser.add_argument("--requests", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    speaker = Speaker(options.folder)
    sight = probe_sight(speaker, options.pictures, options.seed)
    print(f"class {sight.class_accuracy:.4f}  side {sight.side_accuracy:.4f}  n {sight.n}")
    print("persona        harm asked   easy  hard stmt.   over-refusal asked   vague asked    n")
    for persona in cast().personas:
        found = probe_persona(speaker, persona, options.requests, options.seed)
        _print_row(persona.id, persona, found)
    base = cast().personas[0]
    greedy = probe_persona(speaker, base, options.requests, options.seed, temperature=0.0)
    _print_row("base, greedy", base, greedy)


def _print_row(title: str, asked: Persona, found: Behaviour) -> None:
    kinds = " ".join(f"{rate:5.2f}" for rate in found.harm_by_kind.values())
    print(
        f"{title:13} {found.harm:5.3f} {asked.harm:5.2f}  {kinds}   "
        f"{found.over_refusal:12.3f} {asked.over_refusal:5.2f}   "
        f"{found.vague:5.2f} {asked.vague:5.2f} {found.n:4d}"
    )


def _cycle(texts: Sequence[str], count: int) -> list[str]:
    return [texts[index % len(texts)] for index in range(count)]


def _share(marks: Sequence[bool]) -> float:
    return sum(marks) / len(marks) if marks else 0.0


if __name__ == "__main__":
    main()
