"""The published benchmarks: the real files load whole, and what is missing is told."""

import gzip
import json
import os
from collections import Counter
from pathlib import Path

import PIL.Image
import pyarrow
import pytest
from pyarrow import parquet

from components.evaluation.benchmarks import prepare
from components.evaluation.figures import Making, Scored, by_model
from components.evaluation.items import Missing, PictureCount
from components.evaluation.published import published_items
from components.evaluation.published.typography import written
from components.evaluation.scenarios import cautions, rubric_of
from spavl.errors import InputError
from spavl.images import ImageStore
from spavl.records import EvalItem, Image
from spavl.settings.evaluation import PublishedSettings, ScoringSettings
from spavl.shards import DatasetWriter, read_manifest, read_records
from spavl.work import Reference

SHARED = Path(os.environ.get("SPAVL_SHARED_DATA", Path(__file__).parents[4] / "shared" / "data"))
real_files = pytest.mark.skipif(
    not (SHARED / "advbench").is_dir(), reason=f"no published benchmarks in {SHARED}"
)


def read(folder: Path, **settings: object) -> tuple[Counter[tuple[str, str | None]], list[Missing]]:
    found = list(published_items(PublishedSettings(folder=str(folder), **settings)))
    items = [item for each in found if not isinstance(each, Missing) for item in each.items]
    assert len({item.item_id for item in items}) == len(items)
    assert {item.source for item in items} == {"published"}
    columns = Counter((item.benchmark, item.kind) for item in items)
    return columns, [each for each in found if isinstance(each, Missing)]


@real_files
def test_the_real_files_load_completely() -> None:
    columns, missing = read(SHARED)
    assert columns == {
        ("adv_bench", "vanilla"): 510,
        ("xs_test", "safe"): 247,
        ("xs_test", "unsafe"): 194,
        ("xs_test_help", None): 247,
        ("mm_safety_bench", "text"): 167,
        ("mm_safety_bench", "typo"): 167,
        ("fig_step", None): 50,
    }
    lacking = {(each.benchmark, each.kind): each.n for each in missing if "column" in each.what}
    assert lacking == {("mm_safety_bench", "sd"): 167, ("mm_safety_bench", "sd_typo"): 167}
    untold = {each.benchmark for each in missing if each.kind is None}
    assert untold == {"moss_bench", "spa_vl_harm_eval", "spa_vl_help_eval", "anthropic_helpful"}


def make_png(path: Path, colour: str) -> bytes:
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.new("RGB", (8, 8), colour).save(path)
    return path.read_bytes()


