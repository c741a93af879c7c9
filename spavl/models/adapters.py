"""LoRA adapters on a frozen base, through peft: several roles on one backbone.

An adapter is LoRA on linear layers of the language model and, unless told otherwise, its own copy
of the projector. Nothing outside an adapter is ever trained, so with all adapters off the model is
its base bit for bit: the reference of DPO and PPO needs no second model.
"""

import copy
import json
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from spavl.errors import InputError
from spavl.models.families import LANGUAGE, family_of
from spavl.models.reward import HEAD, reward_model_class
from spavl.settings.alignment import AlignmentSettings

ADAPTER_FOLDER = "adapter"  # in a trained model's folder, beside the merged weights
HEAD_FILE = "head.safetensors"
WEIGHTS_FILE = "adapter_model.safetensors"
CONFIG_FILE = "adapter_config.json"


@dataclass(frozen=True)
class AdapterShape:
    """What an adapter consists of.

    Attributes:
        rank: Rank of LoRA's matrices.
        alpha: LoRA's scale times its rank.
        dropout: Before LoRA's matrices.
        target_modules: Names of linear layers of the language model, e.g. `q_proj`.
        with_projector: Whether the adapter has its own trained copy of the projector.
    """

    rank: int
    alpha: int
    dropout: float
    target_modules: tuple[str, ...]
    with_projector: bool

    @classmethod
    def of(cls, settings: AlignmentSettings) -> "AdapterShape":
        """The shape that a trainer's settings ask for."""
        return cls(
            settings.lora_r,
            settings.lora_alpha,
            settings.lora_dropout,
            settings.lora_target_modules,
            settings.train_projector,
        )


def adapted(model: Any, settings: AlignmentSettings, name: str) -> "AdaptedModel | None":
    """Attach a fresh adapter if the settings ask for one; None: the weights themselves train."""
    if not settings.use_peft:
        return None
    adapters = AdaptedModel(model)
    adapters.add(name, AdapterShape.of(settings))
    return adapters


def base_alone(adapters: "AdaptedModel | None") -> AbstractContextManager[None]:
    """Within the block a model is its base, if it has adapters at all."""
    return nullcontext() if adapters is None else adapters.using(None)


class AdaptedModel:
    """A model with named adapters, of which one at a time is active.

    The model is changed in place and keeps its class, so whatever takes the model takes it adapted.

    Args:
        model: A policy or a reward model with a backbone `model`; its own weights are frozen.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self._layers = language_layers(model)
        self._peft: Any = None

    def add(self, name: str, shape: AdapterShape) -> None:
        """Attach a fresh adapter: it changes nothing until it is trained.

        Raises:
            InputError: If a target matches no layer.
        """
        self._attach(name, _config(self.model, self._layers, shape))

    def load(self, name: str, folder: Path | str) -> None:
        """Attach an adapter that `save` wrote.

        Raises:
            InputError: If the folder holds no adapter, a damaged one, or one that does not fit
                this model.
        """
        from peft import LoraConfig, get_peft_model_state_dict, set_peft_model_state_dict

        folder = Path(folder)
        if not (folder / WEIGHTS_FILE).is_file() or not (folder / CONFIG_FILE).is_file():
            raise InputError(
                "no adapter here", str(folder), f"give {CONFIG_FILE} and {WEIGHTS_FILE}"
            )
        self._attach(name, LoraConfig.from_pretrained(str(folder)))
        tensors = _sound_tensors(folder / WEIGHTS_FILE)
        wanted = get_peft_model_state_dict(self._peft, adapter_name=name)
        # The library would only warn of weights that are missing, a projector's for instance.
        _require_same_shapes(wanted, tensors, folder)
        set_peft_model_state_dict(self._peft, tensors, adapter_name=name)

    @contextmanager
    def using(self, name: str | None) -> Iterator[None]:
        """Within the block this adapter alone is active; None: the base alone.

        A loss must be taken back through the model inside its block: activations that are
        recomputed in the backward pass would otherwise be those of another adapter.
        """
        before = self._peft.active_adapter
        if name is not None and name != before:
            self._peft.set_adapter(name)
        try:
            with self._peft.disable_adapter() if name is None else nullcontext():
                yield
        finally:
            if self._peft.active_adapter != before:
                self._peft.set_adapter(before)

    def weights(self, name: str) -> dict[str, torch.nn.Parameter]:
        """An adapter's parameters by name."""
        place = re.compile(rf"\.(lora_\w+|modules_to_save)\.{re.escape(name)}\.")
        return {key: value for key, value in self.model.named_parameters() if place.search(key)}

    def save(self, name: str, folder: Path) -> None:
        """Write an adapter in peft's layout, and the reward head if the model has one."""
        from peft import get_peft_model_state_dict
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        state = get_peft_model_state_dict(self._peft, adapter_name=name)
        tensors = {key: value.detach().contiguous() for key, value in state.items()}
        save_file(tensors, folder / WEIGHTS_FILE, metadata={"format": "pt"})
        self._peft.peft_config[name].save_pretrained(str(folder))
        _sort_targets(folder / CONFIG_FILE)
        if hasattr(self.model, "score"):
            head = {HEAD: self.model.score.weight.detach().contiguous()}
            save_file(head, folder / HEAD_FILE, metadata={"format": "pt"})

    def merge(self, name: str) -> Any:
        """Add an adapter's changes to the base's weights and take all adapters away.

        Returns:
            The model, a plain one again.
        """
        self._peft.set_adapter(name)
        return self._peft.merge_and_unload(adapter_names=[name])

    def _attach(self, name: str, config: Any) -> None:
        from peft import get_peft_model

        # The library would make adapters float32, and every layer with them three times as slow.
        # Full precision is the optimizer's, which keeps masters of what has fewer bits.
        if self._peft is None:
            self._peft = get_peft_model(
                self.model, config, adapter_name=name, autocast_adapter_dtype=False
            )
        else:
            self._peft.add_adapter(name, config, autocast_adapter_dtype=False)


