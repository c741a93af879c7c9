"""Judges: is an answer safe, does it refuse, which of two is better, does it name the right thing.

The rule judges read texts and the picture's truth, nothing else; their phrase lists are data files.
Judges that are models (`chat_moderation`, `chat_pairwise`) work on many cases at a time.
"""

from spavl.judges.interface import (
    Abstention,
    AnswerCase,
    BatchModerator,
    BatchPairwiseJudge,
    CompareOneByOne,
    Comparison,
    ModerateOneByOne,
    Moderation,
    Moderator,
    PairCase,
    PairwiseJudge,
    Shown,
    Winner,
)
from spavl.judges.moderation import RuleModerator
from spavl.judges.noise import NoisyPairwiseJudge
from spavl.judges.pairwise import RulePairwiseJudge
from spavl.judges.refusals import refusal_of, refused
from spavl.judges.texts import garbled, named, names

__all__ = [
    "Abstention",
    "AnswerCase",
    "BatchModerator",
    "BatchPairwiseJudge",
    "CompareOneByOne",
    "Comparison",
    "ModerateOneByOne",
    "Moderation",
    "Moderator",
    "NoisyPairwiseJudge",
    "PairCase",
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
