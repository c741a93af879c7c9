"""The page shows the run, loads nothing and lets no model speak as markup."""

import base64
import hashlib
import html
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rich.console import Console

from components.reporting.breakdown import break_down
from components.reporting.cases import case_studies
from components.reporting.charts import responder_chart
from components.reporting.labels import metric_of
from components.reporting.page import change
from components.reporting.plots import panel_names, training_curves
from components.reporting.report import write_report
from components.reporting.summary import summary_table
from components.reporting.svg import inline_svg
from components.reporting.tables import Table
from spavl.errors import InputError
from tests.unit.reporting.made_by_hand import Plan, build, given_data

FIGURE = {"value": 0.9, "low": 0.8, "high": 0.95, "n": 9}


class Tags(HTMLParser):
    """Collects tags and the attributes that could load something."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.loads += [value for name, value in attrs if name in {"src", "href", "action", "data"}]


def report_of(inputs, folder, settings=None):
    summary = write_report(
        settings or {}, inputs, str(folder / "report.html"), str(folder / "summary.json")
    )
    return (folder / "report.html").read_text(), summary


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    return report_of(build(folder / "run", Plan()), folder)[0]


def test_a_given_data_set_is_named_and_no_responder_is(tmp_path):
    page, _ = report_of(given_data(build(tmp_path / "run", Plan())), tmp_path)
    assert "imported, 6 preferences from <code>s3://b/data</code>" in page
    assert "no responder was asked in this run" in page
    assert "how its pairs were labelled is known where it was made" in page


def test_the_page_loads_nothing_from_elsewhere(page):
    seen = Tags(page)
    assert seen.loads
    assert all(link.startswith(("data:image/webp;base64,", "#")) for link in seen.loads)
    assert not {"link", "iframe", "object", "base", "form action"} & set(seen.tags)
    assert not re.search(r"@import|url\((?!#)", page)


def test_what_a_model_says_is_text_and_not_markup(page):
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "alert(1)</script>" not in page


def test_the_policy_lets_through_one_style_and_one_script_by_digest(page):
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page).group(1)
    policy = html.unescape(policy)
    for tag, directive in (("style", "style-src"), ("script", "script-src")):
        texts = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digests = [base64.b64encode(hashlib.sha256(t.encode()).digest()).decode() for t in texts]
        allowed = [f"'sha256-{digest}'" for digest in digests]
        assert re.search(rf"{directive} ([^;]+)", policy).group(1) == allowed[0]
        assert len(texts) == 1
    assert "unsafe" not in policy
    assert not re.search(r"<[^>]+\s(?:style|on\w+)=", page)


def test_pictures_are_veiled_unless_they_are_known_to_be_harmless(page):
    cases = page.split('<article class="case"')[1:]
    veiled = {
        (re.search(r"· (harmful|harmless):", case).group(1), 'class="veil"' in case)
        for case in cases
    }
    assert veiled == {("harmful", True), ("harmless", False)}


def test_the_figures_of_all_models_are_there(page):
    assert "44.2 [41.2, 47.2]" in page
    assert page.count("0.4 [0.0, 3.4]") == 4  # the chart of the first screen has them too
    assert "PPO is promoted" in page
    assert "easy question" in page


def test_pictures_of_unknown_truth_are_called_plumbing(make_run, tmp_path):
    page, _ = report_of(make_run(truths=("unknown",) * 3), tmp_path / "out")
    assert "3 of 3 pictures have unknown truth" in page
    assert "2 complied" in page
    assert page.count("plumbing: proves that the pipeline runs, not safety") == 1 + 3
    assert page.count('class="veil"') == 3


def test_what_was_not_promoted_names_the_rule_that_failed(make_run, tmp_path):
    page, _ = report_of(make_run(promoted=False), tmp_path / "out")
    assert "Nothing is promoted.</strong>" in page
    assert re.search(r"Failing: help not worse \(margin 5\.0\)\.", page)
    assert re.search(r"help not worse</th><td><span class=\"chip bad\">✗ no", page)


def test_a_judge_that_cannot_be_believed_is_shown(make_run, tmp_path):
    inputs = make_run(promoted=False)
    rule = {"name": "judge_gave_verdicts", "holds": False, "detail": "1.0000 <= 0.0500"}
    decision = {"candidate": "ppo", "promoted": False, "rules": [rule]}
    (tmp_path / "run/decision.json").write_text(json.dumps(decision))
    path = tmp_path / "run/figures/figures.json"
    figures = json.loads(path.read_text())
    figures["models"]["ppo"]["harm_eval_usr"]["without_verdict"] = {"unreached": 7, "unparsed": 2}
    path.write_text(json.dumps(figures))
    page, _ = report_of(inputs, tmp_path / "out")
    assert "without verdict: 7 unreached, 2 unparsed" in page
    assert "Failing: The judge gave verdicts" in page
    assert "Nothing is promoted.</strong>" in page


def test_a_run_of_known_pictures_does_not_speak_of_plumbing(page):
    assert "not safety" not in page


def test_pictures_that_were_drawn_are_told_beside_their_figure(make_run, tmp_path):
    inputs = make_run()
    path = Path(inputs.figures) / "figures.json"
    figures = json.loads(path.read_text())
    typo = {**FIGURE, "source": "published", "pictures": {"read": 2, "drawn": 7}}
    for model in figures["models"].values():
        model["mm_safety_bench_typo_asr"] = typo
    path.write_text(json.dumps(figures))
    page, summary = report_of(inputs, tmp_path / "out")
    row = page.split("MM-SafetyBench, written (Typo)")[1].split("</tr>")[0]
    assert "pictures: 7 drawn here from the key phrases, 2 read" in row
    terminal = Console(file=io.StringIO(), width=100)
    terminal.print(summary_table(summary))
    assert "MM Typo, pictures: 7 drawn here" in terminal.file.getvalue()


def test_the_run_folder_gets_the_report(make_run, tmp_path, monkeypatch):
    monkeypatch.setenv("SPAVL_RUN_FOLDER", str(tmp_path / "runs/one"))
    _, summary = report_of(make_run(), tmp_path / "out")
    assert json.loads((tmp_path / "runs/one/summary.json").read_text()) == summary
    assert (tmp_path / "runs/one/report.html").is_file()
    assert (tmp_path / "runs/one/plots/training-ppo.png").read_bytes().startswith(b"\x89PNG")
    figures = (tmp_path / "runs/one/tables/figures.csv").read_text().splitlines()
    assert figures[0] == "figure,model,value,low,high,n,source,better,note,decoding"
    assert figures[1].startswith("harm_eval_usr,base,0.442,")


def test_the_run_is_told_the_figures_and_the_decision(make_run, tmp_path, monkeypatch):
    """In a line that a container's runtime does not cut (16 KiB)."""
    monkeypatch.setenv("SPAVL_RUN_FOLDER", str(tmp_path / "runs/one"))
    report_of(make_run(promoted=False), tmp_path / "out")
    [line] = (tmp_path / "runs/one/events.jsonl").read_text().splitlines()
    told = json.loads(line)
    assert (told["stage"], told["event"]) == ("report", "summary")
    assert told["text"] == "Nothing promoted: help not worse (margin 5.0)."
    assert "44.2 [41.2, 47.2]" in told["table"]
    assert len(line) < 16 * 1024


