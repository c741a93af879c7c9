"""Loading policies and reward models from folders in Hugging Face layout.

Importing this module costs what the library's model classes cost, some seconds: import it inside
the function that needs a model.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor
from transformers.utils import logging

from spavl.errors import InputError
from spavl.models.families import SUPPORTED
from spavl.models.reward import HEAD, reward_model_class, saved_names


@dataclass(frozen=True)
class Precision:
    """Where and how precisely a model computes.

    Attributes:
        dtype: Name of a torch dtype, e.g. `float32` or `bfloat16`.
        device: `auto` takes the first accelerator, else the CPU; or a torch device's name.
    """

    dtype: str = "float32"
    device: str = "auto"

    def resolve(self) -> tuple[torch.dtype, torch.device]:
        """The torch objects of both names."""
        device = self.device
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        return getattr(torch, self.dtype), torch.device(device)


def load_policy(
    folder: Path | str, threads: int | None = None, precision: Precision = Precision()
) -> tuple[Any, Any]:
    """Load a vision-language model that writes answers, and its processor.

    Args:
        folder: Hugging Face folder: config, safetensors weights, processor.
        threads: torch threads of this process; `None` leaves them.
        precision: Data type and device of the weights.

    Returns:
        `(model, processor)`; the model is in evaluation mode.

    Raises:
        InputError: If the folder is no such model.
    """
    model = _load(AutoModelForImageTextToText, Path(folder), threads, precision)
    return model, load_processor(folder)


def load_first_layer(folder: Path | str) -> tuple[Any, Any]:
    """Load a policy of one layer, on the CPU, and its processor: enough to see whether it works.

    Raises:
        InputError: If the folder is no such model.
    """
    folder = Path(folder)
    _require_model(folder)
    with _readable(folder, "configuration"):
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
    text = config.get_text_config()
    text.num_hidden_layers = 1
    if getattr(text, "layer_types", None):
        text.layer_types = text.layer_types[:1]
    precision = Precision(device="cpu")
    model = _load(AutoModelForImageTextToText, folder, None, precision, config=config)
    return model, load_processor(folder)


def load_reward_model(
    folder: Path | str,
    threads: int | None = None,
    precision: Precision = Precision(),
    fresh_head: bool = True,
) -> tuple[Any, Any]:
    """Load a trained reward model, or give a base model a fresh reward head.

    A base model's language-model head is left out; the reward head it lacks is drawn from torch's
    random state, so seed before.

    Args:
        folder: A reward model's or a policy's folder.
        threads: torch threads of this process; `None` leaves them.
        precision: Data type and device of the weights.
        fresh_head: Whether a base model gets a head; else it is refused.

    Returns:
        `(model, processor)`; see `spavl.models.reward`.

    Raises:
        InputError: If weights other than a base model's reward head are missing.
    """
    folder = Path(folder)
    _require_model(folder)
    with _readable(folder, "configuration"):
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
    model_class = reward_model_class(config.model_type, str(folder))
    trained = model_class.__name__ in (config.architectures or ())
    if not trained and not fresh_head:
        raise InputError("no reward head here", str(folder), "give a trained reward model")
    config.num_labels = 1
    model = _load(
        model_class,
        folder,
        threads,
        precision,
        may_lack=frozenset() if trained else frozenset({HEAD}),
        config=config,
        key_mapping=saved_names(config.model_type),
    )
    return model, load_processor(folder)


def load_processor(folder: Path | str) -> Any:
    """Load a model's processor: tokenizer, image processor and chat template together.

    Raises:
        InputError: If one of them is missing or damaged.
    """
    with _readable(folder, "processor"):
        config = AutoConfig.from_pretrained(Path(folder), local_files_only=True)
        kind = _processor_class(config.model_type)
        processor = kind.from_pretrained(Path(folder), local_files_only=True)
    _complete(processor, config, folder)
    return processor


def _processor_class(model_type: str) -> Any:
    """A family's processor; where the library's has a video part that needs more, ours without."""
    match model_type:
        case "qwen2_5_vl":
            from spavl.models.qwen import Qwen2_5_VLProcessor

            return Qwen2_5_VLProcessor
        case "qwen3_vl":
            from spavl.models.qwen3 import Qwen3VLProcessor

            return Qwen3VLProcessor
        case "llava_onevision":
            from spavl.models.llava_onevision import LlavaOnevisionProcessor

            return LlavaOnevisionProcessor
        case "internvl":
            from spavl.models.internvl import InternVLProcessor

            return InternVLProcessor
        case "smolvlm":
            from spavl.models.smolvlm import SmolVLMProcessor

            return SmolVLMProcessor
        case _:
            return AutoProcessor


def _complete(processor: Any, config: Any, folder: Path | str) -> None:
    """Give a processor what older exports keep elsewhere: its template, and its picture's size."""
    if getattr(processor, "tokenizer", None) is None:
        raise InputError("no tokenizer", str(folder), "give the model's whole folder")
    template = processor.chat_template or processor.tokenizer.chat_template
    if isinstance(template, dict):
        template = template.get("default")
    if not template:
        raise InputError("no chat template", str(folder), "add chat_template.jinja")
    processor.chat_template = template
    if config.model_type != "llava":
        return
    if processor.vision_feature_select_strategy is None:
        processor.vision_feature_select_strategy = config.vision_feature_select_strategy
    if processor.patch_size is None:  # before transformers 4.46
        processor.patch_size = config.vision_config.patch_size
        # CLIP's class token is one more than there are patches; SigLIP has none.
        processor.num_additional_image_tokens = int("clip" in config.vision_config.model_type)


