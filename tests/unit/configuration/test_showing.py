"""What can be set and what is set, for people and for editors, is what the models say."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.configuration import STAGES, profile_names, resolve, resolve_with_origins
from components.configuration.fields import setting_fields
from components.configuration.profiles import profile_layers
from components.configuration.reference import settings_reference
from components.configuration.schema import MODELINE, kept_schema, profile_schema, schema_text
from components.configuration.showing import shown_settings
from components.configuration.stages import SHARED_KEYS
from components.configuration.values import value_text
from spavl.errors import InputError

ROOT = Path(__file__).resolve().parents[3]
PROFILES = ROOT / "components/configuration/profiles"


def test_every_setting_is_described() -> None:
    silent = [
        field.key
        for stage, model in STAGES.items()
        for field in setting_fields(model, stage)
        if not field.description and not field.key.endswith(".backend")
    ]
    assert silent == []


def test_what_is_shown_is_what_a_run_takes() -> None:
    overrides = ["dpo.beta=0.2", "seed=7", "responses.responders.curt.sampling.top_p=0.5"]
    taken = resolve("pocket", overrides)._asdict()
    for shown in shown_settings(resolve_with_origins("pocket", overrides)):
        node: Any = taken
        for part in shown.key.split("."):
            if isinstance(node, list):
                node = next(item for item in node if item["id"] == part)
            else:
                node = node.get(part)
        assert node == shown.value, shown.key


def test_every_shown_value_names_its_origin() -> None:
    overrides = ["dpo.beta=0.2", "responses.responders.curt.sampling.top_p=0.5"]
    shown = {s.key: s.origin for s in shown_settings(resolve_with_origins("pocket", overrides))}
    assert shown["dpo.beta"] == "--set"
    assert shown["dpo.num_train_epochs"] == "profile pocket"
    assert shown["dpo.max_grad_norm"] == "default"
    assert shown["responses.responders.curt.sampling.top_p"] == "--set"
    assert shown["responses.responders.curt.sampling.temperature"] == "profile pocket"
    assert shown["responses.responders.careful.sampling.top_p"] == "default"
    assert [key for key, origin in shown.items() if origin == "--set"] == [
        "responses.responders.curt.sampling.top_p",
        "dpo.beta",
    ]


def test_what_is_shown_can_be_narrowed_and_a_wrong_key_is_named() -> None:
    resolved = resolve_with_origins("pocket")
    keys = {shown.key for shown in shown_settings(resolved, ("labeling.pairing", "gate"))}
    assert {key.rpartition(".")[0] for key in keys} == {"labeling.pairing", "gate"}
    with pytest.raises(InputError, match=r"did you mean labeling\.pairing\?"):
        shown_settings(resolved, ("labeling.paring",))
    with pytest.raises(InputError, match=r"did you mean dpo\?"):
        shown_settings(resolved, ("dop",))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.1, "0.1"),
        (None, "null"),
        (True, "true"),
        ("pocket", "pocket"),
        ("a picture", "a picture"),
        ("yes", '"yes"'),
        ("", '""'),
        ("a: b", '"a: b"'),
        ("7", '"7"'),
        (("empty", "looping"), "[empty, looping]"),
        ({"backend": "openai", "n": 1}, "{backend: openai, n: 1}"),
    ],
)
def test_a_value_is_shown_as_it_would_be_given(value: Any, text: str) -> None:
    assert value_text(value) == text
    assert yaml.safe_load(text) == (list(value) if isinstance(value, tuple) else value)


def test_the_kept_schema_is_current() -> None:
    assert kept_schema() == schema_text(), (
        "run: spavl config schema > components/configuration/profile.schema.json"
    )


def test_the_kept_reference_is_current() -> None:
    assert (ROOT / "docs/settings.md").read_text() == settings_reference(), (
        "run: spavl config reference > docs/settings.md"
    )


def test_the_reference_names_every_setting_of_every_stage() -> None:
    reference = settings_reference()
    for stage, model in STAGES.items():
        for field in setting_fields(model, stage, unions=False):
            if field.key.rpartition(".")[2] not in SHARED_KEYS:
                assert f"| `{field.key}` |" in reference


@pytest.mark.parametrize("name", profile_names())
def test_editors_find_the_schema_of_every_profile(name: str) -> None:
    path = PROFILES / f"{name}.yaml"
    modeline, *_ = path.read_text().splitlines()
    assert modeline.startswith(MODELINE)
    assert json.loads((path.parent / modeline.removeprefix(MODELINE)).read_text())["title"]
    assert profile_layers(name)[-1].description


@pytest.mark.parametrize("name", profile_names())
def test_every_profile_fits_the_schema(name: str) -> None:
    content = yaml.safe_load((PROFILES / f"{name}.yaml").read_text())
    assert mistakes(profile_schema(), content) == []


@pytest.mark.parametrize(
    ("content", "mistake"),
    [
        ({"dpo": {"bata": 1}}, "dpo.bata"),
        ({"dpo": {"beta": "high"}}, "dpo.beta"),
        ({"dpo": {"beta": -1}}, "dpo.beta"),
        ({"dop": {}}, "dop"),
        ({"dpo": {"dtype": "fp16"}}, "dpo.dtype"),
        ({"labeling": {"pairing": {"group": 1}}}, "labeling.pairing.group"),
        ({"questions": {"captioner": {"backend": "openai", "batch_size": 1}}}, "questions.capt"),
    ],
)
def test_editors_see_what_a_run_would_refuse(content: dict[str, Any], mistake: str) -> None:
    assert any(found.startswith(mistake) for found in mistakes(profile_schema(), content))


def test_editors_take_changes_of_single_items_and_parts_of_a_stage() -> None:
    content = {
        "extends": "pocket",
        "responses": {"responders": {"curt": {"sampling": {"top_p": 0.5}}}},
        "questions": {"captioner": {"batch_size": 4}},
        "ppo": {"total_episodes": None},
        "gate": None,
    }
    assert mistakes(profile_schema(), content) == []


def mistakes(schema: dict[str, Any], content: Any) -> list[str]:
    """Places of a content that do not fit; reads what pydantic writes of JSON schema."""

    def check(part: dict[str, Any], value: Any, place: str) -> list[str]:
        if "$ref" in part:
            part = schema["$defs"][part["$ref"].rpartition("/")[2]]
        if "anyOf" in part:
            tries = [check(one, value, place) for one in part["anyOf"]]
            return [] if [] in tries else max(tries, key=lambda found: max(map(len, found)))
        if not is_type(part.get("type"), value) or value not in part.get("enum", [value]):
            return [place]
        if part.get("const", value) != value:
            return [place]
        if isinstance(value, dict):
            return below(part, value, place)
        if isinstance(value, list):
            items = part.get("items", {})
            return [found for one in value for found in check(items, one, f"{place}[]")]
        if isinstance(value, int | float):
            low = value < part.get("minimum", value) or value <= part.get(
                "exclusiveMinimum", value - 1
            )
            return [place] if low or value > part.get("maximum", value) else []
        return []

    def below(part: dict[str, Any], value: dict[str, Any], place: str) -> list[str]:
        known, others = part.get("properties", {}), part.get("additionalProperties", {})
        found = []
        for key, child in value.items():
            inner = f"{place}.{key}".lstrip(".")
            if key not in known and others is False:
                found.append(inner)
            else:
                found += check(known.get(key, others), child, inner)
        return found

    return check(schema, content, "")


def is_type(name: str | None, value: Any) -> bool:
    kinds: dict[str | None, Any] = {
        None: object,
        "object": dict,
        "array": list,
        "string": str,
        "boolean": bool,
        "null": type(None),
        "integer": int,
        "number": (int, float),
    }
    return isinstance(value, kinds[name])
