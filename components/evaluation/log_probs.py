"""Mean log-probabilities of given answers, by a model in this process."""

from collections.abc import Sequence
from typing import Any

import torch

from spavl.chat import Message
from spavl.models.generation import prompt_inputs
from spavl.models.load import load_policy
from spavl.models.prompts import chat_text
from spavl.records import EvalAnswer
from spavl.storage import local_copy


class Reader:
    """A model that reads answers.

    Args:
        folder: Folder or address of the model.
        threads: Torch threads; None leaves them as they are.
    """

    def __init__(self, folder: str, threads: int | None = None) -> None:
        self._model, self._processor = load_policy(str(local_copy(folder)), threads)

    @torch.no_grad()
    def read(
        self, answers: Sequence[EvalAnswer], pictures: Sequence[Any]
    ) -> list[tuple[int, float | None]]:
        """Tokens and mean log-probability of each answer, given its question and picture.

        Args:
            answers: All with a picture, or all without.
            pictures: Their pictures, decoded.
        """
        texts = [self._text(answer, bool(pictures)) for answer in answers]
        counts = [self._count(*text) for text in texts]
        inputs = prompt_inputs(
            self._model, self._processor, [prompt + said for prompt, said in texts], pictures
        )
        longest = max(max(counts), 1)
        logits = self._model(**inputs, logits_to_keep=longest + 1).logits[:, :-1].float()
        ids = inputs["input_ids"][:, -longest:]
        found = logits.log_softmax(-1).gather(-1, ids[..., None])[..., 0]
        return [
            (count, float(row[longest - count :].mean()) if count else None)
            for count, row in zip(counts, found, strict=True)
        ]

    def _text(self, answer: EvalAnswer, pictured: bool) -> tuple[str, str]:
        """Prompt, and what was said behind it; its end counts where the model ended by itself."""
        prompt = chat_text(self._processor, (Message("user", answer.question),), has_image=pictured)
        gap = "" if prompt[-1:].isspace() or not answer.text else " "
        end = self._processor.tokenizer.eos_token if answer.finish_reason == "stop" else ""
        return prompt, gap + answer.text + (end or "")

    def _count(self, prompt: str, said: str) -> int:
        """Tokens of the whole text behind those that it shares with the prompt."""
        tokenizer = self._processor.tokenizer
        before = tokenizer(prompt, add_special_tokens=False).input_ids
        whole = tokenizer(prompt + said, add_special_tokens=False).input_ids
        pairs = enumerate(zip(before, whole, strict=False))
        shared = next((place for place, (a, b) in pairs if a != b), min(len(before), len(whole)))
        return len(whole) - shared
