"""Pictures as a model takes them in, with the frozen vision tower run once per picture.

The tower is frozen in every training here, so what it says of a picture never changes: its
features, as the projector is given them, are kept (least recently used go first) and shared by all
rows and by all models with the same tower. Projectors are trained, so they run every time.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import torch

from spavl.errors import InputError, SpavlError

PICTURES_PER_PASS = 64
MIB = 2**20


class PictureSource(Protocol):
    """Where pictures come from; `spavl.images.ImageStore` fits."""

    def open(self, image_id: str) -> Any:
        """The decoded RGB picture of an id."""


class Pictures:
    """Reads pictures and keeps their features.

    Args:
        model: A LLaVA-like model (policy or reward model) whose tower reads the pictures.
        processor: Its processor.
        source: Where the pictures are.
        budget_mib: Memory for kept features, in MiB.

    Raises:
        InputError: If the model has no separate tower and projector.
    """

    def __init__(
        self, model: Any, processor: Any, source: PictureSource, budget_mib: float = 2048.0
    ) -> None:
        if not hasattr(model.model, "multi_modal_projector"):
            raise InputError(
                f"the family {model.config.model_type!r} is not supported",
                "training",
                "use a LLaVA model",
            )
        self._backbone = model.model
        self._processor = processor
        self._source = source
        self._budget = budget_mib * MIB
        self._size = 0
        self._features: OrderedDict[str, torch.Tensor] = OrderedDict()
        self._placeholders: dict[str, str] = {}

    def read(self, image_ids: Iterable[str]) -> set[str]:
        """Read pictures ahead of time.

        Returns:
            The ids that could not be read: unknown or undecodable.
        """
        unreadable: set[str] = set()
        wanted = sorted(set(image_ids) - set(self._features))
        for start in range(0, len(wanted), PICTURES_PER_PASS):
            opened: dict[str, Any] = {}
            for image_id in wanted[start : start + PICTURES_PER_PASS]:
                try:
                    opened[image_id] = self._source.open(image_id)
                except (SpavlError, OSError):
                    unreadable.add(image_id)
            if opened:
                self._keep(opened)
        return unreadable

    def placeholder(self, image_id: str) -> str:
        """The text that stands for a picture that was read: one picture token per feature."""
        return self._placeholders[image_id]

    def inputs_for(self, model: Any, image_ids: Sequence[str]) -> dict[str, Any]:
        """The picture arguments of `model`'s forward or generate for rows of these pictures.

        Args:
            model: A model with the tower of this object's model; its own projector is used.
            image_ids: One id per row, repeats welcome.

        Returns:
            Keyword arguments; gradients reach the projector.
        """
        from transformers.modeling_outputs import BaseModelOutputWithPooling

        distinct = list(dict.fromkeys(image_ids))
        index = {image_id: place for place, image_id in enumerate(distinct)}
        towered = self._stack(distinct)  # [distinct, tokens, tower width]
        projected = model.model.multi_modal_projector(towered)  # [distinct, tokens, model width]
        rows = [projected[index[image_id]] for image_id in image_ids]
        output = BaseModelOutputWithPooling(pooler_output=rows)
        return {"mm_encoder_outputs": {"image": output}}

    def _stack(self, image_ids: list[str]) -> torch.Tensor:
        missing = [image_id for image_id in image_ids if image_id not in self._features]
        fresh = self._keep({image_id: self._source.open(image_id) for image_id in missing})
        for image_id in image_ids:
            if image_id in self._features:
                self._features.move_to_end(image_id)
        # A budget smaller than one batch keeps none of it, so look at the fresh ones too.
        return torch.stack([fresh.get(i, self._features.get(i)) for i in image_ids])  # type: ignore[misc]

    def _keep(self, opened: dict[str, Any]) -> dict[str, torch.Tensor]:
        if not opened:
            return {}
        processed = self._processor.image_processor(
            images=list(opened.values()), return_tensors="pt"
        )
        features = tower_features(self._backbone, processed["pixel_values"])
        fresh = {}
        for place, image_id in enumerate(opened):
            self._placeholders[image_id] = self._processor.replace_image_token(processed, place)
            fresh[image_id] = features[place].clone()
            self._features[image_id] = fresh[image_id]
            self._size += fresh[image_id].nbytes
        while self._size > self._budget and self._features:
            self._size -= self._features.popitem(last=False)[1].nbytes
        return fresh


@torch.no_grad()
def tower_features(backbone: Any, pixel_values: torch.Tensor) -> torch.Tensor:
    """What a backbone's projector is given for these pixels.

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


def same_tower(one: Any, other: Any) -> bool:
    """Whether two models have equal vision towers, so that they can share features."""
    first, second = (model.model.vision_tower.state_dict() for model in (one, other))
    return first.keys() == second.keys() and all(
        torch.equal(first[name], second[name]) for name in first
    )


def freeze_tower(model: Any) -> None:
    """Train projector, language model and head only, as SPA-VL does."""
    for parameter in model.model.vision_tower.parameters():
        parameter.requires_grad_(False)
