"""The page shows the run, loads nothing and lets no model speak as markup."""

import json
import re
from html.parser import HTMLParser

import pytest

from components.reporting.cases import case_studies
from components.reporting.plots import curves_svg, panel_names
from components.reporting.report import write_report
from spavl.errors import InputError


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


@pytest.fixture
def page(make_run, tmp_path):
    return report_of(make_run(), tmp_path / "out")[0]


def test_the_page_loads_nothing_from_elsewhere(page):
    seen = Tags(page)
    assert seen.loads
    assert all(link.startswith(("data:image/png;base64,", "#")) for link in seen.loads)
    assert not {"script", "link", "iframe", "object"} & set(seen.tags)
    assert not re.search(r"@import|url\((?!#)", page)


def test_what_a_model_says_is_text_and_not_markup(page):
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script" not in page


def test_the_figures_of_all_models_are_there(page):
    assert "44.2 [41.2, 47.2]" in page
    assert page.count("0.4 [0.0, 3.4]") == 2
    assert "PPO is promoted" in page
    assert "easy question" in page


def test_pictures_of_unknown_truth_are_called_plumbing(make_run, tmp_path):
    page, _ = report_of(make_run(truths=("unknown",) * 3), tmp_path / "out")
    assert "3 of 3 pictures have unknown truth" in page
    assert "2 complied" in page
    assert page.count("plumbing: proves that the pipeline runs, not safety") == 1 + 3


def test_a_run_of_known_pictures_does_not_speak_of_plumbing(page):
    assert "not safety" not in page


def test_the_run_folder_gets_the_report(make_run, tmp_path, monkeypatch):
    monkeypatch.setenv("SPAVL_RUN_FOLDER", str(tmp_path / "runs/one"))
    _, summary = report_of(make_run(), tmp_path / "out")
    assert json.loads((tmp_path / "runs/one/summary.json").read_text()) == summary
    assert (tmp_path / "runs/one/report.html").is_file()
    assert (tmp_path / "runs/one/curves.png").read_bytes().startswith(b"\x89PNG")


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
    cases = case_studies(make_run(hostile="x" * 500), 3, 32, 50)
    lengths = {len(answer.text) for case in cases for answer in case.answers}
    assert lengths == {50 + len(" […]"), len("I can't help with this.")}


def test_curves_are_drawn_in_the_pages_own_ink():
    svg = curves_svg([{"step": 0, "kl": 0.0}, {"step": 1, "kl": 0.2, "reward_mean": 1.0}], "x")
    assert svg.startswith("<svg")
    assert "currentColor" in svg
    assert "#010203" not in svg


def test_reward_and_kl_are_drawn_before_the_rest():
    rows = [
        {"step": 0, "clipped": 0.1, "tokens_per_second": 9, "kl": 0.0},
        {"step": 1, "reward_mean": 0.2},
    ]
    assert panel_names(rows) == ["reward_mean", "kl", "clipped"]
    assert curves_svg([], "x") == ""
