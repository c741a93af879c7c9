"""The pocket LLaVA: transformers' own CLIP tower, projector and Llama, a few million parameters."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from spavl.pocket.tokenizer import IMAGE_TOKEN, MAX_LENGTH
from spavl.pocket.world import PICTURE_SIZE
from spavl.settings.pocket_base import PocketBaseSettings

PATCH_SIZE = 16
PICTURE_TOKENS = (PICTURE_SIZE // PATCH_SIZE) ** 2


def build_model(
    settings: PocketBaseSettings, tokenizer: PreTrainedTokenizerFast
) -> LlavaForConditionalGeneration:
    """A fresh LLaVA; torch's global seed decides its weights."""
    tower = CLIPVisionConfig(
        hidden_size=settings.tower_width,
        intermediate_size=2 * settings.tower_width,
        num_hidden_layers=settings.tower_layers,
        num_attention_heads=settings.heads,
        projection_dim=settings.tower_width,
        image_size=PICTURE_SIZE,
        patch_size=PATCH_SIZE,
        hidden_act="gelu",
    )
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=settings.text_width,
        intermediate_size=5 * settings.text_width // 2,
        num_hidden_layers=settings.text_layers,
        num_attention_heads=settings.heads,
        num_key_value_heads=settings.heads,
        max_position_embeddings=MAX_LENGTH,
        initializer_range=0.05,  # Llama's 0.02 suits widths of thousands
        tie_word_embeddings=False,
        **_token_ids(tokenizer),
    )
    config = LlavaConfig(
        vision_config=tower,
        text_config=text,
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE_TOKEN),
        image_seq_length=PICTURE_TOKENS,
        vision_feature_layer=-1,
        vision_feature_select_strategy="default",
        tie_word_embeddings=False,
        **_token_ids(tokenizer),
    )
    model = LlavaForConditionalGeneration(config)
    for name, value in _token_ids(tokenizer).items():
        setattr(model.generation_config, name, value)
    return model


def build_processor(tokenizer: PreTrainedTokenizerFast) -> LlavaProcessor:
    """The processor: pictures of any size are scaled and cropped to 64 x 64."""
    return LlavaProcessor(
        image_processor=CLIPImageProcessorPil(
            size={"shortest_edge": PICTURE_SIZE},
            crop_size={"height": PICTURE_SIZE, "width": PICTURE_SIZE},
            image_mean=[0.5] * 3,
            image_std=[0.5] * 3,
        ),
        tokenizer=tokenizer,
        patch_size=PATCH_SIZE,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,  # the tower's class token, which "default" drops again
        image_token=IMAGE_TOKEN,
        chat_template=tokenizer.chat_template,
    )


def pixel_values(pictures: NDArray[np.uint8]) -> torch.Tensor:
    """What the processor makes of pocket pictures: float `[pictures, 3, 64, 64]` in [-1, 1].

    Args:
        pictures: uint8 `[pictures, 64, 64, 3]`.
    """
    pixels = torch.from_numpy(pictures).permute(0, 3, 1, 2).float()
    return pixels.div_(127.5).sub_(1.0)  # in place: no further copies


def tower_features(tower: Any, pixels: torch.Tensor) -> torch.Tensor:
    """The patch features that Llava hands its projector: `[pictures, 16, tower width]`."""
    states = tower(pixel_values=pixels, output_hidden_states=True).hidden_states
    features: torch.Tensor = states[-1][:, 1:]
    return features


def _token_ids(tokenizer: PreTrainedTokenizerFast) -> dict[str, int]:
    return {
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
