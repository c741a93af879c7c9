"""KFP doors of the reporting stages: the report, publishing."""

from kfp import dsl


@dsl.component(base_image="spa-vl/pipeline:components.reporting.report", install_kfp_package=False)
def write_report(
    settings: dict,
    snapshot: dsl.Input[dsl.Artifact],
    images_uri: str,
    benchmarks_uri: str,
    train: dsl.Input[dsl.Dataset],
    validation: dsl.Input[dsl.Dataset],
    test: dsl.Input[dsl.Dataset],
    reward_model_uri: str,
    dpo_uri: str,
    ppo_uri: str,
    rollouts: dsl.Input[dsl.Dataset],
    base_answers: dsl.Input[dsl.Dataset],
    dpo_answers: dsl.Input[dsl.Dataset],
    ppo_answers: dsl.Input[dsl.Dataset],
    figures: dsl.Input[dsl.Artifact],
    decision: dsl.Input[dsl.Artifact],
    report: dsl.Output[dsl.HTML],
    summary: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    questions: dsl.Input[dsl.Dataset] = None,
    responses: dsl.Input[list[dsl.Dataset]] = None,
    verdicts: dsl.Input[dsl.Dataset] = None,
    pairs: dsl.Input[dsl.Dataset] = None,
    preferences: dsl.Input[dsl.Dataset] = None,
    imported: dict = {},  # noqa: B006  KFP reads defaults into the form; nothing mutates them
):
    """Write the report and the summary of the whole run.

    Args:
        settings: The `reporting` settings.
        snapshot: Every stage's settings.
        images_uri: The image store.
        benchmarks_uri: The benchmarks.
        train: Preferences trained on.
        validation: Preferences watched while training.
        test: Preferences held out.
        reward_model_uri: The reward model.
        dpo_uri: The DPO model.
        ppo_uri: The PPO model.
        rollouts: Rollout records.
        base_answers: Answers of the base.
        dpo_answers: Answers of the DPO model.
        ppo_answers: Answers of the PPO model.
        figures: figures.json and the verdicts.
        decision: decision.json.
        report: The report as one HTML file.
        summary: summary.json.
        metrics: The headline figures.
        questions: Question records; with the four below, of a run that made its data set.
        responses: Response records, one data set per answering task.
        verdicts: Verdict records.
        pairs: Pair records.
        preferences: Preference records.
        imported: Of a run that was given its data set: `source` and `digest`.
    """
    given = dict(locals())
    from components.reporting import ReportInputs, write_report
    from spavl.tracking.run_content import headline_figures

    inputs = ReportInputs.of_task(given)
    content = write_report(settings, inputs, report.path, summary.path)
    for name, value in headline_figures(content).items():
        metrics.log_metric(name, value)


@dsl.component(
    base_image="spa-vl/pipeline:components.reporting.ablation_report", install_kfp_package=False
)
def write_ablation_report(
    settings: dict,
    outcome: dsl.Input[dsl.Artifact],
    report: dsl.Output[dsl.HTML],
):
    """Write an ablation's curves and the outcome of its hypotheses as a page.

    Args:
        settings: The `reporting` settings.
        outcome: A JSON file for each axis.
        report: The report as one HTML file.
    """
    from components.reporting.ablation_report import write_ablation_report

    write_ablation_report(settings, outcome.path, report.path)


@dsl.component(
    base_image="spa-vl/pipeline:components.reporting.publishing", install_kfp_package=False
)
def publish_champion(
    settings: dict,
    candidate: str,
    dpo_uri: str,
    ppo_uri: str,
    figures: dsl.Input[dsl.Artifact],
    decision: dsl.Input[dsl.Artifact],
    snapshot: dsl.Input[dsl.Artifact],
    champion: dsl.Output[dsl.Model],
):
    """Publish the promoted model with its model card.

    Args:
        settings: The `reporting` settings.
        candidate: `dpo` or `ppo`.
        dpo_uri: The DPO model.
        ppo_uri: The PPO model.
        figures: figures.json and the verdicts.
        decision: decision.json.
        snapshot: Every stage's settings; the card shows the trainer's.
        champion: The published model.
    """
    from components.reporting.publishing import publish

    publish(
        settings,
        candidate,
        {"dpo": dpo_uri, "ppo": ppo_uri}[candidate],
        figures.path,
        decision.path,
        champion.path,
        snapshot.path,
    )
