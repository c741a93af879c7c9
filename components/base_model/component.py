"""KFP door of the base model stage."""

from typing import NamedTuple

from kfp import dsl


@dsl.component(base_image="spa-vl/trainer:components.base_model", install_kfp_package=False)
def prepare_base_model(
    settings: dict,
) -> NamedTuple("Outputs", [("uri", str), ("digest", str)]):
    """Have the base VLM at hand: trained here in the pocket profile, else checked where it lies.

    Args:
        settings: The `base_model` settings.

    Returns:
        Where the model lies, and the digest of its files.
    """
    from components.base_model import prepare

    return prepare(settings)


@dsl.component(base_image="spa-vl/trainer:components.base_model", install_kfp_package=False)
def prepare_backbones(settings: dict) -> dict:
    """Have all base VLMs of an ablation at hand.

    Args:
        settings: The `base_model` settings of each, by name.

    Returns:
        Address and digest of each, by name.
    """
    from components.base_model import prepare

    return {name: prepare(each)._asdict() for name, each in settings.items()}
