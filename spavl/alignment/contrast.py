"""Pairs with a third row: the chosen answer under another class's picture, for mDPO.

Pictures are matched two and two, so that the third rows of one picture's pairs lie in the other's
trie: both pictures are there anyway, and a row costs its question and answer only.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from spavl.alignment.rows import PairRows, Row, Tokenised, Tokeniser
from spavl.seeds import derive_seed


@dataclass(frozen=True)
class ContrastedRows(PairRows):
    """A preference with its chosen answer under another picture.

    Attributes:
        contrast: Question and chosen answer under the other picture.
        matched: Whether the other picture's pairs are contrasted with this one's.
    """

    contrast: Row
    matched: bool

    @property
    def rows(self) -> tuple[Row, ...]:
        """All its rows."""
        return (self.chosen, self.rejected, self.contrast)

    @property
    def together(self) -> str:
        """Both pictures, where they are matched."""
        if not self.matched:
            return super().together
        return " ".join(sorted((self.chosen.image_id, self.contrast.image_id)))


def contrasted(tokenised: Tokenised, tokeniser: Tokeniser, seed: int) -> Tokenised:
    """Give every pair its third row.

    Args:
        tokenised: Pairs whose pictures have been read.
        tokeniser: What made them.
        seed: The run's seed.

    Returns:
        The pairs; those that no other picture can be found for, and those whose third row is too
        long, are left out and counted.
    """
    partners = matched_pictures(tokenised.pairs, derive_seed(seed, "contrast"))
    found: list[PairRows] = []
    dropped = Counter(tokenised.dropped)
    for pair in tokenised.pairs:
        preference = pair.preference
        other = partners.get(preference.image_id)
        if other is None:
            dropped["no_other_picture"] += 1
            continue
        contrast = tokeniser.answered(other, preference.question, preference.chosen)
        if contrast.length > tokeniser.max_length:
            dropped["too_long"] += 1
            continue
        matched = partners.get(other) == preference.image_id
        found.append(ContrastedRows(preference, pair.chosen, pair.rejected, contrast, matched))
    return Tokenised(found, dict(dropped))


def matched_pictures(pairs: Sequence[PairRows], seed: int) -> dict[str, str]:
    """For each picture another one, of another class where there is one.

    Sorted by class and laid side by side with a shift of half their number, pictures meet others
    of their own class only if more than half are of it.

    Returns:
        Image id to image id, mostly both ways; a function of the set of pairs and the seed.
    """
    classes = {pair.preference.image_id: _class_of(pair) for pair in pairs}
    by_class: dict[str, list[str]] = defaultdict(list)
    for image_id in sorted(classes):
        by_class[classes[image_id]].append(image_id)
    chance = random.Random(seed)
    for same in by_class.values():
        chance.shuffle(same)
    ordered = [
        i for name in sorted(by_class, key=lambda n: (-len(by_class[n]), n)) for i in by_class[name]
    ]
    half = len(ordered) // 2
    found: dict[str, str] = {}
    for one, other in zip(ordered[:half], ordered[half : 2 * half], strict=True):
        if classes[one] != classes[other]:
            found |= {one: other, other: one}
    for image_id in ordered:
        if image_id not in found:
            others = [i for i in ordered if classes[i] != classes[image_id]]
            others = others or [i for i in ordered if i != image_id]
            if others:
                found[image_id] = chance.choice(others)
    return found


def _class_of(pair: PairRows) -> str:
    return pair.preference.class3 or pair.preference.truth
