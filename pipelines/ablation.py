"""The ablation pipeline: points of a plan, trained on one data set that is taken by its address."""

from kfp import dsl

from components.ablation.component import conclude_ablation, draw_points
from components.base_model.component import prepare_backbones
from components.configuration.component import resolve_configuration
from components.evaluation.component import prepare_benchmarks, score_points
from components.importing.component import import_preferences
from components.reporting.component import write_ablation_report
from pipelines.placement import DATA, GPU_TOLERATIONS, JUDGING, LIFETIME, LIGHT, Pools, place
from pipelines.points import points


@dsl.pipeline(name="spa-vl-ablation", display_name="SPA-VL ablation", pipeline_config=LIFETIME)
def ablation(
    data: str,
    data_digest: str = "",
    plan: str = "pocket",
    axes: list = [],  # noqa: B006  KFP reads defaults into the form; nothing mutates them
    profile: str = "pocket",
    overrides: list = [],  # noqa: B006
    cpu_pool: dict = {},  # noqa: B006
    gpu_pool: dict = {},  # noqa: B006
    training_pool: dict = {},  # noqa: B006
    gpu_tolerations: list = GPU_TOLERATIONS,
):
    """Train and evaluate every point of a plan, and say what became of its hypotheses.

    Args:
        data: Where the preference data set lies: a run's folder, an imported folder, or such a
            folder on S3.
        data_digest: Digest of it, so that the cache knows when it changes; the command line fills
            it in.
        plan: Name of a plan, or its YAML.
        axes: Axes of the plan to go along; all by default.
        profile: Which settings to start from.
        overrides: Single settings to change, each as `stage.key=value`. The command line puts the
            plan's own before them.
        cpu_pool: Node selector of tasks without accelerators.
        gpu_pool: Node selector of tasks that answer with a model.
        training_pool: Node selector of tasks that train.
        gpu_tolerations: Tolerations of both.
    """
    pools = Pools(cpu_pool, gpu_pool, training_pool, gpu_tolerations)
    config = resolve_configuration(profile=profile, overrides=overrides)
    place(config, LIGHT, pools).set_display_name("Resolve configuration")
    imported = import_preferences(uri=data, digest=data_digest)
    place(imported, DATA, pools).set_display_name("Import preferences")
    store = {name: imported.outputs[name] for name in ("images_uri", "images_digest")}
    drawn = draw_points(
        plan=plan,
        axes=axes,
        **{name: config.outputs[name] for name in ("dpo", "ppo", "reward_modeling")},
        base_model=config.outputs["base_model"],
        **{name: imported.outputs[name] for name in ("train", "validation", "test")},
        **store,
        data_digest=imported.outputs["digest"],
    ).set_display_name("Draw points")
    place(drawn, DATA, pools)
    backbones = prepare_backbones(settings=drawn.outputs["backbones"])
    place(backbones, DATA, pools).set_display_name("Prepare base models")
    prepared = prepare_benchmarks(settings=config.outputs["evaluation"], **store)
    place(prepared, DATA, pools).set_display_name("Prepare benchmarks")
    benchmarks = {
        "benchmarks_uri": prepared.outputs["uri"],
        "benchmarks_digest": prepared.outputs["digest"],
    }
    answered = points(
        groups=drawn.outputs["groups"],
        points_uri=drawn.outputs["points_uri"],
        backbones=backbones.output,
        evaluation=config.outputs["evaluation"],
        **store,
        **benchmarks,
        **pools.as_arguments(),
    ).set_display_name("Points")
    scored = score_points(
        settings=config.outputs["evaluation"],
        answers=answered.outputs["answers"],
        **benchmarks,
    ).set_display_name("Judge answers")
    place(scored, JUDGING, pools)
    concluded = conclude_ablation(
        plan=plan,
        axes=axes,
        points_uri=drawn.outputs["points_uri"],
        figures=scored.outputs["figures"],
        benchmarks_uri=prepared.outputs["uri"],
    ).set_display_name("Conclude")
    place(concluded, DATA, pools)
    concluded.set_caching_options(False)  # it tells this run's folder
    reported = write_ablation_report(
        settings=config.outputs["reporting"], outcome=concluded.outputs["outcome"]
    ).set_display_name("Write report")
    place(reported, DATA, pools)
    reported.set_caching_options(False)  # it writes this run's folder
