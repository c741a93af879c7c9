"""The answering pipeline: every responder answers every question, task beside task."""

from typing import NamedTuple

from kfp import dsl

from components.generation.component import answer_questions
from pipelines.placement import INFERENCE, Pools, place


class AnsweringOutputs(NamedTuple):
    """What the answering pipeline hands on."""

    responses: list[dsl.Dataset]


@dsl.pipeline(name="spa-vl-answering", display_name="SPA-VL answering")
def answering(
    responses: dict,
    responder_groups: list,
    questions: dsl.Input[dsl.Dataset],
    images_uri: str,
    images_digest: str,
    model_uri: str,
    model_digest: str,
    cpu_pool: dict = {},  # noqa: B006  KFP reads defaults into the form; nothing mutates them
    gpu_pool: dict = {},  # noqa: B006
    training_pool: dict = {},  # noqa: B006
    gpu_tolerations: list = [],  # noqa: B006
) -> AnsweringOutputs:
    """Gather answers from many VLMs.

    A pipeline of its own because kfp.local 2.17 hands the loop's item to every loop input that
    comes straight from a task; here they all come from this pipeline's parameters.

    Args:
        responses: Settings of the answering stage, responders included.
        responder_groups: Comma-joined responder ids; one answering task each.
        questions: Data set of Question records.
        images_uri: The image store.
        images_digest: Its manifest's digest.
        model_uri: The model of responders that name none of their own.
        model_digest: Digest of its files.
        cpu_pool: Node selector of tasks without accelerators.
        gpu_pool: Node selector of tasks that answer with a model.
        training_pool: Node selector of tasks that train.
        gpu_tolerations: Tolerations of both.
    """
    pools = Pools(cpu_pool, gpu_pool, training_pool, gpu_tolerations)
    with dsl.ParallelFor(responder_groups, name="responders") as responders:
        answered = answer_questions(
            settings=responses,
            responders=responders,
            questions=questions,
            images_uri=images_uri,
            images_digest=images_digest,
            model_uri=model_uri,
            model_digest=model_digest,
        ).set_display_name("Answer questions")
        place(answered, INFERENCE, pools)
    return AnsweringOutputs(responses=dsl.Collected(answered.outputs["responses"]))
