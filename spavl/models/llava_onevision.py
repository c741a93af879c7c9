"""LLaVA-OneVision: a picture as a whole and in tiles, with an end of line after each row."""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import ProcessorMixin
from transformers.models.llava_onevision import processing_llava_onevision

from spavl.models.family import Counting, PictureFeatures, given_to


class LlavaOnevisionProcessor(
    processing_llava_onevision.LlavaOnevisionProcessor,  # type: ignore[misc]
):
    """The library's processor without its video part; see `spavl.models.qwen`."""

    def __init__(
        self,
        image_processor: Any = None,
        tokenizer: Any = None,
        num_image_tokens: int | None = None,
        vision_feature_select_strategy: str | None = None,
        chat_template: Any = None,
        vision_aspect_ratio: str = "anyres_max_9",
    ) -> None:
        self.num_image_tokens = num_image_tokens
        self.vision_feature_select_strategy = vision_feature_select_strategy
        self.vision_aspect_ratio = vision_aspect_ratio
        self.image_token = getattr(tokenizer, "image_token", "<image>")
        self.video_token = getattr(tokenizer, "video_token", "<video>")
        self.image_token_id = tokenizer.convert_tokens_to_ids(self.image_token)
        self.video_token_id = tokenizer.convert_tokens_to_ids(self.video_token)
        ProcessorMixin.__init__(self, image_processor, tokenizer, chat_template=chat_template)


class LlavaOnevision(Counting):
    """See `spavl.models.family.Family`.

    Every picture is cut into tiles, also where a row has several; the library shows those whole.
    """

    projector = ("multi_modal_projector",)

    def tower(self, backbone: Any) -> dict[str, torch.nn.Parameter]:
        """The SigLIP tower."""
        return dict(backbone.vision_tower.named_parameters())

    def read(self, backbone: Any, processor: Any, pictures: Sequence[Any]) -> list[PictureFeatures]:
        """The projector's input: float `[tiles, patches, width]`, the whole picture first."""
        return [self._read(backbone, processor, picture) for picture in pictures]

    def _read(self, backbone: Any, processor: Any, picture: Any) -> PictureFeatures:
        inputs = processor.image_processor(images=[picture], return_tensors="pt")
        parameter = next(backbone.vision_tower.parameters())
        pixels = inputs["pixel_values"].to(parameter.device, parameter.dtype)
        sizes = inputs["image_sizes"]
        states = given_to(
            backbone.multi_modal_projector,
            lambda: backbone.get_image_features(pixel_values=pixels, image_sizes=sizes),
        )
        text = processor.replace_image_token({**inputs, "batch_num_images": [1]}, 0)
        height, width = (int(side) for side in sizes[0])
        return PictureFeatures(
            states, text.count(processor.image_token), size=(height, width), text=text
        )

    def project(self, backbone: Any, pictures: Sequence[PictureFeatures]) -> list[torch.Tensor]:
        """Tiles put together and cut to the picture, by the library."""
        tiles = [len(picture.states) for picture in pictures]
        embedded = backbone.multi_modal_projector(torch.cat([p.states for p in pictures]))
        packed, _ = backbone.pack_image_features(
            list(embedded.split(tiles)),
            torch.tensor([picture.size for picture in pictures]),
            image_newline=backbone.image_newline,
            vision_aspect_ratio=backbone.config.vision_aspect_ratio,
        )
        return list(packed)
