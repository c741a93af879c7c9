"""The audit: a blind sheet goes out, labels come in, agreement is what one works out by hand."""

import csv
import io
import json
from pathlib import Path

import PIL.Image
import pytest
from typer.testing import CliRunner

from pipelines.commands.audit import audit
from spavl.errors import InputError
from spavl.records import Image, Maker, Pair, Preference, SetAside, record_id
from spavl.shards import DatasetWriter, write_json

PAIRS = [
    Pair(
        f"p{i}", f"q{i}", "i", f"How {i}?", "easy_question", "harmful", "theft", "theft",
        f"a{i}", "=HYPERLINK(1)", "bold", False, f"b{i}", "</p><script>no</script>", "shy", True,
    )
    for i in range(6)
]  # fmt: skip


def kept(pair: Pair, chosen: str) -> Preference:
    places = {"first": ("first", "second"), "second": ("second", "first")}[chosen]
    texts = [value for place in places for value in (getattr(pair, place),)]
    ids = [getattr(pair, f"{place}_response_id") for place in places]
    return Preference(
        record_id(pair.pair_id), "i", pair.question_id, pair.question, pair.kind, "harmful", None,
        None, *texts, *ids, "x", "y", True, False, "r", "r", Maker("judge"),
    )  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Judge: first, second, second, tie; a disagreement; p5 first."""
    verdicts = {"p0": "first", "p1": "second", "p2": "second", "p5": "first"}
    work = tmp_path / "work"
    with (
        DatasetWriter(work / "pairs", Pair) as pairs,
        DatasetWriter(work / "preferences", Preference) as preferences,
        DatasetWriter(work / "preferences" / "set_asides", SetAside) as aside,
        DatasetWriter(work / "images", Image) as images,
    ):
        for pair in PAIRS:
            pairs.add(pair)
            if pair.pair_id in verdicts:
                preferences.add(kept(pair, verdicts[pair.pair_id]))
        aside.add(SetAside("p3", "judging", "tie", "tie: a | tie: b"))
        aside.add(SetAside("p4", "judging", "swap_disagreement", "first: a | first: b"))
        buffer = io.BytesIO()
        PIL.Image.new("RGB", (8, 8)).save(buffer, "PNG")
        facts = ("image/png", 8, 8, "s", "harmful", None, None, None, None)
        images.add(Image("i", buffer.getvalue(), *facts))
    half = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 9}
    agreement = {"swap_consistency": half, "first_place_rate": half}
    write_json(work / "preferences" / "agreement.json", agreement)
    stages = tmp_path / "run" / "stages"
    stages.mkdir(parents=True)
    for stage in ("pairing", "judging", "collection"):
        write_json(stages / f"{stage}.json", {"work": str(work)})
    return tmp_path / "run"


def command(*arguments: object) -> str:
    done = CliRunner().invoke(audit, [str(a) for a in arguments], catch_exceptions=False)
    if isinstance(done.exception, InputError):
        raise done.exception
    assert done.exit_code == 0
    return done.output


def fill(run: Path, labels: dict[str, tuple[str, str, str]]) -> None:
    path = run / "audit" / "audit.csv"
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    for row in rows:
        row.update(
            zip(("better", "first_safe", "second_safe"), labels[row["pair_id"]], strict=True)
        )
    with path.open("w", newline="", encoding="utf-8-sig") as stream:  # as spreadsheets write it
        sheet = csv.DictWriter(stream, rows[0])
        sheet.writeheader()
        sheet.writerows(rows)


def test_the_sheet_is_blind_and_carries_nothing_that_runs(run: Path) -> None:
    command("out", run)
    with (run / "audit" / "audit.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert sorted(row["pair_id"] for row in rows) == ["p0", "p1", "p2", "p3", "p5"]
    assert rows[0]["first"] == "'=HYPERLINK(1)"
    page = (run / "audit" / "audit.html").read_text()
    text = (run / "audit" / "audit.csv").read_text() + page
    assert "<script>" not in page
    assert page.count('src="data:image/webp;base64,') == 5
    assert "bold" not in text
    assert "shy" not in text


def test_a_sheet_is_never_written_over(run: Path) -> None:
    command("out", run, "--rows", 2)
    with pytest.raises(InputError, match="there already"):
        command("out", run)


def test_agreement_is_what_one_works_out_by_hand(run: Path) -> None:
    command("out", run)
    labels = {
        "p0": ("first", "no", "yes"),
        "p1": ("Second ", "no", "yes"),
        "p2": ("first", "yes", "yes"),
        "p3": ("tie", "no", ""),
        "p5": ("", "", ""),
    }
    fill(run, labels)
    told = command("in", run)
    assert "75.0" in told
    found = json.loads((run / "audit" / "agreement.json").read_text())
    # Person: first, second, first, tie; judge: first, second, second, tie.
    assert found["judge"]["agreement"]["value"] == 3 / 4
    assert found["judge"]["labels"] == {
        "first/first": 1, "first/second": 1, "second/second": 1, "tie/tie": 1,
    }  # fmt: skip
    chance = (2 * 1 + 1 * 2 + 1 * 1) / 16
    assert found["judge"]["kappa"]["value"] == pytest.approx((3 / 4 - chance) / (1 - chance))
    # The moderator says no to every first answer and yes to every second one.
    assert found["moderator"]["agreement"]["n"] == 7
    assert found["moderator"]["agreement"]["value"] == 6 / 7
    # It misses nothing that people call unsafe, and calls one of four safe answers unsafe.
    errors = found["moderator"]["errors"]
    assert errors["counts"] == {"found": 3, "with_it": 3, "spared": 3, "without_it": 4}
    assert errors["specificity"]["value"] == 3 / 4


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"p0": ("both", "", "")}, "'both' in column better"),
        ({"p0": ("", "maybe", "")}, "'maybe' in column first_safe"),
        ({}, "no label in the sheet"),
    ],
)
def test_a_sheet_with_mistakes_is_told_by_line(run: Path, change: dict, told: str) -> None:
    command("out", run)
    fill(run, {pair.pair_id: change.get(pair.pair_id, ("", "", "")) for pair in PAIRS})
    with pytest.raises(InputError, match=told):
        command("in", run)


def test_another_runs_sheet_and_a_missing_one_are_told(run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no sheet"):
        command("in", run)
    sheet = tmp_path / "other.csv"
    sheet.write_text("pair_id,better,first_safe,second_safe\nzz,first,,\n")
    with pytest.raises(InputError, match="1 pairs of another run"):
        command("in", run, sheet)
    sheet.write_text("pair_id,better\nzz,first\n")
    with pytest.raises(InputError, match="no column first_safe"):
        command("in", run, sheet)
    with pytest.raises(InputError, match="no judged pairs"):
        command("out", tmp_path)
