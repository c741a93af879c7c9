"""What a model thinks is kept apart from what it says, whoever serves it."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spavl.chat import ChatReply, Journal
from spavl.chat.openai_wire import read_completion
from spavl.chat.reasoning import apart


def replied(text: str, reason: str = "stop") -> ChatReply:
    return ChatReply("r", text, reason, 1, 1)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "answer", "reasoning", "reason"),
    [
        ("<think>\nA kite?\n</think>\n\nA red kite.", "A red kite.", "A kite?", "stop"),
        ("A kite?\n</think>\nA red kite.", "A red kite.", "A kite?", "stop"),
        ("<think></think>A red kite.", "A red kite.", "", "stop"),
        ("◁think▷A kite?◁/think▷A red kite.", "A red kite.", "A kite?", "stop"),
        ("[THINK]A kite?[/THINK]A red kite.", "A red kite.", "A kite?", "stop"),
        ("<think>one</think>Red.\n<think>two</think>Kite.", "Red.\nKite.", "one\n\ntwo", "stop"),
        ("<think>A kite, or perhaps", "", "A kite, or perhaps", "length"),
        ("Red.\n<think>or perhaps", "Red.", "or perhaps", "length"),
        ("Write `<think>` to begin.", "Write `<think>` to begin.", "", "stop"),
        ("A red kite.", "A red kite.", "", "stop"),
    ],
)
def test_reasoning_is_no_part_of_the_answer(
    text: str, answer: str, reasoning: str, reason: str
) -> None:
    found = apart(replied(text))
    assert (found.text, found.reasoning, found.finish_reason) == (answer, reasoning, reason)
    assert apart(found) == found


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_an_endpoint_may_hand_reasoning_on_in_a_field_of_its_own(field: str) -> None:
    message = {"content": "A red kite.", field: "A kite?"}
    body = json.dumps({"choices": [{"message": message, "finish_reason": "stop"}]}).encode()
    found = read_completion("r", body)
    assert (found.text, found.reasoning) == ("A red kite.", "A kite?")
    assert read_completion("r", body.replace(b'"A red kite."', b"null")).text == ""


def test_a_journal_of_before_is_read_likewise(tmp_path: Path) -> None:
    old = {**vars(replied("<think>x</think>A kite.")), "record_id": "r"}
    del old["reasoning"]
    (tmp_path / "j.jsonl").write_text(json.dumps(old) + "\n")
    with Journal(tmp_path / "j.jsonl") as journal:
        assert (journal.get("r").text, journal.get("r").reasoning) == ("A kite.", "x")


@given(st.text(max_size=60), st.text(st.characters(exclude_characters="<[◁"), max_size=60))
def test_nothing_thought_is_ever_said(thought: str, answer: str) -> None:
    thought = thought.replace("<", "").replace("[", "").replace("◁", "")
    found = apart(replied(f"<think>{thought}</think>{answer}"))
    assert (found.text, found.finish_reason) == (answer.strip(), "stop")
    assert apart(replied(f"<think>{thought}")).finish_reason == "length"
