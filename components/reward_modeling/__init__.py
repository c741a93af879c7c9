"""Reward modeling: a vision-language reward model from preference pairs.

Comes in: preference pairs (train, validation, test), the image store, the base model. Goes out: the
base model's backbone with a linear head on the last answer token, and its accuracy on pairs it
never saw.
"""

from spavl.settings.reward_modeling import RewardModelingSettings
from spavl.shards import read_manifest
from spavl.storage import local_copy
from spavl.work import Reference, Stage, Work, run_stage


def train(
    settings: dict[str, object],
    train: str,
    validation: str,
    test: str,
    images: Reference,
    base: Reference,
    output: str,
) -> None:
    """Train the reward model and publish its folder.

    Args:
        settings: Raw settings; see `RewardModelingSettings`.
        train: Data set of `Preference` to learn from.
        validation: Data set of `Preference` looked at during training.
        test: Data set of `Preference` that the final accuracy is told on.
        images: The image store.
        base: The base model's folder.
        output: Where the model's folder is published.

    Raises:
        InputError: If a setting is bad or no pair can be used.
    """
    chosen = RewardModelingSettings.parse(settings, "reward_modeling")
    splits = {"train": train, "validation": validation, "test": test}
    inputs = {split: read_manifest(folder).digest for split, folder in splits.items()}
    inputs |= {"images": images.digest, "base": base.digest}

    def body(work: Work) -> dict[str, object]:
        with work.timed("imports"):
            from components.reward_modeling.training import train_reward_model
            from spavl.alignment.launching import train_in_processes
        # Fetched here, once, where there will be several processes.
        places = {"images": str(local_copy(images.uri)), "base": str(local_copy(base.uri))}
        return train_in_processes(work, chosen, train_reward_model, splits=splits, **places)

    stage = Stage(
        "reward_modeling", "components.reward_modeling", chosen.model_dump(mode="json"), inputs
    )
    run_stage(stage, body, publish={"model": output})
