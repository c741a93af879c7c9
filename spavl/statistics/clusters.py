"""How many independent items a sample is worth whose items share pictures, texts or classes.

Items of one cluster are alike to a degree, the intra-class correlation r of its dimension. With two
dimensions that cross, such as picture and text, the mean's variance is the sum over all pairs of
items that share anything (Cameron, Gelbach and Miller 2011), here with one correlation a dimension:

    n² var(mean) = s² (n + sum over dimensions of r * (number of ordered pairs that share it))

Correlations are estimated from the products of deviations of such pairs. Where few clusters tell of
them (a handful of hits, or none) low ones are drawn towards `PRIOR`: no hits at all in ten pictures
of fifty questions each are not worth 500 items, though nothing in them shows it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spavl.statistics.estimates import CONFIDENCE, Clusters

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PRIOR = 0.15
"""Intra-class correlation, of all dimensions together, that is assumed where items do not tell."""
PRIOR_SPREAD = 0.3
"""How far the true one may well lie from it: a standard deviation."""
STRONG = 0.3
"""A correlation that clusters may well have: what few of them can be mistaken by."""


@dataclass(frozen=True)
class Dimension:
    """Which items go together in one respect.

    Attributes:
        members: Which item is in which cluster, sparse `[clusters, items]` of 0 and 1.
        squares: Sum of the clusters' squared sizes.
        pairs: Ordered pairs of different items of one cluster.
        crossed: Share of these pairs that are together in another dimension as well.
    """

    members: "NDArray[np.float64]"
    squares: float
    pairs: float
    crossed: float

    def sums(self, values: "NDArray[np.float64]") -> "NDArray[np.float64]":
        """Sums over clusters, `[draws, clusters]`, of values `[draws, items]`."""
        found: NDArray[np.float64] = (self.members @ values.T).T
        return found


@dataclass(frozen=True)
class Design:
    """The dimensions in which items share something; none where all stand alone."""

    n: int
    dimensions: tuple[Dimension, ...]


def design_of(clusters: Clusters, n: int) -> Design:
    """Dimensions in which at least two items share something, equal ones once.

    What all items share is no dimension: the figure is one of that very text or class, and one
    cluster says nothing of others.

    Raises:
        ValueError: If there are not as many entries as items.
    """
    if len(clusters) != n:
        raise ValueError(f"{n} items, but clusters of {len(clusters)}")
    labels: list[tuple[int, ...]] = []
    for names in zip(*clusters, strict=True):
        numbered = _numbered(names)
        if 1 < len(set(numbered)) < n and numbered not in labels:
            labels.append(numbered)
    pairs = [_pairs(each) for each in labels]
    crossed = _pairs(_numbered(list(zip(*labels, strict=True)))) if len(labels) > 1 else 0
    return Design(
        n, tuple(_dimension(each, crossed / of) for each, of in zip(labels, pairs, strict=True))
    )


def _numbered(names: Sequence[object]) -> tuple[int, ...]:
    """Cluster numbers in order of appearance; None is a cluster of its own each time."""
    known: dict[object, int] = {}
    return tuple(
        known.setdefault((place,) if name is None else (name, None), len(known))
        for place, name in enumerate(names)
    )


def _pairs(labels: Sequence[int]) -> float:
    from collections import Counter

    return float(sum(size * (size - 1) for size in Counter(labels).values()))


def _dimension(labels: Sequence[int], crossed: float) -> Dimension:
    import numpy as np
    from scipy.sparse import csr_array

    n = len(labels)
    members = csr_array((np.ones(n), (labels, range(n))), shape=(max(labels) + 1, n))
    pairs = _pairs(labels)
    return Dimension(members, pairs + n, pairs, crossed)


def effective_size(
    values: "NDArray[np.float64]", design: Design, confidence: float = CONFIDENCE
) -> "NDArray[np.float64]":
    """Independent items that the mean of each row is worth, `[draws]`, at most n.

    Few clusters say little of how much they differ; the size is lowered by the square of Student's
    quantile with so many degrees of freedom over that with n - 1 (Korn and Graubard 1998). Degrees
    of freedom are Satterthwaite's (1946), over items and dimensions.

    Args:
        values: Scores of independent samples of one design, `[draws, n]`.
        design: What items share.
        confidence: Coverage of the interval that the size is for.
    """
    import numpy as np
    from scipy.stats import t

    n = design.n
    if not design.dimensions or n < 2:
        return np.full(len(values), float(n))
    correlations = _correlations(values, design)
    own = n * np.maximum(0, 1 - sum(correlations))
    parts = [r * each.squares for r, each in zip(correlations, design.dimensions, strict=True)]
    total = own + sum(parts)
    spread = own**2 / (n - 1)
    for part, each in zip(parts, design.dimensions, strict=True):
        spread = spread + part**2 / max(n**2 / each.squares - 1, 1)
    upper = (1 + confidence) / 2
    few = (t.ppf(upper, n - 1) / t.ppf(upper, total**2 / spread)) ** 2
    size: NDArray[np.float64] = np.minimum(n, n**2 / total * few)
    return size


def _correlations(values: "NDArray[np.float64]", design: Design) -> list["NDArray[np.float64]"]:
    """The intra-class correlation of every dimension, `[draws]` each.

    Deviations from the sample's own mean are less alike than those from the true one, by the mean's
    variance, which depends on the correlations: solved by iteration.
    """
    import numpy as np

    deviations = values - values.mean(axis=1, keepdims=True)
    squares = (deviations**2).sum(axis=1)
    safe = np.where(squares > 0, squares, 1.0)
    raw, information = [], []
    for each in design.dimensions:
        alike = (each.sums(deviations) ** 2).sum(axis=1) - squares
        raw.append(alike / each.pairs * design.n / safe)
        known = _information(deviations, each)
        information.append(np.where(squares > 0, known, 0.0))
    found = [np.full(len(values), PRIOR / len(raw))] * len(raw)
    for _ in range(12):
        total = sum(r * each.pairs for r, each in zip(found, design.dimensions, strict=True))
        lost = np.minimum((design.n + total) / design.n**2, 1.0)
        together = sum(found)
        found = [
            _drawn(seen * (1 - lost) + lost - each.crossed * (together - r), known, len(raw))
            for r, seen, known, each in zip(found, raw, information, design.dimensions, strict=True)
        ]
    return found


def _drawn(
    estimate: "NDArray[np.float64]", known: "NDArray[np.float64]", dimensions: int
) -> "NDArray[np.float64]":
    """Estimates drawn towards the prior by how little is known; high ones are then believed."""
    import numpy as np

    prior, weight = PRIOR / dimensions, 1 / PRIOR_SPREAD**2
    lacking = weight / (known + weight)
    step = np.where(estimate < prior, lacking, lacking * (1 - lacking))
    found: NDArray[np.float64] = np.clip(estimate + step * (prior - estimate), 0.0, 1.0)
    return found


def _information(deviations: "NDArray[np.float64]", dimension: Dimension) -> "NDArray[np.float64]":
    """How exactly a dimension's correlation is known, one over its variance, `[draws]`.

    Three things limit it: the number of pairs; that of clusters which hold any of the deviation,
    since three hits tell of three clusters at most; and that of clusters which a rare outcome could
    have taken whole: of ten pictures none may show what one in twenty would.
    """
    import numpy as np

    held = dimension.sums(deviations**2)
    holding = held.sum(axis=1) ** 2 / np.maximum((held**2).sum(axis=1), 1e-300)
    count = deviations.shape[1] ** 2 / dimension.squares
    clusters = np.minimum(holding, 4 * (deviations**2).mean(axis=1) * count)
    found: NDArray[np.float64] = 1 / (
        2 / dimension.pairs + 2 * STRONG**2 / np.maximum(clusters - 1, 1e-9)
    )
    return found
