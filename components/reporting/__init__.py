"""Reporting: what a run did, for people and for programs, and the champion it leaves behind.

Comes in: the data sets, models, figures and the decision of one run, and what each stage said about
itself in the run folder. Goes out: `summary.json` (figures with intervals, rows, set-asides,
seconds, decision, origin), `report.html` (one file that loads nothing from elsewhere) and, in the
run folder, `plots/` (PNG), `tables/` (CSV) and `gallery/` (every row, searched and filtered in a
browser); for a promoted model, a folder under the work root with its model card, and
`champion.json` that points to it.

The report is never cached and is the only step that writes the run folder's results.
"""

from components.reporting.inputs import ReportInputs
from components.reporting.publishing import publish
from components.reporting.report import write_report

__all__ = ["ReportInputs", "publish", "write_report"]