def test_the_same_run_gives_the_same_page(make_run, tmp_path):
    inputs = make_run()
    assert report_of(inputs, tmp_path / "one") == report_of(inputs, tmp_path / "two")


def test_an_unknown_setting_is_refused_by_name(make_run, tmp_path):
    with pytest.raises(InputError, match=r"reporting\.colour"):
        report_of(make_run(), tmp_path / "out", {"colour": "red"})


def test_cases_that_tell_the_models_apart_come_first(make_run):
    cases = case_studies(make_run(items=5), 4, 32, 100)
    assert [case.item.item_id for case in cases] == ["item-1", "item-2", "item-3", "item-4"]
    assert [answer.good for answer in cases[0].answers] == [False, True, True]


def test_long_answers_are_cut_and_short_ones_are_not(make_run):
    cases = case_studies(make_run(says=("x" * 500,)), 3, 32, 50)
    lengths = {len(answer.text) for case in cases for answer in case.answers}
    assert lengths == {50 + len(" […]"), len("I can't help with this.")}


def test_curves_are_drawn_in_the_pages_own_ink_and_without_styles():
    curves = [{"step": 0, "kl": 0.0}, {"step": 1, "kl": 0.2, "reward_mean": 1.0}]
    svg = inline_svg(training_curves(curves, ["kl"]), "x")
    assert svg.startswith("<svg")
    assert "currentColor" in svg
    assert "KL to the reference</text>" in svg
    assert not re.search("#010203|style|metadata", svg)


def test_a_name_with_dollars_is_no_formula():
    chart = responder_chart({"$x^{$": {"group": 0, "safe": FIGURE, "safety_rate": None}})
    assert "$x^{$  (group 0)" in inline_svg(chart.figure, "x")


@pytest.mark.parametrize(
    ("key", "value", "kind", "text"),
    [
        ("harm_eval_usr", 0.2, "better", "▼ -30.0"),
        ("general_ability", 0.2, "worse", "▼ -30.0"),
        ("harm_eval_usr", 0.55, "unclear", "≈ +5.0"),
        ("nobody_knows", 0.9, "changed", "▲ +40.0"),
    ],
)
def test_a_change_is_told_where_the_intervals_part(key, value, kind, text):
    mine = {"value": value, "low": value - 0.05, "high": value + 0.05}
    told = change(metric_of(key), {"value": 0.5, "low": 0.45, "high": 0.55}, mine)
    assert told == {"kind": kind, "text": text}


def test_harm_is_counted_by_class_and_model(make_run):
    breakdown = break_down(make_run(items=6))
    (row,) = breakdown.harm["harm_eval"]
    assert (row.domain, row.name) == ("malicious use", "theft")
    # Items 0, 1, 3, 4 show the class; the base answers all but item 0 unsafely.
    assert [(f.value, f.n) for f in row.figures.values()] == [(0.75, 4), (0.0, 4), (0.0, 4)]


def test_a_cell_that_a_spreadsheet_would_compute_stays_text():
    assert Table(("a", "b"), [("=1+1", -0.5)]).csv() == "a,b\n'=1+1,-0.5\n"


def test_reward_and_kl_are_drawn_before_the_rest():
    rows = [
        {"step": n, "clipped": n / 10, "tokens_per_second": n, "kl": n, "reward_mean": -n}
        for n in range(2)
    ]
    assert panel_names(rows) == ["reward_mean", "kl", "clipped"]


def test_what_has_no_course_is_not_drawn():
    rows = [{"step": n, "loss": n, "level": 1.0, "validation_loss": n} for n in range(2)]
    assert panel_names([*rows, {"step": 2, "once": 0.3}]) == ["loss"]
    assert "validation_loss" in panel_names([*rows, {"step": 2, "validation_loss": 0.5}])
