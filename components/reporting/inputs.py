"""What a report is made from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from components.reporting.labels import MODELS

ARTIFACTS = (
    "train", "validation", "test", "rollouts", "figures", "decision", "questions", "verdicts",
    "pairs", "preferences",
)  # fmt: skip
ADDRESSES = ("images", "benchmarks", "reward_model", "dpo", "ppo")


@dataclass(frozen=True)
class ReportInputs:
    """Paths of one run's results; a run that was given its data set has none of what made it.

    Attributes:
        images: Image store (data set of `Image`).
        train: Preferences to train on.
        validation: Preferences to choose by.
        test: Held-out preferences.
        reward_model: Model folder with `metrics.json` and `curves.jsonl`, or its address.
        dpo: The same of DPO.
        ppo: The same of PPO.
        rollouts: Data set of `Rollout`.
        benchmarks: Folder with `items/` (data set of `EvalItem`) and `images/` (image store).
        answers: Data sets of `EvalAnswer`, one per model.
        figures: Folder with `figures.json` and `verdicts/` (data set of `EvalVerdict`).
        decision: Folder with `decision.json`, or that file.
        settings: JSON file with every stage's settings, or a folder with `settings.json`.
        imported: `source` and `digest` of a data set that the run was given.
        questions: Data set of `Question`; None, like those below, where the data set was given.
        responses: Data sets of `Response`, one per responder task.
        verdicts: Data set of `Verdict` on the responses.
        pairs: Data set of `Pair`.
        preferences: Data set of `Preference`.
    """

    images: str
    train: str
    validation: str
    test: str
    reward_model: str
    dpo: str
    ppo: str
    rollouts: str
    benchmarks: str
    answers: tuple[str, ...]
    figures: str
    decision: str
    settings: str
    imported: Mapping[str, str] = field(default_factory=dict)
    questions: str | None = None
    responses: tuple[str, ...] = ()
    verdicts: str | None = None
    pairs: str | None = None
    preferences: str | None = None

    @classmethod
    def of_task(cls, given: Mapping[str, Any]) -> Self:
        """From what KFP hands to the report's task, by its parameters' names.

        Artifacts become their paths; what the run did not make is None.
        """

        def path(name: str) -> Any:
            return given[name] and given[name].path

        return cls(
            **{name: path(name) for name in ARTIFACTS},
            **{name: given[f"{name}_uri"] for name in ADDRESSES},
            answers=tuple(path(f"{model}_answers") for model in MODELS),
            settings=path("snapshot"),
            imported=given["imported"],
            responses=tuple(each.path for each in given["responses"] or ()),
        )

    @property
    def models(self) -> dict[str, str]:
        """Trained model folders by name, in the order they were made."""
        return {"reward_model": self.reward_model, "dpo": self.dpo, "ppo": self.ppo}
