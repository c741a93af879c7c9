"""KFP doors of the evaluation stages: benchmarks, answers, figures, the gate."""

from typing import NamedTuple

from kfp import dsl


@dsl.component(
    base_image="spa-vl/pipeline:components.evaluation.benchmarks", install_kfp_package=False
)
def prepare_benchmarks(
    settings: dict,
    images_uri: str,
    images_digest: str,
    items_uri: str = "",
    items_digest: str = "",
) -> NamedTuple("Outputs", [("uri", str), ("digest", str)]):
    """Lay out the benchmark items and their pictures.

    Args:
        settings: The `evaluation` settings.
        images_uri: The image store; its pictures of unknown truth become plumbing items.
        images_digest: Its manifest's digest.
        items_uri: The data set's own test items; empty where it has none.
        items_digest: Their manifest's digest.

    Returns:
        Where the benchmarks lie, and their digest.
    """
    from components.evaluation.benchmarks import prepare
    from spavl.work import Reference

    images, items = Reference(images_uri, images_digest), Reference(items_uri, items_digest)
    return prepare(settings, images, items)


@dsl.component(
    base_image="spa-vl/trainer:components.evaluation.examining", install_kfp_package=False
)
def answer_benchmarks(
    settings: dict,
    name: str,
    model_uri: str,
    model_digest: str,
    base_uri: str,
    base_digest: str,
    benchmarks_uri: str,
    benchmarks_digest: str,
    answers: dsl.Output[dsl.Dataset],
):
    """Let a VLM answer the benchmarks, also under attack.

    Args:
        settings: The `evaluation` settings.
        name: `base`, `dpo` or `ppo`.
        model_uri: The VLM.
        model_digest: Digest of its files.
        base_uri: The base VLM, which reads the answers.
        base_digest: Digest of its files.
        benchmarks_uri: The benchmarks.
        benchmarks_digest: Their digest.
        answers: Data set of EvalAnswer records; beside it how probable the base finds them, the
            answers under attack and what lmms-eval measured, where asked.
    """
    from components.evaluation.examining import Models, examine
    from spavl.work import Reference

    models = Models(Reference(model_uri, model_digest), Reference(base_uri, base_digest))
    examine(settings, name, models, Reference(benchmarks_uri, benchmarks_digest), answers.path)


@dsl.component(
    base_image="spa-vl/trainer:components.evaluation.examining", install_kfp_package=False
)
def answer_benchmarks_of_champion(
    settings: dict,
    reporting: dict,
    dpo_digest: str,
    ppo_digest: str,
    base_uri: str,
    base_digest: str,
    benchmarks_uri: str,
    benchmarks_digest: str,
    answers: dsl.Output[dsl.Dataset],
):
    """Let the reigning champion answer the same benchmarks; nothing where nobody reigns.

    Args:
        settings: The `evaluation` settings.
        reporting: The `reporting` settings; they name the registered model.
        dpo_digest: Digest of the DPO model's files; it cannot be its own champion.
        ppo_digest: The same of the PPO model.
        base_uri: The base VLM, which reads the answers.
        base_digest: Digest of its files.
        benchmarks_uri: The benchmarks.
        benchmarks_digest: Their digest.
        answers: Data set of EvalAnswer records.
    """
    from components.evaluation.examining import examine_champion
    from spavl.work import Reference

    benchmarks = Reference(benchmarks_uri, benchmarks_digest)
    base, candidates = Reference(base_uri, base_digest), [dpo_digest, ppo_digest]
    examine_champion(settings, reporting, candidates, base, benchmarks, answers.path)


@dsl.component(
    base_image="spa-vl/pipeline:components.evaluation.scoring", install_kfp_package=False
)
def score_answers(
    settings: dict,
    base: dsl.Input[dsl.Dataset],
    dpo: dsl.Input[dsl.Dataset],
    ppo: dsl.Input[dsl.Dataset],
    champion: dsl.Input[dsl.Dataset],
    benchmarks_uri: str,
    benchmarks_digest: str,
    figures: dsl.Output[dsl.Artifact],
):
    """Judge the answers of all models under one fixed judge, with intervals.

    Args:
        settings: The `evaluation` settings.
        base: Answers of the base.
        dpo: Answers of the DPO model.
        ppo: Answers of the PPO model.
        champion: Answers of the reigning champion; may be empty.
        benchmarks_uri: The benchmarks.
        benchmarks_digest: Their digest.
        figures: figures.json and the verdicts.
    """
    from components.evaluation.scoring import score
    from spavl.work import Reference

    benchmarks = Reference(benchmarks_uri, benchmarks_digest)
    answers = [base.path, dpo.path, ppo.path, champion.path]
    score(settings, answers, benchmarks, figures.path)


@dsl.component(base_image="spa-vl/pipeline:components.evaluation.gate", install_kfp_package=False)
def decide_promotion(
    settings: dict, figures: dsl.Input[dsl.Artifact], decision: dsl.Output[dsl.Artifact]
) -> str:
    """Choose the candidate and say whether it may reign, by rules fixed beforehand.

    Args:
        settings: The `gate` settings.
        figures: figures.json and the verdicts.
        decision: decision.json: candidate, whether promoted, every rule and whether it holds.

    Returns:
        `dpo`, `ppo` or `none`: the model to publish.
    """
    from components.evaluation.gate import decide

    return decide(settings, figures.path, decision.path)


@dsl.component(base_image="spa-vl/trainer:components.evaluation.points", install_kfp_package=False)
def answer_points(
    settings: dict,
    group: str,
    points_uri: str,
    backbones: dict,
    dpo_models: dict,
    ppo_models: dict,
    benchmarks_uri: str,
    benchmarks_digest: str,
    answers: dsl.Output[dsl.Dataset],
):
    """Let an ablation's points answer the benchmarks, one after another.

    Args:
        settings: The `evaluation` settings.
        group: Comma-joined ids of this task's points.
        points_uri: Every point by id: its method and backbone.
        backbones: Address and digest of every base model.
        dpo_models: Address and digest of the models trained by DPO, by the point's id.
        ppo_models: The same of PPO.
        benchmarks_uri: The benchmarks.
        benchmarks_digest: Their digest.
        answers: A data set of EvalAnswer records for each point.
    """
    from components.evaluation.points import answer_points
    from spavl.points import read_points
    from spavl.work import Reference

    models = {**backbones, **dpo_models, **ppo_models}
    benchmarks, points = Reference(benchmarks_uri, benchmarks_digest), read_points(points_uri)
    answer_points(settings, group.split(","), points, models, benchmarks, answers.path)


@dsl.component(
    base_image="spa-vl/pipeline:components.evaluation.scoring", install_kfp_package=False
)
def score_points(
    settings: dict,
    answers: dsl.Input[list[dsl.Dataset]],
    benchmarks_uri: str,
    benchmarks_digest: str,
    figures: dsl.Output[dsl.Artifact],
):
    """Judge the answers of all of an ablation's points under one fixed judge.

    Args:
        settings: The `evaluation` settings.
        answers: What the answering tasks wrote.
        benchmarks_uri: The benchmarks.
        benchmarks_digest: Their digest.
        figures: figures.json and the verdicts.
    """
    from pathlib import Path

    from components.evaluation.scoring import score
    from spavl.work import Reference

    found = [str(path) for each in answers for path in sorted(Path(each.path).iterdir())]
    score(settings, found, Reference(benchmarks_uri, benchmarks_digest), figures.path)
