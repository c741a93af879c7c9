"""KFP doors of the ablation room: the points, the outcome."""

from typing import NamedTuple

from kfp import dsl


@dsl.component(base_image="spa-vl/pipeline:components.ablation.points", install_kfp_package=False)
def draw_points(
    plan: str,
    axes: list,
    dpo: dict,
    ppo: dict,
    reward_modeling: dict,
    base_model: dict,
    train: str,
    validation: str,
    test: str,
    images_uri: str,
    images_digest: str,
    data_digest: str,
) -> NamedTuple("Outputs", [("points_uri", str), ("groups", list), ("backbones", dict)]):
    """Draw every point's preferences and work out its settings.

    Args:
        plan: A plan's name or its YAML.
        axes: Axes to keep; all where none is named.
        dpo: The `dpo` settings of the profile.
        ppo: The `ppo` settings of the profile.
        reward_modeling: The `reward_modeling` settings of the profile.
        base_model: The `base_model` settings of the profile.
        train: Preferences to draw from.
        validation: Preferences to watch while training.
        test: Preferences held out.
        images_uri: The image store.
        images_digest: Its manifest's digest.
        data_digest: Digest of all four.

    Returns:
        Address of the points by id, the groups that share tasks, and the base models' settings.
    """
    from components.ablation.points import draw_points as draw
    from spavl.published.sources import Imported

    data = Imported(train, validation, test, images_uri, images_digest, data_digest)
    trainers = {"dpo": dpo, "ppo": ppo, "reward_modeling": reward_modeling}
    return draw(plan, axes, {**trainers, "base_model": base_model}, data)


@dsl.component(base_image="spa-vl/pipeline:components.ablation.outcome", install_kfp_package=False)
def conclude_ablation(
    plan: str,
    axes: list,
    points_uri: str,
    figures: dsl.Input[dsl.Artifact],
    benchmarks_uri: str,
    outcome: dsl.Output[dsl.Artifact],
) -> dict:
    """Test every hypothesis, and put the points in curves.

    Args:
        plan: A plan's name or its YAML.
        axes: Axes to keep; all where none is named.
        points_uri: Every point by id.
        figures: figures.json and the verdicts of all points.
        benchmarks_uri: The benchmarks.
        outcome: A JSON file for each axis.

    Returns:
        The outcome of every hypothesis by its id.
    """
    from components.ablation.outcome import conclude
    from spavl.points import read_points

    points = read_points(points_uri)
    return conclude(plan, axes, points, figures.path, benchmarks_uri, outcome.path)
