"""The DAG on a data set that there is: no collection, questions, answers and labelling."""

from kfp import dsl

from components.base_model.component import prepare_base_model
from components.configuration.component import resolve_configuration
from components.importing.component import import_splits
from pipelines.placement import DATA, GPU_TOLERATIONS, LIFETIME, LIGHT, Pools, place
from pipelines.second_half import FirstHalf, align_and_judge


@dsl.pipeline(
    name="spa-vl-on-data",
    display_name="SPA-VL on a data set: alignment to champion",
    pipeline_config=LIFETIME,
)
def on_data(
    data: str,
    profile: str = "pocket",
    overrides: list = [],  # noqa: B006  KFP reads defaults into the form; nothing mutates them
    cpu_pool: dict = {},  # noqa: B006
    gpu_pool: dict = {},  # noqa: B006
    training_pool: dict = {},  # noqa: B006
    gpu_tolerations: list = GPU_TOLERATIONS,
):
    """Take a preference data set, align by DPO and PPO, evaluate, promote the champion.

    Args:
        data: Where the preference data set lies: a run's folder, an imported folder, or such a
            folder on S3.
        profile: Which settings to start from.
        overrides: Single settings to change, each as `stage.key=value`.
        cpu_pool: Node selector of tasks without accelerators.
        gpu_pool: Node selector of tasks that answer with a model.
        training_pool: Node selector of tasks that train.
        gpu_tolerations: Tolerations of both.
    """
    pools = Pools(cpu_pool, gpu_pool, training_pool, gpu_tolerations)
    config = resolve_configuration(profile=profile, overrides=overrides)
    place(config, LIGHT, pools).set_display_name("Resolve configuration")
    imported = import_splits(uri=data).set_display_name("Import data set")
    place(imported, DATA, pools)
    imported.set_caching_options(False)  # what lies at the address is no input of the task
    base = prepare_base_model(settings=config.outputs["base_model"])
    place(base, DATA, pools).set_display_name("Prepare base model")
    base.after(imported)  # a torn data set ends the run before anything is trained
    origin = {"imported": imported.outputs["imported"]}
    align_and_judge(FirstHalf(config.outputs, base.outputs, imported.outputs, origin), pools)
