"""Trainers in processes of their own, killed and told to end amid a step: nothing is lost."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from spavl.models.load import load_reward_model
from spavl.models.saving import save_model
from tests.unit.alignment.worlds import World, make_world

ROOT = Path(__file__).resolve().parents[2]
COMMON = {
    "threads": 1,
    "learning_rate": 1e-3,
    "batch_size": 2,
    "gradient_accumulation_steps": 1,
    "dtype": "float32",
    "gradient_checkpointing": False,
    "save_steps": 3,
}
PAIRS = {**COMMON, "num_train_epochs": 5}  # 30 steps
LORA = {"use_peft": True, "lora_r": 4, "lora_alpha": 8, "lora_dropout": 0.1}
ROLLOUTS = {
    **COMMON,
    "save_steps": 2,
    "max_length": 64,
    "total_episodes": 40,
    "rollout_batch_size": 4,
    "num_generations": 2,
    "response_length": 6,
    "kl_target": 1.0,
    "kl_horizon": 20,
}  # 10 iterations
# A process trains as a step does, links its model to where it is looked for, and ends with the exit
# code of what stopped it.
PROGRAM = """
import json, os, sys
from importlib import import_module
from spavl.errors import SpavlError
from spavl.work import Reference
room, arguments, output = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3]
arguments = [Reference(**a) if isinstance(a, dict) and "uri" in a else a for a in arguments]
try:
    os.symlink(import_module(f"components.{room}").train(*arguments).uri, output)
except SpavlError as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_code)
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("world"))


def arguments_of(
    room: str, settings: dict[str, object], world: World, folder: Path
) -> list[object]:
    images, base = vars(world.images), vars(world.base)
    match room:
        case "reward_modeling":
            splits = [world.train, world.validation, world.test]
            return [settings, *splits, images, base]
        case "dpo":
            return [settings, world.train, world.validation, images, base]
        case _:
            reward_model = Path(world.base.uri).parent / "reward"
            if not reward_model.exists():
                torch.manual_seed(3)
                save_model(*load_reward_model(world.base.uri), reward_model, {})
            rollouts = str(folder / "rollouts")
            return [settings, world.train, images, base, str(reward_model), rollouts]


def start(room: str, arguments: list[object], folder: Path) -> subprocess.Popen[str]:
    folder.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "SPAVL_WORK_ROOT": str(folder / "work"), "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, room, json.dumps(arguments), str(folder / "output")],
        env=environment,
        text=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def when_steps_are(process: subprocess.Popen[str], folder: Path, steps: int) -> None:
    """Wait until a training has logged so many steps."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        logged = [path.read_text().count("\n") for path in folder.glob("work/*/*/curves.jsonl")]
        if logged and logged[0] >= steps:
            return
        time.sleep(0.002)
    raise AssertionError("the training did not come so far in two minutes")


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, errors = process.communicate(timeout=120)
    return process.returncode, errors


def assert_same_weights(one: Path, other: Path) -> None:
    first, second = (load_file(folder / "output" / "model.safetensors") for folder in (one, other))
    assert all(torch.equal(first[name], second[name]) for name in first)


CASES = [
    pytest.param("reward_modeling", PAIRS, 28, id="reward_modeling"),
    pytest.param("dpo", PAIRS, 28, id="dpo"),
    pytest.param("ppo", ROLLOUTS, 8, id="ppo"),
    pytest.param("dpo", {**PAIRS, **LORA}, 28, id="dpo-lora"),
    pytest.param("ppo", {**ROLLOUTS, "advantage": "rloo"}, 8, id="rloo"),
    pytest.param("ppo", {**ROLLOUTS, "advantage": "grpo"}, 8, id="grpo"),
]


@pytest.mark.parametrize(("room", "settings", "last"), CASES)
def test_killed_at_a_random_step_and_run_again_it_ends_in_the_same_weights(
    room: str, settings: dict[str, object], last: int, world: World, tmp_path: Path
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    undisturbed = start(room, arguments_of(room, settings, world, whole), whole)
    killed = start(room, arguments_of(room, settings, world, parts), parts)
    when_steps_are(killed, parts, random.randint(1, last))
    killed.send_signal(signal.SIGKILL)
    assert finish(killed)[0] == -signal.SIGKILL
    resumed = start(room, arguments_of(room, settings, world, parts), parts)
    for process in (resumed, undisturbed):
        code, errors = finish(process)
        assert code == 0, errors
    assert_same_weights(whole, parts)


def test_told_to_end_amid_a_step_it_keeps_that_step_says_so_and_goes_on(
    world: World, tmp_path: Path
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    settings = {**PAIRS, "save_steps": 1000}  # nothing would be kept but for the signal
    undisturbed = start("dpo", arguments_of("dpo", settings, world, whole), whole)
    process = start("dpo", arguments_of("dpo", settings, world, parts), parts)
    when_steps_are(process, parts, 5)
    process.terminate()
    code, errors = finish(process)
    assert code == 75
    assert "run it again to go on" in errors
    (checkpoint,) = parts.glob("work/dpo/*/checkpoint/step-*")
    assert int(checkpoint.name.removeprefix("step-")) >= 5
    resumed = start("dpo", arguments_of("dpo", settings, world, parts), parts)
    for process in (resumed, undisturbed):
        code, errors = finish(process)
        assert code == 0, errors
    assert_same_weights(whole, parts)


# One step under KFP's local runner, as the command line runs it. KFP reads the step's source.
COMMAND_LINE = """
import json, sys
from kfp import dsl, local
from pipelines.termination import sigterm_ends_run
from spavl.errors import SpavlError

@dsl.component(base_image="python", install_kfp_package=False)
def stage(arguments: list):
    from components.dpo import train
    from spavl.work import Reference
    train(*(Reference(**one) if isinstance(one, dict) and "uri" in one else one
            for one in arguments))

if __name__ == "__main__":
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=sys.argv[1])
    try:
        with sigterm_ends_run():
            stage(arguments=json.loads(sys.argv[2]))
    except SpavlError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
"""


def test_the_command_line_told_to_end_lets_its_trainer_keep_the_step(
    world: World, tmp_path: Path
) -> None:
    program = tmp_path / "one_stage.py"
    program.write_text(COMMAND_LINE)
    settings = {**PAIRS, "save_steps": 1000}
    arguments = json.dumps(arguments_of("dpo", settings, world, tmp_path))
    environment = {**os.environ, "SPAVL_WORK_ROOT": str(tmp_path / "work"), "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, str(program), str(tmp_path / "kfp"), arguments],
        env=environment,
        text=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    when_steps_are(process, tmp_path, 5)
    process.terminate()
    code, errors = finish(process)
    assert code == 75, errors
    assert errors.splitlines()[-1] == "terminated: resume with spavl run --resume"
    assert [*tmp_path.glob("work/dpo/*/checkpoint/step-*")]
