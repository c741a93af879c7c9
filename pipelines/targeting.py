"""What a compiled pipeline is written for: a registry, sizes, a queue."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipelines.placement import COMPONENT, KINDS, TRAINING
from spavl.errors import InputError

QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
QUANTITY = r"^[0-9]+(m|Ki|Mi|Gi|Ti)?$"
Bounds = tuple[str, str]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Size(_Model):
    """What pods of one kind ask for, as [request, limit]."""

    cpu: Bounds
    memory: Bounds
    accelerators: int = Field(default=0, ge=0)


class Sizes(_Model):
    """What pods get.

    Attributes:
        accelerator: Resource name of the accelerator.
        sizes: By kind.
        stages: By component, where one needs another size than its kind.
    """

    accelerator: str | None = None
    sizes: dict[str, Size]
    stages: dict[str, Size] = Field(default_factory=dict)

    def of(self, component: str, kind: str) -> Size:
        """The size of a component's pods."""
        return self.stages.get(component, self.sizes[kind])


@dataclass(frozen=True)
class Target:
    """What a pipeline is compiled for.

    Attributes:
        registry: Prefix of the image names, e.g. `registry.example/team`; empty for none.
        sizes: Name of the file of sizes.
        queue: Kueue's LocalQueue that pods wait in; empty for none.
    """

    registry: str = ""
    sizes: str = field(default="cluster")
    queue: str = ""


def size_names() -> list[str]:
    """Names of the files of sizes."""
    folder = resources.files("pipelines") / "targets"
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir())


def read_sizes(name: str) -> Sizes:
    """The sizes of a name.

    Raises:
        InputError: If there is no such file, or it does not size every kind.
    """
    if name not in size_names():
        raise InputError("unknown target", name, f"known: {', '.join(size_names())}")
    text = (resources.files("pipelines") / "targets" / f"{name}.yaml").read_text()
    try:
        sizes = Sizes.model_validate(yaml.safe_load(text))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InputError(first["msg"], f"targets/{name}.yaml: {where}", "correct it") from None
    missing = {kind.name for kind in KINDS} - set(sizes.sizes)
    if missing:
        raise InputError("no size", f"targets/{name}.yaml: {min(missing)}", "give it a size")
    return sizes


def idle_accelerators(sizes: Sizes, processes: Mapping[str, int]) -> dict[str, int]:
    """Accelerators that training pods would hold and not use.

    Args:
        sizes: What pods get.
        processes: Processes of a node, by training component.

    Returns:
        How many idle, by component; no entry where none does.

    Raises:
        InputError: If a pod gets fewer than its stage has processes: the stage would be refused
            when it starts, after all that goes before it.
    """
    idle = {}
    for component, wanted in processes.items():
        given = sizes.of(component, TRAINING.name).accelerators
        if sizes.accelerator and given < wanted:
            raise InputError(
                f"{wanted} processes want as many accelerators, pods of these sizes have {given}",
                component,
                "choose other sizes, or fewer num_processes for it",
            )
        if given > wanted:
            idle[component] = given - wanted
    return idle


def set_size(
    component: str, container: dict[str, Any], pod: dict[str, Any], target: Target
) -> None:
    """Write a component's size, and the queue, into an executor of the compiled pipeline.

    Args:
        component: Its name, e.g. `train-dpo`.
        container: The executor's container.
        pod: Its part of the Kubernetes platform spec.
        target: What is compiled for.
    """
    labels = pod["podMetadata"]["labels"]
    sizes = read_sizes(target.sizes)
    size = sizes.of(component, labels[COMPONENT])
    container["resources"] = {
        "resourceCpuRequest": size.cpu[0],
        "resourceCpuLimit": size.cpu[1],
        "resourceMemoryRequest": size.memory[0],
        "resourceMemoryLimit": size.memory[1],
    }
    if size.accelerators:
        container["resources"]["accelerator"] = {
            "resourceType": sizes.accelerator,
            "resourceCount": str(size.accelerators),
        }
    if target.queue:
        labels[QUEUE_LABEL] = target.queue
