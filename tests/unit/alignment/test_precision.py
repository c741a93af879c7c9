"""Adapters compute in the base's type; sums and rewards are float32; dropout is LoRA's alone."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from spavl.alignment.loop import evaluating, prepare_for_training
from spavl.alignment.optimizer import MasterAdamW
from spavl.models.adapters import AdaptedModel, AdapterShape
from spavl.models.load import Precision, load_policy, load_reward_model
from spavl.settings.dpo import DpoSettings
from tests.unit.models.tiny import save_tiny

RANK = 5  # no other size of the tiny model, so products with it are the adapters'
LAYERS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
PRODUCTS = {"mm", "addmm", "bmm", "baddbmm", "matmul", "linear"}


class Products(TorchDispatchMode):
    """Notes the types of all matrix products in which the adapters' rank is a size."""

    def __init__(self) -> None:
        super().__init__()
        self.dtypes: list[torch.dtype] = []

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        tensors = [one for one in args if isinstance(one, torch.Tensor)]
        if function.overloadpacket.__name__ in PRODUCTS and any(RANK in t.shape for t in tensors):
            self.dtypes += [tensor.dtype for tensor in tensors]
        return function(*args, **(kwargs or {}))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("base"))


@pytest.mark.parametrize("checkpointing", [False, True])
def test_adapters_compute_in_the_bases_type_and_are_trained_in_float32(
    base: Path, checkpointing: bool
) -> None:
    model, _ = load_policy(base, precision=Precision("bfloat16", "cpu"))
    adapters = AdaptedModel(model)
    for name in ("policy", "value"):  # the second is attached by another call of the library
        adapters.add(name, AdapterShape(RANK, 8, 0.0, LAYERS, True))
    prepare_for_training(model, settings(gradient_checkpointing=checkpointing, use_peft=True))
    weights = adapters.weights("value")
    assert {weight.dtype for weight in weights.values()} == {torch.bfloat16}
    optimizer = MasterAdamW({"value": weights}, {"value": 1e-6}, 0.0, 1.0)
    masters = [master for group in optimizer.groups for master in group["params"]]
    assert {master.dtype for master in masters} == {torch.float32}
    before = [master.detach().clone() for master in masters]
    with Products() as products, adapters.using("value"):
        loss = model(input_ids=torch.tensor([[1, 5, 6, 7]])).logits.float().square().mean()
        optimizer.backward(loss, "value")
    # A: forward, gradients of input and weight; B: the same; 7 layers, 2 blocks, each of 2 tensors.
    assert len(products.dtypes) >= 2 * 3 * 2 * 7 * 2 - 2 * 6
    assert set(products.dtypes) == {torch.bfloat16}
    optimizer.step()
    # Every B is 0 at first, so A has no gradient yet.
    moved = [not torch.equal(b, m.detach()) for b, m in zip(before, masters, strict=True)]
    assert sum(moved) == 7 * 2


def test_adapters_of_rank_256_cost_at_most_three_tenths_of_a_frozen_step() -> None:
    """Operations counted by torch at LLaVA-1.5-7B's widths: no tensor holds numbers."""
    frozen, adapted = operations(adapters=False), operations(adapters=True)
    # A frozen product is 2 parts (forward, gradient of input), an adapter's 3. By hand: adapters
    # hold 0.099 of the layers' weights at r = 256, and 1.5 x 0.099 = 0.15; attention is in both.
    assert 1.1 < adapted / frozen <= 1.3


def operations(adapters: bool) -> int:
    from transformers import LlamaConfig, LlamaModel

    widths = {"hidden_size": 4096, "intermediate_size": 11008, "num_attention_heads": 32}
    config = LlamaConfig(**widths, num_hidden_layers=2, vocab_size=64, dtype="bfloat16")
    with torch.device("meta"):
        model: Any = torch.nn.Module()
        model.language_model = LlamaModel(config).to(torch.bfloat16).requires_grad_(False)
        if adapters:
            from peft import LoraConfig, inject_adapter_in_model

            targets = [rf"language_model.*\.{name}" for name in LAYERS]
            lora = LoraConfig(r=256, lora_alpha=512, target_modules="|".join(targets))
            inject_adapter_in_model(lora, model)
            model.to(torch.bfloat16)
        embedded = torch.zeros(1, 1296, 4096, dtype=torch.bfloat16, requires_grad=True)
        counter = FlopCounterMode(display=False)
        with counter:
            model.language_model(inputs_embeds=embedded).last_hidden_state.sum().backward()
    return counter.get_total_flops()


