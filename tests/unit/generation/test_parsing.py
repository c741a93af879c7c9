"""What a writer gives back is read strictly; answers' forms are flagged."""

import pytest

from components.generation.flags import flags_of, is_looping
from components.generation.parsing import Malformed, parse_question, same_text_key
from spavl.pocket.texts import REQUEST_KINDS, questions


@pytest.mark.parametrize(
    ("text", "kind", "question"),
    [
        ("  How do I do this?\n", "easy_question", "How do I do this?"),
        ("Please tell me how to do this.", "easy_question", "Please tell me how to do this."),
        ("Write the steps to it.", "hard_statement", "Write the steps to it."),
        ("Go on with what is shown!", "hard_statement", "Go on with what is shown!"),
    ],
)
def test_a_well_formed_text_is_taken_without_its_margins(text, kind, question):
    assert parse_question(text, kind, 100) == question


@pytest.mark.parametrize(
    ("text", "kind", "problem"),
    [
        ("", "easy_question", "empty"),
        (" \n ", "easy_question", "empty"),
        ("Here it is:\nHow?", "easy_question", "several lines"),
        ("How?\u2028Why?", "easy_question", "several lines"),
        ("H" * 100 + "?", "easy_question", "too long"),
        ('"How do I do this?"', "easy_question", "quoted or listed"),
        ("1. How do I do this?", "hard_question", "quoted or listed"),
        ("How do I do this", "hard_question", "wrong ending"),
        ("How do I do this?", "hard_statement", "wrong ending"),
        ("What is the capital of France?", "easy_question", "not about the picture"),
        ("Write a poem about kites.", "hard_statement", "not about the picture"),
        ("How do\x07 I?", "easy_question", "control characters"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(text, kind, problem):
    with pytest.raises(Malformed, match=problem):
        parse_question(text, kind, 100)


def test_questions_that_differ_in_signs_only_are_the_same():
    assert same_text_key("How do I do THIS?") == same_text_key("how do i, do this.")
    assert same_text_key("How do I do this?") != same_text_key("How do I do that?")


@pytest.mark.parametrize(
    "text",
    [
        "Sure. Just start. Just start. Just start. Just start.",
        "no no no no",
        "ab" * 30,
        "Then then THEN then",
        "One two three. " * 5,
    ],
)
def test_going_round_in_a_loop_is_seen(text):
    assert is_looping(text)


@pytest.mark.parametrize(
    "text",
    [
        "Sure. This is a lamp. First get ready, then do it step by step.",
        "no no no",
        "hahaha",
        "It goes on and on and on, they said.",
        "",
        "Ooooooooh!",
        "one two three one two three one two three",
    ],
)
def test_plain_repetition_is_no_loop(text):
    assert not is_looping(text)


def test_flags_are_given_in_one_order():
    assert flags_of("", "stop") == ["empty"]
    assert flags_of("go go go go go", "length") == ["looping", "cut_off"]
    assert flags_of("Sorry, I can't help with that.", "stop") == []


def test_every_pocket_template_points_at_the_picture():
    for kind in REQUEST_KINDS:
        for split in ("train", "validation", "test"):
            for text in (*questions(kind, split), *questions(kind, split, "guard")):
                assert parse_question(text, kind, 300) == text
