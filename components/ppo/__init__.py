"""PPO: a policy aligned by its own rollouts and a trained reward model.

Comes in: the questions of the training preferences, the image store, the base model, the reward
model. Goes out: the aligned policy with its figures and curves, and every rollout.
"""

from pathlib import Path

from spavl.digests import folder_digest
from spavl.models.saving import MODEL_FILE, saved_digest
from spavl.settings.ppo import PpoSettings
from spavl.shards import read_manifest
from spavl.storage import local_copy
from spavl.work import Reference, Stage, Work, run_stage


def train(
    settings: dict[str, object],
    train: str,
    images: Reference,
    base: Reference,
    reward_model: str,
    output: str,
    rollouts: str,
) -> None:
    """Train the policy and publish its folder and its rollouts.

    Args:
        settings: Raw settings; see `PpoSettings`.
        train: Data set of `Preference`; its distinct questions on pictures are the prompts.
        images: The image store.
        base: The base model's folder; policy and reference start there.
        reward_model: The trained reward model's folder; the reward, and where the value model
            starts.
        output: Where the model's folder is published.
        rollouts: Where the data set of `Rollout` is published.

    Raises:
        InputError: If a setting is bad or no prompt can be used.
    """
    chosen = PpoSettings.parse(settings, "ppo")
    inputs = {
        "train": read_manifest(train).digest,
        "images": images.digest,
        "base": base.digest,
        "reward_model": _model_digest(Path(reward_model)),
    }

    def body(work: Work) -> dict[str, object]:
        with work.timed("imports"):
            from components.ppo.players import ModelPlaces
            from components.ppo.training import Places, train_policy
            from spavl.alignment.launching import train_in_processes
        models = ModelPlaces(
            str(local_copy(images.uri)), str(local_copy(base.uri)), reward_model, base.digest
        )
        return train_in_processes(work, chosen, train_policy, places=Places(train, models))

    stage = Stage("ppo", "components.ppo", chosen.model_dump(mode="json"), inputs)
    run_stage(stage, body, publish={"model": output, "rollouts": rollouts})


def _model_digest(folder: Path) -> str:
    return saved_digest(folder) if (folder / MODEL_FILE).exists() else folder_digest(folder)
