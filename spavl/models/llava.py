"""LLaVA: a CLIP tower, a projector, one sequence of positions."""

from collections.abc import Sequence
from typing import Any

import torch

from spavl.models.families import PictureFeatures


class Llava:
    """See `spavl.models.families.Family`."""

    def tower(self, backbone: Any) -> dict[str, torch.nn.Parameter]:
        """The CLIP tower."""
        return dict(backbone.vision_tower.named_parameters())

    def read(
        self, backbone: Any, image_processor: Any, pictures: Sequence[Any]
    ) -> list[PictureFeatures]:
        """One state per patch; all pictures are of one size."""
        processed = image_processor(images=list(pictures), return_tensors="pt")
        states = tower_features(backbone, processed["pixel_values"])
        return [PictureFeatures(part.clone(), part.shape[0]) for part in states]

    def project(self, backbone: Any, pictures: Sequence[PictureFeatures]) -> list[torch.Tensor]:
        """One embedding per state."""
        states = torch.stack([picture.states for picture in pictures])
        return list(backbone.multi_modal_projector(states))  # [pictures, tokens, width]

    def plain_inputs(
        self, backbone: Any, pictures: Sequence[PictureFeatures], input_ids: torch.Tensor
    ) -> dict[str, Any]:
        """Nothing: positions do not depend on pictures."""
        return {}

    def positions(
        self,
        backbone: Any,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        pictures: Sequence[PictureFeatures],
    ) -> torch.Tensor:
        """Counted from 0 in every row."""
        places = torch.arange(input_ids.shape[1], device=input_ids.device)
        return places.expand(1, *input_ids.shape)


@torch.no_grad()
def tower_features(backbone: Any, pixel_values: torch.Tensor) -> torch.Tensor:
    """What a LLaVA's projector is given for these pixels.

    Taken from the library's own forward by a hook, so that layer and strategy of the feature
    selection are the library's.

    Args:
        backbone: A `LlavaModel`-like backbone.
        pixel_values: float `[pictures, 3, height, width]`.

    Returns:
        float `[pictures, tokens, tower width]`.
    """
    parameter = next(backbone.vision_tower.parameters())
    seen: list[torch.Tensor] = []
    hook = backbone.multi_modal_projector.register_forward_pre_hook(
        lambda _module, given: seen.append(given[0])
    )
    try:
        backbone.get_image_features(pixel_values=pixel_values.to(parameter.device, parameter.dtype))
    finally:
        hook.remove()
    return seen[0]
