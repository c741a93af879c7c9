"""Curve rows as MLflow takes them: in batches, each value with its name, time and step."""

from collections.abc import Iterable

from spavl.tracking.hostile import PER_CALL, numbers
from spavl.tracking.stages import CurveRow, StageView

NAMES = {
    "accuracy": "rewards/accuracies",
    "reward_chosen": "rewards/chosen",
    "reward_rejected": "rewards/rejected",
    "reward_margin": "rewards/margins",
    "reward_mean": "rewards/mean",
    "reward_std": "rewards/std",
    "validation_loss": "eval/loss",
    "validation_accuracy": "eval/rewards/accuracies",
    "policy_loss": "loss/policy",
    "value_loss": "loss/value",
    "policy_grad_norm": "grad_norm/policy",
    "value_grad_norm": "grad_norm/value",
}
"""What practitioners call a quantity; others keep their own name (loss, kl, entropy, ...)."""


def by_metrics(rows: Iterable[CurveRow]) -> Iterable[list[CurveRow]]:
    """Rows in batches that hold about as many metrics as MLflow takes at once."""
    batch: list[CurveRow] = []
    count = 0
    for row in rows:
        batch.append(row)
        count += len(row.values)
        if count >= PER_CALL["metrics"]:
            yield batch
            batch, count = [], 0
    if batch:
        yield batch


def metrics(rows: Iterable[CurveRow], view: StageView) -> list[tuple[str, float, int, int]]:
    """Curve rows as name, value, milliseconds, step; rows of old told no time."""
    return [
        (NAMES.get(name, name), value, round((row.time or view.ended or 0.0) * 1000), row.step)
        for row in rows
        for name, value in numbers(row.values).items()
    ]
