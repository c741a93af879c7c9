"""Answer log-probs: equal to the library's own forward, at every padding, chunk and batch size."""

import pytest
import torch

from spavl.alignment import logprobs
from spavl.alignment.logprobs import PlainEngine
from spavl.alignment.rows import Row
from spavl.models.load import load_policy
from tests.unit.alignment.worlds import ANSWERS, QUESTIONS, make_tokeniser, make_world


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    world = make_world(tmp_path_factory.mktemp("world"))
    tokeniser, pictures = make_tokeniser(world)
    pictures.read(["a", "b"])
    rows = [
        tokeniser.answered(image_id, question, answer)
        for image_id in "ab"
        for question, answer in zip(QUESTIONS, ANSWERS, strict=False)
    ]
    model, processor = load_policy(world.base.uri)
    return model, processor, pictures, rows


def plain_log_probs(model, processor, row: Row) -> torch.Tensor:  # type: ignore[no-untyped-def]
    """One row through the library's own forward, all logits, pixels and all."""
    from tests.unit.models.tiny import PictureBook

    pixels = processor.image_processor(PictureBook().open(row.image_id), return_tensors="pt")
    ids = torch.tensor([row.token_ids])
    logits = model(input_ids=ids, pixel_values=pixels["pixel_values"]).logits[0]
    every = logits[:-1].log_softmax(-1).gather(1, ids[0, 1:, None]).squeeze(1)
    return every[row.boundary - 1 :]


@torch.no_grad()
def test_a_padded_batch_gives_what_the_library_gives_row_by_row(scene) -> None:  # type: ignore[no-untyped-def]
    model, processor, pictures, rows = scene
    found = PlainEngine(pictures, 0).response_log_probs(model, rows)
    for place, row in enumerate(rows):
        assert found.mask[place].sum() == row.response_length
        expected = plain_log_probs(model, processor, row)
        torch.testing.assert_close(
            found.values[place][found.mask[place]], expected, atol=1e-4, rtol=1e-4
        )
    assert found.values[~found.mask].eq(0).all()


def test_chunks_change_neither_values_nor_gradients(scene, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    model, _, pictures, rows = scene
    engine = PlainEngine(pictures, 0)
    results = []
    for positions in (4096, 3):
        monkeypatch.setattr(logprobs, "POSITIONS_PER_CHUNK", positions)
        model.zero_grad()
        found = engine.response_log_probs(model, rows)
        found.sums().sum().backward()
        results.append((found.values.detach(), model.lm_head.weight.grad.clone()))
    torch.testing.assert_close(results[0], results[1], atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_temperature_divides_the_logits_and_entropy_is_that_of_the_distribution(scene) -> None:  # type: ignore[no-untyped-def]
    model, _, _, _ = scene
    states, wanted = torch.randn(5, 32), torch.arange(5)
    values, entropies = logprobs.token_log_probs(model.lm_head, states, wanted, temperature=2.0)
    distribution = torch.distributions.Categorical(logits=model.lm_head(states) / 2)
    torch.testing.assert_close(values, distribution.log_prob(wanted))
    torch.testing.assert_close(entropies, distribution.entropy())
