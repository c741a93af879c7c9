"""Files that were set aside are counted and named, whatever their names hold."""

import io
import json

import pytest
from rich.console import Console

from components.reporting.quarantine import file_quarantine, quarantine_line, visible
from components.reporting.report import write_report
from components.reporting.summary import build_summary, summary_table
from spavl.records import SetAside
from spavl.shards import DatasetWriter

HOSTILE = [
    "<script>alert(1)</script>.png",
    "two\nlines.jpg",
    "a\"quote' and & more.jpg",
    "smile 😀.png",
    "turned\u202egnp.exe",
    "[bold]markup[/bold] {{ 7 * 7 }}.png",
]


@pytest.fixture
def inputs(make_run):
    """A run of three pocket pictures whose collection set aside files with hostile names."""
    inputs = make_run()
    set_aside(inputs.images, [(name, "not an image") for name in HOSTILE])
    return inputs


def set_aside(images, rows):
    with DatasetWriter(f"{images}/set_asides", SetAside) as writer:
        for name, reason in rows:
            writer.add(SetAside(name, "collection", reason, f"found in {name}"))


def test_files_are_counted_by_reason_and_named(make_run):
    inputs = make_run()
    before = file_quarantine(inputs.images)
    set_aside(inputs.images, [("a", "truncated"), ("b", "duplicate"), ("c", "truncated")])
    after = file_quarantine(inputs.images)
    assert before["reasons"] == {}
    assert (after["used"], after["given"]) == (before["used"], before["used"] + 3)
    assert {name: found["n"] for name, found in after["reasons"].items()} == {
        "duplicate": 1,
        "truncated": 2,
    }
    assert after["reasons"]["truncated"]["files"][1] == {"name": "c", "detail": "found in c"}


def test_of_many_files_the_first_are_named_and_all_are_counted(make_run):
    inputs = make_run()
    set_aside(inputs.images, [(str(index), "empty file") for index in range(2000)])
    found = file_quarantine(inputs.images)["reasons"]["empty file"]
    assert found["n"] == 2000
    assert [file["name"] for file in found["files"]] == [str(index) for index in range(50)]


def test_the_page_shows_hostile_names_as_text(inputs, tmp_path):
    write_report({}, inputs, str(tmp_path / "report.html"), str(tmp_path / "summary.json"))
    page = (tmp_path / "report.html").read_text()
    assert page.count("<script") == 1  # the page's own
    for shown in (
        "&lt;script&gt;alert(1)&lt;/script&gt;.png",
        "two\\nlines.jpg",
        "a&#34;quote&#39; and &amp; more.jpg",
        "smile 😀.png",
        "turned\\u202egnp.exe",
        "{{ 7 * 7 }}",
    ):
        assert f"<bdi>{shown}" in page or shown in page.split("Set aside: files")[1]
    told = json.loads((tmp_path / "summary.json").read_text())["quarantine"]
    assert [file["name"] for file in told["reasons"]["not an image"]["files"]] == HOSTILE


def test_the_terminal_says_it_in_one_line_without_names(inputs):
    output = io.StringIO()
    Console(file=output, width=120).print(summary_table(build_summary(inputs)))
    lines = [line for line in output.getvalue().splitlines() if "set aside" in line]
    assert len(lines) == 1
    assert "6 of " in lines[0]
    assert "files set aside: see report." in lines[0]


def test_a_run_without_set_aside_files_says_nothing_of_them(make_run):
    assert quarantine_line(build_summary(make_run())["quarantine"]) == ""


def test_marks_that_cannot_be_seen_are_written_out():
    family = "👨\u200d👩\u200d👧"
    assert visible(f"a\tb\x00c\u202e{family}é") == f"a\\tb\\x00c\\u202e{family}é"
