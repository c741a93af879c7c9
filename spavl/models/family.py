"""What a family of vision-language models is, and what several of them have in common.

A family knows where its frozen tower ends and its trained projector begins, and which positions its
language model gives to the tokens of a sequence with pictures. Everything else is the library's.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch


@dataclass(frozen=True)
class PictureFeatures:
    """One picture as the frozen tower sees it.

    Attributes:
        states: What the projector is given: float `[states, tower width]`.
        tokens: Picture tokens that the language model gets of it.
        grid: Patches in time, height and width, for families whose positions know them.
        size: Height and width in pixels, for families whose projector's output is cut by them.
        text: What stands for it in text, where that is more than its tokens.
    """

    states: torch.Tensor
    tokens: int
    grid: tuple[int, int, int] | None = None
    size: tuple[int, int] | None = None
    text: str = ""


class Family(Protocol):
    """A family's ways; `backbone` is the library's model below the head, e.g. `LlavaModel`."""

    @property
    def projector(self) -> tuple[str, ...]:
        """Names, in the backbone or its tower, of what is trained between tower and language."""

    def tower(self, backbone: Any) -> dict[str, torch.nn.Parameter]:
        """The weights that never change: the vision tower without the projector, by name."""

    def read(self, backbone: Any, processor: Any, pictures: Sequence[Any]) -> list[PictureFeatures]:
        """Process decoded pictures and run the tower, without gradient."""

    def project(self, backbone: Any, pictures: Sequence[PictureFeatures]) -> list[torch.Tensor]:
        """Embeddings of each picture's tokens, float `[tokens, width]`, with gradient."""

    def output(self, projected: Sequence[torch.Tensor]) -> Any:
        """What `project` gave, of all pictures in the order of their tokens, as the library's own
        forward takes it.
        """

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


class Counting:
    """What families have in common whose positions count tokens, whatever the pictures."""

    def output(self, projected: Sequence[torch.Tensor]) -> Any:
        """See `Family`."""
        return pooled(list(projected))

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


def pooled(embeddings: Any) -> Any:
    """Embeddings as the library's towers put them out."""
    from transformers.modeling_outputs import BaseModelOutputWithPooling

    return BaseModelOutputWithPooling(pooler_output=embeddings)


@torch.no_grad()
def given_to(module: torch.nn.Module, call: Callable[[], object]) -> torch.Tensor:
    """What a module is given while something is called, taken by a hook.

    So layer and strategy of a family's feature selection are the library's.
    """
    seen: list[torch.Tensor] = []
    hook = module.register_forward_pre_hook(lambda _module, given: seen.append(given[0]))
    try:
        call()
    finally:
        hook.remove()
    return seen[0]
