"""What can be known before a run starts: bad input ends it here, before any long work."""

import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.preflight_evaluation import (
    check_endpoints,
    check_evaluation,
    check_gate,
    check_lmms_eval,
)
from pipelines.preflight_models import TRAINERS, check_models, check_scale
from spavl.environment import cache_folder, work_root
from spavl.errors import InputError
from spavl.storage import Bucket, is_s3, parts_of
from spavl.tracking.address import check_named

if TYPE_CHECKING:
    from pipelines.local_run import RunRequest

MIB = 2**20
DATA_STAGES = ("collection", "questions", "responses", "labeling")
"""Not done where the data set is given: their keys and files may be missing."""
# The pocket run leaves about 60 MiB; the rest is room for what the system writes beside it.
FREE_MIB_AT_LEAST = 300
# Reward model, DPO and PPO models, and a trainer's checkpoint with two moments of the optimizer.
MODEL_COPIES = 6


def check_request(request: "RunRequest", out: Path, probe: bool = True) -> None:
    """Check settings, MLflow, folders and the disk, cheapest first.

    Args:
        request: What to run.
        out: Folder of all runs.
        probe: Whether to ask the endpoints of questions, responders and labels whether they are
            there; those of the evaluation's judges are always asked.

    Raises:
        InputError: Names the first thing that is wrong.
    """
    from components.configuration import STAGES, resolve

    settings = resolve(request.profile, request.overrides)
    check_evaluation(settings.evaluation, settings.gate)
    check_named()
    done = [name for name in settings._fields if not (request.data and name in DATA_STAGES)]
    check_keys({name: getattr(settings, name) for name in done})
    if probe:
        check_endpoints({name: getattr(settings, name) for name in done if name in DATA_STAGES})
    for stage in TRAINERS:
        check_scale(stage, getattr(settings, stage), request.runner)
    check_writable(out)
    if "SPAVL_WORK_ROOT" in os.environ:
        check_writable(work_root())
        check_bucket(os.environ["SPAVL_WORK_ROOT"])
    if request.data:
        check_data(request)
    else:
        check_pictures(request, out, settings.collection)
    check_lmms_eval(settings.evaluation, request.runner)
    model = _model_folder(settings.base_model)
    stages = {name: getattr(settings, name) for name in done if name in STAGES}
    check_models(stages, model, request.runner)
    check_gate(settings.evaluation, settings.gate, request.data or settings.labeling)
    if model is None:
        check_cache(settings.base_model)
    check_space(out, MODEL_COPIES * _mib(model) if model else 0)


def check_keys(settings: Mapping[str, Any], path: str = "") -> None:
    """Check that every secret that the settings name is in the environment.

    Args:
        settings: All stages' settings, as plain dicts and lists.
        path: Where in the settings these lie.

    Raises:
        InputError: Names the first variable that is not set.
    """
    for key, value in settings.items():
        where = f"{path}{key}"
        if key == "api_key_env" and not os.environ.get(value, "").strip():
            raise InputError(
                f"no key in the environment variable {value}",
                where,
                "set it, or remove api_key_env where the endpoint needs no key",
            )
        below = dict(enumerate(value)) if isinstance(value, list) else value
        if isinstance(below, Mapping):
            check_keys({str(name): child for name, child in below.items()}, f"{where}.")


def check_writable(folder: Path, remedy: str = "name another folder with --out") -> None:
    """Write into the folder, or where it would be made: what fails later leaves nothing behind.

    Raises:
        InputError: If that cannot be done.
    """
    try:
        with tempfile.TemporaryFile(dir=_existing(folder)):
            pass
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise InputError(f"cannot write here: {reason}", str(folder), remedy) from None


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    return next(place for place in (folder, *folder.parents) if place.exists())


