"""A LLaVA with random weights at the size that people train, and rows for it, for a GPU.

Needs torch and transformers alone: no processor, no pictures on disk, LoRA written out.
"""

import copy
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any

import torch

from benchmarks.llava_world import Example, preference_of
from spavl.alignment.rows import PairRows, Row
from spavl.models.family import pooled
from spavl.models.pictures import Pictures, freeze_tower
from spavl.models.reward import reward_model_class

PATCH = 14
TOWER_FACTOR = 4  # width of the tower's MLPs over its states'
EMBEDDED = 3  # dimensions of embeddings; pixels have four
SPECIAL = 64  # ids at the end of the vocabulary that no text has


@dataclass(frozen=True)
class GpuShape:
    """What is trained on; the default is LLaVA-1.5-7B and SPA-VL's questions.

    Attributes:
        hidden: Width of the language model.
        layers: Its layers.
        heads: Its heads.
        inner: Width of its MLPs.
        vocabulary: Its words.
        tower: Width, layers and heads of the vision tower; CLIP-L by default.
        side: Pixels of a picture's side.
        text_tokens: Prompt tokens besides the picture's.
        answer_tokens: Tokens of an answer.
        pictures: Pictures of a step of DPO and of the reward model.
        questions: Questions a picture, one pair each.
        prompts: Prompts of PPO, each on a picture of its own.
        generations: Answers of a prompt.
        rank: LoRA's.
        packed_tokens: Most packed tokens of a pass.
        plain_rows: Rows of a plain pass: about as many tokens.
    """

    hidden: int = 4096
    layers: int = 32
    heads: int = 32
    inner: int = 11008
    vocabulary: int = 32_064
    tower: tuple[int, int, int] = (1024, 24, 16)
    side: int = 336
    text_tokens: int = 40
    answer_tokens: int = 100
    pictures: int = 3
    questions: int = 3
    prompts: int = 4
    generations: int = 4
    rank: int = 256
    packed_tokens: int = 4096
    plain_rows: int = 6

    @property
    def picture_tokens(self) -> int:
        """Tokens of a picture."""
        return (self.side // PATCH) ** 2

    @property
    def picture_id(self) -> int:
        """The token that stands for a picture's."""
        return self.vocabulary - SPECIAL

    @property
    def linear(self) -> int:
        """Weights of the language model's linear layers, head not included."""
        return self.layers * self.hidden * (4 * self.hidden + 3 * self.inner)

    @property
    def adapter(self) -> int:
        """Weights of LoRA on all of them."""
        return self.layers * self.rank * (8 * self.hidden + 3 * (self.hidden + self.inner))


SMALL = GpuShape(64, 2, 4, 128, 256, (32, 3, 2), 56, 6, 8, 2, 3, 2, 2, 4)


def make_llava(shape: GpuShape, device: str, dtype: torch.dtype) -> Any:
    """The model, made where it will be used; its tower is frozen."""
    from transformers import (
        AutoModelForImageTextToText,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
    )

    width, layers, heads = shape.tower
    ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=width,
            intermediate_size=TOWER_FACTOR * width,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            image_size=shape.side,
            patch_size=PATCH,
        ),
        text_config=LlamaConfig(
            vocab_size=shape.vocabulary,
            hidden_size=shape.hidden,
            intermediate_size=shape.inner,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            num_key_value_heads=shape.heads,
            tie_word_embeddings=False,
            **ids,
        ),
        image_token_id=shape.picture_id,
        image_seq_length=shape.picture_tokens,
        vision_feature_select_strategy="default",
        vision_feature_layer=-2,
        tie_word_embeddings=False,
        **ids,
    )
    torch.manual_seed(0)
    with torch.device(device):
        model = AutoModelForImageTextToText.from_config(
            config, dtype=dtype, attn_implementation="sdpa"
        )
    freeze_tower(model)
    model.model.get_image_features = partial(_features, model.model.get_image_features)
    options = {"use_reentrant": False}
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=options)
    return model.eval()


def _features(read: Callable[..., Any], pixel_values: torch.Tensor, **options: Any) -> Any:
    """The library's way from pixels to a language model's embeddings; embeddings stay as they are.

    So they reach every version's forward, which takes them ready made from 5.23 on only.
    """
    if pixel_values.dim() == EMBEDDED:
        return pooled(list(pixel_values))
    return read(pixel_values=pixel_values, **options)


class EmbeddedPictures(Pictures):
    """Pictures as the trainers have them, given to the model in place of pixels."""

    def inputs_for(
        self, model: Any, image_ids: Sequence[str], input_ids: torch.Tensor | None = None
    ) -> dict[str, Any]:
        """See `Pictures`: float `[pictures, tokens, width]`."""
        found = super().inputs_for(model, image_ids, input_ids)
        return {"pixel_values": torch.stack(found["mm_encoder_outputs"]["image"].pooler_output)}


