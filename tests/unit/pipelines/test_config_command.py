"""`spavl config` and what the shell offers, through the command line's own entry."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from components.configuration import STAGES, profile_names
from pipelines import cli


def spavl(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command line as a process of its own, of this checkout."""
    code = "import sys; sys.argv[0] = 'spavl'; from pipelines.cli import main; main()"
    root = Path(cli.__file__).parents[1]
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "PYTHONPATH": str(root), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_piped_settings_are_one_line_each_with_value_origin_and_meaning() -> None:
    ended = spavl("config", "show", "dpo", "--set", "dpo.beta=0.2")
    assert ended.returncode == 0
    lines = ended.stdout.splitlines()
    assert "dpo.beta = 0.2  # --set: Pull towards the reference; SPA-VL: 0.1." in lines
    assert any(line.startswith("dpo.max_grad_norm = 1.0  # default: ") for line in lines)
    assert {line.partition(".")[0] for line in lines} == {"dpo"}


def test_settings_as_json_hold_value_origin_and_meaning() -> None:
    shown = json.loads(spavl("config", "show", "--json").stdout)
    assert {one["key"].partition(".")[0] for one in shown} == set(STAGES)
    assert all(set(one) == {"key", "value", "origin", "description"} for one in shown)


def test_profiles_are_listed_with_what_they_are_for() -> None:
    lines = spavl("config", "profiles").stdout.splitlines()
    assert [line.split()[0] for line in lines] == profile_names()
    assert all(len(line) > 40 for line in lines)


@pytest.mark.parametrize(
    "arguments",
    [
        ("config", "show", "dop"),
        ("config", "show", "--profile", "pockett"),
        ("config", "show", "--set", "dpo.bata=1"),
        ("run", "--profile", "nowhere/mine.yaml"),
    ],
)
def test_a_mistake_ends_with_one_line_and_exit_code_2(arguments: tuple[str, ...]) -> None:
    ended = spavl(*arguments)
    assert ended.returncode == 2
    assert len(ended.stderr.splitlines()) == 1
    assert ended.stderr.startswith("spavl: ")


@pytest.mark.parametrize("command", [(), ("run",), ("compile",), ("config",), ("config", "show")])
def test_every_command_explains_itself_and_its_options(command: tuple[str, ...]) -> None:
    ended = spavl(*command, "--help", COLUMNS="120", NO_COLOR="1")
    assert ended.returncode == 0
    assert len(ended.stdout.splitlines()) > 8
    options = [line for line in ended.stdout.splitlines() if line.startswith("│ --")]
    assert options
    assert all(len(line.strip("│ ").split("  ")) > 1 for line in options)


def completed(shell: str, *words: str) -> list[str]:
    """What completion offers for the last word."""
    line = " ".join(("spavl", *words))
    variables = {
        "bash": {"COMP_WORDS": line, "COMP_CWORD": str(len(words))},
        "zsh": {"_TYPER_COMPLETE_ARGS": line},
        "fish": {"_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
    }
    ended = spavl(_SPAVL_COMPLETE=f"complete_{shell}", **variables[shell])
    return ended.stdout.splitlines()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_completes_profiles_keys_and_commands(shell: str) -> None:
    def offered(*words: str) -> str:
        return "\n".join(completed(shell, *words))

    assert "pocket" in offered("run", "--profile", "poc")
    assert "dpo.beta=" in offered("run", "--set", "dpo.be")
    assert "labeling.pairing.groups=" in offered("config", "show", "--set", "labeling.pa")
    assert "gate.help_margin=" not in offered("run", "--set", "dpo.be")
    assert "config" in offered("con")
    assert "labeling" in offered("config", "show", "lab")


def test_values_are_completed_where_they_are_few() -> None:
    offered = "\n".join(completed("zsh", "run", "--set", "dpo.dtype="))
    assert "dpo.dtype=float32" in offered
    assert "dpo.dtype=bfloat16" in offered


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_script_is_printed_for_every_shell(shell: str) -> None:
    script = spavl(_SPAVL_COMPLETE=f"source_{shell}").stdout
    assert "_SPAVL_COMPLETE" in script
