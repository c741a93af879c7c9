"""Qwen3-VL: as Qwen2.5-VL, with a tower without windows and features for the first layers too."""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import ProcessorMixin
from transformers.models.qwen3_vl import processing_qwen3_vl

from spavl.models.family import PictureFeatures
from spavl.models.qwen import Qwen


class Qwen3VLProcessor(processing_qwen3_vl.Qwen3VLProcessor):  # type: ignore[misc]
    """The library's processor without its video part; see `spavl.models.qwen`."""

    def __init__(
        self, image_processor: Any = None, tokenizer: Any = None, chat_template: Any = None
    ) -> None:
        self.image_token, self.video_token = "<|image_pad|>", "<|video_pad|>"
        self.image_token_id = tokenizer.convert_tokens_to_ids(self.image_token)
        self.video_token_id = tokenizer.convert_tokens_to_ids(self.video_token)
        ProcessorMixin.__init__(self, image_processor, tokenizer, chat_template=chat_template)


class Qwen3(Qwen):
    """See `spavl.models.family.Family`."""

    projector = ("merger", "deepstack_merger_list")

    @torch.no_grad()
    def states(
        self, backbone: Any, pixel_values: torch.Tensor, grids: torch.Tensor
    ) -> torch.Tensor:
        """What each merger is given: float `[patches, mergers, width]`, the last one first."""
        tower = backbone.visual
        parameter = next(tower.parameters())
        seen: list[torch.Tensor] = []
        mergers = [*tower.deepstack_merger_list, tower.merger]
        hooks = [
            merger.register_forward_pre_hook(lambda _module, given: seen.append(given[0]))
            for merger in mergers
        ]
        try:
            pixels = pixel_values.to(parameter.device, parameter.dtype)
            tower(pixels, grid_thw=grids.to(parameter.device))
        finally:
            for hook in hooks:
                hook.remove()
        return torch.stack([seen[-1], *seen[:-1]], dim=1)

    def project(self, backbone: Any, pictures: Sequence[PictureFeatures]) -> list[torch.Tensor]:
        """One embedding for each merged square, those of the first layers beside it."""
        tower = backbone.visual
        states = torch.cat([picture.states for picture in pictures])
        merged = [
            merger(states[:, place].contiguous())
            for place, merger in enumerate([tower.merger, *tower.deepstack_merger_list])
        ]
        stacked = torch.stack(merged, dim=1)  # [tokens, mergers, width]
        return list(torch.split(stacked, [picture.tokens for picture in pictures]))

    def output(self, projected: Sequence[torch.Tensor]) -> Any:
        """See `Family`."""
        from transformers.models.qwen3_vl.modeling_qwen3_vl import (
            BaseModelOutputWithDeepstackFeatures,
        )

        further = range(1, projected[0].shape[1])
        return BaseModelOutputWithDeepstackFeatures(
            pooler_output=[part[:, 0] for part in projected],
            deepstack_features=[[part[:, place] for part in projected] for place in further],
        )
