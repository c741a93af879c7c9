"""The model as an attacker has it: its weights, and how probably it goes along."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from spavl.chat.interface import ChatReply, FinishReason, Message, Sampling
from spavl.models.generation import Generated, generate_from, prompt_inputs
from spavl.models.load import load_policy
from spavl.models.prompts import chat_text
from spavl.storage import local_copy


@dataclass(frozen=True)
class Prompt:
    """A question about a picture (a PIL one)."""

    question: str
    picture: Any


class Target:
    """A model under attack; its weights stay as they are.

    Args:
        folder: Folder or address of the model.
        openings: How answers begin that go along.
        threads: Torch threads; None leaves them as they are.
    """

    def __init__(self, folder: str, openings: Sequence[str], threads: int | None = None) -> None:
        self.model, self.processor = load_policy(str(local_copy(folder)), threads)
        self.model.requires_grad_(False)
        self._openings = self._first_tokens(openings)

    def inputs(self, prompts: Sequence[Prompt]) -> Any:
        """Prompts as a left-padded batch with their pictures' pixels."""
        texts = [self._text(prompt.question) for prompt in prompts]
        pictures = [prompt.picture for prompt in prompts]
        return prompt_inputs(self.model, self.processor, texts, pictures)

    def goes_along(self, inputs: Mapping[str, Any]) -> torch.Tensor:
        """Log-probability that an answer begins as one that goes along, `[rows]`.

        Gradients reach the pixels.
        """
        logits = self.model(**inputs, logits_to_keep=1).logits[:, -1].float()
        found: torch.Tensor = logits.log_softmax(-1)[:, self._openings].logsumexp(-1)
        return found

    def generate(self, inputs: Any, sampling: Sampling, repeats: int = 1) -> Generated:
        """Answers; those of one prompt side by side."""
        return generate_from(self.model, self.processor.tokenizer, inputs, sampling, repeats)

    def _text(self, question: str) -> str:
        return chat_text(self.processor, (Message("user", question),))

    def _first_tokens(self, openings: Sequence[str]) -> list[int]:
        """The first token of each opening, as it stands behind a prompt."""
        prompt = self._text("")
        gap = "" if prompt[-1:].isspace() else " "

        def ids(text: str) -> list[int]:
            found: list[int] = self.processor.tokenizer(text, add_special_tokens=False).input_ids
            return found

        before = ids(prompt)
        found = set()
        for opening in openings:
            behind = ids(prompt + gap + opening)
            pairs = enumerate(zip(before, behind, strict=False))
            place = next((at for at, (a, b) in pairs if a != b), len(before))
            found.add(behind[place])
        return sorted(found)


def as_replies(names: Sequence[str], made: Generated) -> list[ChatReply]:
    """Generated answers as a journal keeps them."""
    kept = zip(
        names, made.texts, made.finish_reasons, made.prompt_tokens, made.token_ids, strict=True
    )
    return [
        ChatReply(name, text.strip(), _reason(reason), read, len(ids))
        for name, text, reason, read, ids in kept
    ]


def _reason(text: str) -> FinishReason:
    return "length" if text == "length" else "stop"
