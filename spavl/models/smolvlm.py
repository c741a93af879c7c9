"""SmolVLM: a picture in tiles between tokens that name their row and column, and as a whole."""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import ProcessorMixin
from transformers.models.smolvlm import processing_smolvlm

from spavl.models.family import Counting, PictureFeatures, given_to


class SmolVLMProcessor(processing_smolvlm.SmolVLMProcessor):  # type: ignore[misc]
    """The library's processor without its video part; see `spavl.models.qwen`."""

    def __init__(
        self,
        image_processor: Any = None,
        tokenizer: Any = None,
        image_seq_len: int = 169,
        chat_template: Any = None,
    ) -> None:
        self.fake_image_token = getattr(tokenizer, "fake_image_token", "<fake_token_around_image>")
        self.image_token = getattr(tokenizer, "image_token", "<image>")
        self.image_token_id = tokenizer.convert_tokens_to_ids(self.image_token)
        self.global_image_token = getattr(tokenizer, "global_image_token", "<global-img>")
        self.video_token = getattr(tokenizer, "video_token", "<video>")
        self.image_seq_len = image_seq_len
        ProcessorMixin.__init__(self, image_processor, tokenizer, chat_template=chat_template)

    def apply_chat_template(self, *arguments: Any, **options: Any) -> Any:
        """The template as it is saved; the library's own would look for videos."""
        return ProcessorMixin.apply_chat_template(self, *arguments, **options)


class SmolVLM(Counting):
    """See `spavl.models.family.Family`."""

    projector = ("connector",)

    def tower(self, backbone: Any) -> dict[str, torch.nn.Parameter]:
        """The SigLIP tower."""
        return dict(backbone.vision_model.named_parameters())

    def read(self, backbone: Any, processor: Any, pictures: Sequence[Any]) -> list[PictureFeatures]:
        """The connector's input: float `[tiles, patches, width]`."""
        return [self._read(backbone, processor, picture) for picture in pictures]

    def _read(self, backbone: Any, processor: Any, picture: Any) -> PictureFeatures:
        inputs = processor.image_processor(
            images=[[picture]], return_tensors="pt", **processor.images_kwargs
        )
        parameter = next(backbone.vision_model.parameters())
        pixels = inputs["pixel_values"].to(parameter.device, parameter.dtype)
        mask = inputs["pixel_attention_mask"].to(parameter.device)
        states = given_to(
            backbone.connector,
            lambda: backbone.get_image_features(pixels, pixel_attention_mask=mask),
        )
        text = processor.replace_image_token(inputs, 0)
        return PictureFeatures(states, text.count(processor.image_token), text=text)

    def project(self, backbone: Any, pictures: Sequence[PictureFeatures]) -> list[torch.Tensor]:
        """Patches folded and projected, tile after tile."""
        tiles = torch.cat([picture.states for picture in pictures])
        embedded = backbone.connector(tiles).flatten(0, 1)
        return list(embedded.split([picture.tokens for picture in pictures]))
