"""What lmms-eval measured has a table of its own, in its own units."""

import io
import json
from pathlib import Path

from rich.console import Console

from components.reporting.capabilities import (
    capability_rows,
    capability_table,
    own_unit,
    unmeasured,
)
from components.reporting.page import change
from components.reporting.report import write_report
from components.reporting.summary import summary_table

ABSENT = {"value": None, "low": None, "high": None, "n": 0, "better": "", "source": "lmms-eval"}
FAILED = {**ABSENT, "note": "not measured: no data <b>here</b>[/b]"}


def figure(value, reach=None, note=""):
    bounds = (None, None) if reach is None else (value - reach, value + reach)
    named = dict(zip(("value", "low", "high", "n"), (value, *bounds, 200), strict=True))
    return {**named, "better": "higher", "note": note, "source": "lmms-eval"}


CAPABILITIES = {
    "base": {"mme/score": figure(1510.6, 12), "pope/acc": figure(0.86, 0.02)},
    "dpo": {"mme/score": figure(1480.0, 12), "pope/acc": figure(0.7, 0.02)},
    "ppo": {"mme": FAILED, "pope/acc": figure(0.85, note="no interval")},
}


def test_a_task_that_fails_for_one_model_has_a_row_and_a_reason():
    rows = capability_rows(CAPABILITIES)
    assert [(metric.key, list(row)) for metric, row in rows] == [
        ("mme/score", ["base", "dpo"]),
        ("pope/acc", ["base", "dpo", "ppo"]),
        ("mme", ["ppo"]),
    ]
    assert unmeasured(rows) == {"pope/acc (ppo)": "no interval", "mme": FAILED["note"]}
    table = capability_table(rows)
    assert table.rows[0][:6] == ("mme/score", "base", 1510.6, 1498.6, 1522.6, 200)
    assert table.rows[-1] == ("mme", "ppo", None, None, None, 0, "lmms-eval", "", FAILED["note"])


def test_figures_and_changes_are_told_in_their_own_unit():
    assert own_unit(figure(1510.6, 12)) == "1511 [1499, 1523]"
    assert (own_unit(figure(0.85)), own_unit(FAILED)) == ("0.85", "–")
    (score, row), (share, other), _ = capability_rows(CAPABILITIES)
    assert change(score, row["base"], row["dpo"], 1) == {"kind": "worse", "text": "▼ -30.6"}
    assert change(share, other["base"], other["dpo"], 1) == {"kind": "worse", "text": "▼ -0.16"}
    assert change(share, other["base"], other["ppo"], 1) is None  # without interval nobody can say


def test_the_report_shows_them_and_says_what_is_missing(make_run, tmp_path, monkeypatch):
    monkeypatch.setenv("SPAVL_RUN_FOLDER", str(tmp_path / "runs/one"))
    inputs = make_run()
    path = Path(inputs.figures) / "figures.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"capabilities": CAPABILITIES}))
    summary = write_report(
        {}, inputs, str(tmp_path / "report.html"), str(tmp_path / "summary.json")
    )
    assert summary["capabilities"] == CAPABILITIES
    page = (tmp_path / "report.html").read_text()
    section = page.split("Maintaining core capabilities")[1].split("</section>")[0]
    assert "1511 [1499, 1523]" in section
    assert "mme: not measured: no data &lt;b&gt;here&lt;/b&gt;[/b]" in section
    assert (tmp_path / "runs/one/tables/capabilities.csv").read_text().count("\n") == 7
    terminal = Console(file=io.StringIO(), width=100)
    terminal.print(summary_table(summary))
    assert "lmms-eval, mme: not measured: no data <b>here</b>[/b]." in terminal.file.getvalue()
    assert "lmms-eval, pope/acc ↑: base 0.86 [0.84, 0.88], dpo 0.7" in terminal.file.getvalue()


def test_signs_that_are_not_seen_are_written_out(make_run, tmp_path):
    inputs = make_run()
    hidden = {**ABSENT, "note": "not measured: turned \u202eround"}
    given = {"ppo": {"mme\x1b[2J/a": figure(1.0), "x\u202e": hidden}}
    path = Path(inputs.figures) / "figures.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"capabilities": given}))
    summary = write_report(
        {}, inputs, str(tmp_path / "report.html"), str(tmp_path / "summary.json")
    )
    page = (tmp_path / "report.html").read_text()
    terminal = Console(file=io.StringIO(), width=100)
    terminal.print(summary_table(summary))
    for text in (page, terminal.file.getvalue()):
        assert "turned \\u202eround" in text
        assert "mme\\x1b[2J/a" in text
        assert "\u202e" not in text
        assert "\x1b[2J" not in text


def test_a_run_without_them_does_not_speak_of_them(make_run, tmp_path):
    write_report({}, make_run(), str(tmp_path / "report.html"), str(tmp_path / "summary.json"))
    assert "core capabilities" not in (tmp_path / "report.html").read_text()
