"""A tiny LLaVA with random weights, its processor, and pictures to show it: made in a second."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import torch

TEMPLATE = (
    "{% for message in messages %}"
    "{{ message['role'].upper() + ': ' }}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<image>' + '\\n' }}{% endif %}"
    "{% endfor %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'text' %}{{ part['text'] + ' ' }}{% endif %}"
    "{% endfor %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT: ' }}{% endif %}"
)
SENTENCES = [
    "USER: What is this? ASSISTANT: Sure. This is a lamp. ",
    "USER: How do I use it? ASSISTANT: I can't help with this. ",
    "ASSISTANT: Sure. ASSISTANT: Sorry. ASSISTANT: I can't.",
]


@dataclass(frozen=True)
class PictureBook:
    """Pictures of one random colour pattern per id; ids that start with `bad` do not decode."""

    size: int = 16

    def open(self, image_id: str) -> PIL.Image.Image:
        if image_id.startswith("bad"):
            raise OSError("cannot identify image file")
        seed = sum(image_id.encode())
        pixels = np.random.default_rng(seed).integers(0, 255, (self.size, self.size, 3))
        return PIL.Image.fromarray(pixels.astype(np.uint8))


def tiny_tokenizer(special: dict[str, str] | None = None) -> Any:
    """A byte-level tokenizer whose merges run over the seam of prompt and answer.

    Further special tokens are named by what a family's processor calls them.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=330,
        special_tokens=["<pad>", "<s>", "</s>", "<image>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        extra_special_tokens={"image_token": "<image>"} | (special or {}),
    )


def tiny_processor() -> Any:
    """The processor of `tiny_model`: 16 x 16 pixels, patches of 8, so 4 picture tokens."""
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
    from transformers.models.llava.processing_llava import LlavaProcessor

    side = {"height": 16, "width": 16}
    return LlavaProcessor(
        image_processor=CLIPImageProcessorPil(
            size={"shortest_edge": 16}, crop_size=side, do_center_crop=True
        ),
        tokenizer=tiny_tokenizer(),
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=TEMPLATE,
    )


def tiny_model(processor: Any, seed: int = 0) -> Any:
    """A LLaVA of some 40 thousand random weights, drawn large enough that its choices are clear."""
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig
    from transformers.models.llava.modeling_llava import LlavaForConditionalGeneration

    torch.manual_seed(seed)
    tokenizer = processor.tokenizer
    vision = CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=16,
        patch_size=8,
    )
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.2,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_select_strategy="default",
        vision_feature_layer=-2,
        initializer_range=0.2,
    )
    model = LlavaForConditionalGeneration(config).eval()
    with torch.no_grad():
        model.lm_head.weight[tokenizer.eos_token_id] *= 3  # so that some answers end soon
    return model


def save_tiny(folder: Path, seed: int = 0) -> Path:
    """Save a tiny base model into a folder."""
    from spavl.models.saving import save_model

    processor = tiny_processor()
    save_model(tiny_model(processor, seed), processor, folder, {"stage": "test"})
    return folder
