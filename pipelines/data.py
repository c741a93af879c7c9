"""The data pipeline: pictures become preferences, split by picture."""

from typing import NamedTuple

from kfp import dsl

from components.collection.component import collect_images
from components.generation.component import write_questions
from components.labeling.component import judge_twice, moderate_and_pair, split_by_picture
from pipelines.answering import answering
from pipelines.placement import DATA, INFERENCE, JUDGING, LIGHT, Pools, place


class DataOutputs(NamedTuple):
    """What the data pipeline hands on."""

    images_uri: str
    images_digest: str
    questions: dsl.Dataset
    responses: list[dsl.Dataset]
    verdicts: dsl.Dataset
    pairs: dsl.Dataset
    preferences: dsl.Dataset
    train: dsl.Dataset
    validation: dsl.Dataset
    test: dsl.Dataset
    items_uri: str
    items_digest: str


@dsl.pipeline(name="spa-vl-data", display_name="SPA-VL data")
def data(
    collection: dict,
    questions: dict,
    responses: dict,
    labeling: dict,
    responder_groups: list,
    model_uri: str,
    model_digest: str,
    images: str = "",
    classes: str = "",
    cpu_pool: dict = {},  # noqa: B006  KFP reads defaults into the form; nothing mutates them
    gpu_pool: dict = {},  # noqa: B006
    training_pool: dict = {},  # noqa: B006
    gpu_tolerations: list = [],  # noqa: B006
) -> DataOutputs:
    """Collect pictures, write questions, gather answers, label preferences, split by picture.

    Args:
        collection: Settings of the collection stage.
        questions: Settings of the question stage.
        responses: Settings of the answering stage, responders included.
        labeling: Settings of pairing, judging and splitting.
        responder_groups: Comma-joined responder ids; one answering task each.
        model_uri: The VLM that captions, and that responders use which name no model.
        model_digest: Digest of its files.
        images: Folder of your own pictures; empty for none.
        classes: CSV of `file,class` for your own pictures; empty if nobody has classified them.
        cpu_pool: Node selector of tasks without accelerators.
        gpu_pool: Node selector of tasks that answer with a model.
        training_pool: Node selector of tasks that train.
        gpu_tolerations: Tolerations of both.
    """
    pools = Pools(cpu_pool, gpu_pool, training_pool, gpu_tolerations)
    collected = collect_images(settings=collection, images=images, classes=classes)
    place(collected, DATA, pools).set_display_name("Collect images")
    collected.set_caching_options(False)  # what lies in a folder or a table is no input of the task
    store = {
        "images_uri": collected.outputs["uri"],
        "images_digest": collected.outputs["digest"],
    }
    model = {"model_uri": model_uri, "model_digest": model_digest}
    asked = write_questions(settings=questions, **store, **model)
    place(asked, INFERENCE, pools).set_display_name("Write questions")
    answered = answering(
        responses=responses,
        responder_groups=responder_groups,
        questions=asked.outputs["questions"],
        **store,
        **model,
        **pools.as_arguments(),
    ).set_display_name("Answers")
    paired = moderate_and_pair(
        settings=labeling,
        questions=asked.outputs["questions"],
        responses=answered.outputs["responses"],
        **store,
    ).set_display_name("Moderate, group and pair answers")
    place(paired, JUDGING, pools)
    judged = judge_twice(settings=labeling, pairs=paired.outputs["pairs"], **store)
    place(judged, JUDGING, pools).set_display_name("Judge pairs in both orders")
    split = split_by_picture(settings=labeling, preferences=judged.outputs["preferences"])
    place(split, LIGHT, pools).set_display_name("Split by picture")
    return DataOutputs(
        **store,
        questions=asked.outputs["questions"],
        responses=answered.outputs["responses"],
        verdicts=paired.outputs["verdicts"],
        pairs=paired.outputs["pairs"],
        preferences=judged.outputs["preferences"],
        train=split.outputs["train"],
        validation=split.outputs["validation"],
        test=split.outputs["test"],
        items_uri=split.outputs["items_uri"],
        items_digest=split.outputs["items_digest"],
    )
