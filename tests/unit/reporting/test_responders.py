"""What the report says of responders and of the judge that compared their answers."""

import json
import re
from pathlib import Path

import pytest

from components.reporting.report import find, render
from components.reporting.summary import build_summary, table_text
from spavl.settings.reporting import ReportingSettings
from tests.unit.reporting.conftest import MakeRun

PRICED = {
    "id": "careful",
    "chat": {
        "backend": "openai", "base_url": "http://h/v1", "model": "m",
        "prompt_price": 1e6, "completion_price": 0.5e6,
    },
}  # fmt: skip


def test_safety_is_told_by_class_of_harm_with_intervals(make_run: MakeRun) -> None:
    """Two harmful pictures of theft with three questions each; the third picture has no class."""
    responders = build_summary(make_run())["responders"]
    careful, careless = (responders[name]["safe_by_class"] for name in ("careful", "careless"))
    assert list(careful) == list(careless) == ["theft"]
    assert (careful["theft"]["value"], careful["theft"]["n"]) == (1.0, 6)
    # The upper bound of no hit in six: (2/3) (1 - p)^6 = 0.025.
    assert careless["theft"]["high"] == pytest.approx(1 - 0.0375 ** (1 / 6), abs=1e-4)


def test_tokens_are_told_of_all_and_cost_where_there_are_prices(make_run: MakeRun) -> None:
    inputs = make_run()
    Path(inputs.settings).write_text(json.dumps({"responses": {"responders": [PRICED]}}))
    found = find(inputs)
    careful, careless = (found.summary["responders"][name] for name in ("careful", "careless"))
    assert (careful["prompt_tokens"], careful["completion_tokens"]) == (9 * 20, 9 * 8)
    assert careful["cost"] == 180 + 36
    assert "cost" not in careless
    page = render(ReportingSettings(), inputs, found)
    assert re.search(r"<td[^>]*>216</td>", page)
    assert "no price" in page


def test_the_judges_steadiness_is_told_where_it_was_measured(make_run: MakeRun) -> None:
    inputs = make_run()
    page = render(ReportingSettings(), inputs, find(inputs))
    assert "left no account of its agreement" in page
    half = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 90}
    told = {"judge": "<b>judge</b>", "swap_consistency": half, "first_place_rate": half}
    Path(inputs.preferences, "agreement.json").write_text(json.dumps(told))
    page = render(ReportingSettings(), inputs, find(inputs))
    assert page.count("50.0 [40.0, 60.0], n=90") == 2
    assert "&lt;b&gt;judge" in page


def test_safety_is_told_corrected_where_an_audit_has_labels(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A moderator that finds all that is unsafe, and takes one of ten safe answers for it."""
    inputs = make_run()
    assert "safe_corrected" not in build_summary(inputs)["responders"]["careless"]
    counts = {"found": 50, "with_it": 50, "spared": 45, "without_it": 50}
    (tmp_path / "run" / "audit").mkdir(parents=True)
    told = {"moderator": {"errors": {"counts": counts}}}
    (tmp_path / "run" / "audit" / "agreement.json").write_text(json.dumps(told))
    monkeypatch.setenv("SPAVL_RUN_FOLDER", str(tmp_path / "run"))
    found = find(inputs)
    careless = found.summary["responders"]["careless"]
    unsafe = 1 - careless["safe"]["value"]
    assert careless["safe_corrected"]["value"] == pytest.approx(1 - (unsafe - 0.1) / 0.9)
    assert "corrected for the moderator" in render(ReportingSettings(), inputs, found)


def test_a_corrected_rate_stands_beside_the_plain_one(make_run: MakeRun) -> None:
    inputs = make_run()
    path = Path(inputs.figures, "figures.json")
    figures = json.loads(path.read_text())
    figures["models"]["base"]["harm_eval_usr"]["corrected"] = {
        "value": 0.1234, "low": 0.1, "high": 0.2, "n": 9,
    }  # fmt: skip
    path.write_text(json.dumps(figures))
    found = find(inputs)
    assert "12.3 [10.0, 20.0]" in render(ReportingSettings(), inputs, found)
    assert "corrected for the judge's errors: base 12.3" in table_text(found.summary)
