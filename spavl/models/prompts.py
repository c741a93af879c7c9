"""Chat text: messages rendered by the processor's own chat template."""

from collections.abc import Sequence
from os.path import commonprefix
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # tokenising needs no chat
    from spavl.chat.interface import Message


def chat_text(
    processor: Any,
    messages: "Sequence[Message]",
    add_generation_prompt: bool = True,
    has_image: bool = True,
) -> str:
    """Render a conversation; the picture comes first in the first user turn.

    Args:
        processor: A processor with a chat template.
        messages: The turns, oldest first.
        add_generation_prompt: Whether the text ends where the assistant begins to speak.
        has_image: Whether a picture belongs to the conversation.

    Returns:
        The text with one unexpanded picture placeholder if `has_image`.
    """
    turns: list[dict[str, Any]] = []
    for message in messages:
        content: list[dict[str, str]] = [{"type": "text", "text": message.text}]
        if has_image and message.role == "user":
            content.insert(0, {"type": "image"})
            has_image = False
        turns.append({"role": message.role, "content": content})
    return str(
        processor.apply_chat_template(
            turns, add_generation_prompt=add_generation_prompt, tokenize=False
        )
    )


def question_prompt(processor: Any, question: str) -> str:
    """The text up to where an assistant without a system prompt answers a picture question."""
    return str(
        processor.apply_chat_template(
            [_user_turn(question)], add_generation_prompt=True, tokenize=False
        )
    )


def answered_prompt(processor: Any, question: str, answer: str) -> str:
    """A picture question with its answer, ending with the answer's last character.

    The template decides what stands between prompt and answer; whatever it puts after the answer
    is cut, because the end-of-sequence token follows instead.
    """
    prompt = question_prompt(processor, question)
    spoken = answer.strip()  # some templates trim
    if not spoken:
        return prompt
    turns = [
        _user_turn(question),
        {"role": "assistant", "content": [{"type": "text", "text": answer}]},
    ]
    text = str(processor.apply_chat_template(turns, tokenize=False))
    # Looked for from the prompt's end on: "d" is in the question and in a closing <|im_end|> too.
    shared = commonprefix([prompt, text])  # noqa: RUF071  # compares characters: what is wanted
    begin = text.index(spoken, len(shared))
    return text[: begin + len(spoken)]


def _user_turn(question: str) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]}
