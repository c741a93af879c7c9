"""LLaVA: a CLIP tower, a projector, one sequence of positions."""

from collections.abc import Sequence
from typing import Any

import torch

from spavl.models.family import Counting, PictureFeatures, given_to


class Llava(Counting):
    """See `spavl.models.family.Family`."""

    projector = ("multi_modal_projector",)

    def tower(self, backbone: Any) -> dict[str, torch.nn.Parameter]:
        """The CLIP tower."""
        return dict(backbone.vision_tower.named_parameters())

    def read(self, backbone: Any, processor: Any, pictures: Sequence[Any]) -> list[PictureFeatures]:
        """One state per patch; all pictures are of one size."""
        processed = processor.image_processor(images=list(pictures), return_tensors="pt")
        states = tower_features(backbone, processed["pixel_values"])
        return [PictureFeatures(part.clone(), part.shape[0]) for part in states]

    def project(self, backbone: Any, pictures: Sequence[PictureFeatures]) -> list[torch.Tensor]:
        """One embedding per state."""
        states = torch.stack([picture.states for picture in pictures])
        return list(backbone.multi_modal_projector(states))  # [pictures, tokens, width]


def tower_features(backbone: Any, pixel_values: torch.Tensor) -> torch.Tensor:
    """What a LLaVA's projector is given for these pixels.

    Args:
        backbone: A `LlavaModel`-like backbone.
        pixel_values: float `[pictures, 3, height, width]`.

    Returns:
        float `[pictures, tokens, tower width]`.
    """
    parameter = next(backbone.vision_tower.parameters())
    pixels = pixel_values.to(parameter.device, parameter.dtype)
    return given_to(
        backbone.multi_modal_projector, lambda: backbone.get_image_features(pixel_values=pixels)
    )
