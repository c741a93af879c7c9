"""PPO's prompts: the distinct questions of the training preferences, in a seeded order."""

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from spavl.alignment.pair_training import refuse_overlong
from spavl.alignment.rows import Tokeniser
from spavl.errors import InputError
from spavl.models.pictures import Pictures
from spavl.records import Preference
from spavl.seeds import derive_seed
from spavl.settings.ppo import PpoSettings
from spavl.shards import read_records


@dataclass(frozen=True)
class Prompt:
    """A question on a picture, tokenised up to where the answer begins."""

    image_id: str
    question_id: str
    text: str
    token_ids: tuple[int, ...]


@dataclass(frozen=True)
class Prompts:
    """Usable prompts and, by reason, how many were dropped."""

    prompts: list[Prompt]
    dropped: dict[str, int]


def read_prompts(
    folder: str | Path, tokeniser: Tokeniser, pictures: Pictures, settings: PpoSettings
) -> Prompts:
    """Read the distinct questions of a preference data set.

    Args:
        folder: The data set of `Preference`.
        tokeniser: Of the policy.
        pictures: Reads the pictures.
        settings: Tokens kept free for the answer, and what happens to prompts that leave fewer.

    Raises:
        InputError: If no prompt can be used, or one is too long and must not be.
    """
    questions = _distinct(read_records(folder, Preference))
    unreadable = pictures.read(question.image_id for question in questions)
    prompts: list[Prompt] = []
    dropped: Counter[str] = Counter()
    for question in questions:
        if question.image_id in unreadable:
            dropped["unreadable_picture"] += 1
            continue
        if tokeniser.names_a_picture(question.question):
            dropped["picture_token_in_text"] += 1
            continue
        token_ids = tokeniser.prompt(question.image_id, question.question)
        if len(token_ids) + settings.response_length > tokeniser.max_length:
            dropped["too_long"] += 1
            continue
        prompts.append(
            Prompt(question.image_id, question.question_id, question.question, token_ids)
        )
    refuse_overlong(dropped, settings.overlong, str(folder))
    if not prompts:
        raise InputError(
            f"no usable prompt: dropped {dict(dropped) or 'none'}",
            str(folder),
            "give more preferences, a larger max_length or a smaller response_length",
        )
    return Prompts(prompts, dict(dropped))


class PromptStream:
    """An endless stream of prompts: every prompt once, then all again in another order.

    Args:
        prompts: The prompts.
        seed: The run's seed.
    """

    def __init__(self, prompts: list[Prompt], seed: int) -> None:
        self._prompts = sorted(prompts, key=lambda prompt: (prompt.question_id, prompt.image_id))
        self._seed = seed
        self._order = lru_cache(maxsize=2)(self._shuffled)

    def take(self, start: int, count: int) -> list[Prompt]:
        """Prompts number `start` to `start + count - 1` of the stream."""
        places = (divmod(number, len(self._prompts)) for number in range(start, start + count))
        return [self._order(round_number)[place] for round_number, place in places]

    def _shuffled(self, round_number: int) -> list[Prompt]:
        order = list(self._prompts)
        random.Random(derive_seed(self._seed, "prompts", str(round_number))).shuffle(order)
        return order


def _distinct(preferences: Iterable[Preference]) -> list[Preference]:
    found = {(preference.image_id, preference.question): preference for preference in preferences}
    return [found[key] for key in sorted(found)]
