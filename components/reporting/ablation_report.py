"""An ablation's page: what became of its hypotheses, its curves and its tables."""

from pathlib import Path
from typing import Any

from components.reporting.ablations import (
    ablations_in,
    charts_of,
    hypotheses_of,
    over_seeds,
    variants_of,
)
from components.reporting.files import share_beside_work, write_text
from components.reporting.page import render_page
from components.reporting.svg import inline_svg, save_png
from spavl.environment import run_folder
from spavl.settings.reporting import ReportingSettings
from spavl.tracking.launch import followed
from spavl.work import report_error

SHARED = ("report.html", "plots", "tables", "ablations")


def write_ablation_report(settings: dict[str, Any], outcome: str, report: str) -> None:
    """Write the page; in a run, also into the run's folder, with plots and tables.

    Args:
        settings: `ReportingSettings` as a dict.
        outcome: Folder with a JSON file for each axis.
        report: File of the page.

    Raises:
        InputError: If a file is no JSON object.
    """
    try:
        checked = ReportingSettings.parse(settings, "reporting")
        found = ablations_in(Path(outcome))
        charts, hypotheses = charts_of(found), hypotheses_of(found)
        page = render_page(
            "ablation.html.jinja",
            "report.js",
            {"img-src": "data:", "require-trusted-types-for": "'script'"},
            title=f"{checked.title}: ablations",
            hypotheses=hypotheses,
            axes=[
                (
                    name,
                    over_seeds(content),
                    variants_of(content),
                    {"chart": c, "svg": inline_svg(c.figure, c.name), "parts": []},
                )
                for (name, content), c in zip(found.items(), charts, strict=True)
            ],
        )
        write_text(Path(report), page)
        folder = run_folder()
        if folder is not None:
            with followed("report"):
                write_text(folder / "report.html", page)
                write_text(folder / "tables" / "hypotheses.csv", hypotheses.csv())
                for name, content in found.items():
                    write_text(folder / "tables" / f"{name}.csv", variants_of(content).csv())
                for chart in charts:
                    write_text(folder / "tables" / f"{chart.name}.csv", chart.table.csv())
                    save_png(chart.figure, folder / "plots" / f"{chart.name}.png")
                share_beside_work(folder, [each for each in SHARED if (folder / each).exists()])
    except Exception as error:
        report_error("report", error)
        raise
