"""The alignment pipeline: preferences become a reward model, a DPO model and a PPO model."""

from typing import NamedTuple

from kfp import dsl

from components.dpo.component import train_dpo
from components.ppo.component import train_ppo
from components.reward_modeling.component import train_reward_model
from pipelines.placement import TRAINING, Pools, place


class AlignmentOutputs(NamedTuple):
    """What the alignment pipeline hands on."""

    reward_model_uri: str
    dpo_uri: str
    dpo_digest: str
    ppo_uri: str
    ppo_digest: str
    rollouts: dsl.Dataset


@dsl.pipeline(name="spa-vl-alignment", display_name="SPA-VL alignment")
def alignment(
    reward_modeling: dict,
    dpo: dict,
    ppo: dict,
    train: dsl.Input[dsl.Dataset],
    validation: dsl.Input[dsl.Dataset],
    test: dsl.Input[dsl.Dataset],
    images_uri: str,
    images_digest: str,
    base_uri: str,
    base_digest: str,
    cpu_pool: dict = {},  # noqa: B006  KFP reads defaults into the form; nothing mutates them
    gpu_pool: dict = {},  # noqa: B006
    training_pool: dict = {},  # noqa: B006
    gpu_tolerations: list = [],  # noqa: B006
) -> AlignmentOutputs:
    """Train a reward model, and align the base by DPO and by PPO.

    Args:
        reward_modeling: Settings of the reward model.
        dpo: Settings of DPO.
        ppo: Settings of PPO.
        train: Preferences to train on.
        validation: Preferences to watch while training.
        test: Preferences held out to the end.
        images_uri: The image store.
        images_digest: Its manifest's digest.
        base_uri: The base VLM.
        base_digest: Digest of its files.
        cpu_pool: Node selector of tasks without accelerators.
        gpu_pool: Node selector of tasks that answer with a model.
        training_pool: Node selector of tasks that train.
        gpu_tolerations: Tolerations of both.
    """
    pools = Pools(cpu_pool, gpu_pool, training_pool, gpu_tolerations)
    shared = {
        "images_uri": images_uri,
        "images_digest": images_digest,
        "base_uri": base_uri,
        "base_digest": base_digest,
    }
    rewarding = train_reward_model(
        settings=reward_modeling, train=train, validation=validation, test=test, **shared
    ).set_display_name("Train reward model")
    place(rewarding, TRAINING, pools)
    preferring = train_dpo(settings=dpo, train=train, validation=validation, **shared)
    place(preferring, TRAINING, pools).set_display_name("Align by DPO")
    optimising = train_ppo(
        settings=ppo, train=train, reward_model_uri=rewarding.outputs["uri"], **shared
    ).set_display_name("Align by PPO")
    place(optimising, TRAINING, pools)
    return AlignmentOutputs(
        reward_model_uri=rewarding.outputs["uri"],
        dpo_uri=preferring.outputs["uri"],
        dpo_digest=preferring.outputs["digest"],
        ppo_uri=optimising.outputs["uri"],
        ppo_digest=optimising.outputs["digest"],
        rollouts=optimising.outputs["rollouts"],
    )
