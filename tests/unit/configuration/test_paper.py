"""The profiles for real models hold SPA-VL's hyper-parameters (the paper's table of training)."""

from typing import Any

import pytest

from components.configuration import profile_names, resolve

REAL = [name for name in profile_names() if not name.startswith("pocket")]
FULL = {"reward_modeling": 3e-5, "dpo": 1e-6, "ppo": 5e-7}
LORA = {"reward_modeling": 3e-5, "dpo": 2e-5, "ppo": 1e-6}
LAYERS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
GLOBAL_BATCH = {"reward_modeling": 32, "dpo": 8, "ppo": 8}


def stages(profile: str) -> dict[str, dict[str, Any]]:
    settings = resolve(profile)._asdict()
    return {stage: settings[stage] for stage in FULL}


def test_there_are_profiles_for_real_models() -> None:
    assert {"llava-1.5-7b", "llava-1.5-7b-lora", "qwen2.5-vl-7b"} <= set(REAL)


@pytest.mark.parametrize("profile", ["llava-1.5-7b", "qwen2.5-vl-7b"])
def test_learning_rates_of_full_training(profile: str) -> None:
    found = stages(profile)
    assert {name: stage["learning_rate"] for name, stage in found.items()} == FULL
    assert not any(stage["use_peft"] for stage in found.values())
    assert [found[name]["zero_stage"] for name in FULL] == [2, 2, 3]


def test_for_small_gpus_dpo_alone_trains_every_weight_and_offloads() -> None:
    found = stages("llava-1.5-7b-offload")
    assert found["dpo"]["learning_rate"] == FULL["dpo"]
    assert [found[name]["use_peft"] for name in FULL] == [True, False, True]
    assert [found[name]["zero_stage"] for name in FULL] == [2, 3, 2]
    assert [found[name]["offload"] for name in FULL] == [False, True, False]


def test_lora_of_rank_256_on_all_linear_layers() -> None:
    found = stages("llava-1.5-7b-lora")
    assert {name: stage["learning_rate"] for name, stage in found.items()} == LORA
    for stage in found.values():
        assert stage["use_peft"]
        assert (stage["lora_r"], stage["lora_alpha"], stage["lora_dropout"]) == (256, 512, 0)
        assert stage["lora_target_modules"] == LAYERS


@pytest.mark.parametrize("profile", REAL)
def test_global_batches_schedules_and_precision(profile: str) -> None:
    found = stages(profile)
    for name, stage in found.items():
        steps = stage["batch_size"] * stage["gradient_accumulation_steps"]
        assert steps == GLOBAL_BATCH[name], name
        # Fewer processes than the paper's 8 where they share a step's pictures (docs/packing.md).
        processes = {"reward_modeling": 4, "dpo": 3, "ppo": 8}[name]
        assert stage["num_processes"] == (1 if profile.endswith("-lora") else processes)
        assert stage["train_projector"]
        assert stage["weight_decay"] == 0
        assert stage["max_length"] == 2048
        assert stage["dtype"] == "bfloat16"
        assert stage["seed"] == 42
    reward, dpo, ppo = (found[name] for name in FULL)
    assert (reward["lr_scheduler_type"], reward["warmup_ratio"]) == ("constant", 0.03)
    for stage in (dpo, ppo):
        assert (stage["lr_scheduler_type"], stage["warmup_steps"]) == ("cosine", 10)
    assert (reward["num_train_epochs"], dpo["num_train_epochs"]) == (1, 1)


@pytest.mark.parametrize("profile", REAL)
def test_the_methods_coefficients(profile: str) -> None:
    found = stages(profile)
    assert found["dpo"]["beta"] == 0.1
    wanted = {
        "kl_coef": 0.1,
        "gamma": 1.0,
        "lam": 1.0,
        "cliprange": 0.2,
        "cliprange_value": 0.2,
        "vf_coef": 0.1,
        "temperature": 1.0,
    }
    assert {name: found["ppo"][name] for name in wanted} == wanted


@pytest.mark.parametrize("profile", REAL)
def test_twelve_responders_in_five_groups_of_which_one_is_told_not_to_refuse(profile: str) -> None:
    settings = resolve(profile)
    responders = settings.responses["responders"]
    assert len({responder["id"] for responder in responders}) == 12
    assert settings.labeling["pairing"]["groups"] == 5
    told = [responder for responder in responders if "system" in responder]
    assert len(told) == 1
    assert told[0]["chat"] == responders[-2]["chat"]


@pytest.mark.parametrize("profile", REAL)
def test_ids_of_responders_can_stand_in_a_key_of_set(profile: str) -> None:
    for responder in resolve(profile).responses["responders"]:
        name = responder["id"]
        changed = resolve(profile, [f"responses.responders.{name}.sampling.max_new_tokens=7"])
        found = {one["id"]: one["sampling"] for one in changed.responses["responders"]}
        assert found.pop(name)["max_new_tokens"] == 7
        assert {one["max_new_tokens"] for one in found.values()} == {512}


@pytest.mark.parametrize("profile", REAL)
def test_real_models_leave_the_pocket_world_out(profile: str) -> None:
    settings = resolve(profile)
    assert settings.collection["pocket_pictures"] == 0
    assert settings.base_model["source"] == "path"
    assert settings.questions["writer"]["backend"] != "pocket_templates"
    assert all("persona" not in one for one in settings.responses["responders"])
