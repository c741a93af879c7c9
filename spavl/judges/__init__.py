"""Judges: is an answer safe, does it refuse, which of two is better, does it name the right thing.

The rule judges read texts and the picture's truth, nothing else; their phrase lists are data files.
A judge that is a VLM satisfies the same two protocols.
"""

from spavl.judges.interface import Comparison, Moderation, Moderator, PairwiseJudge, Shown, Winner
from spavl.judges.moderation import RuleModerator
from spavl.judges.pairwise import RulePairwiseJudge
from spavl.judges.texts import garbled, named, names, refusal_of, refused

__all__ = [
    "Comparison",
    "Moderation",
    "Moderator",
    "PairwiseJudge",
    "RuleModerator",
    "RulePairwiseJudge",
    "Shown",
    "Winner",
    "garbled",
    "named",
    "names",
    "refusal_of",
    "refused",
]
