"""The whole of SPA-VL as one DAG, composed of the data, alignment and evaluation pipelines."""

from kfp import dsl

from components.base_model.component import prepare_base_model
from components.configuration.component import resolve_configuration
from components.evaluation.component import decide_promotion
from components.reporting.component import close_tracking, publish_champion, write_report
from pipelines.alignment import alignment
from pipelines.data import data
from pipelines.evaluation import evaluation
from pipelines.placement import DATA, GPU_TOLERATIONS, LIGHT, TRAINING, Pools, place


@dsl.pipeline(name="spa-vl", display_name="SPA-VL: from images to safety-aligned VLMs")
def spa_vl(
    profile: str = "pocket",
    overrides: list = [],  # noqa: B006
    images: str = "",
    images_digest: str = "",
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
            `["dpo.beta=0.2", "seed=7"]`.
        images: Folder of your own pictures to add; empty for none.
        images_digest: Digest of that folder, so that the cache knows when it changes; the command
            line fills it in.
        classes: CSV of `file,class` for your own pictures; empty if nobody has classified them.
        cpu_pool: Node selector of tasks without accelerators.
        gpu_pool: Node selector of tasks that answer with a model.
        training_pool: Node selector of tasks that train.
        gpu_tolerations: Tolerations of both.
    """
    pools = Pools(cpu_pool, gpu_pool, training_pool, gpu_tolerations)
    closing = close_tracking(profile=profile).set_display_name("Close tracking")
    place(closing, LIGHT, pools)
    with dsl.ExitHandler(closing, name="SPA-VL"):
        config = resolve_configuration(profile=profile, overrides=overrides)
        place(config, LIGHT, pools).set_display_name("Resolve configuration")
        base = prepare_base_model(settings=config.outputs["base_model"])
        place(base, TRAINING, pools).set_display_name("Prepare base model")
        base_model = {"base_uri": base.outputs["uri"], "base_digest": base.outputs["digest"]}

        made = data(
            collection=config.outputs["collection"],
            questions=config.outputs["questions"],
            responses=config.outputs["responses"],
            labeling=config.outputs["labeling"],
            responder_groups=config.outputs["responder_groups"],
            model_uri=base.outputs["uri"],
            model_digest=base.outputs["digest"],
            images=images,
            images_digest=images_digest,
            classes=classes,
            **pools.as_arguments(),
        ).set_display_name("Data")
        store = {
            "images_uri": made.outputs["images_uri"],
            "images_digest": made.outputs["images_digest"],
        }
        splits = {name: made.outputs[name] for name in ("train", "validation", "test")}

        aligned = alignment(
            reward_modeling=config.outputs["reward_modeling"],
            dpo=config.outputs["dpo"],
            ppo=config.outputs["ppo"],
            **splits,
            **store,
            **base_model,
            **pools.as_arguments(),
        ).set_display_name("Alignment")

        judged = evaluation(
            evaluation=config.outputs["evaluation"],
            reporting=config.outputs["reporting"],
            dpo=aligned.outputs["dpo"],
            ppo=aligned.outputs["ppo"],
            **store,
            **base_model,
            **pools.as_arguments(),
        ).set_display_name("Evaluation")

        decided = decide_promotion(
            settings=config.outputs["gate"], figures=judged.outputs["figures"]
        ).set_display_name("Decide promotion")
        place(decided, LIGHT, pools)
        decision = decided.outputs["decision"]

        report = write_report(
            settings=config.outputs["reporting"],
            snapshot=config.outputs["snapshot"],
            images_uri=made.outputs["images_uri"],
            benchmarks_uri=judged.outputs["benchmarks_uri"],
            questions=made.outputs["questions"],
            responses=made.outputs["responses"],
            verdicts=made.outputs["verdicts"],
            pairs=made.outputs["pairs"],
            preferences=made.outputs["preferences"],
            **splits,
            reward_model=aligned.outputs["reward_model"],
            dpo=aligned.outputs["dpo"],
            ppo=aligned.outputs["ppo"],
            rollouts=aligned.outputs["rollouts"],
            base_answers=judged.outputs["base_answers"],
            dpo_answers=judged.outputs["dpo_answers"],
            ppo_answers=judged.outputs["ppo_answers"],
            figures=judged.outputs["figures"],
            decision=decision,
        ).set_display_name("Write report")
        place(report, DATA, pools)
        report.set_caching_options(False)  # it tells of this run: its seconds, its reuse

        # The gate is a task of this pipeline: kfp.local reads conditions from tasks only.
        with dsl.If(decided.outputs["Output"] != "none", name="Promoted"):
            published = publish_champion(
                settings=config.outputs["reporting"],
                candidate=decided.outputs["Output"],
                dpo=aligned.outputs["dpo"],
                ppo=aligned.outputs["ppo"],
                figures=judged.outputs["figures"],
                decision=decision,
                snapshot=config.outputs["snapshot"],
            ).set_display_name("Publish champion")
            place(published, DATA, pools)