def saved_head(folder: Path | str) -> torch.Tensor:
    """The reward head that `AdaptedModel.save` left beside an adapter: float `[1, width]`.

    Raises:
        InputError: If there is none, or a damaged one.
    """
    path = Path(folder) / HEAD_FILE
    tensors = _sound_tensors(path) if path.is_file() else {}
    if HEAD not in tensors:
        raise InputError("no reward head here", str(folder), f"give {HEAD_FILE}")
    return tensors[HEAD]


def head_on(model: Any, head: torch.Tensor) -> Any:
    """A reward model that borrows another model's backbone; only its head is its own.

    Args:
        model: A policy or reward model; what is attached to its backbone counts here too.
        head: float `[1, width]`.
    """
    config = copy.deepcopy(model.config)
    config.num_labels = 1
    with torch.device("meta"):  # a backbone of its own would be thrown away
        borrower = reward_model_class(config.model_type, "head_on")(config)
    borrower.model = model.model
    borrower.score = torch.nn.Linear(head.shape[1], 1, bias=False)
    borrower.score.weight = torch.nn.Parameter(
        head.to(model.device, model.dtype), requires_grad=False
    )
    return borrower.eval()


def language_layers(model: Any) -> dict[str, list[str]]:
    """Linear layers of a model's language model: last part of their names to their full names."""
    found: dict[str, list[str]] = {}
    for name, module in model.named_modules():
        if LANGUAGE.search(name) and isinstance(module, torch.nn.Linear):
            found.setdefault(name.rpartition(".")[2], []).append(name)
    return found


def projector_names(model: Any) -> list[str]:
    """Full names of the modules that stand between vision tower and language model.

    Raises:
        InputError: If the family is not supported.
    """
    names = family_of(model).projector
    found = [n for n, _ in model.named_modules() if n.rpartition(".")[2] in names]
    # A list of modules is no module that can be called: its members are what is meant.
    listed = {n for n in found if isinstance(model.get_submodule(n), torch.nn.ModuleList)}
    members = [
        f"{name}.{place}"
        for name in sorted(listed)
        for place in range(len(model.get_submodule(name)))
    ]
    return [name for name in found if name not in listed] + members


def _config(model: Any, layers: dict[str, list[str]], shape: AdapterShape) -> Any:
    from peft import LoraConfig

    for target in shape.target_modules:
        if target not in layers:
            raise InputError(
                f"{target!r} matches no linear layer of the language model",
                "lora_target_modules",
                f"choose from {', '.join(sorted(layers))}",
            )
    return LoraConfig(
        r=shape.rank,
        lora_alpha=shape.alpha,
        lora_dropout=shape.dropout,
        # Vision towers have layers of the same names: full names keep them out.
        target_modules=[name for target in shape.target_modules for name in layers[target]],
        modules_to_save=projector_names(model) if shape.with_projector else None,
    )


def _sound_tensors(path: Path) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors: dict[str, torch.Tensor] = load_file(path)
    except (SafetensorError, OSError) as error:
        raise InputError(
            f"unreadable weights ({error})", str(path), "give the whole model"
        ) from None
    for name, value in tensors.items():
        if not value.isfinite().all():
            raise InputError(
                f"{name} holds NaN or infinity", str(path), "give weights of a sound training"
            )
    return tensors


def _require_same_shapes(wanted: dict[str, Any], found: dict[str, Any], folder: Path) -> None:
    differing = [
        name
        for name in sorted(wanted.keys() | found.keys())
        if name not in wanted or name not in found or wanted[name].shape != found[name].shape
    ]
    if differing:
        raise InputError(
            f"the adapter does not fit the base: {len(differing)} weights differ, "
            f"e.g. {differing[0]}",
            str(folder),
            "give the base that it was trained on",
        )


def _sort_targets(config: Path) -> None:
    """The library keeps targets as a set: sorted, the same adapter gives the same file."""
    content = json.loads(config.read_text())
    content["target_modules"] = sorted(content["target_modules"])
    config.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")
