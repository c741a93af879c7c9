"""InternVL3, by the library's classes: a picture as tiles, each of equally many tokens."""

import re
from collections.abc import Sequence
from typing import Any

import torch
from transformers import ProcessorMixin
from transformers.models.internvl import processing_internvl

from spavl.models.family import Counting, PictureFeatures, given_to, pooled


class InternVLProcessor(processing_internvl.InternVLProcessor):  # type: ignore[misc]
    """The library's processor without its video part; see `spavl.models.qwen`."""

    def __init__(
        self,
        image_processor: Any = None,
        tokenizer: Any = None,
        image_seq_length: int = 256,
        chat_template: Any = None,
    ) -> None:
        self.image_seq_length = image_seq_length
        self.start_image_token = tokenizer.start_image_token
        self.end_image_token = tokenizer.end_image_token
        self.image_token = tokenizer.context_image_token
        self.image_token_id = tokenizer.convert_tokens_to_ids(self.image_token)
        self.multimodal_pattern = re.compile(f"(?P<image>{re.escape(self.image_token)})")
        ProcessorMixin.__init__(self, image_processor, tokenizer, chat_template=chat_template)


class InternVL(Counting):
    """See `spavl.models.family.Family`."""

    projector = ("multi_modal_projector",)

    def tower(self, backbone: Any) -> dict[str, torch.nn.Parameter]:
        """The InternViT tower."""
        return dict(backbone.vision_tower.named_parameters())

    def read(self, backbone: Any, processor: Any, pictures: Sequence[Any]) -> list[PictureFeatures]:
        """The projector's input, after patches were folded: float `[tiles, tokens, width]`."""
        return [self._read(backbone, processor, picture) for picture in pictures]

    def _read(self, backbone: Any, processor: Any, picture: Any) -> PictureFeatures:
        inputs = processor.image_processor(
            images=[picture], return_tensors="pt", **processor.images_kwargs
        )
        parameter = next(backbone.vision_tower.parameters())
        pixels = inputs["pixel_values"].to(parameter.device, parameter.dtype)
        states = given_to(
            backbone.multi_modal_projector, lambda: backbone.get_image_features(pixel_values=pixels)
        )
        text = processor.replace_image_token({"num_patches": [len(states)]}, 0)
        return PictureFeatures(states, states.shape[0] * states.shape[1], text=text)

    def project(self, backbone: Any, pictures: Sequence[PictureFeatures]) -> list[torch.Tensor]:
        """One embedding per state, tile after tile."""
        tiles = torch.cat([picture.states for picture in pictures])
        embedded = backbone.multi_modal_projector(tiles).flatten(0, 1)
        return list(embedded.split([picture.tokens for picture in pictures]))

    def output(self, projected: Sequence[torch.Tensor]) -> Any:
        """As one tensor, float `[1, tokens, width]`: the library counts tokens by its shape."""
        return pooled(torch.cat(list(projected))[None])
