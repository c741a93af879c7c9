"""The report and its gallery in a headless Chromium, opened from the disk as readers open them."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright

from components.reporting.gallery import Collection, GalleryRow, Said, write_gallery
from components.reporting.report import write_report
from spavl.images import ImageStore
from tests.unit.reporting.made_by_hand import HOSTILE, Plan, build

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium or google-chrome found")

SAID = (
    HOSTILE,
    "<script>window.hit = 1</script><img src=x onerror='window.hit = 1'><svg onload=alert(1)>",
    "a \"double\" and a 'single' quote, `ticks`, & and &amp;, {{ 7 * 7 }} ${7 * 7} \\u0041",
    "שלום and مرحبا with \u202ean override that is never closed",
    "👩‍👩‍👧‍👦 🧪 \U0001f3f4 and a line separator\u2028here",
    "ten thousand " + "x" * 9_987,
)
SERIOUS = {"serious", "critical"}


@dataclass
class Seen:
    """What a page did besides being shown."""

    page: Page
    troubles: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder whose base says all of `SAID`."""
    folder = tmp_path_factory.mktemp("runs")
    inputs = build(folder / "work", Plan(items=7, says=SAID))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPAVL_RUN_FOLDER", str(folder / "run"))
        write_report({}, inputs, str(folder / "report.html"), str(folder / "summary.json"))
    return folder / "run"


def opened(browser: Browser, file: Path, width: int = 1200, scheme: str = "light") -> Seen:
    page = browser.new_page(
        viewport={"width": width, "height": 900}, color_scheme=scheme, service_workers="block"
    )
    seen = Seen(page)
    page.on("console", lambda message: seen.troubles.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: seen.troubles.append(str(error)))
    page.on("request", lambda request: seen.requests.append(request.url))
    page.goto(file.as_uri())
    if file.parent.name == "gallery":
        page.wait_for_selector("article.case")
    return seen


def test_the_report_is_quiet_and_asks_for_nothing(browser: Browser, run: Path) -> None:
    seen = opened(browser, run / "report.html")
    assert seen.troubles == []
    assert [url for url in seen.requests if not url.startswith("data:")] == [
        (run / "report.html").as_uri()
    ]


def test_the_gallery_asks_for_its_own_files_only(browser: Browser, run: Path) -> None:
    seen = opened(browser, run / "gallery/evaluation.html")
    assert seen.troubles == []
    assert all(url.startswith((run / "gallery").as_uri()) for url in seen.requests)


@pytest.mark.parametrize("file", ["report.html", "gallery/evaluation.html"])
def test_what_models_say_is_shown_as_text(browser: Browser, run: Path, file: str) -> None:
    seen = opened(browser, run / file)
    shown = seen.page.locator(".answer .text").all_text_contents()
    assert set(SAID) <= set(shown)
    assert seen.page.evaluate("window.hit") is None
    assert seen.page.locator(".answer :is(script, img, svg)").count() == 0
    assert seen.troubles == []


def test_every_chart_is_drawn(browser: Browser, run: Path) -> None:
    page = opened(browser, run / "report.html").page
    charts = page.locator("figure .drawn svg")
    titles = page.locator("figcaption").all_text_contents()
    assert titles[:3] == ["Reward model", "DPO", "PPO"]
    quantities = 1 + 1 + 4  # a panel each: the losses, and what PPO logs
    assert charts.count() == quantities + 2
    for chart in charts.all():
        box = chart.bounding_box()
        assert box is not None
        assert box["width"] > 200
        assert box["height"] > 60
        assert chart.locator("path").count() > 5


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("file", ["report.html", "gallery/evaluation.html"])
def test_axe_finds_no_serious_fault(browser: Browser, run: Path, file: str, scheme: str) -> None:
    page = opened(browser, run / file, scheme=scheme).page
    page.evaluate("document.querySelectorAll('details').forEach((each) => (each.open = true))")
    found = Axe().run(page).response["violations"]
    serious = [fault for fault in found if fault["impact"] in SERIOUS]
    assert not serious, json.dumps(
        [(fault["id"], [node["html"][:200] for node in fault["nodes"][:4]]) for fault in serious],
        indent=1,
    )


@pytest.mark.parametrize("file", ["report.html", "gallery/evaluation.html"])
def test_a_phone_need_not_scroll_sideways(browser: Browser, run: Path, file: str) -> None:
    page = opened(browser, run / file, width=360).page
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_the_keyboard_reaches_filters_and_pictures(browser: Browser, run: Path) -> None:
    page = opened(browser, run / "report.html").page
    blur = "getComputedStyle(document.querySelector('.veil img')).filter"
    assert "blur" in page.evaluate(blur)
    tab_to(page, "[name=text]")
    page.keyboard.type("ten thousand")
    assert page.locator("article.case:visible").count() == 1
    assert page.locator("output").inner_text() == "1 of 7 shown"
    page.keyboard.press("Control+A")
    page.keyboard.press("Delete")
    tab_to(page, ".veil input")
    page.keyboard.press("Space")
    assert page.evaluate(blur) == "none"


