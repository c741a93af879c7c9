"""The evaluation pipeline: base, DPO, PPO and the reigning champion answer and are judged."""

from typing import NamedTuple

from kfp import dsl

from components.evaluation.component import (
    answer_benchmarks,
    answer_benchmarks_of_champion,
    prepare_benchmarks,
    score_answers,
)
from pipelines.placement import DATA, INFERENCE, JUDGING, Pools, place

NAMES = {"base": "base", "dpo": "DPO", "ppo": "PPO"}


class EvaluationOutputs(NamedTuple):
    """What the evaluation pipeline hands on."""

    benchmarks_uri: str
    base_answers: dsl.Dataset
    dpo_answers: dsl.Dataset
    ppo_answers: dsl.Dataset
    figures: dsl.Artifact


@dsl.pipeline(name="spa-vl-evaluation", display_name="SPA-VL evaluation")
def evaluation(
    evaluation: dict,
    reporting: dict,
    images_uri: str,
    images_digest: str,
    base_uri: str,
    base_digest: str,
    dpo_uri: str,
    dpo_digest: str,
    ppo_uri: str,
    ppo_digest: str,
    items_uri: str = "",
    items_digest: str = "",
    cpu_pool: dict = {},  # noqa: B006  KFP reads defaults into the form; nothing mutates them
    gpu_pool: dict = {},  # noqa: B006
    training_pool: dict = {},  # noqa: B006
    gpu_tolerations: list = [],  # noqa: B006
) -> EvaluationOutputs:
    """Evaluate base, DPO and PPO models for harm, help, over-refusal and general ability.

    Args:
        evaluation: Settings of the benchmarks, answering and scoring.
        reporting: Settings of the report; they name the registered model that the champion is of.
        images_uri: The image store.
        images_digest: Its manifest's digest.
        base_uri: The base VLM.
        base_digest: Digest of its files.
        dpo_uri: The DPO model.
        dpo_digest: Digest of its files.
        ppo_uri: The PPO model.
        ppo_digest: Digest of its files.
        items_uri: The data set's own test items; empty where it has none.
        items_digest: Digest of their manifest.
        cpu_pool: Node selector of tasks without accelerators.
        gpu_pool: Node selector of tasks that answer with a model.
        training_pool: Node selector of tasks that train.
        gpu_tolerations: Tolerations of both.
    """
    pools = Pools(cpu_pool, gpu_pool, training_pool, gpu_tolerations)
    prepared = prepare_benchmarks(
        settings=evaluation,
        images_uri=images_uri,
        images_digest=images_digest,
        items_uri=items_uri,
        items_digest=items_digest,
    ).set_display_name("Prepare benchmarks")
    place(prepared, DATA, pools)
    benchmarks = {
        "benchmarks_uri": prepared.outputs["uri"],
        "benchmarks_digest": prepared.outputs["digest"],
    }
    base = {"base_uri": base_uri, "base_digest": base_digest}
    models = {
        "base": (base_uri, base_digest),
        "dpo": (dpo_uri, dpo_digest),
        "ppo": (ppo_uri, ppo_digest),
    }
    answers = {}
    for name, (uri, digest) in models.items():
        answered = answer_benchmarks(
            settings=evaluation,
            name=name,
            model_uri=uri,
            model_digest=digest,
            **base,
            **benchmarks,
        ).set_display_name(f"Answer benchmarks: {NAMES[name]}")
        answers[name] = place(answered, INFERENCE, pools).outputs["answers"]
    champion_answers = answer_benchmarks_of_champion(
        settings=evaluation,
        reporting=reporting,
        dpo_digest=dpo_digest,
        ppo_digest=ppo_digest,
        **base,
        **benchmarks,
    ).set_display_name("Answer benchmarks: champion")
    place(champion_answers, INFERENCE, pools)
    champion_answers.set_caching_options(False)  # who reigns is no input of the task
    scored = score_answers(
        settings=evaluation,
        **answers,
        champion=champion_answers.outputs["answers"],
        **benchmarks,
    ).set_display_name("Judge answers")
    place(scored, JUDGING, pools)
    return EvaluationOutputs(
        benchmarks_uri=prepared.outputs["uri"],
        base_answers=answers["base"],
        dpo_answers=answers["dpo"],
        ppo_answers=answers["ppo"],
        figures=scored.outputs["figures"],
    )
