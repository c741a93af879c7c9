"""What `spavl plan` says before is what every endpoint counts afterwards, stage by stage."""

import json
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from tests.local.counting_server import (
    COMPLETION_PRICE,
    PROMPT_PRICE,
    CountingServer,
    counting_server,
)
from tests.local.running import Ended, spavl, spavl_run
from tests.unit.evaluation.made_published import make_mm_safety_bench, make_xs_test
from tests.unit.models.tiny import save_tiny

PICTURES = 60
RESPONDERS = 12
TRAINING = """{num_processes: 1, zero_stage: 0, dtype: float32, gradient_checkpointing: false, \
device: cpu, batch_size: 4, gradient_accumulation_steps: 1, max_length: 1024}"""


def profile(folder: Path, server: CountingServer, model: Path) -> Path:
    """LLaVA's settings with a tiny model, and every endpoint this server's."""

    def chat(name: str) -> str:
        prices = f"prompt_price: {PROMPT_PRICE}, completion_price: {COMPLETION_PRICE}"
        address = f'base_url: "{server.url}/{name}/v1"'
        return f"{{backend: openai, {address}, model: {name}, concurrency: 64, {prices}}}"

    responders = "\n".join(
        f"    - {{id: r{n}, chat: {chat(f'responder-{n}')}, "
        "sampling: {max_new_tokens: 512, temperature: 0.7, top_p: 0.95, expected_tokens: 77}}"
        for n in range(RESPONDERS)
    )
    text = f"""
extends: llava-1.5-7b
description: A tiny LLaVA under llava-1.5-7b's settings.
threads: 1
base_model: {{source: path, path: {model}}}
questions:
  captioner: {chat("captioner")}
  caption_sampling: {{expected_tokens: 27}}
  writer: {chat("writer")}
  writing_sampling: {{expected_tokens: 32}}
responses:
  tasks: 1
  responders:
{responders}
labeling:
  moderator:
    chat: {chat("moderator")}
    format: md_judge.v2
    sampling: {{max_new_tokens: 32, expected_tokens: 2}}
  judge:
    chat: {chat("judge")}
    sampling: {{max_new_tokens: 256, expected_tokens: 22}}
reward_modeling: {TRAINING}
dpo: {TRAINING}
ppo:
  {{num_processes: 1, zero_stage: 0, dtype: float32, gradient_checkpointing: false, device: cpu,
   batch_size: 4, gradient_accumulation_steps: 1, max_length: 1024, total_episodes: 8,
   rollout_batch_size: 8, response_length: 8}}
evaluation:
  published: {{folder: {published(folder / "benchmarks")}}}
  answering: {{batch_size: 32, max_new_tokens: 12}}
  blind_items: 5
  judges:
    - id: vlm
      kind: chat
      chat: {chat("judge-2")}
      sampling: {{max_new_tokens: 256, expected_tokens: 22}}
    - {{id: rules, kind: rules}}
    - id: guard
      kind: moderation
      moderator:
        chat: {chat("moderator-2")}
        format: md_judge.v2
        sampling: {{max_new_tokens: 32, expected_tokens: 1}}
"""
    path = folder / "tiny.yaml"
    path.write_text(text)
    return path


def published(folder: Path) -> Path:
    """The benchmarks that the profile's gate goes by."""
    if not folder.exists():
        make_xs_test(folder, 20)
        make_mm_safety_bench(folder, 10)
    return folder


def photographs(folder: Path) -> Path:
    """Pictures of which none repeats another."""
    folder.mkdir()
    for number in range(PICTURES):
        pixels = np.random.default_rng(number).integers(0, 255, (8, 8, 3), dtype=np.uint8)
        picture = PIL.Image.fromarray(pixels).resize((64, 64), PIL.Image.Resampling.NEAREST)
        picture.save(folder / f"{number}.png")
    return folder


def planned(*arguments: str) -> dict[str, dict[str, float]]:
    """Rows of a plan by the endpoint's name."""
    ended = spavl("plan", "--json", *arguments, timeout=300)
    assert ended.returncode == 0, ended.stdout
    return {row["model"]: row for row in json.loads(ended.stdout)["rows"]}


def assert_within_a_tenth(plan: dict[str, dict[str, float]], server: CountingServer) -> None:
    """Calls, tokens and cost of each endpoint, which is asked by one stage alone."""
    assert set(plan) == set(server.calls)
    off = {
        name: {
            "calls": row["calls"] / server.calls[name] - 1,
            "read": row["prompt_tokens"] / server.read[name] - 1,
            "written": row["completion_tokens"] / server.written[name] - 1,
            "cost": row["cost"] / server.cost(name) - 1,
        }
        for name, row in plan.items()
    }
    for name, figures in off.items():
        print(name, server.calls[name], {what: round(each, 3) for what, each in figures.items()})
    assert all(abs(each) <= 0.1 for figures in off.values() for each in figures.values())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the pictures, the model and the runs lie."""
    return tmp_path_factory.mktemp("plan")


@pytest.fixture(scope="module")
def finished(folder: Path) -> Ended:
    """A whole run that its budget ended once; nothing was asked twice, and it cost as planned."""
    with counting_server() as server:
        server.seconds = 0.02
        given = f"--profile={profile(folder, server, save_tiny(folder / 'model'))}"
        images, out = f"--images={photographs(folder / 'images')}", folder / "runs"
        plan = planned(given, images, f"--out={out}")
        assert not server.calls
        half = sum(row["cost"] for row in plan.values()) / 2

        stopped = spavl_run(out, "whole", given, images, settings={"budget": half})
        assert stopped.code == 75, stopped.output
        assert "the budget of the run is reached" in stopped.output
        print("budget", half, "charged", server.cost() / half)
        assert 0.97 * half <= server.cost() <= 1.01 * half

        ended = spavl_run(out, "whole", "--resume", settings={"budget": 3 * half})
        assert ended.code == 0, ended.output
        assert max(server.asked.values()) == 1
        assert_within_a_tenth(plan, server)
        assert_told(ended, server)
    return ended


def assert_told(ended: Ended, server: CountingServer) -> None:
    """What the report says was paid is what was charged."""
    spent = {row["model"]: row for row in ended.summary["spending"]}
    assert {name: row["calls"] for name, row in spent.items()} == dict(server.calls)
    assert sum(row["cost"] for row in spent.values()) == pytest.approx(server.cost())
    assert not any(row["lost"] for row in spent.values())


def test_a_whole_run_costs_what_was_planned_and_keeps_to_its_budget(finished: Ended) -> None:
    assert "What this run paid endpoints for" in (finished.folder / "report.html").read_text()


def test_a_run_on_imported_rows_costs_what_was_planned(finished: Ended, folder: Path) -> None:
    for arguments in (
        ["export", str(finished.folder), str(folder / "published")],
        ["import", str(folder / "published"), str(folder / "imported")],
    ):
        done = spavl(*arguments, timeout=300)
        assert done.returncode == 0, done.stdout
    with counting_server() as server:
        given = f"--profile={profile(folder, server, folder / 'model')}"
        data, out = f"--data={folder / 'imported'}", folder / "others"
        plan = planned(given, data, f"--out={out}")
        ended = spavl_run(out, "given", given, data, settings={})
        assert ended.code == 0, ended.output
        assert_within_a_tenth(plan, server)
        assert_told(ended, server)
