"""A LLaVA of a given size with random weights, and preference pairs of exact token counts."""

import json
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from spavl.alignment.rows import PairRows, Row
from spavl.models.pictures import Pictures
from spavl.records import Maker, Preference, record_id

if TYPE_CHECKING:
    import PIL.Image

IMAGE_TOKEN = "<image>"
PATCH = 14


@dataclass(frozen=True)
class Shape:
    """What is trained on.

    Attributes:
        picture_tokens: Patches of a picture; a square number.
        text_tokens: Prompt tokens besides the picture's.
        answer_tokens: Least and most tokens of an answer, its end included.
        questions: Questions a picture; one pair each.
        answers: Answers a question; pairs are made of the first with each other one.
        pictures: Pictures of an optimizer step.
        hidden: Width of the language model.
        layers: Its layers.
        vocabulary: Its words.
    """

    picture_tokens: int = 576
    text_tokens: int = 40
    answer_tokens: tuple[int, int] = (100, 100)
    questions: int = 3
    answers: int = 2
    pictures: int = 1
    hidden: int = 512
    layers: int = 8
    vocabulary: int = 32_000

    @classmethod
    def from_json(cls, text: str) -> "Shape":
        """A shape that was passed to another process."""
        fields = json.loads(text)
        return cls(**{**fields, "answer_tokens": tuple(fields["answer_tokens"])})

    @property
    def pairs(self) -> int:
        """Pairs of an optimizer step."""
        return self.pictures * self.questions * (self.answers - 1)

    @property
    def side(self) -> int:
        """Pixels of a picture's side."""
        return round(self.picture_tokens**0.5) * PATCH


@dataclass(frozen=True)
class Example:
    """A pair as text, for trainers that tokenise themselves."""

    image_id: str
    prompt: str
    chosen: str
    rejected: str


class RandomPictures:
    """Noise, one picture a name."""

    def __init__(self, side: int) -> None:
        self._side = side

    def open(self, image_id: str) -> "PIL.Image.Image":
        """The picture of a name."""
        import PIL.Image

        noise = np.random.default_rng(sum(image_id.encode()))
        pixels = noise.integers(0, 255, (self._side, self._side, 3), dtype=np.uint8)
        return PIL.Image.fromarray(pixels)


def make_processor(shape: Shape) -> Any:
    """A LLaVA processor whose tokenizer knows one word a token."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
    from transformers.models.llava.processing_llava import LlavaProcessor

    special = ["<pad>", "<s>", "</s>", IMAGE_TOKEN, "<unk>"]
    words = [*special, *(f"w{number}" for number in range(shape.vocabulary - len(special)))]
    tokenizer = Tokenizer(
        models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="<unk>")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    side = {"height": shape.side, "width": shape.side}
    return LlavaProcessor(
        image_processor=CLIPImageProcessorPil(size={"shortest_edge": shape.side}, crop_size=side),
        tokenizer=PreTrainedTokenizerFast(
            tokenizer_object=tokenizer,
            pad_token="<pad>",
            bos_token="<s>",
            eos_token="</s>",
            unk_token="<unk>",
            extra_special_tokens={"image_token": IMAGE_TOKEN},
        ),
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template="{% for message in messages %}{{ message['content'] }}{% endfor %}",
    )


def make_model(shape: Shape, processor: Any, seed: int = 0) -> Any:
    """About 67 million weights at the default shape; the tower is 4% of them, as in LLaVA-7B."""
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig
    from transformers.models.llava.modeling_llava import LlavaForConditionalGeneration

    torch.manual_seed(seed)
    ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=192,
            intermediate_size=768,
            num_hidden_layers=6,
            num_attention_heads=3,
            image_size=shape.side,
            patch_size=PATCH,
        ),
        text_config=LlamaConfig(
            vocab_size=shape.vocabulary,
            hidden_size=shape.hidden,
            intermediate_size=shape.hidden * 7 // 2,
            num_hidden_layers=shape.layers,
            num_attention_heads=8,
            num_key_value_heads=8,
            tie_word_embeddings=False,
            **ids,
        ),
        image_token_id=processor.tokenizer.convert_tokens_to_ids(IMAGE_TOKEN),
        image_seq_length=shape.picture_tokens,
        vision_feature_select_strategy="default",
        vision_feature_layer=-2,
        tie_word_embeddings=False,
        **ids,
    )
    return LlavaForConditionalGeneration(config)


def make_examples(shape: Shape, steps: int, seed: int = 0) -> list[list[Example]]:
    """The pairs of some optimizer steps as text."""
    chance = random.Random(seed)
    return [
        [
            example
            for picture in range(shape.pictures)
            for example in _of_picture(shape, chance, f"picture {step}.{picture}")
        ]
        for step in range(steps)
    ]


def _of_picture(shape: Shape, chance: random.Random, image_id: str) -> list[Example]:
    found = []
    for _ in range(shape.questions):
        prompt = f"{IMAGE_TOKEN} {_words(shape, chance, shape.text_tokens)}"
        answers = [
            f" {_words(shape, chance, chance.randint(*shape.answer_tokens) - 1)} </s>"
            for _ in range(shape.answers)
        ]
        found += [Example(image_id, prompt, answers[0], other) for other in answers[1:]]
    return found


def _words(shape: Shape, chance: random.Random, count: int) -> str:
    return " ".join(f"w{chance.randrange(shape.vocabulary - 5)}" for _ in range(count))


def pair_rows(processor: Any, pictures: Pictures, example: Example) -> PairRows:
    """A pair as rows; its picture must have been read."""
    expanded = example.prompt.replace(IMAGE_TOKEN, pictures.placeholder(example.image_id) + " ")
    # One word a token: nothing merges at the seam.
    prompt = processor.tokenizer(
        expanded.replace(IMAGE_TOKEN, f" {IMAGE_TOKEN} "), add_special_tokens=False
    )["input_ids"]
    rows = [
        Row(
            example.image_id,
            (*prompt, *processor.tokenizer(answer, add_special_tokens=False)["input_ids"]),
            len(prompt),
        )
        for answer in (example.chosen, example.rejected)
    ]
    return PairRows(preference_of(example), *rows)


def preference_of(example: Example) -> Preference:
    """The record of a pair; only what batching looks at means anything."""
    return Preference(
        preference_id=record_id(example.prompt, example.chosen, example.rejected),
        image_id=example.image_id,
        question_id=record_id(example.prompt),
        question=example.prompt,
        kind="easy_question",
        truth="unknown",
        thing=None,
        class3=None,
        chosen=example.chosen,
        rejected=example.rejected,
        chosen_response_id="1",
        rejected_response_id="2",
        chosen_responder="one",
        rejected_responder="two",
        chosen_safe=True,
        rejected_safe=False,
        reason1="",
        reason2="",
        maker=Maker("benchmark"),
    )
