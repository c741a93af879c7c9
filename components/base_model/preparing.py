"""The base model stage: settings in, a model's folder and digest out."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from components.base_model.folders import check_model_folder
from components.base_model.pocket_cache import prepared_pocket_base
from spavl.digests import folder_digest
from spavl.environment import work_root
from spavl.errors import InputError
from spavl.settings.base_model import BaseModelSettings
from spavl.storage import is_s3, keep, local_copy, uri_of
from spavl.work import Stage, Work, publish_path, report_error, run_stage


class BaseModelHandle(NamedTuple):
    """A model: its folder and the digest of the folder's content."""

    uri: str
    digest: str


def prepare(settings: Mapping[str, Any]) -> BaseModelHandle:
    """Finds or makes the base model.

    Args:
        settings: See `BaseModelSettings`.

    Raises:
        InputError: The settings are wrong, or the folder is no model that can be loaded safely.
    """
    try:
        parsed = BaseModelSettings.parse(dict(settings), "base_model")
        folder = _folder(parsed)
        handle = BaseModelHandle(uri_of(folder), folder_digest(folder))
    except Exception as error:
        report_error("base_model", error)  # a folder is checked outside of any stage's work
        raise
    # A run's books name the base that it took, whether or not it had to be made.
    stage = Stage("base_model", __name__, parsed.model_dump(mode="json"), {"model": handle.digest})
    run_stage(stage, lambda work: _tried(work, folder, parsed, handle))
    return handle


def _tried(
    work: Work, folder: Path, settings: BaseModelSettings, handle: BaseModelHandle
) -> dict[str, Any]:
    """What is wrong with a model of the user's is told now, before anything is paid for it."""
    if settings.source == "path":
        with work.importing():
            from components.base_model.trying import try_model
        try_model(folder)
    return handle._asdict()


def _folder(settings: BaseModelSettings) -> Path:
    if settings.source == "path":
        return given_folder(settings)
    kept = prepared_pocket_base(settings)
    return _shared(kept) if is_s3(uri_of(work_root())) else kept


def _shared(kept: Path) -> Path:
    """A trained base where other machines find it: the cache folder is this one's."""
    place = work_root() / "base_models" / kept.name
    publish_path(kept, place)
    keep(place)
    return place


def given_folder(settings: BaseModelSettings) -> Path:
    """The folder of the user's own model.

    Raises:
        InputError: The settings name none, or it is no model that can be loaded safely.
    """
    if not settings.path:
        raise InputError("no folder", "base_model.path", "name the folder of the model")
    folder = local_copy(settings.path).expanduser().resolve()
    check_model_folder(folder)
    return folder
