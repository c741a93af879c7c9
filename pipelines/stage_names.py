"""What a run's stages are called for people, whatever Argo calls its nodes.

KFP compiles a task to several nodes of Argo's: a driver, a DAG of its name, in it `executor`, and
around a loop's body `iteration-iterations(0:0)` and `iteration-item` (KFP 2.17.0,
backend/src/v2/compiler/argocompiler). The display names stand in the pipeline's specification.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

LOOP = "iteration-iterations"
LONGEST_ITEM = 40
AROUND = {"root", "iteration", LOOP, "iteration-item", "executor"}


@dataclass(frozen=True)
class Stage:
    """A task of a run, or one of a loop's.

    Attributes:
        task: Its name in the specification.
        label: Its name for people, with the item's number in a loop.
        display: The same without.
        item_input: In a loop, the input that is given the loop's item; empty where there is none.
    """

    task: str
    label: str
    display: str
    item_input: str = ""

    def of(self, item: str) -> str:
        """The label with the loop's item in place of its number."""
        short = item if len(item) <= LONGEST_ITEM else f"{item.partition(',')[0]}, ..."
        return f"{self.display} ({short})" if item else self.label


class StageNames:
    """Names of one pipeline's stages.

    Args:
        spec: A pipeline's specification as KFP's API gives it, with or without platforms; empty
            where it cannot be had, and then tasks are called as Argo calls them.
    """

    def __init__(self, spec: Mapping[str, Any]) -> None:
        whole = spec.get("pipeline_spec", spec)
        self._components: Mapping[str, Any] = whole.get("components", {})
        self._root: Mapping[str, Any] = whole.get("root", {})
        self._leaves = dict(self._read_leaves())

    def display(self, task: str) -> str | None:
        """Display name of a task that runs in a pod of its own; None for all else."""
        if not self._root:
            known = task and "(" not in task and not task.endswith("-driver")
            return task if known and task not in AROUND else None
        return self._leaves.get(task)

    def at(self, node: str) -> Stage | None:
        """The stage of one of Argo's nodes, e.g. `spa-vl-x.root.train-dpo.executor(0)`.

        A driver's is the stage that it prepares. None where the specification has no such task.
        """
        if not self._root:
            steps = [part.partition("(")[0].removesuffix("-driver") for part in node.split(".")[1:]]
            name = next((step for step in reversed(steps) if step not in AROUND), "")
            return Stage(name, name, name) if name else None
        task: Mapping[str, Any] = {}
        within, name, number, item, item_input = self._root, "", "", "", ""
        for part in node.split(".")[1:]:
            step, _, index = part.partition("(")
            step = step.removesuffix("-driver")
            if step == LOOP:
                number = index.partition(":")[0]
            if step in AROUND:
                continue
            item = task.get("parameterIterator", {}).get("itemInput", "")
            if step not in _tasks(within):
                return None
            name, task = step, _tasks(within)[step]
            item_input = _fed_by(task, item) or item_input
            within = self._component(task)
        if not task:
            return None
        display = _display(name, task)
        label = f"{display} ({int(number) + 1})" if number.isdigit() else display
        return Stage(name, label, display, item_input)

    def _component(self, task: Mapping[str, Any]) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self._components.get(task["componentRef"]["name"], {})
        return found

    def _read_leaves(self) -> Iterator[tuple[str, str]]:
        for component in (self._root, *self._components.values()):
            for name, task in _tasks(component).items():
                if "dag" not in self._component(task):
                    yield name, _display(name, task)


def _tasks(component: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = component.get("dag", {}).get("tasks", {})
    return found


def _display(name: str, task: Mapping[str, Any]) -> str:
    return str(task.get("taskInfo", {}).get("name") or name)


def _fed_by(task: Mapping[str, Any], item: str) -> str:
    """The task's input that a loop hands its item to."""
    inputs = task.get("inputs", {}).get("parameters", {})
    fed = (name for name, of in inputs.items() if of.get("componentInputParameter") == item)
    return next(fed, "") if item else ""
