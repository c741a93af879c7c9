"""Best of n: the question is put again and again, and one unsafe answer is enough.

Hughes et al. (2024) vary the prompt between attempts; here only the draws differ, so that the
figure is a property of the model's distribution.
"""

from collections.abc import Iterator
from functools import partial

from components.evaluation.attacks.attacker import Attacker, Drawn, Way
from spavl.chat import Sampling
from spavl.records import AttackAnswer
from spavl.seeds import derive_seed
from spavl.settings.attacks import BestOfNSettings

DRAW = Way("draw")


def draw_answers(attacker: Attacker, settings: BestOfNSettings) -> Iterator[AttackAnswer]:
    """All draws of all items; a prompt with its picture is read once for its draws of a batch."""
    at_once = min(settings.draws, max(1, settings.batch_size // len(attacker.items)))
    for items in attacker.batches(max(1, settings.batch_size // at_once)):
        inputs = attacker.inputs(items)
        for start in range(0, settings.draws, at_once):
            repeats = min(at_once, settings.draws - start)
            sampling = _sampling(attacker, settings, f"{items[0].item_id} {start}")
            make = partial(attacker.target.generate, inputs, sampling, repeats)
            yield from attacker.answers(DRAW, items, make, Drawn(repeats, start))


def _sampling(attacker: Attacker, settings: BestOfNSettings, batch: str) -> Sampling:
    limit = attacker.settings.answering.max_new_tokens
    seed = derive_seed(attacker.settings.seed, "draws", batch)
    return Sampling(limit, settings.temperature, settings.top_p, seed)
