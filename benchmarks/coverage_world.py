"""Items whose truth is known: drawn apart, or alike within pictures and texts."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

CLUSTERS = 10
"""Pictures, and texts."""
CORRELATION = 0.3
KINDS = ("independent", "latent", "copied", "copied both")


@dataclass(frozen=True)
class World:
    """How items come about.

    Attributes:
        kind: `independent`; `latent`, where a normal variable that decides an item's outcome
            correlates by 0.3 within pictures and by 0.3 within texts; `copied`, where an item has
            its picture's own outcome so often that outcomes correlate by 0.3 within pictures;
            `copied both`, the same by 0.15 within pictures and 0.15 within texts.
        n: Items.
        draws: Samples.
    """

    kind: str
    n: int
    draws: int

    @property
    def places(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Each item's picture and text: all pictures as often, their texts moving on by one."""
        item = np.arange(self.n)
        return item % CLUSTERS, (item + item // CLUSTERS) % CLUSTERS

    @property
    def clusters(self) -> list[tuple[str | None, ...]]:
        """What the estimators are told."""
        if self.kind == "independent":
            return [(None, None)] * self.n
        pictures, texts = self.places
        return [(f"picture {i}", f"text {j}") for i, j in zip(pictures, texts, strict=True)]

    def uniforms(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """Numbers that decide outcomes, uniform in [0, 1] each, `[draws, n]`."""
        own = rng.random((self.draws, self.n))
        if self.kind == "independent":
            return own
        pictures, texts = self.places
        if self.kind == "latent":
            each = rng.standard_normal((2, self.draws, CLUSTERS)) * CORRELATION**0.5
            rest = norm.ppf(own) * (1 - 2 * CORRELATION) ** 0.5
            found: NDArray[np.float64] = norm.cdf(each[0][:, pictures] + each[1][:, texts] + rest)
            return found
        of_picture = rng.random((self.draws, CLUSTERS))[:, pictures]
        of_text = rng.random((self.draws, CLUSTERS))[:, texts]
        both = self.kind == "copied both"
        share = (CORRELATION / 2 if both else CORRELATION) ** 0.5
        pick = rng.random((self.draws, self.n))
        copied = np.where(pick < share, of_picture, own)
        return np.where((pick >= share) & (pick < 2 * share), of_text, copied) if both else copied
