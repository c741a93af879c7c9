"""The report of one run: `summary.json`, `report.html`, and plots and tables beside them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.reporting import charts, views
from components.reporting.ablations import ablation_charts, hypotheses_of, read_ablations
from components.reporting.attacks import attack_table, efforts
from components.reporting.breakdown import Breakdown, break_down
from components.reporting.capabilities import capability_rows, capability_table, unmeasured
from components.reporting.cases import case_studies
from components.reporting.charts import Chart, laid_out
from components.reporting.failures import Failures, find_failures
from components.reporting.files import share_beside_work, write_text
from components.reporting.first_screen import FirstScreen, first_screen
from components.reporting.gallery import write_gallery
from components.reporting.gallery_rows import gallery_collections
from components.reporting.inputs import ReportInputs
from components.reporting.labels import MODELS, labels, stage_order
from components.reporting.page import render_page
from components.reporting.run_facts import versions
from components.reporting.spending import spending_table
from components.reporting.summary import (
    build_summary,
    decision_line,
    reference_line,
    stage_reports,
    table_text,
)
from components.reporting.svg import inline_svg, save_png
from components.reporting.tables import Table
from spavl.environment import run_folder
from spavl.events import tell
from spavl.settings.reporting import ReportingSettings
from spavl.tracking.launch import followed
from spavl.work import report_error

WORST_CLASSES = 5
SHARED = ("report.html", "plots", "tables", "gallery", "summary.json")


@dataclass(frozen=True)
class Findings:
    """What the page shows: summary, first screen, failures, answers broken down, charts."""

    summary: dict[str, Any]
    first: FirstScreen
    failures: Failures
    breakdown: Breakdown
    charts: dict[str, Any]
    hypotheses: Table

    @property
    def tables(self) -> dict[str, Table]:
        """The tables that lie beside the page, by file name; charts bring their own."""
        own = {
            "figures": views.headline_table(self.summary["models"]),
            "capabilities": capability_table(capability_rows(self.summary["capabilities"])),
            "attacks": attack_table(self.summary["attacks"]),
            "comparisons": views.comparison_table(self.summary["comparisons"]),
            "visual-dependence": views.dependence_table(self.summary["visual_dependence"]),
            "outcomes": views.outcome_table(self.breakdown),
            "failures": views.failure_table(self.failures),
            "judges": views.judge_table(self.summary["judges"]),
            "labels": views.flat_table(self.summary["labeling_judge"]),
            "responders": views.responder_table(self.summary["responders"]),
            "responders-by-class": views.responder_class_table(self.summary["responders"]),
            "usage": views.usage_table(self.summary["responders"]),
            "spending": spending_table(self.summary["spending"]),
            "seconds": views.time_table(self.summary["seconds"]),
            "hypotheses": self.hypotheses,
        }
        of_charts = {chart.name: chart.table for chart in self.drawn if chart.name not in own}
        return {name: table for name, table in {**own, **of_charts}.items() if table.rows}

    @property
    def drawn(self) -> list[Chart]:
        """Every chart."""
        groups = (each if isinstance(each, list) else [each] for each in self.charts.values())
        return [chart for group in groups for chart in group if chart is not None]


def write_report(
    settings: dict[str, Any], inputs: ReportInputs, report: str, summary: str
) -> dict[str, Any]:
    """Write the page and the summary; in a run, also into the run folder, with plots and tables.

    Args:
        settings: `ReportingSettings` as a dict.
        inputs: The run's results.
        report: File of the page.
        summary: File of the summary.

    Returns:
        The summary.

    Raises:
        InputError: If a result is missing or a setting is wrong.
    """
    try:
        checked = ReportingSettings.parse(settings, "reporting")
        findings = find(inputs)
        page = render(checked, inputs, findings)
        write_text(Path(report), page)
        write_text(Path(summary), to_json(findings.summary))
        folder = run_folder()
        if folder is not None:
            with followed("report"):
                _write_beside(folder, checked, inputs, findings)
                write_text(folder / "report.html", page)
                write_text(folder / "summary.json", to_json(findings.summary))  # last: it is whole
                share_beside_work(folder, [name for name in SHARED if (folder / name).exists()])
            told = {"text": decision_line(findings.summary["decision"])}
            tell("report", "summary", **told, table=table_text(findings.summary))
    except Exception as error:
        report_error("report", error)
        raise
    return findings.summary


def find(inputs: ReportInputs) -> Findings:
    """Everything that the page, the plots and the tables are made of."""
    summary, breakdown = build_summary(inputs), break_down(inputs)
    drawn = {
        "training": charts.training_charts(inputs),
        "rewards": charts.reward_chart(inputs),
        "ablations": ablation_charts(run_folder()),
        "wins": charts.win_chart(breakdown),
        "responders": charts.responder_chart(summary["responders"]),
        "classes": charts.heat_charts(breakdown),
    }
    first = first_screen(summary)
    return Findings(
        summary,
        first,
        find_failures(inputs, first.model),
        breakdown,
        drawn,
        hypotheses_of(read_ablations(run_folder())),
    )


def render(settings: ReportingSettings, inputs: ReportInputs, findings: Findings) -> str:
    """The report as one HTML page that loads nothing from elsewhere.

    Everything that a model or a file said is escaped; figures drawn here are the only raw markup.
    """
    summary = findings.summary
    return render_page(
        "report.html.jinja",
        "report.js",
        {"img-src": "data:", "require-trusted-types-for": "'script'"},
        title=settings.title,
        summary=summary,
        first=findings.first,
        failures=findings.failures,
        worst=findings.breakdown.worst(findings.first.model, WORST_CLASSES),
        breakdown=findings.breakdown,
        limits=labels()["limits"],
        words=labels()["words"],
        versions=versions(),
        models=[name for name in MODELS if name in summary["models"]],
        headline=views.headline(summary["models"]),
        notes=views.by_reason(views.notes(summary["models"])),
        capabilities=capability_rows(summary["capabilities"]),
        unmeasured=unmeasured(capability_rows(summary["capabilities"])),
        reference=reference_line(summary["decision"]),
        attacks=attack_table(summary["attacks"]),
        efforts=efforts(summary["attacks"]),
        comparisons=views.comparison_table(summary["comparisons"]),
        dependence=views.dependence_table(summary["visual_dependence"]),
        outcomes=views.outcome_table(findings.breakdown),
        agreement=views.flat_table(summary["labeling_judge"]),
        agreeing=views.judge_table(summary["judges"]),
        judges=views.flat_table(_apart(summary["judges"], ("agreement", "judge_quality"))),
        usage=views.usage_table(summary["responders"]),
        spending=spending_table(summary["spending"]),
        stages=sorted(summary["seconds"]["stages"], key=stage_order),
        lineage=views.lineage_table(stage_reports()),
        charts=_drawn(findings),
        hypotheses=findings.hypotheses,
        cases=case_studies(
            inputs,
            settings.case_studies,
            settings.picture_pixels,
            settings.answer_characters,
            findings.first.model,
        ),
        gallery=_gallery_names(settings, inputs),
        settings_text=to_json(summary["made_by"]["settings"]),
    )


def to_json(content: object) -> str:
    """JSON for people: indented, in the order it was made."""
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _apart(facts: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if name not in names}


def _drawn(findings: Findings) -> dict[str, Any]:
    """The charts with their SVG, but the heat maps: the page shows those as tables."""

    def draw(chart: Chart | None) -> dict[str, Any] | None:
        if chart is None:
            return None
        parts = [
            inline_svg(laid_out(part), f"{chart.name}-{place}")
            for place, part in enumerate(chart.parts)
        ]
        svg = "" if parts else inline_svg(chart.figure, chart.name)
        return {"chart": chart, "svg": svg, "parts": parts}

    shown = {place: each for place, each in findings.charts.items() if place != "classes"}
    return {
        place: [draw(chart) for chart in each] if isinstance(each, list) else draw(each)
        for place, each in shown.items()
    }


def _gallery_names(settings: ReportingSettings, inputs: ReportInputs) -> list[str]:
    """The collections that the gallery beside the page holds; none where none is written."""
    if run_folder() is None or not settings.gallery_rows:
        return []
    return [collection.name for collection in gallery_collections(inputs)]


def _write_beside(
    folder: Path, settings: ReportingSettings, inputs: ReportInputs, findings: Findings
) -> None:
    """Tables, plots and the gallery."""
    for name, table in findings.tables.items():
        write_text(folder / "tables" / f"{name}.csv", table.csv())
    for chart in findings.drawn:
        save_png(chart.figure, folder / "plots" / f"{chart.name}.png")
    if settings.gallery_rows:
        collections = gallery_collections(inputs, findings.first.model)
        write_gallery(
            folder / "gallery", collections, settings.gallery_rows, settings.picture_pixels
        )
