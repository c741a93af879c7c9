"""Each layout is told by its columns, read as others write it, and written to be read again."""

import json

import pyarrow
import pytest
from pyarrow import parquet

from spavl.errors import InputError
from spavl.published import LAYOUTS, Manner, export, import_
from spavl.published.exporting import Source
from spavl.published.files import files_of, layout_of, read_rows
from spavl.published.pictures import BadRowError
from spavl.published.row_files import write_rows
from spavl.published.rows import Row
from spavl.records import EvalItem, Preference
from spavl.shards import read_manifest, read_records
from tests.unit.published.test_round_trip import SCAMS, let_in, picture, row, write

ASKED = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What?"}]}
TEXTS = {"question": "What?", "chosen": "no", "rejected": "yes"}
MESSAGES = [
    {"role": "system", "content": "Be good."},
    {"role": "user", "content": "<image>What?"},
    {"role": "assistant", "content": "no"},
]


def said(text):
    return {"role": "assistant", "content": text}


AS_PUBLISHED = {
    "spa_vl": {"image": "a.png", **TEXTS, "image_name": "a.png"},
    "spa_vl_rlhf": {"id": 233, "image": "a.png", **TEXTS},
    "trl_plain": {"images": ["a.png"], "prompt": "What?", "chosen": "no", "rejected": "yes"},
    "trl_conversational": {
        "images": ["a.png"],
        "prompt": [ASKED],
        "chosen": [said([{"type": "text", "text": "no"}])],
        "rejected": [said("yes")],
    },
    "llama_factory": {
        "conversations": [{"from": "human", "value": "<image>What?"}],
        "chosen": {"from": "gpt", "value": "no"},
        "rejected": {"from": "gpt", "value": "yes"},
        "images": ["a.png"],
    },
    "ms_swift": {"messages": MESSAGES, "rejected_response": "yes", "images": ["a.png"]},
    "rlhf_v": {
        "ds_name": "RLHF-V",
        "image": "a.png",
        "text": json.dumps(TEXTS),
        "origin_dataset": "vqa",
        "idx": 3,
        "image_path": "b/a.png",
    },
    "rlaif_v": {"ds_name": "R", "image": "a.png", **TEXTS, "origin_dataset": "v", "idx": "3"},
    "beavertails_v": {
        "question": "What?",
        "image": "a.png",
        "category": "scams",
        "response_1": "yes",
        "response_2": "no",
        "response_1_from": "one",
        "response_2_from": "other",
        "more_helpful_response_id": "1",
        "safer_response_id": "2",
    },
    "mm_rlhf": {"image": "a.png", "prompt": "<image>\nWhat?", "chosen": "no", "rejected": "yes"},
}
"""A row of each layout, as its source shows one."""


def file_of(folder, rows, form="json"):
    (folder / "a.png").write_bytes(picture(1))
    path = folder / f"train.{form}"
    if form == "parquet":
        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    else:
        path.write_text("\n".join(map(json.dumps, rows)) if form == "jsonl" else json.dumps(rows))
    return path


@pytest.mark.parametrize("form", ["json", "jsonl", "parquet"])
@pytest.mark.parametrize("name", [*AS_PUBLISHED])
def test_a_row_as_published_is_recognised_and_read(tmp_path, name, form):
    path = file_of(tmp_path, [AS_PUBLISHED[name]], form)
    assert layout_of(path, "train").name == name
    (found,) = read_rows(path, "train")
    assert (found.question, found.chosen, found.rejected) == ("What?", "no", "yes")
    assert found.content == picture(1)


def test_every_layout_but_that_of_questions_has_its_row_here():
    assert {*AS_PUBLISHED} == {*LAYOUTS} - {"vlguard"}


def test_the_class_of_a_row_for_training_is_its_pictures_folder(tmp_path):
    folder = tmp_path / "Malicious Use" / "Fraud or deceptive action" / "scamns"
    folder.mkdir(parents=True)
    (folder / "1.png").write_bytes(picture(1))
    place = str((folder / "1.png").relative_to(tmp_path))
    path = file_of(tmp_path, [{**AS_PUBLISHED["spa_vl_rlhf"], "image": place}])
    (found,) = read_rows(path, "train")
    assert {name: getattr(found, name) for name in SCAMS} == SCAMS