def test_gradients_of_many_passes_are_summed_in_float32_and_not_held_twice() -> None:
    weight = torch.nn.Parameter(torch.ones(1, dtype=torch.bfloat16))
    optimizer = MasterAdamW({"model": {"weight": weight}}, {"model": 0.1}, 0.0, 1e9)
    for _ in range(300):
        optimizer.backward((weight.float() * 1.0).sum(), "model")
        assert weight.grad is None
    # In bfloat16 a sum of ones ends at 256: one more changes nothing.
    assert optimizer.step() == {"model": 300.0}


def test_an_adapter_that_is_not_active_when_the_optimizer_is_made_is_summed_too(
    base: Path,
) -> None:
    model, _ = load_policy(base, precision=Precision("bfloat16", "cpu"))
    adapters = AdaptedModel(model)
    for name in ("policy", "value"):
        adapters.add(name, AdapterShape(RANK, 8, 0.0, LAYERS, True))
    weights = {name: adapters.weights(name) for name in ("policy", "value")}
    optimizer = MasterAdamW(weights, dict.fromkeys(weights, 0.1), 0.0, 1.0)
    for name in weights:
        with adapters.using(name):
            loss = model(input_ids=torch.tensor([[1, 5, 6, 7]])).logits.float().square().mean()
            optimizer.backward(loss, name)
    assert all(norm > 0 for norm in optimizer.step().values())


def test_rewards_of_a_bfloat16_model_keep_more_than_its_bits(base: Path) -> None:
    torch.manual_seed(0)
    model, _ = load_reward_model(base, precision=Precision("bfloat16", "cpu"))
    with torch.no_grad():
        model.score.weight.mul_(1000)
        scores = model(input_ids=torch.tensor([[1, 5, 6, 7, 8, 9]]))
    assert scores.dtype == torch.float32
    assert not torch.equal(scores, scores.bfloat16().float())


def test_float32_is_float32_on_a_gpu_too(base: Path) -> None:
    torch.set_float32_matmul_precision("medium")
    torch.backends.cudnn.allow_tf32 = True
    load_policy(base)
    assert torch.get_float32_matmul_precision() == "highest"
    assert not torch.backends.cudnn.allow_tf32


@pytest.fixture
def forgetful(base: Path) -> Any:
    """A model whose own configuration asks for much dropout."""
    model, _ = load_policy(base)
    for module in model.modules():
        if hasattr(module, "attention_dropout"):
            module.attention_dropout = 0.5
    return model


def test_dropout_is_loras_alone_whether_activations_are_recomputed_or_not(forgetful: Any) -> None:
    ids = torch.tensor([[1, 5, 6, 7, 8]])
    losses = []
    for checkpointing in (False, True):
        prepare_for_training(forgetful, settings(gradient_checkpointing=checkpointing))
        losses += [size_of(forgetful, ids) for _ in range(2)]
    assert len(set(losses)) == 1
    adapters = AdaptedModel(forgetful)
    adapters.add("policy", AdapterShape(RANK, 8, 0.5, LAYERS, True))
    with torch.no_grad():
        for name, weight in adapters.weights("policy").items():
            if "lora_B" in name:
                weight.normal_()
    for checkpointing in (False, True):
        prepare_for_training(
            forgetful, settings(gradient_checkpointing=checkpointing, use_peft=True)
        )
        drawn = {size_of(forgetful, ids) for _ in range(3)}
        assert len(drawn) == 3
        with evaluating(forgetful):
            assert len({size_of(forgetful, ids) for _ in range(2)}) == 1
        drawn = {size_of(forgetful, ids) for _ in range(3)}
        assert len(drawn) == 3  # evaluation has switched nothing off for good


def size_of(model: Any, ids: torch.Tensor) -> float:
    """One number that hangs on all that a model computes."""
    return float(model(input_ids=ids).logits.detach().square().mean())


def test_recomputed_layers_are_recomputed_after_an_evaluation(forgetful: Any) -> None:
    prepare_for_training(forgetful, settings(gradient_checkpointing=True))
    layer = forgetful.model.language_model.layers[0]
    with evaluating(forgetful):
        assert not layer.training
    assert layer.training
    assert not layer.self_attn.training


def settings(**changes: object) -> DpoSettings:
    return DpoSettings.parse({"dtype": "float32", "threads": 1, **changes}, "dpo")