def check_cache(base_model: Mapping[str, Any]) -> None:
    """Check that the pocket base can be kept where it will be, unless it is there.

    Raises:
        InputError: If the user's cache folder cannot be written.
    """
    from components.base_model.pocket_cache import kept_folder
    from spavl.settings.base_model import BaseModelSettings

    try:
        check_writable(cache_folder(), "name another folder with SPAVL_CACHE")
    except InputError:
        if not kept_folder(BaseModelSettings.parse(dict(base_model), "base_model")).is_dir():
            raise


def check_bucket(uri: str) -> None:
    """Check that a place on S3 can be reached; other places are let through.

    Raises:
        InputError: If its bucket is missing or the credentials are wrong.
        AwayError: If the server does not answer.
    """
    if is_s3(uri):
        Bucket(parts_of(uri)[0]).require()


def check_space(folder: Path, model_mib: int) -> None:
    """Check that the disk has room for a run.

    Args:
        folder: Where the run will write.
        model_mib: What the run's models will take, MiB.

    Raises:
        InputError: If it has not.
    """
    free, wanted = shutil.disk_usage(_existing(folder)).free // MIB, FREE_MIB_AT_LEAST + model_mib
    if free < wanted:
        raise InputError(
            f"{free} MiB free, a run wants {wanted} MiB",
            str(folder),
            "free some, or name a folder on another disk with --out",
        )


def check_name(name: str) -> None:
    """Check that a run's name can be a folder's.

    Raises:
        InputError: If it cannot.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        raise InputError(
            "a run's name of other than letters, digits, '.', '_' and '-'", name, "choose another"
        )


def check_pictures(request: "RunRequest", out: Path, collection: Mapping[str, Any]) -> None:
    """Check the user's folder and table of classes.

    Args:
        request: What to run.
        out: Folder of all runs.
        collection: The collection stage's settings.

    Raises:
        InputError: If one is missing or wrong, no picture is usable, or the runs would be written
            among the pictures.
    """
    from components.collection.classes import read_classes
    from components.collection.review import read_dropped
    from components.collection.url_tables import read_addresses
    from components.collection.usable import require_usable_picture
    from spavl.settings.collection import CollectionSettings

    settings = CollectionSettings.parse(dict(collection), "collection")
    check_bucket(settings.s3_prefix or "")
    if settings.addresses:
        next(read_addresses(Path(settings.addresses)), None)
    if settings.decisions:
        read_dropped(Path(settings.decisions))
    sources = (settings.addresses, settings.s3_prefix, settings.hub, request.images)
    if not settings.pocket_pictures and not any(sources):
        raise InputError(
            "no pictures", "collection.pocket_pictures", "draw some, or name a source of pictures"
        )
    if request.classes and not request.images:
        raise InputError("classes without pictures", request.classes, "give --images as well")
    if not request.images:
        return
    folder = Path(request.images)
    if not folder.is_dir():
        raise InputError("no such folder", request.images, "give a folder of pictures")
    if out.resolve().is_relative_to(folder.resolve()):
        raise InputError(
            "runs would be written among the pictures", str(out), "name another folder with --out"
        )
    if request.classes and not Path(request.classes).is_file():
        raise InputError("no such file", request.classes, "give a CSV of file,class")
    if request.classes:
        read_classes(Path(request.classes), folder)
    require_usable_picture(folder, settings)


def check_data(request: "RunRequest") -> None:
    """Check the data set that the run shall start from, every shard of it.

    Raises:
        InputError: If it is missing or torn, or pictures are to be added to it.
    """
    from components.importing import require_whole

    if request.images or request.classes:
        raise InputError(
            "pictures beside a finished data set", request.data, "give --images or --data"
        )
    require_whole(request.data)


def _model_folder(settings: Mapping[str, Any]) -> Path | None:
    """The folder of the user's own base model, checked; None for the pocket world's."""
    from components.base_model.preparing import given_folder
    from spavl.settings.base_model import BaseModelSettings

    parsed = BaseModelSettings.parse(dict(settings), "base_model")
    return None if parsed.source == "pocket" else given_folder(parsed)


def _mib(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.safetensors")) // MIB
