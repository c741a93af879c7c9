"""What differs between the families of vision-language models that can be trained here.

A family knows where its frozen tower ends and its trained projector begins, and which positions its
language model gives to the tokens of a sequence with pictures. Everything else is the library's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from spavl.errors import InputError

SUPPORTED = ("llava", "qwen2_5_vl")


@dataclass(frozen=True)
class PictureFeatures:
    """One picture as the frozen tower sees it.

    Attributes:
        states: What the projector is given: float `[states, tower width]`.
        tokens: Picture tokens that the language model gets of it.
        grid: Patches in time, height and width, for families whose pictures vary in size.
    """

    states: torch.Tensor
    tokens: int
    grid: tuple[int, int, int] | None = None


class Family(Protocol):
    """A family's ways; `backbone` is the library's model below the head, e.g. `LlavaModel`."""

    def tower(self, backbone: Any) -> dict[str, torch.nn.Parameter]:
        """The weights that never change: the vision tower without the projector, by name."""

    def read(
        self, backbone: Any, image_processor: Any, pictures: Sequence[Any]
    ) -> list[PictureFeatures]:
        """Process decoded pictures and run the tower, without gradient."""

    def project(self, backbone: Any, pictures: Sequence[PictureFeatures]) -> list[torch.Tensor]:
        """Embeddings of each picture's tokens, float `[tokens, width]`, with gradient."""

    def plain_inputs(
        self, backbone: Any, pictures: Sequence[PictureFeatures], input_ids: torch.Tensor
    ) -> dict[str, Any]:
        """What the library needs to find the positions of a padded batch by itself."""

    def positions(
        self,
        backbone: Any,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        pictures: Sequence[PictureFeatures],
    ) -> torch.Tensor:
        """Positions of a right-padded batch, as the library's own forward numbers it.

        Args:
            backbone: The backbone.
            input_ids: int64 `[rows, length]`.
            attention_mask: int64 `[rows, length]`.
            pictures: The pictures of all rows, in the order of their tokens.

        Returns:
            int64 `[axes, rows, length]`: one axis, or time, height and width.
        """


def family_of(model: Any) -> Family:
    """The family of a policy, a reward model or a backbone.

    Raises:
        InputError: If the family is not supported.
    """
    match model.config.model_type:
        case "llava":
            from spavl.models.llava import Llava

            return Llava()
        case "qwen2_5_vl":
            from spavl.models.qwen import Qwen

            return Qwen()
        case other:
            raise InputError(
                f"the family {other!r} is not supported",
                "training",
                f"use a model of {' or '.join(SUPPORTED)}",
            )


def frozen_tower(model: Any) -> dict[str, torch.nn.Parameter]:
    """The weights of a policy's or reward model's tower, by name; nothing here trains them."""
    return family_of(model).tower(model.model)