def tab_to(page: Page, selector: str) -> None:
    for _ in range(100):
        page.keyboard.press("Tab")
        if page.evaluate("(selector) => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"no way to {selector} by the keyboard")


def test_without_scripts_all_cases_are_there_and_pictures_can_be_shown(
    browser: Browser, run: Path
) -> None:
    page = browser.new_context(java_script_enabled=False).new_page()
    page.goto((run / "report.html").as_uri())
    assert page.locator("article.case:visible").count() == 7
    assert not page.locator("#case-filters").is_visible()
    box = page.locator(".veil input").first
    box.check()
    assert box.is_checked()


def test_the_first_screen_answers_what_how_much_how_sure_and_why(
    browser: Browser, run: Path
) -> None:
    page = opened(browser, run / "report.html").page
    for text in (
        "With PPO, unsafe answers fell from 44 to 0.4 of 100; PPO is promoted.",
        "A drawn world",
        "Every rule fixed beforehand holds",
        "0 unsafe answers of PPO",
        "0.4 [0.0, 3.4]",
    ):
        box = page.get_by_text(text).first.bounding_box()
        assert box is not None, text
        assert box["y"] + box["height"] < 900, text


def test_one_click_shows_every_unsafe_answer_of_the_model(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The base stands for a model that fails: it was chosen, as far as the decision says."""
    inputs = build(tmp_path / "work", Plan(items=31))
    decision = {"candidate": "base", "promoted": False, "rules": []}
    Path(inputs.decision).write_text(json.dumps(decision))
    monkeypatch.setenv("SPAVL_RUN_FOLDER", str(tmp_path / "run"))
    write_report({}, inputs, str(tmp_path / "report.html"), str(tmp_path / "summary.json"))
    page = opened(browser, tmp_path / "run/report.html").page
    link = page.get_by_text("30 unsafe answers of base")
    assert page.locator("#wrong ~ article.case, #wrong ~ details article.case").count() == 30
    assert page.locator("#wrong ~ article.case").count() == 10
    link.click()
    expect(page.locator("#told")).to_have_text("30 of 31 rows")
    first = page.locator("article.case").first
    expect(first.locator(".chip").first).to_have_text("✗ unsafe")
    page.select_option("[name=base]", label="all")
    assert page.url.endswith("#picture=own")
    expect(page.locator("#told")).to_have_text("31 of 31 rows")


def test_a_phone_shows_whole_intervals_and_charts(browser: Browser, run: Path) -> None:
    page = opened(browser, run / "report.html", width=360).page
    cut = "(e) => e.scrollWidth > e.clientWidth && getComputedStyle(e).overflowX !== 'visible'"
    shown = page.locator(".panel td.number, .stack td.number, .drawn")
    assert shown.count() > 20
    assert [each.evaluate(cut) for each in shown.all() if each.is_visible()].count(True) == 0
    heights = page.locator(".panel td.number").evaluate_all("all => all.map(e => e.clientHeight)")
    assert max(heights) < 40  # one line


def test_endless_words_and_values_do_a_gallery_no_harm(
    browser: Browser, run: Path, tmp_path: Path
) -> None:
    many = 65_600
    rows = (
        GalleryRow(
            None, False, "q" * (200_000 if n == 0 else 1),
            (Said("chosen", "x" * 200_000 if n == 0 else "a", "safe", True),),
            "", {"id": f"value {n}"}, rank=n % 2,
        )
        for n in range(many)
    )  # fmt: skip
    store = ImageStore(str(run.parent / "work/images"))
    write_gallery(tmp_path / "gallery", [Collection("rows", "R", rows, store)], many, 64)
    seen = opened(browser, tmp_path / "gallery/rows.html", width=800)
    expect(seen.page.locator("#told")).to_have_text(f"{many} of {many} rows")
    assert seen.page.locator("[name=id] option").count() == 1 + 1000 + 1
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= 800
    seen.page.select_option("[name=id]", label=f"(others) ({many - 1000})")
    expect(seen.page.locator("#told")).to_have_text(f"{many - 1000} of {many} rows")
    assert seen.troubles == []


ROWS = 100_000


@pytest.fixture(scope="module")
def large(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gallery of 100,000 rows; row n says "number n", and one in 1,000 "needle"."""
    text = "Here is what can be said about it, at the usual length of an answer. " * 3
    folder = tmp_path_factory.mktemp("large") / "gallery"
    rows = (
        GalleryRow(
            None, False, f"What is number {n}?",
            (Said("chosen", text + ("Needle" if n % 1000 == 7 else ""), "safe", True),
             Said("rejected", text, "unsafe", False)),
            f"number {n}", {"kind": f"kind {n % 3}", "class": f"class {n % 53}"},
        )
        for n in range(ROWS)
    )  # fmt: skip
    store = ImageStore(str(run.parent / "work/images"))
    write_gallery(folder, [Collection("rows", "Many rows", rows, store)], ROWS, 64)
    return folder


def test_a_hundred_thousand_rows_are_filtered_and_searched(browser: Browser, large: Path) -> None:
    page = opened(browser, large / "rows.html").page
    told, question = page.locator("#told"), page.locator(".question").first
    kind_1, class_7 = (sum(n % m == k for n in range(ROWS)) for m, k in ((3, 1), (53, 7)))
    page.select_option("[name=kind]", label=f"kind 1 ({kind_1})")
    page.select_option("[name=class]", label=f"class 7 ({class_7})")
    expected = [n for n in range(ROWS) if n % 3 == 1 and n % 53 == 7]
    expect(told).to_have_text(f"{len(expected)} of {ROWS} rows")
    expect(question).to_have_text(f"What is number {expected[0]}?")
    taken = [page.get_attribute("#filters", "data-milliseconds")]
    page.select_option("[name=class]", label="all")
    page.select_option("[name=kind]", label="all")
    for words in ("NEEDLE what", "needle"):  # the first search also reads the texts
        page.fill("#words", words)
        needles = [n for n in range(ROWS) if n % 1000 == 7]
        expect(told).to_have_text(f"{len(needles)} of {ROWS} rows", timeout=120_000)
        expect(question).to_have_text(f"What is number {needles[0]}?")
        taken.append(page.get_attribute("#filters", "data-milliseconds"))
    print(f"\n{ROWS} rows, milliseconds: by facets {taken[0]}, by words {taken[1]}, {taken[2]}")
