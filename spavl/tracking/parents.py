"""The run that stands for the whole pipeline run: KFP's, where its plugin made one, else ours."""

from dataclasses import dataclass
from pathlib import Path

from spavl.tracking.plugin import PluginTree
from spavl.tracking.store import PARENT_TAG, ROLE_TAG, RUN_TAG, Store


@dataclass(frozen=True)
class FollowedRun:
    """A run to be followed.

    Attributes:
        folder: Its folder.
        name: Its name for people.
        id: Its unique id.
        tree: What KFP's plugin made of it in MLflow, where the plugin is on.
        task: The run that KFP gave to this pod's task, where the plugin injects.
    """

    folder: Path
    name: str
    id: str
    tree: PluginTree | None = None
    task: str | None = None


def parent_of(run: FollowedRun, store: Store, start: float | None) -> str:
    """Find the parent in a store; make it where nobody has.

    Args:
        run: The run.
        store: The store.
        start: When its first stage started, in seconds since 1970, if one has.
    """
    kfps = _kfps_parent(run, store)
    if kfps is None:
        return store.parent(run.name, start)
    store.log_tags(kfps, {RUN_TAG: run.id, ROLE_TAG: "parent"})
    return kfps


def _kfps_parent(run: FollowedRun, store: Store) -> str | None:
    """A task's own parent may be the run of a nested DAG; the tree names the root."""
    if run.tree and store.has(run.tree.parent):
        return run.tree.parent
    if run.task:
        tags = store.client.get_run(run.task).data.tags
        return str(tags.get(PARENT_TAG, run.task))
    return None
