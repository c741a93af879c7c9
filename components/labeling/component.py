"""KFP doors of the labeling stages: pairing, judging, splitting."""

from typing import NamedTuple

from kfp import dsl


@dsl.component(base_image="spa-vl/pipeline:components.labeling.pairing", install_kfp_package=False)
def moderate_and_pair(
    settings: dict,
    questions: dsl.Input[dsl.Dataset],
    responses: dsl.Input[list[dsl.Dataset]],
    images_uri: str,
    images_digest: str,
    verdicts: dsl.Output[dsl.Dataset],
    pairs: dsl.Output[dsl.Dataset],
):
    """Moderate every answer, group responders by safety rate, pair answers across groups.

    Args:
        settings: The `labeling` settings.
        questions: Data set of Question records.
        responses: Data sets of Response records, one per answering task.
        images_uri: The image store.
        images_digest: Its manifest's digest.
        verdicts: Data set of Verdict records.
        pairs: Data set of Pair records.
    """
    from components.labeling.pairing import moderate_and_pair
    from spavl.work import Reference

    answers, images = [each.path for each in responses], Reference(images_uri, images_digest)
    moderate_and_pair(settings, questions.path, answers, images, verdicts.path, pairs.path)


@dsl.component(base_image="spa-vl/pipeline:components.labeling.judging", install_kfp_package=False)
def judge_twice(
    settings: dict,
    pairs: dsl.Input[dsl.Dataset],
    images_uri: str,
    images_digest: str,
    preferences: dsl.Output[dsl.Dataset],
):
    """Compare the answers of each pair in both orders; keep pairs whose two verdicts agree.

    Args:
        settings: The `labeling` settings.
        pairs: Data set of Pair records.
        images_uri: The image store.
        images_digest: Its manifest's digest.
        preferences: Data set of Preference records.
    """
    from components.labeling.judging import judge_twice
    from spavl.work import Reference

    judge_twice(settings, pairs.path, Reference(images_uri, images_digest), preferences.path)


@dsl.component(
    base_image="spa-vl/pipeline:components.labeling.splitting", install_kfp_package=False
)
def split_by_picture(
    settings: dict,
    preferences: dsl.Input[dsl.Dataset],
    train: dsl.Output[dsl.Dataset],
    validation: dsl.Output[dsl.Dataset],
    test: dsl.Output[dsl.Dataset],
) -> NamedTuple("Outputs", [("items_uri", str), ("items_digest", str)]):
    """Split preferences so that no picture is in two splits.

    Args:
        settings: The `labeling` settings.
        preferences: Data set of Preference records.
        train: Preferences to train on.
        validation: Preferences to choose settings on.
        test: Preferences held out to the end.

    Returns:
        Where the test items lie, of which there may be none, and their manifest's digest.
    """
    from components.labeling.splitting import split_by_picture

    return split_by_picture(settings, preferences.path, train.path, validation.path, test.path)
