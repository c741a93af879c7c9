"""DPO: a policy aligned on preference pairs, without a reward model.

Comes in: preference pairs (train, validation), the image store, the base model. Goes out: the
aligned policy with its figures and curves.
"""

from spavl.settings.dpo import DpoSettings
from spavl.shards import read_manifest
from spavl.storage import local_copy
from spavl.work import Reference, Stage, Work, run_stage


def train(
    settings: dict[str, object],
    train: str,
    validation: str,
    images: Reference,
    base: Reference,
    output: str,
) -> None:
    """Train the policy and publish its folder.

    Args:
        settings: Raw settings; see `DpoSettings`.
        train: Data set of `Preference` to learn from.
        validation: Data set of `Preference` looked at during training.
        images: The image store.
        base: The base model's folder; policy and reference start there.
        output: Where the model's folder is published.

    Raises:
        InputError: If a setting is bad or no pair can be used.
    """
    chosen = DpoSettings.parse(settings, "dpo")
    splits = {"train": train, "validation": validation}
    inputs = {split: read_manifest(folder).digest for split, folder in splits.items()}
    inputs |= {"images": images.digest, "base": base.digest}

    def body(work: Work) -> dict[str, object]:
        with work.timed("imports"):
            from components.dpo.training import train_policy
            from spavl.alignment.launching import train_in_processes
        # Fetched here, once, where there will be several processes.
        places = {"images": str(local_copy(images.uri)), "base": str(local_copy(base.uri))}
        return train_in_processes(work, chosen, train_policy, splits=splits, **places)

    stage = Stage("dpo", "components.dpo", chosen.model_dump(mode="json"), inputs)
    run_stage(stage, body, publish={"model": output})
