"""Sixty mistakes and more: each ends `spavl run` with exit code 2 and one line, before any work.

In this process, since nothing but the start of a run is looked at; `tests/local/test_mistakes.py`
tells the command line itself some others.
"""

import json
import re
import shlex
import struct
import sys
from pathlib import Path

import PIL.Image
import pytest

import pipelines.cli
import pipelines.local_run
from pipelines.local_run import REQUEST, RunRequest
from pipelines.run_folders import unfinished

OPENAI = "{backend: openai, model: m, base_url: 'http://127.0.0.1:1/v1'}"


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """Pictures, and a LLaVA whose layers are called otherwise."""
    (tmp_path / "pictures").mkdir()
    PIL.Image.new("RGB", (64, 48), "teal").save(tmp_path / "pictures/sea.png")
    model = tmp_path / "llava"
    model.mkdir()
    config = {"model_type": "llava", "vision_config": {"image_size": 336, "patch_size": 14}}
    (model / "config.json").write_text(json.dumps(config))
    tensor = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
    header = json.dumps({"layers.0.attn.query_proj.weight": tensor}).encode()
    content = struct.pack("<Q", len(header)) + header + b"\0" * 4
    (model / "model.safetensors").write_bytes(content)
    for name in ("tokenizer.json", "preprocessor_config.json", "processor_config.json"):
        (model / name).write_text("{}")
    return tmp_path


MISTAKES = [
    # Lengths that leave no room.
    ("--set ppo.max_length=64 --set ppo.response_length=64", r"no room for a row: 64 .*ppo\.max"),
    ("--set ppo.response_length=4096", r"no room for a row.*set it to 4128 or more"),
    ("--set dpo.max_length=8", r"no room for a row: 8 tokens.*16 \(dpo\.max_length\)"),
    ("--set reward_modeling.max_length=31", r"no room for a row.*reward_modeling\.max_length"),
    ("--set dpo.max_length=7", r"7 is not 8 or above"),
    # Layers, devices, engines, personas.
    (
        "--set dpo.use_peft=true --set dpo.lora_target_modules=[no_proj]",
        r"no layer no_proj.*down_proj",
    ),
    ("--set ppo.use_peft=true --set ppo.lora_target_modules=[]", r"list of 1 or more"),
    ("--set dpo.lora_r=0", r"0 is not 1 or above \(dpo\.lora_r\)"),
    ("--set dpo.device=gpu", r"'gpu' is not of the form.*dpo\.device"),
    ("--set ppo.device=cuda:x", r"'cuda:x' is not of the form"),
    ("--set dpo.device=cuda:63", r"GPUs here, 64 wanted \(dpo\.device\)"),
    ("--set reward_modeling.device=cuda --set reward_modeling.num_processes=99", r"99 wanted"),
    ("--set dpo.dtype=float16", r"'float16' is not 'float32' or 'bfloat16'"),
    ("--set dpo.zero_stage=1", r"1 is not 0, 2 or 3"),
    (
        "--set responses.responders.careful.chat={backend: vllm, model: x}",
        r"no vllm here \(responses\.responders\.careful\.chat\.backend\)",
    ),
    ("--set questions.captioner={backend: gemini}", r"'gemini' is not one of.*captioner\.backend"),
    (
        "--set responses.responders.careful.persona=nobody",
        r"no persona nobody.*careful\.persona\): name one of base",
    ),
    ("--set responses.responders.nobody.persona=base", r"unknown item.*nobody"),
    # Endpoints.
    (f"--set questions.captioner={OPENAI}", r"endpoint does not answer.*questions\.captioner: "),
    (f"--set responses.responders.curt.chat={OPENAI}", r"does not answer.*responders\.curt\.chat"),
    ("--set questions.captioner={backend: openai, model: m, base_url: 'ftp://x'}", r"\^https\?://"),
    # Figures that the gate names.
    ("--set gate.harm=nothing_usr", r"no figure nothing_usr \(gate\.harm\)"),
    ("--set gate.harm=mm_safety_bench_asr", r"of the suite published, which is not asked"),
    (
        "--set gate.help=held_out_help_win_rate",
        r"goes by the data set's own test items, and it has none",
    ),
    ("--set gate.harm=none", r"need a figure each \(gate\)"),
    ("--set gate.over_refusal=none", r"need a figure each \(gate\)"),
    ("--set gate.help=general_ability", r"need different figures \(gate\)"),
    ("--set gate.harm_cap=10", r"10 is not 1 or below \(gate\.harm_cap\)"),
    ("--set evaluation.suites=[]", r"list of 1 or more \(evaluation\.suites\)"),
    ("--set evaluation.suites=[pockets]", r"'pockets' is not 'pocket'"),
    # Settings that contradict each other.
    ("--set ppo.total_episodes=8", r"total_episodes must be rollout_batch_size or more \(ppo\)"),
    ("--set ppo.num_generations=3", r"must be a multiple of num_generations"),
    ("--set ppo.advantage=rloo", r"num_generations must be 2 or more"),
    ("--set dpo.label_smoothing=0.1 --set dpo.loss_type=ipo", r"label_smoothing has no meaning"),
    ("--set dpo.offload=true", r"offload needs zero_stage"),
    ("--set collection.min_side=100 --set collection.max_side=50", r"min_side is above max_side"),
    ("--set collection.pocket_pictures=0", r"no pictures \(collection\.pocket_pictures\)"),
    (
        "--set labeling.splitting.test=0.6 --set labeling.splitting.validation=0.5",
        r"must leave a share for training",
    ),
    (
        "--set responses.responders.careful.system=no",
        r"give persona or system, not both \(responses\.responders\.careful\)",
    ),
    # The base.
    ("--set base_model.path={}/nothing", r"no such folder \(.*/nothing\)"),
    (
        "--set base_model.source=pocket --set base_model.path={}/llava",
        r"a model's folder beside the pocket world's model \(base_model\.path\)",
    ),
    ("--set base_model.path={}/llava", r"no room for a row: 128 .* takes 576"),
    # Numbers and other values that are not what they seem.
    ("--set dpo.beta=true", r"'true' is not a number \(dpo\.beta\)"),
    ("--set dpo.num_train_epochs=true", r"'true' is not a whole number"),
    ("--set dpo.batch_size=false", r"'false' is not a whole number"),
    ("--set dpo.num_train_epochs=1_0", r"'1_0 .*is not a whole number"),
    ("--set dpo.num_train_epochs=010", r"'010 .*is not a whole number"),
    ("--set dpo.beta=0_1.5", r"is not a number \(dpo\.beta\)"),
    ("--set dpo.beta=0,1", r"'0,1' is not a number"),
    ("--set dpo.beta=.nan", r"nan is not a finite number"),
    ("--set dpo.num_train_epochs=1.5", r"1\.5 is not a whole number"),
    ("--set dpo.beta=", r"None is not a number"),
    ("--set gate.harm_cap=10%", r"'10%' is not a number"),
    ("--set seed=1.5", r"1\.5 is not a whole number"),
    ("--set seed=4294967296", r"4294967296 is not below 4294967296"),
    ("--set seed=99999999999999999999999", r"is not below 4294967296"),
    ("--set threads=10000", r"10000 is not 1024 or below"),
    ("--set budget=lots", r"'lots' is not a number"),
    ("--set dpo=3", r"3 is not keys with values \(dpo\)"),
    ("--set dpo.beta=2 --set dpo.beta.x=1", r"a key below a plain value"),
    # Empty values, as of a shell's variable that is not set.
    ("--data ''", r"an empty value \(--data\)"),
    ("--data=", r"an empty value \(--data\)"),
    ("--images ''", r"an empty value \(--images\)"),
    ("--classes ''", r"an empty value \(--classes\)"),
    ("--out ''", r"an empty value \(--out\)"),
    ("--name ''", r"an empty value \(--name\)"),
    ("--set ''", r"an empty value \(--set\)"),
    ("--profile ''", r"an empty value \(--profile\)"),
    # What is not there.
    ("--profile {}/nothing.yaml", r"no such profile file"),
    ("--profile {}/pictures", r"unreadable profile"),
    ("--set collection.addresses={}/nothing.csv", r"no such file.*collection\.addresses"),
    ("--set collection.decisions={}/nothing.csv", r"no such file.*collection\.decisions"),
    ("--set evaluation.published.folder={}/nothing", r"no published benchmark"),
    ("--images {}/pictures --data {}/pictures", r"pictures beside a finished data set"),
    ("--data {}/pictures", r"no data sets in this folder"),
]


