"""The whole of SPA-VL as one DAG, composed of the data, alignment and evaluation pipelines."""

from kfp import dsl

from components.base_model.component import prepare_base_model
from components.configuration.component import resolve_configuration
from pipelines.data import data
from pipelines.placement import DATA, GPU_TOLERATIONS, LIFETIME, LIGHT, Pools, place
from pipelines.second_half import FirstHalf, align_and_judge

MADE_FROM = ("questions", "responses", "verdicts", "pairs", "preferences")


@dsl.pipeline(
    name="spa-vl",
    display_name="SPA-VL: from images to safety-aligned VLMs",
    pipeline_config=LIFETIME,
)
def spa_vl(
    profile: str = "pocket",
    overrides: list = [],  # noqa: B006
    images: str = "",
    classes: str = "",
    cpu_pool: dict = {},  # noqa: B006  KFP reads defaults into the form; nothing mutates them
    gpu_pool: dict = {},  # noqa: B006
    training_pool: dict = {},  # noqa: B006
    gpu_tolerations: list = GPU_TOLERATIONS,
):
    """Collect images, label preferences, align by DPO and PPO, evaluate, promote the champion.

    Args:
        profile: Which settings to start from. `pocket` carries its own small world and needs no
            GPU and no model hub.
        overrides: Single settings to change, each as `stage.key=value`, for example
            `["dpo.beta=0.3", "seed=7"]`.
        images: Folder of your own pictures to add; empty for none.
        classes: CSV of `file,class` for your own pictures; empty if nobody has classified them.
        cpu_pool: Node selector of tasks without accelerators.
        gpu_pool: Node selector of tasks that answer with a model.
        training_pool: Node selector of tasks that train.
        gpu_tolerations: Tolerations of both.
    """
    pools = Pools(cpu_pool, gpu_pool, training_pool, gpu_tolerations)
    config = resolve_configuration(profile=profile, overrides=overrides)
    place(config, LIGHT, pools).set_display_name("Resolve configuration")
    base = prepare_base_model(settings=config.outputs["base_model"])
    place(base, DATA, pools).set_display_name("Prepare base model")
    made = data(
        collection=config.outputs["collection"],
        questions=config.outputs["questions"],
        responses=config.outputs["responses"],
        labeling=config.outputs["labeling"],
        responder_groups=config.outputs["responder_groups"],
        model_uri=base.outputs["uri"],
        model_digest=base.outputs["digest"],
        images=images,
        classes=classes,
        **pools.as_arguments(),
    ).set_display_name("Data")
    origin = {name: made.outputs[name] for name in MADE_FROM}
    align_and_judge(FirstHalf(config.outputs, base.outputs, made.outputs, origin), pools)
