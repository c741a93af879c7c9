"""The pocket base in the user's cache folder: trained once, committed by a rename, then reused.

The folder's name is the digest of the work that makes it. Two runs at once train it once: the work
is locked (`spavl.work`), and the second finds it committed.
"""

import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from spavl.environment import cache_folder
from spavl.settings.base_model import BaseModelSettings
from spavl.settings.pocket_base import PocketBaseSettings
from spavl.storage import local_copy
from spavl.work import Stage, Work, run_stage, stage_uri

TRAINING = "spavl.pocket.training"


def kept_folder(settings: BaseModelSettings) -> Path:
    """Where the pocket base for these settings is kept, once it is trained."""
    return _kept(_stage(_pocket(settings)))


def prepared_pocket_base(settings: BaseModelSettings) -> Path:
    """The folder of the pocket base for these settings; trains it where it is not kept yet.

    Raises:
        BusyError: Another process has been training it for an hour.
    """
    pocket = _pocket(settings)
    stage = _stage(pocket)
    kept = _kept(stage)
    if not kept.exists():
        run_stage(stage, lambda work: _train(work, pocket))
        commit_folder(local_copy(f"{stage_uri(stage)}/model"), kept)
    return kept


def commit_folder(source: Path, target: Path) -> None:
    """Copies a folder so that the target is there whole or not at all.

    The copy is made beside the target and renamed. If another process was faster, its folder, made
    of the same sources, stays.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".incoming-", dir=target.parent) as temporary:
        copy = Path(temporary) / target.name
        shutil.copytree(source, copy)
        try:
            copy.rename(target)
        except OSError:
            if not target.is_dir():
                raise


def _pocket(settings: BaseModelSettings) -> PocketBaseSettings:
    return settings.pocket.model_copy(update={"seed": settings.seed, "threads": settings.threads})


def _kept(stage: Stage) -> Path:
    return cache_folder() / "base_models" / f"pocket-{stage.digest[:16]}"


def _stage(settings: PocketBaseSettings) -> Stage:
    versions = {name: version(name) for name in ("torch", "transformers")}
    return Stage("base_model_training", TRAINING, settings.model_dump(mode="json"), versions)


def _train(work: Work, settings: PocketBaseSettings) -> dict[str, Any]:
    with work.importing():
        from spavl.pocket.training import train_base

    def report(phase: str, step: int, steps: int, metrics: dict[str, float]) -> None:
        work.progress(step, steps, f"{phase} steps", **metrics)
        work.log(metrics, step)

    folder = work.folder / "model"
    shutil.rmtree(folder, ignore_errors=True)
    return dict(train_base(settings, folder, report))
