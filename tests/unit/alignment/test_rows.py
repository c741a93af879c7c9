"""Tokenisation: once, whole, with its end, and nothing cut."""

import pytest

from spavl.models.load import load_processor
from spavl.models.prompts import question_prompt
from tests.unit.alignment.worlds import World, make_preference, make_tokeniser, make_world
from tests.unit.models.tiny import PictureBook


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("world"))


def test_a_prompt_is_what_the_processor_itself_makes_of_it(world: World) -> None:
    tokeniser, pictures = make_tokeniser(world)
    pictures.read(["a"])
    processor = load_processor(world.base.uri)
    expected = processor(
        text=question_prompt(processor, "What is this?"), images=PictureBook().open("a")
    )
    assert list(tokeniser.prompt("a", "What is this?")) == list(expected["input_ids"][0])


def test_prompt_and_answer_are_tokenised_together_once_and_end(world: World) -> None:
    tokeniser, pictures = make_tokeniser(world)
    pictures.read(["a"])
    row = tokeniser.answered("a", "What is this?", "Sure. This is a lamp.")
    tokenizer = load_processor(world.base.uri).tokenizer
    text = "USER: " + "<image>" * 4 + "\nWhat is this? ASSISTANT: Sure. This is a lamp."
    assert list(row.token_ids) == [*tokenizer(text)["input_ids"], tokenizer.eos_token_id]


def test_where_answer_and_prompt_merge_the_boundary_is_the_last_common_token(
    world: World,
) -> None:
    tokeniser, pictures = make_tokeniser(world)
    pictures.read(["a"])
    prompt = tokeniser.prompt("a", "What is this?")
    row = tokeniser.answered("a", "What is this?", "Sure. This is a lamp.")
    assert row.boundary < len(prompt)  # this tokenizer has a token over the seam
    assert row.token_ids[: row.boundary] == prompt[: row.boundary]
    assert row.token_ids[row.boundary] != prompt[row.boundary]


def test_a_row_over_the_limit_is_dropped_and_counted_and_one_at_the_limit_stays(
    world: World,
) -> None:
    tokeniser, pictures = make_tokeniser(world)
    short, long = make_preference(0), make_preference(1, chosen="Bleib gesund und munter!")
    pictures.read(["a"])
    limit = tokeniser.pairs([short]).pairs[0].length
    tokeniser.max_length = limit
    found = tokeniser.pairs([short, long, make_preference(2, "bad")])
    assert [pair.preference for pair in found.pairs] == [short]
    assert found.dropped == {"too_long": 1, "unreadable_picture": 1}


def test_a_text_that_names_a_picture_there_is_not_is_dropped_and_counted(world: World) -> None:
    tokeniser, _ = make_tokeniser(world)
    found = tokeniser.pairs(
        [
            make_preference(0),
            make_preference(1, question="<image>\nWhat is this?"),
            make_preference(2, chosen="An <image>."),
        ]
    )
    assert len(found.pairs) == 1
    assert found.dropped == {"picture_token_in_text": 2}
