"""Profiles by name, by path and as YAML; what is wrong with one is told with its line."""

import os
from pathlib import Path

import pytest
import yaml

from components.configuration import (
    absolute_profile,
    portable_profile,
    profile_label,
    profile_names,
    resolve,
    resolve_with_origins,
)
from spavl.errors import InputError

MINE = """\
description: Mine.
extends: pocket
dpo: {beta: 0.3}
responses:
  responders:
    guardian: {sampling: {temperature: 0.5}}
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(MINE)
    return path


def test_a_profile_of_ones_own_starts_from_another(mine: Path) -> None:
    own, pocket = resolve(str(mine)), resolve("pocket")
    assert own.dpo == {**pocket.dpo, "beta": 0.3}
    assert own.ppo == pocket.ppo
    guardian, *others = own.responses["responders"]
    assert guardian["sampling"]["temperature"] == 0.5
    assert others == pocket.responses["responders"][1:]


def test_a_relative_path_is_taken_from_here_and_extends_from_beside_the_file(
    mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (mine.parent / "below").mkdir()
    (mine.parent / "below/child.yaml").write_text("extends: ../mine.yaml\nppo: {kl_coef: 0.2}\n")
    monkeypatch.chdir(mine.parent)
    child = resolve("below/child.yaml")
    assert (child.dpo["beta"], child.ppo["kl_coef"]) == (0.3, 0.2)


def test_a_profile_that_extends_nothing_starts_from_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "bare.yaml"
    path.write_text("responses: {responders: [{id: a}, {id: b}]}\n")
    assert resolve(str(path)).dpo["learning_rate"] == 1e-6


def test_every_value_names_its_origin(mine: Path) -> None:
    origins = resolve_with_origins(str(mine), ["dpo.num_train_epochs=3", "seed=7"]).origins
    assert origins["dpo.beta"] == str(mine)
    assert origins["dpo.num_train_epochs"] == "--set"
    assert origins["dpo.seed"] == origins["gate.seed"] == "--set"
    assert origins["dpo.learning_rate"] == "profile pocket"
    assert origins["responses.responders.guardian.sampling.temperature"] == str(mine)
    assert origins["responses.responders.careful.sampling.temperature"] == "profile pocket"
    assert "dpo.gradient_accumulation_steps" in origins
    assert "dpo.max_grad_norm" not in origins


def test_a_profile_file_travels_as_yaml(mine: Path) -> None:
    child = mine.parent / "child.yaml"
    child.write_text("extends: mine.yaml\nppo: {kl_coef: 0.2}\n")
    text = portable_profile(str(child))
    mine.unlink()
    child.unlink()
    assert resolve(text).ppo["kl_coef"] == 0.2
    assert resolve(text).dpo["beta"] == 0.3
    assert yaml.safe_load(text)["extends"] == "pocket"
    assert [portable_profile(name) for name in profile_names()] == profile_names()


def test_a_path_becomes_absolute_and_a_name_stays(
    mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(mine.parent)
    assert absolute_profile("mine.yaml") == absolute_profile("./mine.yaml") == str(mine)
    assert absolute_profile("pocket") == "pocket"
    assert absolute_profile("pockett") == "pockett"
    assert absolute_profile(MINE) == MINE
    assert [profile_label(one) for one in ("pocket", str(mine), MINE)] == ["pocket", "mine", "own"]
    assert profile_label("my own/Größe 2 %d.yaml") == "Gr-e-2-d"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("extends: pocket\ndpo: {beta: 0.2\n", "line 3"),
        ("extends: pocket\ndpo:\n\tbeta: 0.2\n", "line 3"),
        ("extends: pocket\ndpo: {beta: 1}\nppo: {}\ndpo: {}\n", "'dpo' is given twice (LINE 4)"),
        ("- dpo\n", "a profile that is a list"),
        ("", "a profile that is empty"),
        ("dpo\n", "a profile that is a plain value"),
        ("extends: pockett\n", "unknown profile (pockett): did you mean pocket?"),
        ("extends: mine.yaml\n", "a profile that extends itself"),
        ("extends: other.yaml\n", "no such profile file"),
        ("extends: pocket\ndop: {beta: 1}\n", "unknown stage (dop): did you mean dpo?"),
        ("extends: pocket\ndpo: 3\n", "3 is not keys with values (dpo)"),
        ("dpo: {beta: 1}\n", "missing setting (responses.responders)"),
        ("extends: pocket\nextends_: x\n", "unknown stage (extends_)"),
    ],
)
def test_what_is_wrong_with_a_profile_is_one_line(mine: Path, text: str, message: str) -> None:
    mine.write_text(text)
    with pytest.raises(InputError) as caught:
        resolve(str(mine))
    assert message.replace("LINE", f"{mine}, line") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_profile_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes("reporting: {title: Prüfung}".encode("latin-1"))
    with pytest.raises(InputError, match="not a text in UTF-8"):
        resolve(str(tmp_path / "latin.yaml"))
    with pytest.raises(InputError, match="unreadable profile: Is a directory"):
        resolve(f"{tmp_path}/")
    with pytest.raises(InputError, match="no such profile file"):
        resolve(str(tmp_path / "none.yml"))


def test_yaml_itself_cannot_reach_for_files(mine: Path) -> None:
    with pytest.raises(InputError, match="unknown profile"):
        resolve(f"extends: {mine}\ndpo: {{beta: 1}}\n")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_profile_without_read_permission_is_named(mine: Path) -> None:
    mine.chmod(0)
    with pytest.raises(InputError, match="Permission denied"):
        resolve(str(mine))
