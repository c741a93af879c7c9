"""The tiny models of all families, and rows of every shape that packing has to get right."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from spavl.alignment.rows import Row, Tokeniser
from spavl.models.load import load_policy, load_reward_model
from spavl.models.pictures import Pictures, PictureSource
from tests.unit.models.tiny import PictureBook, save_tiny
from tests.unit.models.tiny_families import save_tiny_of
from tests.unit.models.tiny_qwen import save_tiny_qwen

FAMILIES = ("llava", "qwen2_5_vl")
FURTHER = ("qwen3_vl", "llava_onevision", "internvl", "smolvlm")
SYSTEM = "Be kind. "
PICTURE = {
    "llava": "<image>\n",
    "qwen2_5_vl": "<|vision_start|><|image_pad|><|vision_end|>",
    "qwen3_vl": "<|vision_start|><|image_pad|><|vision_end|>",
    "llava_onevision": "<image>",
    "internvl": "<IMG_CONTEXT>",
    "smolvlm": "<image>",
}


@dataclass(frozen=True)
class Scene:
    """A model, a reward model on it, and what makes rows for both."""

    policy: Any
    reward: Any
    pictures: Pictures
    tokeniser: Tokeniser
    picture: str  # a picture's place in text

    def row(self, image_ids: str, prompt: str, answer: str) -> Row:
        """A row of pictures named by letters; `@` in the prompt is a picture's place."""
        text = prompt.replace("@", self.picture)
        return self.tokeniser.row(tuple(image_ids), text, text + answer)


def make_scene(family: str, folder: Path, source: PictureSource | None = None) -> Scene:
    own = {"llava": save_tiny, "qwen2_5_vl": save_tiny_qwen}
    base = own.get(family, partial(save_tiny_of, family))(folder / family)
    policy, processor = load_policy(base)
    reward, _ = load_reward_model(base)
    reward.score.weight.data.normal_()  # the library's small start would hide differences
    pictures = Pictures(policy, processor, source or PictureBook(24))
    pictures.read("abc")
    tokeniser = Tokeniser(processor, pictures, 200)
    return Scene(policy, reward, pictures, tokeniser, PICTURE[family])


ASK = "USER: @What is this? ASSISTANT: "


def shapes(scene: Scene) -> dict[str, list[Row]]:
    """Named batches of rows."""
    row = scene.row
    two = ("Sure. This is a lamp.", "I can't help with this.")
    return {
        "one question": [row("a", ASK, answer) for answer in two],
        "one row": [row("a", ASK, two[0])],
        "identical answers": [row("a", ASK, two[0])] * 2 + [row("a", ASK, two[1])],
        "one answer begins another": [row("a", ASK, "Sure"), row("a", ASK, "Sure. This is")],
        "many questions, many pictures": [
            row(image, f"USER: @{question} ASSISTANT: ", answer)
            for image in "abc"
            for question in ("What is this?", "How do I use it?", "Tell me.")
            for answer in two
        ],
        "system prompt": [row(i, SYSTEM + ASK, answer) for i in "ab" for answer in two],
        "no beginning of sequence": [
            Row(r.image_id, r.token_ids[1:], r.boundary - 1)
            for r in (row("a", ASK, answer) for answer in two)
        ],
        "picture after the text": [
            row("a", f"USER: {question}@ ASSISTANT: ", answer)
            for question in ("What is this?", "Tell me.")
            for answer in two
        ],
        "two pictures": [
            row(images, f"USER: @and @{question} ASSISTANT: ", answer)
            for images in ("ab", "ba", "aa", "ac")
            for question in ("What is this?", "Tell me.")
            for answer in two
        ],
        "unequal answers": [
            row("a", ASK, "No."),
            row("a", ASK, "Sure. " * 9),
            row("b", ASK, "Sorry. " * 5),
        ],
        "merges at the seam": [row("a", ASK.rstrip(), " Sure. This"), row("a", ASK, "Sure.")],
    }


NAMES = (
    "one question",
    "one row",
    "identical answers",
    "one answer begins another",
    "many questions, many pictures",
    "system prompt",
    "no beginning of sequence",
    "picture after the text",
    "two pictures",
    "unequal answers",
    "merges at the seam",
)
