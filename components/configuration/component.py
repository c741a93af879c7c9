"""KFP door of the configuration stage."""

from typing import NamedTuple

from kfp import dsl


@dsl.component(base_image="spa-vl/pipeline:components.configuration", install_kfp_package=False)
def resolve_configuration(
    profile: str, overrides: list, snapshot: dsl.Output[dsl.Artifact]
) -> NamedTuple(
    "Outputs",
    [
        ("base_model", dict),
        ("collection", dict),
        ("questions", dict),
        ("responses", dict),
        ("labeling", dict),
        ("reward_modeling", dict),
        ("dpo", dict),
        ("ppo", dict),
        ("evaluation", dict),
        ("gate", dict),
        ("reporting", dict),
        ("responder_groups", list),
    ],
):
    """Turn a profile and overrides into validated settings, one dict per stage.

    Args:
        profile: Name of a profile, e.g. `pocket`.
        overrides: `stage.key=value` each, e.g. `dpo.beta=0.3`.
        snapshot: All settings as one JSON file.

    Returns:
        What differs from the defaults in every stage's settings, and the responders dealt over
        answering tasks.
    """
    from components.configuration import resolve_for_stages

    return resolve_for_stages(profile, overrides, snapshot.path)