def _load(
    model_class: Any,
    folder: Path,
    threads: int | None,
    precision: Precision,
    may_lack: frozenset[str] = frozenset(),
    **options: Any,
) -> Any:
    _require_model(folder)
    if threads is not None:
        torch.set_num_threads(threads)
    _compute_float32_in_full()
    # What is missing is checked below and raises, where the library would only warn.
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    dtype, device = precision.resolve()
    try:
        model, found = model_class.from_pretrained(
            folder,
            dtype=dtype,
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # told below, by name
            **options,
        )
    except (SafetensorError, RuntimeError, OSError) as error:
        raise InputError(
            f"unreadable weights ({_first_line(error)})", str(folder), "give the whole model"
        ) from None
    except ValueError as error:
        raise InputError(
            f"no vision-language model ({_first_line(error)})",
            str(folder),
            f"use a model of {' or '.join(SUPPORTED)}",
        ) from None
    if mismatched := sorted(found["mismatched_keys"]):
        name, held, wanted = mismatched[0]
        more = f", and {len(mismatched) - 1} more" if mismatched[1:] else ""
        raise InputError(
            f"{name} is {list(held)} in the weights and {list(wanted)} by config.json{more}",
            str(folder),
            "give weights and configuration of one model",
        )
    if lacking := set(found["missing_keys"]) - may_lack:
        raise InputError(
            f"{len(lacking)} weights are missing, e.g. {min(lacking)}",
            str(folder),
            "give the whole model",
        )
    _require_finite(model, folder)
    _forget_sampling(model)
    return model.to(device).eval()


def _compute_float32_in_full() -> None:
    """On a GPU too float32 means 24 bits: speed is what bfloat16 is for.

    TF32 keeps 11 bits of a product's factors, too few for rewards that are compared. Torch takes it
    for convolutions unless told otherwise.
    """
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False


def _forget_sampling(model: Any) -> None:
    """Keep of a model's generation settings the special tokens alone.

    The library fills in whatever a caller leaves open, here on one path and there not: a repetition
    penalty would apply to greedy answers and not to drawn ones. How answers are drawn is said by
    the `sampling` of the settings, for all.
    """
    from transformers import GenerationConfig

    if (own := getattr(model, "generation_config", None)) is not None:
        names = ("bos_token_id", "eos_token_id", "pad_token_id")
        model.generation_config = GenerationConfig(**{each: getattr(own, each) for each in names})


def _require_model(folder: Path) -> None:
    if not (folder / "config.json").is_file():
        raise InputError(
            "no model here", str(folder), "give a folder in Hugging Face layout (config.json, ...)"
        )
    pickled = [path.name for end in ("bin", "pt", "pth", "pkl") for path in folder.glob(f"*.{end}")]
    if pickled and not any(folder.glob("*.safetensors")):
        raise InputError(
            f"the weights are pickled ({min(pickled)}), which can run any code when read",
            str(folder),
            "convert them to safetensors",
        )


def _require_finite(model: Any, folder: Path) -> None:
    for name, weight in model.named_parameters():
        if not weight.isfinite().all():
            raise InputError(
                f"{name} holds NaN or infinity", str(folder), "give weights of a sound training"
            )


@contextmanager
def _readable(folder: Path | str, part: str) -> Iterator[None]:
    """Tell what the library raises at a part that is missing or damaged in our own words."""
    try:
        yield
    except (OSError, ValueError) as error:
        raise InputError(
            f"unreadable {part} ({_first_line(error)})", str(folder), "give the whole model"
        ) from None


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:200]
