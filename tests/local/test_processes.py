"""Trainers in several processes: the same losses as in one, and no process left when one dies."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest
import torch

from spavl.alignment.launching import write_task
from spavl.models.load import load_policy, load_reward_model
from spavl.settings.reward_modeling import RewardModelingSettings
from spavl.work import Stage, Work
from tests.local.test_trainers_survive import (
    LORA,
    ROLLOUTS,
    ROOT,
    arguments_of,
    finish,
    start,
    when_steps_are,
)
from tests.unit.alignment.worlds import World, make_world

Settings = Mapping[str, object]
PAIRS = {
    "threads": 1,
    "learning_rate": 1e-3,
    "batch_size": 2,
    "gradient_accumulation_steps": 2,
    "num_train_epochs": 4,
    "eval_steps": 5,
    "dtype": "float32",
    "gradient_checkpointing": False,
}  # 12 steps of 4 pairs
# As one process would cut the prompts into passes, so that the same answers are drawn.
PPO = {**ROLLOUTS, "generation_batch_size": 2, "num_ppo_epochs": 1}
ZERO = {"num_processes": 2, "zero_stage": 2}
ZERO_3 = {**ZERO, "zero_stage": 3}
needs_deepspeed = pytest.mark.skipif(
    find_spec("deepspeed") is None, reason="DeepSpeed is not installed"
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("world"))


def curves(
    room: str, settings: Settings, world: World, folder: Path, reward_model: Path | None = None
) -> list[dict[str, float]]:
    """What a training logs; PPO's reward model is the world's unless another is given."""
    arguments = arguments_of(room, dict(settings), world, folder)
    if reward_model:
        arguments[4] = str(reward_model)
    process = start(room, arguments, folder)
    code, errors = finish(process)
    assert code == 0, errors
    return [json.loads(line) for line in (folder / "output/curves.jsonl").open()]


# They count rows on one side of a threshold: where policy and reference tie, as before the first
# step, a processor's rounding decides. The losses and margins of the same rows are compared.
COUNTS = {"accuracy", "validation_accuracy", "clip_fraction", "value_clip_fraction"}
NOT_COMPARED = {"time", "tokens_per_second", *COUNTS}


def assert_same_curves(one: list[dict[str, float]], other: list[dict[str, float]]) -> None:
    assert len(one) == len(other) >= 10
    for alone, together in zip(one, other, strict=True):
        assert together.keys() == alone.keys()
        for name in alone.keys() - NOT_COMPARED:
            assert together[name] == pytest.approx(alone[name], abs=1e-4), name


@pytest.mark.parametrize(
    ("room", "settings", "several"),
    [
        pytest.param("ppo", PPO, {"num_processes": 2}, id="ppo"),
        pytest.param("reward_modeling", PAIRS, ZERO, id="reward-zero-2", marks=needs_deepspeed),
        pytest.param(
            "dpo", PAIRS, {**ZERO, "offload": True}, id="dpo-zero-2-offload", marks=needs_deepspeed
        ),
        pytest.param("ppo", PPO, ZERO, id="ppo-zero-2", marks=needs_deepspeed),
        pytest.param(
            "reward_modeling",
            PAIRS,
            {**ZERO_3, "gradient_checkpointing": True},
            id="reward-zero-3",
            marks=needs_deepspeed,
        ),
        pytest.param(
            "dpo",
            PAIRS,
            {**ZERO_3, "offload": True},
            id="dpo-zero-3-offload",
            marks=needs_deepspeed,
        ),
        pytest.param("ppo", PPO, ZERO_3, id="ppo-zero-3", marks=needs_deepspeed),
    ],
)
def test_two_processes_log_what_one_does(
    room: str, settings: Settings, several: Settings, world: World, tmp_path: Path
) -> None:
    one = curves(room, settings, world, tmp_path / "one")
    assert_same_curves(one, curves(room, {**settings, **several}, world, tmp_path / "two"))
    load = load_reward_model if room == "reward_modeling" else load_policy
    first, second = (load(tmp_path / part / "output")[0].state_dict() for part in ("one", "two"))
    assert first.keys() == second.keys()
    for name, weight in first.items():
        torch.testing.assert_close(second[name], weight, atol=1e-5, rtol=0, msg=name)


@needs_deepspeed
def test_roles_on_one_backbone_log_the_same_under_zero_3(world: World, tmp_path: Path) -> None:
    adapters = {**LORA, "lora_dropout": 0.0}
    curves("reward_modeling", {**PAIRS, **adapters}, world, tmp_path / "reward")
    settings, reward_model = {**PPO, **adapters}, tmp_path / "reward/output"
    one = curves("ppo", settings, world, tmp_path / "one", reward_model)
    two = curves("ppo", {**settings, **ZERO_3}, world, tmp_path / "two", reward_model)
    assert_same_curves(one, two)


@pytest.mark.parametrize(
    "several",
    [
        pytest.param({"num_processes": 2}, id="plain"),
        pytest.param(ZERO, id="zero-2", marks=needs_deepspeed),
        pytest.param(ZERO_3, id="zero-3", marks=needs_deepspeed),
    ],
)
def test_told_to_end_two_processes_keep_the_step_and_go_on_as_one_would(
    several: Settings, world: World, tmp_path: Path
) -> None:
    # 60 small steps, so that rounding does not grow; nothing would be kept but for the signal.
    settings = {**PAIRS, "learning_rate": 1e-4, "num_train_epochs": 20, "save_steps": 1000}
    one = curves("dpo", settings, world, tmp_path / "one")
    arguments = arguments_of("dpo", {**settings, **several}, world, tmp_path / "two")
    stage = start("dpo", arguments, tmp_path / "two")
    when_steps_are(stage, tmp_path / "two", 5)
    stage.terminate()
    code, errors = finish(stage)
    assert code == 75, errors
    assert "run it again to go on" in errors
    assert_same_curves(one, curves("dpo", {**settings, **several}, world, tmp_path / "two"))


def test_two_nodes_log_what_one_process_does(world: World, tmp_path: Path) -> None:
    from components.reward_modeling.training import train_reward_model

    raw = {**PAIRS, "num_nodes": 2}
    settings = RewardModelingSettings.parse(raw, "reward_modeling")
    stage = Stage("reward_modeling", "components.reward_modeling", raw, {})
    splits = {name: getattr(world, name) for name in ("train", "validation", "test")}
    places = {"splits": splits, "images": world.images.uri, "base": world.base.uri}
    work = Work(stage, tmp_path / "work")
    folder = write_task(work, train_reward_model, {"settings": settings, **places})
    # What Kubeflow Trainer tells its pods.
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "SPAVL_WORK_ROOT": str(tmp_path),
        "PET_NNODES": "2",
        "PET_NPROC_PER_NODE": "1",
        "PET_MASTER_ADDR": "127.0.0.1",
        "PET_MASTER_PORT": str(free_port()),
    }
    command = [sys.executable, "-m", "spavl.alignment.node", str(folder)]
    nodes = [
        subprocess.Popen(command, env={**environment, "PET_NODE_RANK": str(number)})
        for number in range(2)
    ]
    one = curves("reward_modeling", PAIRS, world, tmp_path / "one")
    assert [node.wait(120) for node in nodes] == [0, 0]
    assert "digest" in json.loads((folder / "result.json").read_text())
    assert_same_curves(one, [json.loads(line) for line in (work.folder / "curves.jsonl").open()])


def test_a_process_that_is_killed_ends_the_stage_with_one_line_and_leaves_none(
    world: World, tmp_path: Path
) -> None:
    settings = {**PAIRS, "num_train_epochs": 1000, "num_processes": 2}
    stage = start("dpo", arguments_of("dpo", settings, world, tmp_path), tmp_path)
    when_steps_are(stage, tmp_path, 3)
    workers = children(stage.pid)
    assert len(workers) == 2
    os.kill(workers[1], signal.SIGKILL)
    code, errors = finish(stage)
    assert code == 75, errors
    assert "training process 1 was ended by signal 9: run it again" in errors.splitlines()[-1]
    assert not any(is_running(worker) for worker in workers)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def children(process: int) -> list[int]:
    return sorted(child.pid for child in psutil.Process(process).children())


def is_running(process: int) -> bool:
    try:
        return psutil.Process(process).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
