"""Tiny models of further families with random weights, and their processors, from configuration."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from tests.unit.models.tiny import tiny_tokenizer
from tests.unit.models.tiny_qwen import SPECIAL
from tests.unit.models.tiny_qwen import TEMPLATE as QWEN_TEMPLATE

TEMPLATE = (
    "{% for message in messages %}"
    "{{ message['role'].upper() + ': ' }}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ 'PICTURE' }}{% else %}{{ part['text'] + ' ' }}{% endif %}"
    "{% endfor %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT: ' }}{% endif %}"
)
WIDTH = 32
TEXT: dict[str, Any] = {
    "hidden_size": WIDTH,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "initializer_range": 0.2,
}
VISION: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 16,
}


def text_config(tokenizer: Any) -> dict[str, Any]:
    return {
        **TEXT,
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }


def qwen3() -> tuple[Any, Any]:
    """A tower of two layers, of which the first speaks to the language model too."""
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    from spavl.models.qwen3 import Qwen3VLProcessor

    tokenizer = tiny_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": list(SPECIAL)})
    pictures = Qwen2VLImageProcessorPil(
        patch_size=4, merge_size=2, size={"shortest_edge": 64, "longest_edge": 1024}
    )
    processor = Qwen3VLProcessor(pictures, tokenizer, chat_template=QWEN_TEMPLATE)
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]}
    ids = tokenizer.convert_tokens_to_ids
    config = Qwen3VLConfig(
        text_config={**text_config(tokenizer), "rope_parameters": rope},
        vision_config={
            "depth": 2,
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_heads": 2,
            "patch_size": 4,
            "spatial_merge_size": 2,
            "out_hidden_size": WIDTH,
            "num_position_embeddings": 16,
            "deepstack_visual_indexes": [0],
            "initializer_range": 0.2,
        },
        image_token_id=ids("<|image_pad|>"),
        video_token_id=ids("<|video_pad|>"),
        vision_start_token_id=ids("<|vision_start|>"),
        vision_end_token_id=ids("<|vision_end|>"),
    )
    return Qwen3VLForConditionalGeneration(config), processor


def internvl() -> tuple[Any, Any]:
    """Tiles of 16 x 16 pixels, patches of 4, folded two by two: 4 tokens a tile."""
    from transformers import InternVLConfig, InternVLForConditionalGeneration
    from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil

    from spavl.models.internvl import InternVLProcessor

    tokenizer = tiny_tokenizer(
        {
            "start_image_token": "<img>",
            "end_image_token": "</img>",
            "context_image_token": "<IMG_CONTEXT>",
            "video_token": "<video>",
        }
    )
    side = {"height": 16, "width": 16}
    pictures = GotOcr2ImageProcessorPil(size=side, max_patches=2)
    template = TEMPLATE.replace("PICTURE", "<IMG_CONTEXT>")
    processor = InternVLProcessor(pictures, tokenizer, 4, chat_template=template)
    config = InternVLConfig(
        text_config={"model_type": "qwen2", **text_config(tokenizer)},
        vision_config={**VISION, "image_size": [16, 16], "patch_size": [4, 4]},
        image_token_id=tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=4,
        downsample_ratio=0.5,
    )
    return InternVLForConditionalGeneration(config), processor


def llava_onevision() -> tuple[Any, Any]:
    """Tiles of 16 x 16 pixels, patches of 8; a picture becomes two tiles at most and itself."""
    from transformers import LlavaOnevisionConfig, LlavaOnevisionForConditionalGeneration
    from transformers.models.llava_onevision.image_processing_pil_llava_onevision import (
        LlavaOnevisionImageProcessorPil,
    )

    from spavl.models.llava_onevision import LlavaOnevisionProcessor

    tokenizer = tiny_tokenizer({"video_token": "<video>"})
    points = [[16, 16], [16, 32], [32, 16]]
    pictures = LlavaOnevisionImageProcessorPil(
        size={"height": 16, "width": 16}, image_grid_pinpoints=points
    )
    processor = LlavaOnevisionProcessor(
        pictures, tokenizer, 4, "full", chat_template=TEMPLATE.replace("PICTURE", "<image>")
    )
    config = LlavaOnevisionConfig(
        text_config={"model_type": "qwen2", **text_config(tokenizer)},
        vision_config={
            "model_type": "siglip_vision_model",
            **VISION,
            "patch_size": 8,
            "vision_use_head": False,
        },
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_id=tokenizer.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=points,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
    )
    return LlavaOnevisionForConditionalGeneration(config), processor


def smolvlm() -> tuple[Any, Any]:
    """Tiles of 16 x 16 pixels, patches of 4, folded two by two: 4 tokens a tile."""
    from transformers import SmolVLMConfig, SmolVLMForConditionalGeneration
    from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil

    from spavl.models.smolvlm import SmolVLMProcessor

    tokenizer = tiny_tokenizer(
        {
            "fake_image_token": "<fake_token_around_image>",
            "global_image_token": "<global-img>",
            "video_token": "<video>",
        }
    )
    pictures = SmolVLMImageProcessorPil(
        size={"longest_edge": 32}, max_image_size={"longest_edge": 16}
    )
    processor = SmolVLMProcessor(
        pictures, tokenizer, 4, chat_template=TEMPLATE.replace("PICTURE", "<image>")
    )
    config = SmolVLMConfig(
        text_config={"model_type": "llama", **text_config(tokenizer)},
        vision_config={**VISION, "patch_size": 4},
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        scale_factor=2,
        pad_token_id=tokenizer.pad_token_id,
    )
    return SmolVLMForConditionalGeneration(config), processor


MAKERS: dict[str, Callable[[], tuple[Any, Any]]] = {
    "qwen3_vl": qwen3,
    "internvl": internvl,
    "llava_onevision": llava_onevision,
    "smolvlm": smolvlm,
}


def save_tiny_of(family: str, folder: Path) -> Path:
    """Save a tiny base model of a family into a folder."""
    from spavl.models.saving import save_model

    torch.manual_seed(0)
    model, processor = MAKERS[family]()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.normal_(std=0.2)  # the library's small start would hide differences
    save_model(model.eval(), processor, folder, {"stage": "test"})
    return folder
