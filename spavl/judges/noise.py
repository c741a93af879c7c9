"""A judge that errs: some of another's verdicts turned round, as a person's or a model's would be.

Which verdicts are turned follows from the texts alone, by their digest: the same pair is judged
alike in both orders, in every run and on every machine.
"""

import hashlib

from spavl.judges.interface import Comparison, PairwiseJudge, Shown, Winner

_TURNED: dict[Winner, Winner] = {"first": "second", "second": "first", "tie": "tie"}


class NoisyPairwiseJudge:
    """Turns a share of a judge's verdicts; ties stay.

    Args:
        judge: Whose verdicts they are.
        share: Share of pairs of texts on which it errs.
    """

    def __init__(self, judge: PairwiseJudge, share: float) -> None:
        self._judge = judge
        self._share = share
        self.judge_id = f"{judge.judge_id}/noise-{share:g}"

    def compare(self, question: str, first: str, second: str, shown: Shown) -> Comparison:
        """Judge two answers to one question."""
        found = self._judge.compare(question, first, second, shown)
        if not self._errs(question, first, second, shown):
            return found
        return Comparison(_TURNED[found.winner], f"turned by noise: {found.reason}")

    def _errs(self, question: str, first: str, second: str, shown: Shown) -> bool:
        texts = "\x1f".join((question, *sorted((first, second)), shown.truth, shown.thing or ""))
        place = int.from_bytes(hashlib.sha256(texts.encode()).digest()[:8], "big") / 2**64
        return place < self._share
