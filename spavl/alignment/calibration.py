"""Calibration: whether a preferred answer is as likely to be right as its reward margin says."""

from typing import Any

import torch

BINS = 10


def calibration(margins: torch.Tensor) -> dict[str, Any]:
    """Calibration of the probabilities `sigmoid(margin)` that a reward model gives to pairs.

    The confidence of a pair is the probability of the answer that the model prefers; it is right
    where that is the chosen one. Guo et al., 2017, for the expected calibration error.

    Args:
        margins: Chosen minus rejected reward, float `[pairs]`.

    Returns:
        `expected_calibration_error` and `brier_score` (mean squared error of the probability), both
        in [0, 1], and `bins` of equal width over [0.5, 1]: mean `confidence`, `accuracy` and `n`
        of those that hold pairs.
    """
    margins = margins.double()
    confidence, right = margins.abs().sigmoid(), (margins > 0).double()
    places = ((confidence - 0.5) * 2 * BINS).long().clamp(max=BINS - 1)
    bins = [
        {
            "confidence": float(confidence[places == place].mean()),
            "accuracy": float(right[places == place].mean()),
            "n": int((places == place).sum()),
        }
        for place in sorted(set(places.tolist()))
    ]
    gaps = [abs(part["confidence"] - part["accuracy"]) * part["n"] for part in bins]
    return {
        "expected_calibration_error": sum(gaps) / len(margins),
        "brier_score": float(((1 - margins.sigmoid()) ** 2).mean()),
        "bins": bins,
    }
