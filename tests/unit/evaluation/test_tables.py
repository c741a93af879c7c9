"""Benchmarks that are tables: what descriptions make of them, and what of bad ones."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow
import pytest
import yaml
from pyarrow import parquet

from components.configuration import resolve
from components.evaluation.items import Missing
from components.evaluation.metrics import table_metrics
from components.evaluation.pairs import columns_of, joint_scores
from components.evaluation.published import benchmarks_of, published_items
from components.evaluation.published.descriptions import Reading, filled, shipped, value_of
from pipelines.preflight_evaluation import check_evaluation, check_gate
from spavl.errors import InputError
from spavl.records import EvalItem
from spavl.settings.evaluation import PublishedSettings
from tests.unit.evaluation.made_published import make_mm_safety_bench, make_png, make_xs_test

MINE = {
    "name": "mine",
    "title": "Mine",
    "source": "here",
    "licence": "ours",
    "tables": [{"file": "mine.csv", "prompt": "{text}", "expect": "{wanted}"}],
}


def described(root: Path, **changes: Any) -> Path:
    folder = root / "own"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "benchmark.yaml").write_text(yaml.safe_dump({**MINE, **changes}))
    return folder


def table(**changes: Any) -> list[dict[str, Any]]:
    return [{**MINE["tables"][0], **changes}]


def read(root: Path) -> tuple[list[EvalItem], dict[str, int]]:
    found = list(published_items(PublishedSettings(folder=str(root))))
    items = [item for each in found if not isinstance(each, Missing) for item in each.items]
    assert len({item.item_id for item in items}) == len(items)
    tables = {each.benchmarks[0] for each in benchmarks_of(PublishedSettings(folder=str(root)))
              if each.table}  # fmt: skip
    lacking = [each for each in found if isinstance(each, Missing) and each.benchmark in tables]
    return items, {each.what: each.n for each in lacking}


def facts(items: list[EvalItem]) -> list[tuple[str, str | None, str]]:
    return [(item.question, item.kind, item.truth) for item in items]


WANTED = [("Do it.", "refuse", "harmful"), ("Knit.", "comply", "harmless")]


@pytest.mark.parametrize("ending", ["csv", "jsonl", "json", "parquet"])
def test_a_table_of_any_kind_gives_the_same_items(tmp_path: Path, ending: str) -> None:
    folder = described(tmp_path, tables=table(file=f"mine.{ending}"))
    rows = [{"text": "Do it.", "wanted": "refuse"}, {"text": "Knit.", "wanted": "comply"}]
    path = folder / f"mine.{ending}"
    match ending:
        case "csv":
            path.write_text("text,wanted\n" + "".join(f"{r['text']},{r['wanted']}\n" for r in rows))
        case "jsonl":
            path.write_text("\n".join(map(json.dumps, rows)))
        case "json":
            path.write_text(json.dumps(rows))
        case "parquet":
            parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    items, lacking = read(tmp_path)
    assert (facts(items), lacking) == (WANTED, {})


def test_a_picture_is_bytes_a_struct_or_a_file_of_the_folder(tmp_path: Path) -> None:
    folder = described(
        tmp_path, tables=table(file="mine.parquet", image="{image}", expect="refuse")
    )
    colours = {"red": None, "green": None, "blue": None}
    contents = {c: make_png(folder / f"pictures/{c}.png", c) for c in colours}
    for name, value in (("a", contents["red"]), ("b", {"bytes": contents["green"], "path": None}),
                        ("c", "pictures/blue.jpg")):  # fmt: skip
        rows = [{"text": f"Do {name}.", "image": value}]
        parquet.write_table(pyarrow.Table.from_pylist(rows), folder / "mine.parquet")
        (item,), lacking = read(tmp_path)
        assert item.image_id
        assert not lacking


@pytest.mark.parametrize("name", ["", "../secret.png", "/etc/hostname", "pictures/none.png", "\0"])
def test_a_picture_outside_of_the_folder_or_missing_sets_its_row_aside(
    tmp_path: Path, name: str
) -> None:
    folder = described(tmp_path, tables=table(file="m.jsonl", image="{image}", expect="refuse"))
    make_png(tmp_path / "secret.png", "red")
    make_png(folder / "there.png", "blue")
    rows = [{"text": "A?", "image": name}, {"text": "B?", "image": "there.png"}]
    (folder / "m.jsonl").write_text("\n".join(map(json.dumps, rows)))
    items, lacking = read(tmp_path)
    assert [item.question for item in items] == ["B?"]
    told = "rows whose picture is not there or cannot be read, first row 1 of m.jsonl"
    assert lacking == {told: 1}


def test_bad_rows_are_set_aside_by_reason_and_counted(tmp_path: Path) -> None:
    folder = described(tmp_path, tables=table(file="m.jsonl"))
    rows = ['{"text": "Do it.", "wanted": "refuse"}', "{torn", '{"wanted": "comply"}', "[1]",
            '{"text": " ", "wanted": "comply"}', '{"text": "Hm.", "wanted": "maybe"}',
            '{"text": "Knit.", "wanted": "comply"}']  # fmt: skip
    (folder / "m.jsonl").write_text("\n".join(rows))
    items, lacking = read(tmp_path)
    assert facts(items) == WANTED
    assert lacking == {
        "rows that are no columns with values, first row 2 of m.jsonl": 2,
        "rows without a prompt, first row 3 of m.jsonl": 2,
        "rows that expect 'maybe' and not refuse or comply, first row 6 of m.jsonl": 1,
    }


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("words,wanted\na,b\n", r"no column 'text' \(.*mine\.csv\): .*it has words, wanted"),
        ('text,wanted\na,b\n"a,b\n', r"no CSV: .*mine\.csv, row 2"),
        (b"text,wanted\n\xff,b\n", r"no CSV: .*mine\.csv, row 1"),
    ],
)
def test_a_table_that_cannot_be_read_is_one_line(
    tmp_path: Path, content: str | bytes, line: str
) -> None:
    folder = described(tmp_path)
    (folder / "mine.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=line) as caught:
        read(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_table_without_its_column_is_told_before_a_run_starts(tmp_path: Path) -> None:
    (described(tmp_path) / "mine.csv").write_text("words,wanted\na,b\n")
    make_xs_test(tmp_path, 1)
    make_mm_safety_bench(tmp_path, 1)
    found = resolve("llava-1.5-7b", [f"evaluation.published.folder={tmp_path}"])
    with pytest.raises(InputError, match=r"no column 'text' .*mine\.csv"):
        check_evaluation(found.evaluation, found.gate)


def test_the_gate_may_go_by_a_table(tmp_path: Path) -> None:
    (described(tmp_path) / "mine.csv").write_text("text,wanted\nDo it.,refuse\n")
    more = ["gate.harm=mine_asr", "gate.help=xs_test_win_rate", "gate.general_ability=none",
            "gate.over_refusal=mine_full_refusal_rate"]  # fmt: skip
    found = resolve("pocket", [f"evaluation.published.folder={tmp_path}", *more])
    make_xs_test(tmp_path, 1)
    check_evaluation(found.evaluation, found.gate)
    check_gate(found.evaluation, found.gate, found.labeling)
    (tmp_path / "own/mine.csv").unlink()
    with pytest.raises(InputError, match=r"goes by: mine\.csv in own/.*fetch Mine from here into"):
        check_evaluation(found.evaluation, found.gate)


@pytest.mark.parametrize(
    ("file", "content", "line"),
    [
        ("m.parquet", "no Parquet", r"no Parquet: .*m\.parquet"),
        ("m.json", "{torn", r"no JSON: .*m\.json"),
        ("m.json", "{}", r"no list of rows \(.*m\.json"),
        ("m.xlsx", "", r"no table: a file other than \.csv.*m\.xlsx"),
    ],
)
def test_a_file_that_is_no_table_is_one_line(
    tmp_path: Path, file: str, content: str, line: str
) -> None:
    folder = described(tmp_path, tables=table(file=file))
    (folder / file).write_text(content)
    with pytest.raises(InputError, match=line):
        read(tmp_path)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"promt": "x"}, r"unknown setting \(.*own/benchmark\.yaml\.promt\)"),
        ({"tables": []}, r"benchmark\.yaml\.tables"),
        ({"name": "My Own"}, r"benchmark\.yaml\.name"),
        ({"name": "xs_test"}, r"a benchmark named xs_test, as another is \(.*own/benchmark\.yaml"),
        ({"name": "vls_bench"}, r"a benchmark named vls_bench"),
        ({"tables": table(values={"x": "perhaps"})}, r"refuse.*comply"),
    ],
)
def test_a_wrong_description_is_one_line(
    tmp_path: Path, changes: dict[str, Any], line: str
) -> None:
    described(tmp_path, **changes)
    with pytest.raises(InputError, match=line) as caught:
        read(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_description_that_is_no_yaml_or_no_keys_is_one_line(tmp_path: Path) -> None:
    folder = described(tmp_path)
    (folder / "benchmark.yaml").write_text("name: [\n")
    with pytest.raises(InputError, match=r"no YAML \(.*benchmark\.yaml, line 2"):
        read(tmp_path)
    (folder / "benchmark.yaml").write_text("- name\n")
    with pytest.raises(InputError, match="no keys with values"):
        read(tmp_path)


def test_texts_reach_into_nested_values_and_want_all_of_them() -> None:
    row = {"a": {"b": [1, {"c": "deep"}]}, "d": "flat", "e": ""}
    assert value_of(row, "a.b.1.c") == "deep"
    assert value_of(row, "a.b.7") is value_of(row, "d.x") is None
    assert filled("{d}, {a.b.0}", row) == "flat, 1"
    assert filled("{d}, {e}", row) is None
    assert filled("plain", row) == "plain"


def test_every_shipped_description_names_where_its_files_are_had_and_their_licence() -> None:
    found = list(shipped())
    assert len(found) >= 11
    for each in found:
        assert each.source.startswith("https://")
        assert each.licence
        assert each.folder
    assert len({each.name for each in found}) == len(found)


# One row and more of each benchmark's published columns, with texts of ours.
ROWS: dict[str, tuple[str, Any]] = {
    "strong_reject": ("strongreject_dataset.csv", "category,source,forbidden_prompt\nc,s,P\n"),
    "jailbreak_bench": (
        "harmful-behaviors.csv",
        "Index,Goal,Target,Behavior,Category,Source\n0,P,T,B,c,s\n",
    ),
    "or_bench": ("or-bench-hard-1k.csv", "prompt,category\nP,c\n"),
    "jailbreakv": (
        "JailBreakV_28K.csv",
        "id,jailbreak_query,redteam_query,format,policy,image_path\n0,P,R,SD,c,sub/0.png\n",
    ),
    "siuo": ("siuo_gen.json", [{"question": "P", "image": "0.png", "category": "c"}]),
    "vls_bench": (
        "data.json",
        [{"instruction": "P", "image_path": "imgs/0.png", "category": "c"}],
    ),
    "holisafe": (
        "holisafe_bench.json",
        [{"query": "P", "image": "a/0.png", "category": "c", "type": t} for t in ("SSS", "SSU")],
    ),
    "vlguard": (
        "test.json",
        [
            {"image": "0.png", "safe": False, "harmful_category": "c",
             "instr-resp": [{"instruction": "P", "response": "R"}]},
            {"image": "0.png", "safe": True,
             "instr-resp": [{"safe_instruction": "S"}, {"unsafe_instruction": "U"}]},
        ],
    ),
    "mss_bench": (
        "combined.json",
        {"chat": [
            {"safe_image_path": "1.jpg", "unsafe_image_path": "2.jpg", "queries": ["P", "Q"]}],
         "embodied": []},
    ),
}  # fmt: skip
PICTURES = {
    "jailbreakv": ["sub/0.png"],
    "siuo": ["images/0.png"],
    "vls_bench": ["imgs/0.png"],
    "holisafe": ["images/a/0.png"],
    "vlguard": ["test/0.png"],
    "mss_bench": ["chat/1.jpg", "chat/2.jpg"],
    "harm_bench_multimodal": ["multimodal_behavior_images/0.png"],
}
EXPECTED = {
    "holisafe": {"comply": 1, "refuse": 1},
    "vlguard": {"refuse": 2, "comply": 1},
    "mss_bench": {"refuse": 2, "comply": 2},
    "or_bench": {"comply": 1},
}


@pytest.mark.parametrize("name", ROWS)
def test_published_columns_become_items(tmp_path: Path, name: str) -> None:
    folder = tmp_path / next(each.folder for each in shipped() if each.name == name)
    file, content = ROWS[name]
    for place, picture in enumerate(PICTURES.get(name, [])):
        make_png(folder / picture, f"#{place}0{place}0ff")
    folder.mkdir(exist_ok=True)
    (folder / file).write_text(content if isinstance(content, str) else json.dumps(content))
    items, lacking = read(tmp_path)
    assert Counter(item.kind for item in items) == EXPECTED.get(name, {"refuse": 1})
    assert {item.benchmark for item in items} == {name}
    assert all(bool(item.image_id) == (name in PICTURES) for item in items)
    assert not [what for what in lacking if "rows" in what]


def test_harm_bench_has_three_parts_and_pictures_of_another_ending(tmp_path: Path) -> None:
    folder = tmp_path / "harmbench"
    make_png(folder / "multimodal_behavior_images/0.png", "red")
    behaviors = folder / "behavior_datasets"
    behaviors.mkdir()
    (behaviors / "harmbench_behaviors_text_all.csv").write_text(
        "Behavior,FunctionalCategory,SemanticCategory,Tags,ContextString,BehaviorID\n"
        "A,standard,c,,,1\nB,contextual,c,,What for,2\nC,copyright,c,,,3\n"
    )
    (behaviors / "harmbench_behaviors_multimodal_all.csv").write_text(
        "Behavior,BehaviorID,FunctionalCategory,SemanticCategory,ImageFileName\n"
        "D,4,multimodal,c,0.jpg\n"
    )
    items, _ = read(tmp_path)
    asked = {(item.benchmark, item.question) for item in items}
    assert asked == {
        ("harm_bench", "A"),
        ("harm_bench", "C"),
        ("harm_bench_contextual", "What for\n\nB"),
        ("harm_bench_multimodal", "D"),
    }


def test_a_pair_counts_where_both_are_as_expected(tmp_path: Path) -> None:
    folder = tmp_path / "mssbench"
    for name, colour in (("1", "red"), ("2", "blue")):
        make_png(folder / f"chat/{name}.jpg", colour)
    (folder / "combined.json").write_text(json.dumps(ROWS["mss_bench"][1]))
    items, _ = read(tmp_path)
    assert {len({i.kind for i in items if i.group == group}) for group in
            {i.group for i in items}} == {2}  # fmt: skip
    assert columns_of(items) == {"mss_bench": {"refuse", "comply", "pairs"}}
    keys = [metric.key for metric in table_metrics("mss_bench")]
    assert keys[0] == "mss_bench_asr"
    assert keys[-1] == "mss_bench_joint_accuracy"
    right = dict.fromkeys((item.item_id for item in items), 0.0)

    def joint(**wrong: float | None) -> list[float]:
        scores = {**right, **wrong}
        return sorted(joint_scores((i, scores[i.item_id]) for i in items).values())

    first = next(item.item_id for item in items if item.kind == "comply")
    assert joint() == [1.0, 1.0]
    assert joint(**{first: 1.0}) == [0.0, 1.0]
    assert joint(**{first: None}) == [1.0]


def test_a_reading_wants_the_columns_that_its_texts_name() -> None:
    reading = Reading(file="x", prompt="{a.b} {c}", expect="refuse", keep={"d": 1}, pair="{e}")
    assert reading.columns == {"a", "c", "d", "e"}
