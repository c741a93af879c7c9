"""What follows once there are preferences: alignment, evaluation, gate, report, publishing.

No pipeline of its own, but tasks that two pipelines have in common: kfp.local skips conditions on
what a nested pipeline hands out, and a nested pipeline cannot leave out a report's inputs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kfp import dsl

from components.evaluation.component import decide_promotion
from components.reporting.component import publish_champion, write_report
from pipelines.alignment import alignment
from pipelines.evaluation import evaluation
from pipelines.placement import DATA, LIGHT, Pools, place


@dataclass(frozen=True)
class FirstHalf:
    """What a pipeline has when its preferences are there.

    Attributes:
        config: Outputs of the task that resolved the settings.
        base: Outputs of the task that prepared the base model.
        data: `images_uri`, `images_digest`, `train`, `validation`, `test`, and of the test items
            `items_uri` and `items_digest`.
        origin: What else the report is given of the data: what it was made from, or whence it was
            imported.
    """

    config: Mapping[str, Any]
    base: Mapping[str, Any]
    data: Mapping[str, Any]
    origin: Mapping[str, Any]


def align_and_judge(first: FirstHalf, pools: Pools) -> None:
    """Add the tasks to the pipeline that calls this."""
    config = first.config
    base_model = {"base_uri": first.base["uri"], "base_digest": first.base["digest"]}
    store = {name: first.data[name] for name in ("images_uri", "images_digest")}
    items = {name: first.data[name] for name in ("items_uri", "items_digest")}
    splits = {name: first.data[name] for name in ("train", "validation", "test")}
    aligned = alignment(
        reward_modeling=config["reward_modeling"],
        dpo=config["dpo"],
        ppo=config["ppo"],
        **splits,
        **store,
        **base_model,
        **pools.as_arguments(),
    ).set_display_name("Alignment")
    candidates = {
        name: aligned.outputs[name] for name in ("dpo_uri", "dpo_digest", "ppo_uri", "ppo_digest")
    }
    addresses = {name: aligned.outputs[name] for name in ("dpo_uri", "ppo_uri")}
    judged = evaluation(
        evaluation=config["evaluation"],
        reporting=config["reporting"],
        **candidates,
        **store,
        **items,
        **base_model,
        **pools.as_arguments(),
    ).set_display_name("Evaluation")
    decided = decide_promotion(settings=config["gate"], figures=judged.outputs["figures"])
    place(decided, LIGHT, pools).set_display_name("Decide promotion")
    decision = decided.outputs["decision"]

    report = write_report(
        settings=config["reporting"],
        snapshot=config["snapshot"],
        images_uri=first.data["images_uri"],
        benchmarks_uri=judged.outputs["benchmarks_uri"],
        **splits,
        **first.origin,
        reward_model_uri=aligned.outputs["reward_model_uri"],
        **addresses,
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
            settings=config["reporting"],
            candidate=decided.outputs["Output"],
            **addresses,
            figures=judged.outputs["figures"],
            decision=decision,
            snapshot=config["snapshot"],
        ).set_display_name("Publish champion")
        place(published, DATA, pools)