@real_files
def test_every_question_of_mm_safety_bench_is_there_but_for_its_painted_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = make_png(tmp_path / "one for all, quick to decode.png", "white")
    monkeypatch.setattr(
        "components.evaluation.published.mm_safety_bench.written", lambda phrase: picture
    )
    columns, missing = read(SHARED, subset="full")
    assert columns["mm_safety_bench", "text"] == columns["mm_safety_bench", "typo"] == 1665
    assert {each.n for each in missing if each.benchmark == "mm_safety_bench"} == {1665}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Every benchmark in its layout, with harmless texts; numbers as in full copies."""
    root = tmp_path / "published"
    for name in ("advbench", "xstest", "figstep"):
        (root / name).mkdir(parents=True)
    goals = "\n".join(f"Goal {k},Sure {k}" for k in range(520))
    (root / "advbench/harmful_behaviors.csv").write_text(f"goal,target\n{goals}\n")
    (root / "advbench/suffix.txt").write_text("and so on !!\n")
    rows = [f"{'contrast_' if k >= 250 else ''}homonyms,Prompt {k}" for k in range(450)]
    (root / "xstest/xstest_v2_prompts.csv").write_text("type,prompt\n" + "\n".join(rows) + "\n")
    questions = {
        str(k): {
            "Changed Question": f"Text {k}?",
            "Rephrased Question": f"Written {k}?",
            "Rephrased Question(SD)": f"Painted {k}?",
            "Key Phrase": f"Phrase {k}",
        }
        for k in range(3)
    }
    scenario = "12-Health_Consultation"
    mm = root / "mm-safetybench"
    (mm / "processed_questions").mkdir(parents=True)
    (mm / f"processed_questions/{scenario}.json").write_text(json.dumps(questions))
    listed = [{"Scenario": scenario, "Sampled_ID_List": [0, 2, 7]}]
    (mm / "TinyVersion_ID_List.json").write_text(json.dumps(listed))
    for k, colour in enumerate(("red", "green", "blue")):
        make_png(mm / f"imgs/{scenario}/SD/{k}.jpg", colour)
    figs = [f"ForbidQI,1,{k},Any" for k in range(1, 4)]
    (root / "figstep/SafeBench-Tiny.csv").write_text(
        "dataset,category_id,task_id,category_name\n" + "\n".join(figs) + "\n"
    )
    make_png(root / "figstep/images/query_ForbidQI_1_1_6.png", "white")
    (root / "figstep/images/query_ForbidQI_1_2_6.png").write_bytes(b"torn")
    moss = {"1": {"image": "images/1.png", "question": "Plan it.", "metadata": {"over": "type 1"}}}
    (root / "mossbench/images_information").mkdir(parents=True)
    (root / "mossbench/images_information/information.json").write_text(json.dumps(moss))
    make_png(root / "mossbench/images/1.webp", "pink")
    pixels = make_png(tmp_path / "any.png", "black")
    row = {"image": {"bytes": pixels, "path": "x"}, "question": "What now?", "class3": "theft"}
    (root / "spa-vl/test").mkdir(parents=True)
    for split in ("harm", "help"):
        table = pyarrow.Table.from_pylist([row])
        parquet.write_table(table, root / f"spa-vl/test/{split}-00000-of-00001.parquet")
    told = {"chosen": "\n\nHuman: How do I knit?\n\nAssistant: Like this.\n\nHuman: And?"}
    (root / "anthropic-helpful").mkdir()
    with gzip.open(root / "anthropic-helpful/test.jsonl.gz", "wt") as stream:
        stream.write(2 * (json.dumps(told) + "\n"))
    return root


# Questions and Tiny questions of MM-SafetyBench's scenarios, as published: 1,680 and 168.
SCENARIOS = {
    "01": (97, 10), "02": (163, 16), "03": (44, 5), "04": (144, 14), "05": (122, 12),
    "06": (154, 15), "07": (109, 11), "08": (153, 15), "09": (139, 14), "10": (130, 13),
    "11": (167, 17), "12": (109, 11), "13": (149, 15),
}  # fmt: skip


@pytest.mark.parametrize(("subset", "n"), [("full", 1680), ("tiny", 168)])
def test_a_full_copy_of_mm_safety_bench_loads_completely(
    subset: str, n: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = make_png(tmp_path / "one for all.png", "white")
    monkeypatch.setattr(
        "components.evaluation.published.mm_safety_bench.written", lambda phrase: picture
    )
    folder = tmp_path / "published/mm-safetybench"
    (folder / "processed_questions").mkdir(parents=True)
    texts = dict.fromkeys(("Changed Question", "Rephrased Question", "Rephrased Question(SD)"), "Q")
    for name, (questions, _) in SCENARIOS.items():
        content = {str(k): {**texts, "Key Phrase": "P"} for k in range(questions)}
        (folder / f"processed_questions/{name}-Any.json").write_text(json.dumps(content))
    listed = [
        {"Scenario": f"{name}-Any", "Sampled_ID_List": list(range(some))}
        for name, (_, some) in SCENARIOS.items()
    ]
    (folder / "TinyVersion_ID_List.json").write_text(json.dumps(listed))
    columns, _ = read(tmp_path / "published", subset=subset)
    assert columns == {("mm_safety_bench", "text"): n, ("mm_safety_bench", "typo"): n}


def test_full_copies_load_too_and_every_layout_is_read(folder: Path) -> None:
    columns, missing = read(folder)
    assert columns == {
        ("adv_bench", "vanilla"): 520,
        ("adv_bench", "suffix"): 520,
        ("xs_test", "safe"): 250,
        ("xs_test", "unsafe"): 200,
        ("xs_test_help", None): 250,
        ("mm_safety_bench", "text"): 2,
        ("mm_safety_bench", "sd"): 2,
        ("mm_safety_bench", "typo"): 2,
        ("fig_step", None): 1,
        ("moss_bench", None): 1,
        ("spa_vl_harm_eval", None): 1,
        ("spa_vl_help_eval", None): 1,
        ("anthropic_helpful", None): 1,
    }
    lacking = Counter[tuple[str, str | None]]()
    for each in missing:
        lacking[each.benchmark, each.kind] += each.n
    assert lacking == {  # question 7 of the list is in no file; SD_TYPO has no pictures at all
        ("mm_safety_bench", "text"): 1,
        ("mm_safety_bench", "sd"): 1,
        ("mm_safety_bench", "typo"): 1,
        ("mm_safety_bench", "sd_typo"): 3,
        ("fig_step", None): 2,
    }


def test_each_column_asks_its_own_question(folder: Path) -> None:
    found = published_items(PublishedSettings(folder=str(folder)))
    items = [item for each in found if not isinstance(each, Missing) for item in each.items]
    asked = {i.kind: i.question for i in items if i.group == "12-Health_Consultation/2"}
    assert asked == {"text": "Text 2?", "sd": "Painted 2?", "typo": "Written 2?"}
    suffixed = [i.question for i in items if (i.benchmark, i.kind) == ("adv_bench", "suffix")]
    assert suffixed[0] == "Goal 0 and so on !!"
    assert [i.question for i in items if i.benchmark == "anthropic_helpful"] == ["How do I knit?"]


def test_a_trial_run_takes_the_first_items_of_each_column(folder: Path) -> None:
    columns, _ = read(folder, most=1)
    assert set(columns.values()) == {1}


def test_a_suffix_of_the_users_own_goes_before_the_folders(folder: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.txt"
    settings = PublishedSettings(folder=str(folder), suffix_file=str(own))
    with pytest.raises(InputError, match=r"no suffix .*suffix_file: .*own\.txt"):
        list(published_items(settings))
    own.write_text("my own ??\n")
    found = [each for each in published_items(settings) if not isinstance(each, Missing)]
    asked = [item.question for each in found for item in each.items if item.kind == "suffix"]
    assert asked[0] == "Goal 0 my own ??"
    (folder / "advbench/suffix.txt").unlink()
    (untold,) = [each for each in read(folder)[1] if each.benchmark == "adv_bench"]
    assert (untold.kind, untold.n) == ("suffix", 520)
    assert "evaluation.published.suffix_file" in untold.what


def test_a_folder_without_benchmarks_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no published benchmark"):
        read(tmp_path)


def test_a_file_without_its_column_is_refused_by_name(folder: Path) -> None:
    (folder / "advbench/harmful_behaviors.csv").write_text("text\nGoal\n")
    with pytest.raises(InputError, match=r"no column 'goal' .*harmful_behaviors.csv"):
        read(folder)


def test_written_phrases_are_drawn_alike_and_apart() -> None:
    assert written("a phrase") == written("a phrase")
    assert written("a phrase") != written("another phrase of many more words than one line holds")


def test_items_pictures_and_what_is_missing_are_kept(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPAVL_WORK_ROOT", str(tmp_path / "work"))
    with DatasetWriter(tmp_path / "store", Image):
        pass
    images = Reference(str(tmp_path / "store"), read_manifest(tmp_path / "store").digest)
    one = {"harm_per_class": 1, "help_per_thing": 1, "naming_per_thing": 1}
    settings = {"benchmarks": one, "published": {"folder": str(folder)}, "blind_items": 0}
    prepared = prepare(settings, images)
    items = list(read_records(Path(prepared.uri) / "items", EvalItem))
    assert Counter(item.source for item in items)["published"] == 520 * 2 + 450 + 250 + 6 + 5
    store = ImageStore(f"{prepared.uri}/images")
    assert all(item.image_id in store for item in items if item.image_id)
    missing = json.loads((Path(prepared.uri) / "missing.json").read_text())
    assert {
        "benchmark": "fig_step",
        "kind": None,
        "n": 2,
        "what": "pictures query_*.png",
    } in missing
    (folder / "mossbench/images/1.webp").unlink()  # another content, another digest
    again = prepare(settings, images)
    assert again.digest != prepared.digest


def test_typo_pictures_that_were_drawn_are_counted_apart_from_those_that_were_read(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPAVL_WORK_ROOT", str(tmp_path / "work"))
    own = make_png(folder / "mm-safetybench/imgs/12-Health_Consultation/TYPO/2.jpg", "grey")
    with DatasetWriter(tmp_path / "store", Image):
        pass
    images = Reference(str(tmp_path / "store"), read_manifest(tmp_path / "store").digest)
    one = {"harm_per_class": 1, "help_per_thing": 1, "naming_per_thing": 1}
    settings = {"benchmarks": one, "published": {"folder": str(folder)}, "blind_items": 0}
    prepared = prepare(settings, images)
    counted = {
        (row["benchmark"], row["kind"]): (row["read"], row["drawn"])
        for row in json.loads((Path(prepared.uri) / "pictures.json").read_text())
    }
    assert counted == {
        ("mm_safety_bench", "sd"): (2, 0),
        ("mm_safety_bench", "typo"): (1, 1),
        ("fig_step", None): (1, 0),
        ("moss_bench", None): (1, 0),
        ("spa_vl_harm_eval", None): (1, 0),
        ("spa_vl_help_eval", None): (1, 0),
    }
    store = ImageStore(f"{prepared.uri}/images")
    items = read_records(Path(prepared.uri) / "items", EvalItem)
    shown = {i.group: store.content(i.image_id) for i in items if i.kind == "typo"}
    assert shown["12-Health_Consultation/0"] == written("Phrase 0")
    assert shown["12-Health_Consultation/2"] == own


def test_five_scenarios_are_judged_by_whether_an_answer_knows_its_limits() -> None:
    assert [rubric_of(f"{n}") for n in ("01-Illegal_Activitiy", "10-Legal_Opinion")] == [
        "harm",
        "advice",
    ]
    said = "I’m not a doctor, but rest may help."
    assert cautions("12-Health_Consultation", said) == "not a doctor"
    assert cautions("01-Illegal_Activitiy", said) is None


def scored(group: str, kind: str, unsafe: bool) -> Scored:
    facts = (None, "Q?", kind, "harmful", None, None, None, "published", group)
    item = EvalItem(f"{group} {kind}", "mm_safety_bench", *facts)
    return Scored(item, "dpo", "unsafe" if unsafe else "refused", float(unsafe))


def mean_over_columns(rows: list[Scored]) -> dict:
    missing = [Missing("mm_safety_bench", kind, "a question", 1) for kind in ("sd", "typo")]
    figures = by_model(rows, ["dpo"], Making(ScoringSettings(), 1, missing))
    return figures["dpo"]["mm_safety_bench_asr"]


def test_four_columns_of_one_question_are_one_observation() -> None:
    rows = [scored(f"{k}", kind, unsafe=k < 5) for k in range(20) for kind in ("text", "typo")]
    found = mean_over_columns(rows)
    assert (found["value"], found["n"]) == (0.25, 20)
    assert found["low"] <= 0.1  # as wide as of 20 items, not of 40
    assert (found["missing"], found["note"]) == (2, "missing: a question (2)")


def test_a_figure_says_how_many_of_its_pictures_were_drawn_here() -> None:
    rows = [scored(f"{k}", kind, unsafe=False) for k in range(3) for kind in ("sd", "typo")]
    pictures = [
        PictureCount("mm_safety_bench", "sd", read=3, drawn=0),
        PictureCount("mm_safety_bench", "typo", read=1, drawn=2),
        PictureCount("fig_step", None, read=0, drawn=9),
    ]
    making = Making(ScoringSettings(), 1, [], pictures)
    found = by_model(rows, ["dpo"], making)["dpo"]
    assert found["mm_safety_bench_typo_asr"]["pictures"] == {"read": 1, "drawn": 2}
    note = "pictures: 2 drawn here from the key phrases, {} read"
    assert found["mm_safety_bench_typo_asr"]["note"] == note.format(1)
    assert found["mm_safety_bench_asr"]["note"] == note.format(4)
    assert found["mm_safety_bench_sd_asr"]["pictures"] == {"read": 3, "drawn": 0}
    assert "note" not in found["mm_safety_bench_sd_asr"]
    assert "pictures" not in found["mm_safety_bench_text_asr"]


def test_questions_that_are_all_alike_leave_an_interval() -> None:
    rows = [scored(f"{k}", kind, kind == "typo") for k in range(20) for kind in ("text", "typo")]
    found = mean_over_columns(rows)
    assert found["value"] == 0.5
    assert found["low"] < 0.4 < 0.6 < found["high"]
