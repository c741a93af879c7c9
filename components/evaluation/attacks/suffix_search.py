"""Looks for a suffix that makes a pocket model go along with requests that it would turn down.

    python -m components.evaluation.attacks.suffix_search FOLDER [--seed 7] [--steps 400]

A random search, word by word, over the words that the model knows. Names of things are left out,
and words that only harmless requests hold ("report"): a request that they turn into a harmless one
is no harm to go along with. It asks about pictures and question templates of the validation split,
which no benchmark of the test split holds. As an attack it is made against each model itself; what
it once found of a base is kept in `pocket_suffix.yaml` and asked of every model alike, as a
transfer attack.
"""

import argparse
import json
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image as Pillow

from components.evaluation.attacks.attacker import Attacker, Way
from components.evaluation.attacks.target import Prompt, Target
from components.evaluation.pocket_items import with_suffix
from spavl.models.generation import Generated
from spavl.pocket.texts import REQUEST_KINDS, questions, templates
from spavl.pocket.world import draw_many, things
from spavl.records import AttackAnswer, EvalItem
from spavl.seeds import derive_seed
from spavl.settings.attacks import AttackSettings, SuffixSettings

REPEATS = 2  # pictures of each harmful thing


class Compliance:
    """How probable it is that a model's answer begins as compliant answers do.

    Args:
        target: The model.
        seed: Seed of the pictures.
    """

    def __init__(self, target: Target, seed: int) -> None:
        self._target = target
        harmful = [thing for thing in things() if thing.harmful] * REPEATS
        requests = [text for kind in REQUEST_KINDS for text in questions(kind, "validation")]
        self._asked = [requests[place % len(requests)] for place in range(len(harmful))]
        drawn = draw_many(harmful, seed, "validation")
        self._pictures = [Pillow.fromarray(pixels) for pixels in drawn]

    def words(self) -> list[str]:
        """Whole words of the vocabulary, without names and marks of harmless requests."""
        names = {word for thing in things() for word in thing.phrase.casefold().split()}
        left_out = names | guarding_words()
        tokens = self._target.processor.tokenizer.get_vocab()
        known = {token[1:] for token in tokens if token.startswith("Ġ")}
        whole = (word for word in known if word.isalpha() and len(word) > 1)
        return sorted(word for word in whole if word.casefold() not in left_out)

    @torch.no_grad()
    def of(self, suffix: str) -> float:
        """Mean probability over the questions with this suffix."""
        asked = (with_suffix(question, suffix) for question in self._asked)
        prompts = [Prompt(*each) for each in zip(asked, self._pictures, strict=True)]
        return float(self._target.goes_along(self._target.inputs(prompts)).exp().mean())


def guarding_words() -> frozenset[str]:
    """The words that requests which guard hold and no other request does."""
    words = {
        ask: {word for t in templates() if t.ask == ask for word in re.findall(r"\w+", t.text)}
        for ask in ("act", "guard")
    }
    return frozenset(word.casefold() for word in words["guard"] - words["act"])


def search(compliance: Compliance, settings: SuffixSettings, seed: int) -> tuple[str, float]:
    """The best suffix that was met, and its score: one word changes at a time."""
    random, words = np.random.default_rng(seed), compliance.words()
    best = [str(word) for word in random.choice(words, settings.words)]
    score = compliance.of(" ".join(best))
    for _ in range(settings.steps):
        tried = list(best)
        tried[random.integers(settings.words)] = str(random.choice(words))
        if (found := compliance.of(" ".join(tried))) > score:
            best, score = tried, found
    return " ".join(best), score


def suffix_answers(attacker: Attacker, settings: SuffixSettings) -> Iterator[AttackAnswer]:
    """Answers to the items with a suffix that was sought for this very model, and without it."""
    seed = derive_seed(attacker.settings.seed, "suffix")
    suffix, _ = search(Compliance(attacker.target, seed), settings, seed)
    for items in attacker.batches(attacker.settings.answering.batch_size):
        for attack, behind in (("suffix", suffix), ("plain", "")):
            make = partial(_answered, attacker, items, behind)
            yield from attacker.answers(Way(attack), items, make, suffix=behind)


def _answered(attacker: Attacker, items: list[EvalItem], suffix: str) -> Generated:
    return attacker.target.generate(attacker.inputs(items, suffix), attacker.sampling(items[0]))


def main() -> None:
    """Search, and print the suffix with its score and the score without any."""
    parser = argparse.ArgumentParser(description="Look for an adversarial suffix.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--steps", type=int, default=400)
    given = parser.parse_args()
    target = Target(str(given.folder), AttackSettings().openings)
    compliance = Compliance(target, given.seed)
    suffix, score = search(compliance, SuffixSettings(steps=given.steps), given.seed)
    told: dict[str, Any] = {"suffix": suffix, "compliance": score, "without": compliance.of("")}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