@pytest.mark.parametrize(("arguments", "line"), MISTAKES)
def test_a_mistake_is_one_line_and_leaves_nothing(
    desk: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    arguments: str,
    line: str,
) -> None:
    given = parted(arguments.replace("{}", str(desk)) if "{}" in arguments else arguments)
    assert told(given, desk, monkeypatch) == 2
    output, error = capfd.readouterr()
    assert output == ""
    assert re.search(line, error), error
    assert error.startswith("spavl: ")
    assert len(error.splitlines()) == 1
    assert sorted(path.name for path in desk.iterdir()) == ["llava", "pictures"]


def test_there_are_sixty_of_them() -> None:
    assert len({arguments for arguments, _ in MISTAKES}) == len(MISTAKES) >= 60


def test_the_layers_of_a_model_of_ones_own_are_read_from_its_files(
    desk: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A folder alone says that the base is taken from there."""
    from pipelines.preflight_models import check_adapters, check_lengths, picture_tokens

    model = desk / "llava"
    assert picture_tokens(model) == 576
    adapters = {"use_peft": True, "lora_target_modules": ["q_proj"]}
    with pytest.raises(Exception, match=r"no layer q_proj.*name some of query_proj"):
        check_adapters("dpo", adapters, model)
    check_adapters("dpo", adapters | {"lora_target_modules": ["query_proj"]}, model)
    with pytest.raises(Exception, match="a picture alone takes 576"):
        check_lengths("dpo", {"max_length": 512}, picture_tokens(model))


def test_plain_resume_takes_the_newest_run_that_began(tmp_path: Path) -> None:
    for name in ("began", "never began"):
        (tmp_path / name).mkdir()
        (tmp_path / name / REQUEST).write_text(json.dumps({"profile": "pocket", "overrides": []}))
    (tmp_path / "began/events.jsonl").touch()
    folder, _ = unfinished(RunRequest, REQUEST, tmp_path, None)
    assert folder.name == "began"


def parted(arguments: str) -> list[str]:
    """As a shell parts them; values in braces stay whole."""
    found = re.findall(r"(?:\{[^}]*\}|'[^']*'|\S)+", arguments)
    return [part if "{" in part else shlex.split(part)[0] for part in found]


def told(arguments: list[str], desk: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    """The exit code of `spavl run`, which must not come as far as running."""
    monkeypatch.delenv("SPAVL_WORK_ROOT", raising=False)
    monkeypatch.setattr(pipelines.local_run, "run_pipeline", lambda *_: pytest.fail("it started"))
    out = [] if "--out" in arguments else ["--out", str(desk / "runs")]
    monkeypatch.setattr(sys, "argv", ["spavl", "run", *arguments, *out])
    with pytest.raises(SystemExit) as ended:
        pipelines.cli.main()
    return ended.value.code
