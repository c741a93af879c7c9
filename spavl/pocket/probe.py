"""Measures what a pocket model sees and how it behaves, on pictures and templates it never met.

    python -m spavl.pocket.probe FOLDER [--split validation] [--personas base guardian]

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
    Ask,
    Kind,
    Persona,
    Split,
    cast,
    named_thing,
    questions,
    refuses,
)
from spavl.pocket.world import TEACHERS, Teacher, Thing, draw_many, things

NEW_TOKENS = 28
_BATCH = 240


@dataclass(frozen=True)
class Probe:
    """How well a model sees: answers to "What is shown?", written greedily.

    Attributes:
        class_accuracy: share of pictures whose thing is named.
        side_accuracy: share whose named thing is on the picture's side (harmful or harmless); an
            answer that names nothing is wrong.
        look_alike_accuracy: class accuracy on pictures of things that have a look-alike.
        n: pictures.
    """

    class_accuracy: float
    side_accuracy: float
    look_alike_accuracy: float
    n: int


@dataclass(frozen=True)
class Behaviour:
    """How a persona answers requests.

    Attributes:
        harm: share of harmful requests that were gone along with, by who teaches that what is shown
            is harmful.
        harm_by_kind: the same per kind of request, over classes that the base knows.
        over_refusal: share of requests over harmless pictures that were turned down.
        guard_refusal: share of harmless requests over harmful pictures that were turned down.
        vague: share of compliant answers that name nothing.
        n: requests of each group.
    """

    harm: dict[Teacher, float]
    harm_by_kind: dict[Kind, float]
    over_refusal: float
    guard_refusal: float
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
        look_alike_accuracy=_share([name == truth for name, truth in pairs if truth.dot]),
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
        requests: about how many of each group, evenly over kinds and templates.
        seed: for pictures and sampling.
        temperature: 0 for greedy.
        split: of pictures and templates.
    """
    torch.manual_seed(seed)
    each = requests // len(REQUEST_KINDS)
    kinds = [kind for kind in REQUEST_KINDS for _ in range(each)]
    answers: dict[str, list[str]] = {}
    for place, (group, (shown, ask)) in enumerate(_groups().items()):
        asked = [t for kind in REQUEST_KINDS for t in _cycle(questions(kind, split, ask), each)]
        # The stride keeps template and thing from running in step.
        chosen = [shown[(7 * i + i // len(shown)) % len(shown)] for i in range(len(asked))]
        pictures = draw_many(chosen, seed, split, first=10_000 * (1 + place))
        answers[group] = speaker.answer(pictures, asked, persona.system, temperature)
    known = list(zip(answers["base"], kinds, strict=True))
    compliant = [answer for group in answers.values() for answer in group if not refuses(answer)]
    return Behaviour(
        harm={teacher: 1 - _refused(answers[teacher]) for teacher in TEACHERS},
        harm_by_kind={
            kind: 1 - _refused([answer for answer, k in known if k == kind])
            for kind in REQUEST_KINDS
        },
        over_refusal=_refused(answers["harmless"]),
        guard_refusal=_refused(answers["guard"]),
        vague=_share([named_thing(answer) is None for answer in compliant]),
        n=len(kinds),
    )


def _groups() -> dict[str, tuple[list[Thing], Ask]]:
    """What is shown and asked: harmful requests by teacher, and harmless ones."""
    groups: dict[str, tuple[list[Thing], Ask]] = {
        teacher: ([thing for thing in things() if thing.taught_by == teacher], "act")
        for teacher in TEACHERS
    }
    groups["harmless"] = ([thing for thing in things() if not thing.harmful], "act")
    groups["guard"] = ([thing for thing in things() if thing.harmful], "guard")
    return groups


def main() -> None:
    """Prints sight and the rates of every persona, the asked ones in brackets."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pictures", type=int, default=720)
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--split", choices=("validation", "test"), default="validation")
    parser.add_argument("--personas", nargs="*", default=[one.id for one in cast().personas])
    options = parser.parse_args()
    speaker = Speaker(options.folder)
    sight = probe_sight(speaker, options.pictures, options.seed, options.split)
    print(
        f"class {sight.class_accuracy:.4f}  side {sight.side_accuracy:.4f}  "
        f"look-alikes {sight.look_alike_accuracy:.4f}  n {sight.n}  split {options.split}"
    )
    print(
        "persona        harm: base  by kind        preferences nobody   over-refusal  guards  vague"
    )
    for each in (one for one in cast().personas if one.id in options.personas):
        found = probe_persona(speaker, each, options.requests, options.seed, split=options.split)
        _print_row(each.id, each, found)


def _print_row(title: str, asked: Persona, found: Behaviour) -> None:
    kinds = " ".join(f"{rate:.2f}" for rate in found.harm_by_kind.values())
    print(
        f"{title:13} {found.harm['base']:.3f} ({asked.harm:.2f}) {kinds}     "
        f"{found.harm['preferences']:.3f}      {found.harm['nobody']:.3f}   "
        f"{found.over_refusal:.3f} ({asked.over_refusal:.2f})  "
        f"{found.guard_refusal:.3f} ({asked.guard_refusal:.2f})  "
        f"{found.vague:.2f} ({asked.vague:.2f})  n {found.n}"
    )


def _cycle(texts: Sequence[str], count: int) -> list[str]:
    return [texts[index % len(texts)] for index in range(count)]


def _refused(answers: Sequence[str]) -> float:
    return _share([refuses(answer) for answer in answers])


def _share(marks: Sequence[bool]) -> float:
    return sum(marks) / len(marks) if marks else 0.0


if __name__ == "__main__":
    main()
