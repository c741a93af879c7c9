"""The report: `summary.json`, `report.html` and `curves.png` of one run."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

from components.reporting.cases import case_studies
from components.reporting.files import read_curves, share_beside_work, write_text
from components.reporting.inputs import ReportInputs
from components.reporting.plots import curves_svg, save_png
from components.reporting.quarantine import visible
from components.reporting.summary import MODELS, build_summary, metric_rows, percent
from spavl.environment import run_folder
from spavl.settings.reporting import ReportingSettings
from spavl.tracking.launch import followed
from spavl.work import report_error

TRAINERS = {"reward_model": "Reward model", "dpo": "DPO", "ppo": "PPO"}


def write_report(
    settings: dict[str, Any], inputs: ReportInputs, report: str, summary: str
) -> dict[str, Any]:
    """Write the page and the summary; in a run, also into the run folder, with the curves.

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
        content = build_summary(inputs)
        page = render(checked, inputs, content)
        write_text(Path(report), page)
        write_text(Path(summary), to_json(content))
        folder = run_folder()
        if folder is not None:
            with followed("report"):
                write_text(folder / "report.html", page)
                save_png(read_curves(inputs.ppo), folder / "curves.png")
                write_text(folder / "summary.json", to_json(content))  # last: the run is whole
                share_beside_work(folder, ("report.html", "curves.png", "summary.json"))
    except Exception as error:
        report_error("report", error)
        raise
    return content


def render(settings: ReportingSettings, inputs: ReportInputs, summary: dict[str, Any]) -> str:
    """The report as one HTML page that loads nothing from elsewhere.

    Everything that a model or a file said is escaped; figures drawn here are the only raw markup.
    """
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["percent"] = percent
    environment.filters["visible"] = visible
    template = files("components.reporting") / "templates" / "report.html.jinja"
    return environment.from_string(template.read_text(encoding="utf-8")).render(
        title=settings.title,
        summary=summary,
        models=[name for name in MODELS if name in summary["models"]],
        metrics=metric_rows(summary["models"]),
        unmeasured=_unmeasured(summary),
        curves=_curves(inputs),
        cases=case_studies(
            inputs, settings.case_studies, settings.picture_pixels, settings.answer_characters
        ),
        settings_text=to_json(summary["made_by"]["settings"]),
    )


def to_json(content: object) -> str:
    """JSON for people: indented, in the order it was made."""
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _curves(inputs: ReportInputs) -> list[tuple[str, str]]:
    """(heading, SVG) of every trainer that logged something."""
    drawn = [
        (heading, curves_svg(read_curves(inputs.models[name]), name))
        for name, heading in TRAINERS.items()
    ]
    return [(heading, svg) for heading, svg in drawn if svg]


def _unmeasured(summary: dict[str, Any]) -> dict[str, str]:
    """Figures without items here, and why."""
    return {
        key: figure.get("note") or "no items here"
        for row in summary["models"].values()
        for key, figure in row.items()
        if not figure["n"]
    }
