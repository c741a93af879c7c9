"""Profiles and overrides become settings, and a wrong one is named in one line."""

import json
import typing
from pathlib import Path

import pytest

from components.configuration import profile_names, resolve, resolve_for_stages
from components.configuration.stages import STAGES
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


@pytest.mark.parametrize("profile", profile_names())
def test_what_tasks_pass_on_is_brief_and_means_the_same(profile: str, tmp_path: Path) -> None:
    overrides = ["seed=7", "dpo.beta=0.3"]
    whole = resolve(profile, overrides)
    brief = resolve_for_stages(profile, overrides, str(tmp_path / "snapshot.json"))
    for name, model in STAGES.items():
        said, meant = getattr(brief, name), getattr(whole, name)
        assert model.parse(said, name) == model.parse(meant, name)
        assert len(said) < len(meant)
    assert brief.responder_groups == whole.responder_groups
    assert json.loads((tmp_path / "snapshot.json").read_text())["dpo"] == whole.dpo


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
        ("pocket", "=1", "write it as stage.key=value"),
        ("pocket", "dpo.beta=-1", "-1 is not above 0 (dpo.beta)"),
        ("pocket", "dpo.beta=.inf", "inf is not a finite number (dpo.beta)"),
        ("pocket", "dpo.num_train_epochs=1.5", "1.5 is not a whole number"),
        ("pocket", "dpo.gradient_checkpointing=perhaps", "'perhaps' is not true or false"),
        ("pocket", "dpo.dtype=fp16", "'fp16' is not 'float32' or 'bfloat16' (dpo.dtype)"),
        ("pocket", "dpo=3", "3 is not keys with values (dpo)"),
        ("pocket", "reporting.title=", "None is not a text (reporting.title)"),
        ("pocket", "labeling.pairing.groups=1", "1 is not 2 or above (labeling.pairing.groups)"),
        (
            "pocket",
            "labeling.pairing.pair_per_question=1",
            "did you mean labeling.pairing.pairs_per_question?",
        ),
        (
            "pocket",
            "questions.captioner.batchsize=1",
            "unknown setting (questions.captioner.batchsize): "
            "did you mean questions.captioner.batch_size?",
        ),
        (
            "pocket",
            "questions.captioner={backend: openai, model: m, base_url: 'ftp://h'}",
            "'ftp://h' is not of the form ^https?:// (questions.captioner.base_url)",
        ),
        ("pocket", "questions.captioner.backend=gpt", "'gpt' is not one of 'transformers', 'op"),
        ("pocket", "questions.writer={backend: openai}", "missing setting (questions.writer."),
        (
            "pocket",
            "responses.responders.guardian.sampling.temprature=1",
            "did you mean responses.responders.guardian.sampling.temperature?",
        ),
        ("pocket", "responses.responders.guardain.system=x", "did you mean responses.responders.g"),
        ("pocket", "responses.responders.curt.system=x", "give persona or system, not both"),
        ("pocket", "labeling.splitting={test: 0.6, validation: 0.5}", "below 1 (labeling.splitt"),
    ],
)
def test_a_mistake_is_one_clear_line(profile: str, override: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        resolve(profile, [override] if override else [])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_several_mistakes_are_told_at_once_unknown_keys_first() -> None:
    with pytest.raises(InputError) as caught:
        resolve("pocket", ["ppo.lam=2", "dpo.beta=-1", "dpo.bta=1", "gate.help_margin=x"])
    assert str(caught.value) == (
        "unknown setting (dpo.bta): did you mean dpo.beta? "
        "(and 3 more: dpo.beta, ppo.lam, gate.help_margin)"
    )


def test_another_backend_begins_anew_whatever_the_order_of_overrides() -> None:
    overrides = [
        "questions.captioner.base_url=http://127.0.0.1:1/v1",
        "questions.captioner.model=m",
        "questions.captioner.backend=openai",
    ]
    for ordered in (overrides, overrides[::-1]):
        captioner = resolve("pocket", ordered).questions["captioner"]
        assert (captioner["backend"], captioner["model"]) == ("openai", "m")
        assert "batch_size" not in captioner


def test_all_items_of_a_list_change_at_once() -> None:
    responders = resolve("pocket", ["responses.responders.*.sampling.temperature=0.5"]).responses[
        "responders"
    ]
    assert {responder["sampling"]["temperature"] for responder in responders} == {0.5}


def test_optional_settings_default_to_none_so_that_leaving_null_out_is_exact() -> None:
    for stage, model in STAGES.items():
        for name, field in model.model_fields.items():
            if type(None) in typing.get_args(field.annotation):
                assert field.default is None, f"{stage}.{name}"


@pytest.mark.parametrize("written", ["10", "+10"])
def test_a_whole_number_is_read_as_decimal(written: str) -> None:
    assert resolve("pocket", [f"dpo.num_train_epochs={written}"]).dpo["num_train_epochs"] == 10


@pytest.mark.parametrize(
    "written",
    [
        "1:30",
        "0x10",
        "0b11",
        "190:20:30.15",
        "0o17",
        "!!int x",
        "1_0",
        "010",
        "-007",
        "true",
        "false",
    ],
)
def test_what_yaml_would_make_another_number_is_refused(written: str) -> None:
    with pytest.raises(InputError) as caught:
        resolve("pocket", [f"dpo.learning_rate={written}"])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "written", ["2026", "yes", "no", "on", "2026-11-28", "007", "1.50", "1e3", "true", "=", "0x1F"]
)
@pytest.mark.parametrize("as_profile", [False, True])
def test_a_text_is_taken_as_written(written: str, as_profile: bool) -> None:
    given = "pocket", [f"reporting.title={written}"]
    if as_profile:
        given = f"extends: pocket\nreporting:\n  title: {written}\n", []
    assert resolve(*given).reporting["title"] == written


@pytest.mark.parametrize("written", ["007", "2026", "1.0", "true"])
def test_a_text_below_a_list_and_a_union_is_taken_as_written(written: str) -> None:
    chat = f"{{backend: openai, base_url: 'http://h', model: {written}}}"
    made = resolve("pocket", [f"responses.responders=[{{id: a, chat: {chat}}}, {{id: {written}}}]"])
    first, second = made.responses["responders"]
    assert (first["chat"]["model"], second["id"]) == (written, written)


@pytest.mark.parametrize(("written", "meant"), [("yes", True), ("off", False), ("true", True)])
def test_words_for_true_and_false_stand_where_they_are_wanted(written: str, meant: bool) -> None:
    made = resolve("pocket", [f"dpo.gradient_checkpointing={written}"])
    assert made.dpo["gradient_checkpointing"] is meant


@pytest.mark.parametrize("written", ["&a [*a]", "[" * 3000 + "]" * 3000])
def test_yaml_without_end_is_one_line(written: str) -> None:
    with pytest.raises(InputError) as caught:
        resolve("pocket", [f"dpo.beta={written}"])
    assert "\n" not in str(caught.value)
