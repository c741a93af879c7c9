"""Profiles: named YAML files of settings that ship with the project, and the user's own.

A profile is asked for by name, by the path of a file, or, where no file can travel (the form of a
Kubeflow run), by its YAML itself. `extends` names another profile that it starts from.
"""

import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from components.configuration.layers import Tree, given, merge, plain
from spavl.errors import InputError
from spavl.settings.as_written import read_yaml
from spavl.settings.messages import unknown_key

SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True)
class Layer:
    """One profile without what it extends.

    Attributes:
        origin: How values of it are marked: `profile NAME`, or the path of the user's file.
        tree: Settings by stage.
        description: What the profile is for.
        shipped: Whether it comes with the project.
    """

    origin: str
    tree: dict[str, Any]
    description: str
    shipped: bool


@dataclass(frozen=True)
class _Source:
    """Where a profile is written.

    Attributes:
        origin: How it is named to people.
        text: Its YAML.
        folder: Where paths in `extends` start from; None where there are no files.
        shipped: Whether it comes with the project.
    """

    origin: str
    text: str
    folder: Path | None
    shipped: bool = False


def profile_names() -> list[str]:
    """Names of the profiles that ship with the project."""
    folder = resources.files("components.configuration") / "profiles"
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir())


def profile_layers(profile: str) -> list[Layer]:
    """A profile and what it extends, the one that all start from first.

    Args:
        profile: A name, the path of a YAML file, or YAML.

    Raises:
        InputError: It is unknown, unreadable, no YAML, or extends itself.
    """
    layers: list[Layer] = []
    source = _source(profile, Path())
    while True:
        if source.origin in (layer.origin for layer in layers):
            raise InputError("a profile that extends itself", source.origin, "remove its extends")
        tree = _parse(source)
        extends, description = tree.pop("extends", None), tree.pop("description", "")
        layers.append(Layer(source.origin, tree, str(description), source.shipped))
        if extends is None:
            return layers[::-1]
        source = _source(str(extends), source.folder)


def absolute_profile(profile: str) -> str:
    """A profile that means the same from any folder: a path becomes absolute, a name stays."""
    is_path = profile not in profile_names() and "\n" not in profile and _names_file(profile)
    return str(Path(profile).expanduser().absolute()) if is_path else profile


def profile_label(profile: str) -> str:
    """A profile's short name, for a run's folder: its own, or that of its file."""
    if profile in profile_names():
        return profile
    name = "own" if "\n" in profile else Path(profile).stem
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "own"


def portable_profile(profile: str) -> str:
    """A profile as a cluster takes it: a name as it is, a file as one YAML text.

    Args:
        profile: A name, the path of a YAML file, or YAML.
    """
    layers = profile_layers(profile)
    own = [layer for layer in layers if not layer.shipped]
    if not own:
        return profile
    tree: Tree = {}
    for layer in own:
        tree = merge(tree, given(layer.tree, layer.origin))
    shipped = [layer for layer in layers if layer.shipped]
    extends = {"extends": shipped[-1].origin.removeprefix("profile ")} if shipped else {}
    described = {"description": own[-1].description or f"made of {own[-1].origin}"}
    return yaml.safe_dump({**described, **extends, **plain(tree)}, sort_keys=False)


def _source(profile: str, folder: Path | None) -> _Source:
    if profile in profile_names():
        path = resources.files("components.configuration") / "profiles" / f"{profile}.yaml"
        return _Source(f"profile {profile}", path.read_text(encoding="utf-8"), None, shipped=True)
    if "\n" in profile:
        return _Source("the given YAML", profile, None)
    if folder is None or not _names_file(profile):
        raise unknown_key("profile", profile, profile_names())
    path = (folder / Path(profile).expanduser()).absolute()
    try:
        return _Source(str(path), path.read_text(encoding="utf-8"), path.parent)
    except FileNotFoundError:
        known = ", ".join(profile_names())
        raise InputError(
            "no such profile file", str(path), f"give the path of a YAML file, or one of: {known}"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        said = error.strerror if isinstance(error, OSError) else "not a text in UTF-8"
        raise InputError(
            f"unreadable profile: {said}", str(path), "give a YAML file that can be read"
        ) from None


def _names_file(profile: str) -> bool:
    return "/" in profile or profile.endswith(SUFFIXES)


def _parse(source: _Source) -> dict[str, Any]:
    try:
        tree = read_yaml(source.text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise InputError(
            f"not YAML: {error.problem}", f"{source.origin}{line}", "correct the file there"
        ) from None
    except yaml.YAMLError as error:
        said = " ".join(str(error).split())
        raise InputError(f"not YAML: {said}", source.origin, "correct the file") from None
    if not isinstance(tree, dict):
        raise InputError(
            f"a profile that is {_kind(tree)} instead of stages with settings",
            source.origin,
            "write stages as keys, e.g. dpo: {beta: 0.2}",
        )
    return tree


def _kind(tree: Any) -> str:
    return "empty" if tree is None else "a list" if isinstance(tree, list) else "a plain value"
