"""Profiles and overrides become settings, and a wrong one is named in one line."""

import json
import typing
from pathlib import Path

import pytest

from components.configuration import profile_names, resolve
from components.configuration.resolve import STAGES
from spavl.errors import InputError


@pytest.mark.parametrize("profile", profile_names())
def test_every_profile_is_valid(profile: str) -> None:
    settings = resolve(profile)
    assert sorted(",".join(settings.responder_groups).split(",")) == sorted(
        responder["id"] for responder in settings.responses["responders"]
    )


def test_an_override_changes_its_stage_alone() -> None:
    before, after = resolve("pocket"), resolve("pocket", ["dpo.beta=0.25"])
    assert after.dpo["beta"] == 0.25
    assert before._replace(dpo=after.dpo) == after


def test_the_seed_goes_to_every_stage() -> None:
    settings = resolve("pocket", ["seed=7"])
    seeds = {stage["seed"] for stage in settings[:-1]}
    assert seeds == {7}


def test_the_snapshot_holds_all_settings(tmp_path: Path) -> None:
    settings = resolve("pocket", [], str(tmp_path / "settings.json"))
    kept = json.loads((tmp_path / "settings.json").read_text())
    assert kept["ppo"] == settings.ppo
    assert kept["profile"] == "pocket"


@pytest.mark.parametrize(
    ("profile", "override", "message"),
    [
        ("pockett", "", "did you mean pocket?"),
        ("pocket", "dop.beta=1", "did you mean dpo?"),
        ("pocket", "dpo.bata=1", "did you mean dpo.beta?"),
        ("pocket", "dpo.beta=-1", "dpo.beta"),
        ("pocket", "dpo.beta=high", "dpo.beta"),
        ("pocket", "dpo.beta", "write it as stage.key=value"),
        ("pocket", "seed.x=1", "holds no keys"),
        ("pocket", "dpo.beta=[", "quote it"),
    ],
)
def test_a_mistake_is_one_clear_line(profile: str, override: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        resolve(profile, [override] if override else [])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_optional_settings_default_to_none_so_that_leaving_null_out_is_exact() -> None:
    for stage, model in STAGES.items():
        for name, field in model.model_fields.items():
            if type(None) in typing.get_args(field.annotation):
                assert field.default is None, f"{stage}.{name}"