def test_the_safer_answer_is_chosen_whoever_gave_it(tmp_path):
    other = {**AS_PUBLISHED["beavertails_v"], "safer_response_id": "1"}
    neither = {**other, "safer_response_id": None}
    first, second, none = read_rows(
        file_of(tmp_path, [AS_PUBLISHED["beavertails_v"], other, neither]), "train"
    )
    assert (first.chosen, first.chosen_responder, first.class3) == ("no", "other", "scams")
    assert (second.chosen, second.rejected_responder) == ("yes", "other")
    assert none.reason == "no safer answer"


def test_an_implicit_prompt_stands_in_both_conversations(tmp_path):
    ours = {"images": ["a.png"], "chosen": [ASKED, said("no")], "rejected": [ASKED, said("yes")]}
    (found,) = read_rows(file_of(tmp_path, [ours]), "train")
    assert (found.question, found.chosen, found.rejected) == ("What?", "no", "yes")


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("trl_conversational", {"prompt": [ASKED, said("?"), ASKED]}, "several turns"),
        ("trl_conversational", {"prompt": ["x"]}, "no list of messages"),
        ("trl_conversational", {"chosen": []}, "no list of messages"),
        ("llama_factory", {"conversations": [{"from": "gpt", "value": "x"}]}, "unasked"),
        ("llama_factory", {"chosen": {"from": "gpt"}}, "no chosen in this row"),
        ("ms_swift", {"messages": [said("no")]}, "unasked"),
        ("ms_swift", {"rejected_response": None}, "no rejected in this row"),
        ("rlhf_v", {"text": "{"}, "no JSON"),
        ("rlhf_v", {"text": "[1]"}, "no JSON"),
        ("mm_rlhf", {"image": None, "video": "a.mp4"}, "a video, no picture"),
        ("trl_plain", {"images": ["a.png", "a.png"]}, "several pictures"),
        ("trl_plain", {"prompt": ["?"]}, "no text"),
        ("spa_vl", {"question": 7}, "no text"),
    ],
)
def test_a_row_that_is_not_as_its_layout_has_it_costs_itself_alone(tmp_path, name, change, reason):
    good = AS_PUBLISHED[name]
    first, bad, last = read_rows(file_of(tmp_path, [good, {**good, **change}, good]), "train")
    assert isinstance(bad, BadRowError)
    assert reason in bad.reason
    assert first == last


def test_what_is_no_object_costs_itself_alone(tmp_path):
    good = AS_PUBLISHED["spa_vl"]
    first, *bad, last = read_rows(file_of(tmp_path, [good, None, 7, "x", good]), "train")
    assert {each.reason for each in bad} == {"a row without columns"}
    assert first == last


def test_an_unknown_layout_is_told_by_what_was_found_and_what_would_do(tmp_path):
    path = file_of(tmp_path, [{"image": "a.png", "prompt": "What?", "chosen": "no"}])
    with pytest.raises(InputError, match=r"found image, prompt, chosen.*trl_plain wants rejected"):
        list(read_rows(path, "train"))


def test_a_wrong_name_is_told_as_well(tmp_path):
    path = file_of(tmp_path, [AS_PUBLISHED["mm_rlhf"]])
    with pytest.raises(InputError, match=r"not the layout ms_swift.*it wants messages list"):
        list(read_rows(path, "train", "ms_swift"))
    with pytest.raises(InputError, match=r"no layout hf.*trl_plain"):
        import_(str(tmp_path), tmp_path / "out", let_in, "hf")


def test_a_named_layout_is_taken_where_two_fit(tmp_path):
    path = file_of(tmp_path, [AS_PUBLISHED["rlaif_v"]])
    assert layout_of(path, "train", "spa_vl").name == "spa_vl"


@pytest.mark.parametrize(
    ("names", "split", "found"),
    [
        (["hardq_train.json", "easy_train.json"], "train", 2),
        (["RLAIF-V-Dataset_000.parquet", "RLAIF-V-Dataset_001.parquet"], "train", 2),
        (["data/animal_abuse/evaluation-00000-of-00001.parquet"], "validation", 1),
        (["data/train-00000-of-00008.parquet", "test/harm-00000-of-00001.parquet"], "harm", 1),
        (["train.json", "dataset_info.json", "config_train.json", "croissant.json"], "train", 1),
        (["train.json", "meta_files/split/easy.json", ".cache/train.json"], "train", 1),
        (["held_out.json", "test.jsonl"], "held_out", 2),
        (["val.jsonl", "other.jsonl"], "train", 0),
    ],
)
def test_files_are_found_by_the_word_of_their_split(tmp_path, names, split, found):
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("[]")
    assert len(files_of(tmp_path, split)) == found


