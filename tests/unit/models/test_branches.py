"""Prompts of one picture branch off a single copy of it, and lanes that have ended leave."""

from pathlib import Path

import pytest
import torch

from spavl.chat.interface import Sampling
from spavl.models.branches import spread
from spavl.models.generation import generate
from spavl.models.load import load_policy
from spavl.models.prompts import question_prompt
from spavl.models.shared_prompts import generate_shared
from tests.unit.models.tiny import PictureBook, save_tiny

GREEDY = Sampling(max_new_tokens=30, temperature=0.0)


def test_a_beginning_with_many_prompts_takes_several_lanes() -> None:
    lanes, places = spread([0, 0, 0, 0, 0, 5, 6])  # 7 prompts of 3 beginnings: 3 on a lane
    assert lanes == [0, 0, 5, 6]
    assert places == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (2, 0), (3, 0)]


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_branches_of_unlike_lanes_answer_as_if_alone(tmp_path: Path, attention: str) -> None:
    model, processor = load_policy(save_tiny(tmp_path), 1)
    model.set_attn_implementation(attention)
    names = list("aaaaabcb")
    questions = ["Hm?", "So?", "What is this thing here?", "A lamp?", "Why?", "Tell!", "Ah?", "Oh?"]
    texts = [question_prompt(processor, question) for question in questions]
    pictures = [PictureBook().open(name) for name in names]
    with torch.no_grad():  # answers that end, each at a token of its own
        model.lm_head.weight[processor.tokenizer.eos_token_id] *= 3
    alone = [
        generate(model, processor, [text], [picture], GREEDY)
        for text, picture in zip(texts, pictures, strict=True)
    ]
    rows: list[int] = []
    model.model.language_model.register_forward_pre_hook(
        lambda _, __, given: rows.append(len(given["inputs_embeds"])), with_kwargs=True
    )
    shared = generate_shared(model, processor, texts, pictures, names, GREEDY)
    assert shared.token_ids == [each.token_ids[0] for each in alone]
    assert shared.texts == [each.texts[0] for each in alone]
    assert shared.finish_reasons == [each.finish_reasons[0] for each in alone]
    assert shared.prompt_tokens == [each.prompt_tokens[0] for each in alone]
    assert rows[:2] == [3, 4]  # three pictures read, then four lanes of at most three questions
    assert rows[-1] == 1  # the longest answer ends alone
    assert len(shared.token_ids[4]) > 8