class Noise:
    """Pictures that are pixels already, one a name, and what stands in for a processor."""

    def __init__(self, side: int) -> None:
        self._side = side

    def open(self, image_id: str) -> torch.Tensor:
        """Float `[3, side, side]`."""
        chance = torch.Generator().manual_seed(sum(image_id.encode()))
        return torch.randn(3, self._side, self._side, generator=chance)

    def image_processor(
        self, images: Sequence[torch.Tensor], return_tensors: str
    ) -> dict[str, torch.Tensor]:
        """The pixels side by side."""
        return {"pixel_values": torch.stack(list(images))}


def make_pictures(shape: GpuShape, model: Any) -> Pictures:
    """Pictures as the trainers have them; the tower reads each once."""
    noise = Noise(shape.side)
    return EmbeddedPictures(model, noise, noise)


def make_pairs(shape: GpuShape) -> list[PairRows]:
    """A step's pairs."""
    chance = random.Random(0)
    pairs = []
    for number in range(shape.pictures * shape.questions):
        image_id = f"picture {number // shape.questions}"
        prompt = make_prompt(shape, chance)
        rows = [
            Row(image_id, (*prompt, *_words(shape, chance, shape.answer_tokens)), len(prompt))
            for _ in range(2)
        ]
        pairs.append(PairRows(preference_of(Example(image_id, str(number), "1", "2")), *rows))
    return pairs


def make_prompt(shape: GpuShape, chance: random.Random) -> tuple[int, ...]:
    """A picture's tokens and a question's."""
    return (1, *(shape.picture_id,) * shape.picture_tokens, *_words(shape, chance))


def _words(shape: GpuShape, chance: random.Random, count: int | None = None) -> list[int]:
    """So many words; a question's by default, one less for the beginning of sequence."""
    return [
        chance.randrange(3, shape.picture_id)
        for _ in range(shape.text_tokens - 1 if count is None else count)
    ]


def reward_model_on(model: Any) -> Any:
    """A reward model on a policy's backbone."""
    config = copy.deepcopy(model.config)
    config.num_labels = 1
    with torch.device("meta"):  # a backbone of its own would be thrown away
        borrower = reward_model_class("llava", "benchmark")(config)
    borrower.model = model.model
    head = torch.nn.Linear(model.config.get_text_config().hidden_size, 1, bias=False)
    borrower.score = head.to(model.device, model.dtype)
    return borrower.eval()


class Lora(torch.nn.Module):
    """A frozen linear layer with low-rank changes by name, one of them active or none."""

    def __init__(self, base: torch.nn.Linear, rank: int, names: Sequence[str]) -> None:
        super().__init__()
        like = {"device": base.weight.device, "dtype": base.weight.dtype, "bias": False}
        self.base = base
        self.down, self.up = (
            torch.nn.ModuleDict({name: torch.nn.Linear(*sizes, **like) for name in names})
            for sizes in ((base.in_features, rank), (rank, base.out_features))
        )
        for layer in self.up.values():
            torch.nn.init.zeros_(layer.weight)
        self.active = SimpleNamespace(name=None)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """The layer, changed by the active adapter; alpha is twice the rank."""
        changed: torch.Tensor = self.base(states)
        if (name := self.active.name) is not None:
            changed = changed + 2 * self.up[name](self.down[name](states))
        return changed


class Adapters:
    """LoRA on every linear layer of the language model, until `remove`."""

    def __init__(self, model: Any, rank: int, names: Sequence[str]) -> None:
        self._model = model
        self._active = SimpleNamespace(name=None)
        self._frozen = [weight for weight in model.parameters() if weight.requires_grad]
        for weight in self._frozen:
            weight.requires_grad_(False)
        self._places = [
            (parent, name, layer)
            for parent in model.model.language_model.modules()
            for name, layer in parent.named_children()
            if isinstance(layer, torch.nn.Linear)
        ]
        for parent, name, layer in self._places:
            changed = Lora(layer, rank, names)
            changed.active = self._active
            setattr(parent, name, changed)

    def weights(self, name: str) -> list[torch.nn.Parameter]:
        """An adapter's."""
        layers = [getattr(parent, place) for parent, place, _ in self._places]
        return [part[name].weight for layer in layers for part in (layer.down, layer.up)]

    @contextmanager
    def using(self, name: str | None) -> Iterator[None]:
        """Within the block this adapter is active; None: the base alone."""
        before, self._active.name = self._active.name, name
        try:
            yield
        finally:
            self._active.name = before

    def remove(self) -> None:
        """The model as it was."""
        for parent, name, layer in self._places:
            setattr(parent, name, layer)
        for weight in self._frozen:
            weight.requires_grad_(True)
