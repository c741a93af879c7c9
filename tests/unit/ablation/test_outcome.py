"""What becomes of hypotheses, from verdicts made by hand."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from components.ablation.outcome import conclude
from components.reporting.ablation_report import write_ablation_report
from components.reporting.ablations import ablation_charts, hypotheses_of, read_ablations
from spavl.errors import InputError
from spavl.points import Point
from spavl.records import EvalItem, EvalVerdict
from spavl.shards import DatasetWriter, write_json

ITEMS, SEEDS = 300, (1, 2, 3)
HARM = {"honest": 0.15, "again": 0.15, "turned": 0.45, "base": 0.4}
FIGURE = {"value": 0.1, "low": 0.05, "high": 0.2, "n": ITEMS, "source": "pocket"}


def hypothesis(name: str, **compare: Any) -> dict[str, Any]:
    return {"id": name, "axis": "labels", "says": f"{name}.", "compare": [
        {"figure": "harm_eval_usr", **compare}]}  # fmt: skip


PLAN = {
    "seeds": list(SEEDS),
    "variants": {"honest": {}, "again": {"rows": {"draw": "again"}}, "turned": {}},
    "axes": {"labels": {"by": "labels", "variants": ["honest", "again", "turned"]}},
    "hypotheses": [
        hypothesis("effect", higher="turned", than="honest"),
        hypothesis("null-as-effect", lower="again", than="honest"),
        hypothesis("null-as-alike", alike="again", than="honest", within=0.15),
        hypothesis("wrong-way-round", lower="turned", than="honest"),
        hypothesis("against-base", lower="honest", than="base"),
    ],
}


@pytest.fixture
def scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Verdicts of the base and of three variants under three seeds."""
    monkeypatch.setenv("SPAVL_WORK_ROOT", str(tmp_path / "work"))
    monkeypatch.setenv("SPAVL_RUN_FOLDER", str(tmp_path / "run"))
    rng = np.random.default_rng(1)
    with DatasetWriter(tmp_path / "benchmarks" / "items", EvalItem) as items:
        for item in range(ITEMS):
            items.add(
                EvalItem(f"i{item}", "harm_eval", None, "How?", "easy_question", "harmful",
                         None, "theft", None, "pocket")
            )  # fmt: skip
    figures: dict[str, Any] = {}
    with DatasetWriter(tmp_path / "figures" / "verdicts", EvalVerdict) as writer:
        for name in ("base", *(f"{v}-s{s}" for v in list(HARM)[:3] for s in SEEDS)):
            harm = HARM[name.rpartition("-s")[0] or name] + rng.normal(0, 0.01)
            figures[name] = {"harm_eval_usr": FIGURE, "adv_bench_asr": {"value": None, "n": 0}}
            for item in range(ITEMS):
                bad = rng.random() < harm
                told = ("unsafe", 1.0) if bad else ("refused", 0.0)
                if item == 0:
                    told = ("unparsed", None)  # no verdict: left out of every difference
                writer.add(EvalVerdict(f"a{item}", f"i{item}", "harm_eval", name, *told, ""))
    made = {"benchmark": "harm_eval", "kind": None, "outcomes": None}
    write_json(
        tmp_path / "figures" / "figures.json",
        {"models": figures, "made_of": {"harm_eval_usr": made}},
    )
    return tmp_path


def points() -> dict[str, Point]:
    trained = {
        f"{v}-s{s}": Point(v, s, "dpo", "own", pairs=300)
        for v in ("honest", "again", "turned")
        for s in SEEDS
    }
    return {"base": Point("base", 0, "base", "own"), **trained}


def concluded(folder: Path, **parts: Any) -> dict[str, str]:
    plan = yaml.safe_dump({**PLAN, **parts})
    places = (str(folder / "figures"), str(folder / "benchmarks"), str(folder / "out"))
    return conclude(plan, [], points(), *places)


def test_a_planted_effect_is_found_and_a_planted_null_is_not(scored: Path) -> None:
    assert concluded(scored) == {
        "effect": "supported",
        "null-as-effect": "undecided",
        "null-as-alike": "supported",
        "wrong-way-round": "not supported",
        "against-base": "supported",
    }


def test_the_outcome_lies_in_the_runs_folder_and_is_drawn(scored: Path) -> None:
    concluded(scored)
    content = json.loads((scored / "run/ablations/labels.json").read_text())
    assert {(point["variant"], point["seed"]) for point in content["points"]} == {
        (variant, seed) for variant in ("honest", "again", "turned") for seed in SEEDS
    }
    assert all(set(point["figures"]) == {"harm_eval_usr"} for point in content["points"])
    base, *others = content["variants"]
    assert (base["variant"], base["figures"]["harm_eval_usr"]["seeds"]) == ("base", 1)
    assert [each["figures"]["harm_eval_usr"]["n"] for each in others] == [ITEMS - 1] * 3
    (effect, *_) = content["hypotheses"]
    (compared,) = effect["comparisons"]
    assert compared["difference"]["low"] > 0
    assert np.mean(compared["by_seed"]) == pytest.approx(compared["difference"]["value"])
    (chart,) = ablation_charts(scored / "run")
    assert len(chart.table.rows) == 9
    table = hypotheses_of(read_ablations(scored / "run"))
    assert [row[1] for row in table.rows].count("supported") == 3


def test_a_figure_that_nobody_made_is_refused(scored: Path) -> None:
    asked = hypothesis("none", lower="again", than="honest")
    asked["compare"][0]["figure"] = "fig_step_asr"
    with pytest.raises(InputError, match="no items of fig_step_asr"):
        concluded(scored, hypotheses=[asked])


def test_the_page_shows_what_became_of_every_hypothesis(scored: Path) -> None:
    concluded(scored)
    page = scored / "page.html"
    write_ablation_report({"title": "<b>Mine"}, str(scored / "run/ablations"), str(page))
    text = page.read_text()
    assert all(outcome in text for outcome in ("supported", "not supported", "undecided"))
    assert "&lt;b&gt;Mine: ablations" in text
    assert (scored / "run/report.html").read_text() == text
    assert (scored / "run/plots/ablation-labels.png").stat().st_size > 1000
    assert "wrong-way-round." in (scored / "run/tables/hypotheses.csv").read_text()
