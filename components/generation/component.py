"""KFP doors of the generation stages: questions, and answers of many VLMs."""

from kfp import dsl


@dsl.component(
    base_image="spa-vl/trainer:components.generation.questions", install_kfp_package=False
)
def write_questions(
    settings: dict,
    images_uri: str,
    images_digest: str,
    model_uri: str,
    model_digest: str,
    questions: dsl.Output[dsl.Dataset],
):
    """Caption every picture and write its easy question, hard question and hard statement.

    Args:
        settings: The `questions` settings.
        images_uri: The image store.
        images_digest: Its manifest's digest.
        model_uri: The VLM that captions.
        model_digest: Digest of its files.
        questions: Data set of Question records.
    """
    from components.generation.questions import write_questions
    from spavl.work import Reference

    images, model = Reference(images_uri, images_digest), Reference(model_uri, model_digest)
    write_questions(settings, images, model, questions.path)


@dsl.component(
    base_image="spa-vl/trainer:components.generation.responses", install_kfp_package=False
)
def answer_questions(
    settings: dict,
    responders: str,
    questions: dsl.Input[dsl.Dataset],
    images_uri: str,
    images_digest: str,
    model_uri: str,
    model_digest: str,
    responses: dsl.Output[dsl.Dataset],
):
    """Let some of the responders answer every question about its picture.

    Args:
        settings: The `responses` settings.
        responders: Comma-joined ids of the responders that this task runs.
        questions: Data set of Question records.
        images_uri: The image store.
        images_digest: Its manifest's digest.
        model_uri: The model of responders that name none of their own.
        model_digest: Digest of its files.
        responses: Data set of Response records.
    """
    from components.generation.responses import answer
    from spavl.work import Reference

    images, model = Reference(images_uri, images_digest), Reference(model_uri, model_digest)
    answer(settings, responders.split(","), questions.path, images, model, responses.path)
