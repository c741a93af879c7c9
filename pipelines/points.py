"""The points pipeline: an ablation's points are trained and answer the benchmarks, task by task."""

from typing import NamedTuple

from kfp import dsl

from components.dpo.component import train_dpo_points
from components.evaluation.component import answer_points
from components.ppo.component import train_ppo_points
from components.reward_modeling.component import train_reward_points
from pipelines.placement import INFERENCE, TRAINING, Pools, place


class PointsOutputs(NamedTuple):
    """What the points pipeline hands on."""

    answers: list[dsl.Dataset]


@dsl.pipeline(name="spa-vl-points", display_name="SPA-VL points of an ablation")
def points(
    groups: list,
    points_uri: str,
    backbones: dict,
    evaluation: dict,
    images_uri: str,
    images_digest: str,
    benchmarks_uri: str,
    benchmarks_digest: str,
    cpu_pool: dict = {},  # noqa: B006  KFP reads defaults into the form; nothing mutates them
    gpu_pool: dict = {},  # noqa: B006
    training_pool: dict = {},  # noqa: B006
    gpu_tolerations: list = [],  # noqa: B006
) -> PointsOutputs:
    """Train every point of an ablation and let it answer.

    A pipeline of its own because kfp.local 2.17 hands the loop's item to every loop input that
    comes straight from a task; here they all come from this pipeline's parameters. A loop without
    items gives its successor nothing to collect, so one loop serves all methods, and a task whose
    group has no point of its method ends at once.

    Args:
        groups: Comma-joined ids of points; the points of a group share their tasks.
        points_uri: Every point by id.
        backbones: Address and digest of every base model.
        evaluation: Settings of answering.
        images_uri: The image store.
        images_digest: Its manifest's digest.
        benchmarks_uri: The benchmarks.
        benchmarks_digest: Their digest.
        cpu_pool: Node selector of tasks without accelerators.
        gpu_pool: Node selector of tasks that answer with a model.
        training_pool: Node selector of tasks that train.
        gpu_tolerations: Tolerations of both.
    """
    pools = Pools(cpu_pool, gpu_pool, training_pool, gpu_tolerations)
    shared = {"points_uri": points_uri, "backbones": backbones}
    images = {"images_uri": images_uri, "images_digest": images_digest}
    with dsl.ParallelFor(groups, name="groups") as group:
        by_dpo = train_dpo_points(group=group, **shared, **images)
        place(by_dpo, TRAINING, pools).set_display_name("Align points by DPO")
        rewarding = train_reward_points(group=group, **shared, **images)
        place(rewarding, TRAINING, pools).set_display_name("Train points' reward models")
        by_ppo = train_ppo_points(group=group, reward_models=rewarding.output, **shared, **images)
        place(by_ppo, TRAINING, pools).set_display_name("Align points by PPO")
        answered = answer_points(
            settings=evaluation,
            group=group,
            dpo_models=by_dpo.output,
            ppo_models=by_ppo.output,
            benchmarks_uri=benchmarks_uri,
            benchmarks_digest=benchmarks_digest,
            **shared,
        ).set_display_name("Answer benchmarks: points")
        place(answered, INFERENCE, pools)
    return PointsOutputs(answers=dsl.Collected(answered.outputs["answers"]))
