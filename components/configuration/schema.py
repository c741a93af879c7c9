"""JSON schema of a profile: editors complete and check profiles with it."""

import json
from importlib import resources
from typing import Any

from pydantic.json_schema import models_json_schema

from components.configuration.profiles import profile_names
from components.configuration.stages import SHARED_KEYS, STAGES

MODELINE = "# yaml-language-server: $schema="
"""First line of a profile: where editors find the schema, relative to the file."""


def profile_schema() -> dict[str, Any]:
    """The JSON schema of a profile, in which every setting may be left out."""
    references, schema = models_json_schema([(model, "validation") for model in STAGES.values()])
    stages = {name: references[model, "validation"] for name, model in STAGES.items()}
    first = next(iter(STAGES.values())).model_json_schema()["properties"]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "SPA-VL profile",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "description": {"type": "string", "description": "What the profile is for."},
            "extends": {
                "type": "string",
                "description": f"Profile to start from: {', '.join(profile_names())}, or a file.",
            },
            **{
                key: {**first[key], "description": f"{first[key]['description']} For all stages."}
                for key in SHARED_KEYS
            },
            **{
                name: {"anyOf": [reference, {"type": "null"}]} for name, reference in stages.items()
            },
        },
        "$defs": {name: _partial(part) for name, part in schema["$defs"].items()},
    }


def schema_text() -> str:
    """The schema as the file `profile.schema.json` holds it."""
    return json.dumps(profile_schema(), indent=1) + "\n"


def kept_schema() -> str:
    """Content of the file that lies beside the profiles."""
    return (resources.files("components.configuration") / "profile.schema.json").read_text()


def _partial(node: Any) -> Any:
    """A schema for a layer: nothing is required, and items of lists may be changed by their id."""
    if isinstance(node, list):
        return [_partial(child) for child in node]
    if not isinstance(node, dict):
        return node
    dropped = ("required", "discriminator", "default") if "$defs" not in node else ()
    part = {
        "anyOf" if key == "oneOf" else key: _partial(child)
        for key, child in node.items()
        if not (key in dropped and _is_keyword(key, child))
    }
    if part.get("type") == "array" and "$ref" in part.get("items", {}):
        facts = {key: part.pop(key) for key in ("title", "description") if key in part}
        by_id = {"type": "object", "additionalProperties": part["items"]}
        return {**facts, "anyOf": [part, by_id]}
    return part


def _is_keyword(key: str, child: Any) -> bool:
    """Tells schema keywords from settings of the same name, whose child is a schema."""
    return not (isinstance(child, dict) and "type" in child) or key == "discriminator"
