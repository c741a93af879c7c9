"""Figures with confidence intervals, and paired tests: what every reported number goes through.

- `rates`: shares of yes and no; `clustered_rate` where items share pictures or texts.
- `differences`: the same items under two models, and win rates, by Tango's score interval.
- `means`: scores between 0 and 1.
- `clusters`: how many independent items a set with shared pictures and texts is worth.
- `seeds`: figures over several trainings.
- `kappa`: agreement of two judges.
- `paired_tests`: McNemar's test and Holm's correction.

An interval holds what its function was given: items alone, their clusters, their seeds. It never
holds what was not varied; a figure of one training says nothing of another one.
"""

from spavl.statistics.differences import paired_difference, win_rate
from spavl.statistics.estimates import CONFIDENCE, Estimate
from spavl.statistics.kappa import Agreement, agreement
from spavl.statistics.means import mean
from spavl.statistics.paired_tests import PairedTest, holm, mcnemar
from spavl.statistics.rates import clustered_rate, rate, worth
from spavl.statistics.seeds import seeded_mean

__all__ = [
    "CONFIDENCE",
    "Agreement",
    "Estimate",
    "PairedTest",
    "agreement",
    "clustered_rate",
    "holm",
    "mcnemar",
    "mean",
    "paired_difference",
    "rate",
    "seeded_mean",
    "win_rate",
    "worth",
]