def test_one_file_may_be_given(tmp_path):
    path = file_of(tmp_path, [AS_PUBLISHED["mm_rlhf"]], "jsonl").rename(tmp_path / "pairs.jsonl")
    assert import_(str(path), tmp_path / "out", let_in).rows == {"train": 1}


@pytest.mark.parametrize("form", ["json", "jsonl", "parquet"])
@pytest.mark.parametrize("name", [*LAYOUTS])
def test_what_goes_out_in_a_layout_comes_in_as_the_same_rows(tmp_path, name, form):
    import_(str(write(tmp_path / "published")), tmp_path / "ours", let_in)
    export(Source.below(tmp_path / "ours"), tmp_path / "out", Manner(form, "mit", LAYOUTS[name]))
    import_(str(tmp_path / "out"), tmp_path / "again", let_in)
    places = ["train", "validation", "test", "test/items"]
    for place in ["test/items"] if name == "vlguard" else places:
        record = EvalItem if place == "test/items" else Preference
        ours, again = (
            [*read_records(tmp_path / each / place, record)] for each in ("ours", "again")
        )
        assert len(ours) > 0
        assert [_content(each) for each in again] == [_content(each) for each in ours]
    for split in ("train", "harm"):
        for path in files_of(tmp_path / "out", split):
            assert layout_of(path, split).name in (name, "spa_vl", "trl_plain", "mm_rlhf")


def _content(record):
    """A record but for an item's id, which counts the items of its file."""
    return {name: value for name, value in vars(record).items() if name != "item_id"}


def test_questions_of_vlguard_become_items_by_what_they_ask(tmp_path):
    asked = [{"safe_instruction": "a?", "response": ""}, {"unsafe_instruction": "b?"}]
    rows = [
        {"id": "1", "image": "a.png", "safe": True, "instr-resp": asked},
        {
            "id": "2",
            "image": "a.png",
            "safe": False,
            "harmful_category": "deception",
            "harmful_subcategory": "disinformation",
            "instr-resp": [{"instruction": "c?", "response": "No."}],
        },
        {"id": "3", "image": "a.png", "safe": None, "instr-resp": []},
    ]
    imported = import_(str(file_of(tmp_path, rows)), tmp_path / "out", let_in)
    assert imported.rows == {"harm": 2, "help": 1}
    assert imported.set_aside == {"neither safe nor unsafe, or without instr-resp": 1}


def test_llama_factory_is_told_of_its_files(tmp_path):
    import_(str(write(tmp_path / "published")), tmp_path / "ours", let_in)
    manner = Manner("jsonl", "mit", LAYOUTS["llama_factory"])
    export(Source.below(tmp_path / "ours"), tmp_path / "out", manner)
    told = json.loads((tmp_path / "out/dataset_info.json").read_text())
    assert told["spa_vl_train"]["file_name"] == "train.jsonl"
    assert {each["ranking"] for each in told.values()} == {True}


@pytest.mark.parametrize("text", ["?", "\nWhat?", "<image> twice <image>", " ", "a\n<image>\nb"])
@pytest.mark.parametrize("name", ["trl_plain", "ms_swift", "llama_factory", "mm_rlhf"])
def test_a_question_may_hold_the_mark_itself(tmp_path, name, text):
    wanted = Row(picture(1), "1.png", text, "a", "b")
    write_rows(tmp_path, "train", [wanted], "json", LAYOUTS[name])
    (found,) = read_rows(tmp_path / "train.json", "train")
    assert found.question == text


def test_whether_answers_are_safe_is_unknown_until_a_moderator_says_so(tmp_path):
    import_(str(write(tmp_path / "published")), tmp_path / "ours", let_in)
    rows = [*read_records(tmp_path / "ours/train", Preference)]
    assert {(each.chosen_safe, each.rejected_safe) for each in rows} == {(None, None)}
    assert read_manifest(tmp_path / "ours/train").rows == len(rows) > 0


def test_the_hubs_library_and_trl_see_pictures(tmp_path):
    datasets = pytest.importorskip("datasets")
    write_rows(tmp_path, "train", [row("train", 1)], "parquet", LAYOUTS["trl_conversational"])
    read = datasets.Dataset.from_parquet(
        str(files_of(tmp_path, "train")[0]), cache_dir=str(tmp_path / "cache")
    )
    assert read[0]["images"][0].size == (12, 9)
    assert read[0]["prompt"][0]["content"][0]["type"] == "image"
