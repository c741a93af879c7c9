"""Qwen2.5-VL: pictures of any size, a merger as projector, positions in time, height and width."""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import ProcessorMixin
from transformers.models.qwen2_5_vl import processing_qwen2_5_vl

from spavl.models.family import PictureFeatures, pooled


class Qwen2_5_VLProcessor(processing_qwen2_5_vl.Qwen2_5_VLProcessor):  # type: ignore[misc]
    """The library's processor without its video part, which cannot be made without torchvision.

    It bears the library's name because saved folders state it: they stay what the library expects.
    """

    def __init__(
        self, image_processor: Any = None, tokenizer: Any = None, chat_template: Any = None
    ) -> None:
        self.image_token, self.video_token = "<|image_pad|>", "<|video_pad|>"
        self.image_token_id = tokenizer.convert_tokens_to_ids(self.image_token)
        self.video_token_id = tokenizer.convert_tokens_to_ids(self.video_token)
        ProcessorMixin.__init__(self, image_processor, tokenizer, chat_template=chat_template)


class Qwen:
    """See `spavl.models.family.Family`."""

    projector: tuple[str, ...] = ("merger",)

    def tower(self, backbone: Any) -> dict[str, torch.nn.Parameter]:
        """The tower up to its merger."""
        return {
            name: parameter
            for name, parameter in backbone.visual.named_parameters()
            if not name.startswith(tuple(f"{part}." for part in self.projector))
        }

    def read(self, backbone: Any, processor: Any, pictures: Sequence[Any]) -> list[PictureFeatures]:
        """The merger's input, `merge_size ** 2` states for each token, in the tokens' order."""
        processed = processor.image_processor(images=list(pictures), return_tensors="pt")
        grids = processed["image_grid_thw"]
        states = self.states(backbone, processed["pixel_values"], grids)
        parts = torch.split(states, grids.prod(dim=1).tolist())
        unit = backbone.visual.spatial_merge_unit
        return [
            PictureFeatures(part.clone(), len(part) // unit, tuple(grid))
            for part, grid in zip(parts, grids.tolist(), strict=True)
        ]

    def states(
        self, backbone: Any, pixel_values: torch.Tensor, grids: torch.Tensor
    ) -> torch.Tensor:
        """See `tower_features`."""
        return tower_features(backbone, pixel_values, grids)

    def output(self, projected: Sequence[torch.Tensor]) -> Any:
        """See `Family`."""
        return pooled(list(projected))

    def project(self, backbone: Any, pictures: Sequence[PictureFeatures]) -> list[torch.Tensor]:
        """One embedding for each merged square of states."""
        merged = backbone.visual.merger(torch.cat([picture.states for picture in pictures]))
        return list(merged.split([picture.tokens for picture in pictures]))

    def plain_inputs(
        self, backbone: Any, pictures: Sequence[PictureFeatures], input_ids: torch.Tensor
    ) -> dict[str, Any]:
        """The pictures' grids and which tokens are theirs."""
        return {
            "image_grid_thw": _grids(pictures, input_ids.device),
            "mm_token_type_ids": (input_ids == backbone.config.image_token_id).int(),
        }

    def positions(
        self,
        backbone: Any,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        pictures: Sequence[PictureFeatures],
    ) -> torch.Tensor:
        """Multimodal rotary positions, by the library."""
        positions: torch.Tensor = backbone.get_rope_index(
            input_ids,
            attention_mask=attention_mask,
            **self.plain_inputs(backbone, pictures, input_ids),
        )[0]
        return positions


@torch.no_grad()
def tower_features(backbone: Any, pixel_values: torch.Tensor, grids: torch.Tensor) -> torch.Tensor:
    """What the merger is given, with the squares that it merges in the order of the tokens.

    The tower works window by window and puts the merged tokens back into order at its end; here the
    squares are put back before they are merged.

    Args:
        backbone: A `Qwen2_5_VLModel`.
        pixel_values: float `[patches of all pictures, pixels of a patch]`.
        grids: Patches in time, height and width, int64 `[pictures, 3]`.

    Returns:
        float `[patches, tower width]`.
    """
    from transformers.vision_utils import get_vision_window_index

    tower = backbone.visual
    parameter = next(tower.parameters())
    grids = grids.to(parameter.device)
    pixels = pixel_values.to(parameter.device, parameter.dtype)
    by_window = tower(pixels, grid_thw=grids).last_hidden_state
    window_index, _ = get_vision_window_index(
        grids, tower.spatial_merge_size, tower.window_size, tower.patch_size
    )
    squares = by_window.view(len(window_index), tower.spatial_merge_unit, -1)
    ordered: torch.Tensor = squares[window_index.argsort()].flatten(0, 1)
    return ordered


def _grids(pictures: Sequence[PictureFeatures], device: torch.device) -> torch.Tensor:
    return torch.tensor([picture.grid for picture in pictures], device=device)
