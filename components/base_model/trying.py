"""A trial of a model's folder: one picture and one question, as every later stage will ask them.

The prompt is rendered, tokenised and run through the vision tower, the projector, the first layer
of the language model and its head; what is saved after training is saved. So little is loaded that
it takes seconds for a model of any size.
"""

import tempfile
from pathlib import Path
from typing import Any

import torch

from spavl.errors import InputError, SpavlError
from spavl.models.generation import end_token_ids, prompt_inputs
from spavl.models.load import load_first_layer
from spavl.models.prompts import answered_prompt, question_prompt

QUESTION, ANSWER = "What is this?", "A lamp."


def try_model(folder: Path) -> None:
    """Makes sure that a model can be asked and saved.

    Raises:
        InputError: Says what its folder lacks.
    """
    try:
        model, processor = load_first_layer(folder)
        prompt = _rendered(processor, folder)
        _ask(model, processor, prompt, folder)
        with tempfile.TemporaryDirectory() as place:
            for part in (model.config, model.generation_config, processor):
                part.save_pretrained(place)
    except SpavlError:
        raise
    except Exception as error:  # whatever a library finds wrong with files of others
        said = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"
        raise InputError(
            f"the model fails when it is asked ({said[:300]})",
            str(folder),
            "correct its processor's files",
        ) from None


def _rendered(processor: Any, folder: Path) -> str:
    """A question about a picture, by the model's own template."""
    try:
        prompt = question_prompt(processor, QUESTION)
        answered = answered_prompt(processor, QUESTION, ANSWER) if QUESTION in prompt else ""
    except Exception as error:  # templates are programs: they fail as they like
        said = str(error).strip().partition("\n")[0] or type(error).__name__
        raise _bad_template(f"it fails: {said[:200]}", folder) from None
    if QUESTION not in prompt:
        raise _bad_template("the question is not in what it writes", folder)
    if not answered.startswith(prompt.rstrip()) or not answered.endswith(ANSWER):
        raise _bad_template("the answer does not follow the question", folder)
    picture = getattr(processor, "image_token", None)
    if picture and prompt.count(picture) != 1:
        raise _bad_template(f"it writes {prompt.count(picture)} places for one picture", folder)
    return prompt


def _ask(model: Any, processor: Any, prompt: str, folder: Path) -> None:
    from PIL import Image

    if processor.tokenizer.eos_token_id is None or not end_token_ids(model, processor.tokenizer):
        raise InputError(
            "no token that ends an answer", str(folder), "name eos_token in tokenizer_config.json"
        )
    inputs = prompt_inputs(model, processor, [prompt], [Image.radial_gradient("L").convert("RGB")])
    largest, known = int(inputs["input_ids"].max()), model.get_input_embeddings().num_embeddings
    if largest >= known:
        raise InputError(
            f"the tokenizer writes token {largest}, the model knows {known}",
            str(folder),
            "give the tokenizer that belongs to the weights",
        )
    with torch.no_grad():
        logits = model(**inputs).logits
    if not logits.isfinite().all():
        raise InputError(
            "its scores are NaN or infinite", str(folder), "give weights of a sound training"
        )


def _bad_template(what: str, folder: Path) -> InputError:
    return InputError(f"unusable chat template: {what}", str(folder), "correct chat_template.jinja")
