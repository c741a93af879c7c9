"""Decoding in rounds draws what the library draws, and computes no row that has ended."""

from pathlib import Path

import pytest
import torch
from transformers import GenerationConfig

from spavl.chat.interface import Sampling
from spavl.models import decoding
from spavl.models.decoding import tokens_a_round
from spavl.models.generation import end_token_ids, generate, generate_from, prompt_inputs
from spavl.models.load import load_policy
from spavl.models.prompts import question_prompt
from tests.unit.models.tiny import PictureBook, save_tiny

ROWS = 24


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("base"))


def asked(processor: object) -> tuple[list[str], list[object]]:
    questions = ("Hm?", "What is this thing here?", "So?")
    texts = [question_prompt(processor, questions[row % 3]) for row in range(ROWS)]
    return texts, [PictureBook().open(str(row % 5)) for row in range(ROWS)]


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.7, 0.8)])
def test_a_seed_draws_what_the_librarys_own_sampling_draws(
    base: Path, temperature: float, top_p: float
) -> None:
    model, processor = load_policy(base, 1)
    inputs = prompt_inputs(model, processor, *asked(processor))
    ends = end_token_ids(model, processor.tokenizer)
    config = GenerationConfig(
        max_new_tokens=22,
        do_sample=True,
        temperature=temperature,
        top_p=top_p,
        top_k=0,
        eos_token_id=ends,
        pad_token_id=processor.tokenizer.pad_token_id,
        suppress_tokens=[model.config.image_token_id],
    )
    torch.manual_seed(3)
    theirs = model.generate(**inputs, generation_config=config)
    sampling = Sampling(22, temperature, top_p, seed=3)
    ours = generate_from(model, processor.tokenizer, inputs, sampling).token_ids
    prompt = inputs["input_ids"].shape[1]
    for row, tokens in zip(ours, theirs[:, prompt:].tolist(), strict=True):
        assert row == tokens[: len(row)]
        assert row[-1] in ends or len(row) == 22
    assert len({len(row) for row in ours}) > 5


def test_long_rounds_as_on_an_accelerator_draw_the_same_in_fewer_calls(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, processor = load_policy(base, 1)
    inputs = prompt_inputs(model, processor, *asked(processor))
    calls: list[int] = []
    generate_once = model.generate
    monkeypatch.setattr(model, "generate", lambda **k: calls.append(1) or generate_once(**k))
    found = []
    for tokens in (4, 64):
        monkeypatch.setattr(decoding, "TOKENS_A_ROUND", tokens)
        calls.clear()
        drawn = generate_from(model, processor.tokenizer, inputs, Sampling(22, 1.0, seed=3))
        found.append((drawn.token_ids, len(calls)))
    assert found[0][0] == found[1][0]
    assert (found[0][1], found[1][1]) == (6, 1)
    assert tokens_a_round(torch.device("cuda")) == 64


def test_a_row_that_has_ended_is_computed_no_more_after_its_round(base: Path) -> None:
    model, processor = load_policy(base, 1)
    computed: list[int] = []
    model.lm_head.register_forward_hook(lambda _, given, __: computed.append(len(given[0])))
    found = generate(model, processor, *asked(processor), Sampling(22, 1.2, seed=1))
    lengths = [len(ids) for ids in found.token_ids]
    still = [sum(length > step - step % 4 for length in lengths) for step in range(len(computed))]
    assert computed == still
    assert computed[0] == ROWS > computed[-1]
