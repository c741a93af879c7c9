"""Pictures as a model takes them in, with the frozen vision tower run once per picture.

The tower is frozen in every training here, so what it says of a picture never changes: its
features, as the projector is given them, are kept (least recently used go first) and shared by all
rows and by all models with the same tower. Projectors are trained, so they run every time.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import torch

from spavl.errors import SpavlError
from spavl.models.families import family_of, frozen_tower
from spavl.models.family import PictureFeatures

PICTURES_PER_PASS = 64
MIB = 2**20


class PictureSource(Protocol):
    """Where pictures come from; `spavl.images.ImageStore` fits."""

    def open(self, image_id: str) -> Any:
        """The decoded RGB picture of an id."""


def picture_errors() -> tuple[type[Exception], ...]:
    """What is raised at bytes that are no picture, or one that is made to fill the memory."""
    from PIL.Image import DecompressionBombError

    return SpavlError, OSError, SyntaxError, ValueError, DecompressionBombError


class Pictures:
    """Reads pictures and keeps their features.

    Args:
        model: A model (policy or reward model) whose tower reads the pictures.
        processor: Its processor.
        source: Where the pictures are.
        budget_mib: Memory for kept features, in MiB.

    Raises:
        InputError: If the model's family is not supported.
    """

    def __init__(
        self, model: Any, processor: Any, source: PictureSource, budget_mib: float = 2048.0
    ) -> None:
        self.family = family_of(model)
        self._backbone = model.model
        self._processor = processor
        self._source = source
        self._budget = budget_mib * MIB
        self._size = 0
        self._features: OrderedDict[str, PictureFeatures] = OrderedDict()
        self._tokens: dict[str, int] = {}
        self._texts: dict[str, str] = {}

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
                except picture_errors():
                    unreadable.add(image_id)
            if opened:
                self._keep(opened)
        return unreadable

    def tokens(self, image_id: str) -> int:
        """Picture tokens of a picture that was read."""
        return self._tokens[image_id]

    def placeholder(self, image_id: str) -> str:
        """The text that stands for a picture that was read: one picture token per feature.

        Some families have further tokens around them.
        """
        text = self._texts.get(image_id)
        return text or str(self._processor.image_token) * self._tokens[image_id]

    def settings(self) -> dict[str, Any]:
        """How pixels are made of pictures, as JSON: part of what a row's log-probs depend on."""
        settings: dict[str, Any] = self._processor.image_processor.to_dict()
        return settings

    def features(self, image_ids: Sequence[str]) -> list[PictureFeatures]:
        """What the tower says of each picture, read again where it was not kept."""
        missing = [i for i in dict.fromkeys(image_ids) if i not in self._features]
        # A budget smaller than one batch keeps none of it, so look at the fresh ones too.
        found = self._keep({image_id: self._source.open(image_id) for image_id in missing})
        for image_id in dict.fromkeys(image_ids):
            if image_id in self._features:
                self._features.move_to_end(image_id)
                found[image_id] = self._features[image_id]
        return [found[image_id] for image_id in image_ids]

    def inputs_for(
        self, model: Any, image_ids: Sequence[str], input_ids: torch.Tensor | None = None
    ) -> dict[str, Any]:
        """The picture arguments of `model`'s forward or generate.

        Args:
            model: A model with the tower of this object's model; its own projector is used.
            image_ids: The pictures in the order of their tokens, row after row; repeats are
                projected once.
            input_ids: The padded batch, int64 `[rows, length]`; wanted by families whose positions
                depend on pictures, where the caller does not give positions.

        Returns:
            Keyword arguments; gradients reach the projector.
        """
        distinct = list(dict.fromkeys(image_ids))
        features = dict(zip(distinct, self.features(distinct), strict=True))
        projected = self.family.project(model.model, list(features.values()))
        by_id = dict(zip(distinct, projected, strict=True))
        output = self.family.output([by_id[i] for i in image_ids])
        found: dict[str, Any] = {"mm_encoder_outputs": {"image": output}}
        if input_ids is not None:
            pictures = [features[image_id] for image_id in image_ids]
            found |= self.family.plain_inputs(model.model, pictures, input_ids)
        return found

    def _keep(self, opened: dict[str, Any]) -> dict[str, PictureFeatures]:
        if not opened:
            return {}
        read = self.family.read(self._backbone, self._processor, list(opened.values()))
        fresh = dict(zip(opened, read, strict=True))
        for image_id, picture in fresh.items():
            self._tokens[image_id] = picture.tokens
            if picture.text:
                self._texts[image_id] = picture.text
            self._features[image_id] = picture
            self._size += picture.states.nbytes
        while self._size > self._budget and self._features:
            self._size -= self._features.popitem(last=False)[1].states.nbytes
        return fresh


def same_tower(one: Any, other: Any) -> bool:
    """Whether two models have equal vision towers, so that they can share features."""
    first, second = frozen_tower(one), frozen_tower(other)
    return first.keys() == second.keys() and all(
        torch.equal(first[name], second[name]) for name in first
    )


def freeze_tower(model: Any) -> None:
    """Train projector, language model and head only, as SPA-VL does."""
    for parameter in frozen_tower(model).values():
        parameter.requires_grad_(False)
