"""Whether a cluster's nodes have room for pods of the sizes that a run would have."""

from collections.abc import Mapping
from decimal import Decimal

from pipelines.doctor.checks import BrokenError
from pipelines.doctor.cluster_view import ClusterView
from pipelines.kubernetes_access import Json
from pipelines.targeting import Size, read_sizes, size_names

UNITS = {"m": Decimal("0.001"), "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
UNITS |= {f"{letter}i": 2 ** (10 * power) for power, letter in enumerate("KMGT", 1)}


def room(view: ClusterView) -> str:
    """Each kind of pod against each node's whole; what others use now is not counted.

    Raises:
        BrokenError: Names the first kind that no node can ever take, and sizes that fit.
    """
    nodes = [
        node["status"].get("allocatable", {})
        for node in view.kubernetes.items("/api/v1/nodes")
        if not node.get("spec", {}).get("unschedulable")
    ]
    faults = _lacking(view.asked.sizes, nodes)
    if not faults:
        return f"{len(nodes)} nodes; each kind of pod of --sizes {view.asked.sizes} fits one"
    fitting = [name for name in size_names() if not _lacking(name, nodes)]
    use = f"use --sizes {' or '.join(fitting)}" if fitting else "no sizes fit"
    raise BrokenError(f"{'; '.join(faults)}: {use}")


def _lacking(name: str, nodes: list[Json]) -> list[str]:
    """What no node has, one a kind of pod."""
    sizes = read_sizes(name)
    pods = {**sizes.sizes, **sizes.stages}
    asked = {kind: _asked(size, sizes.accelerator) for kind, size in pods.items()}
    return [fault for kind, wanted in asked.items() if (fault := _fault(kind, wanted, nodes))]


def _asked(size: Size, accelerator: str | None) -> dict[str, str]:
    wanted = {"cpu": size.cpu[0], "memory": size.memory[0]}
    if size.accelerators and accelerator:
        wanted = {accelerator: str(size.accelerators), **wanted}
    return wanted


def _fault(kind: str, wanted: Mapping[str, str], nodes: list[Json]) -> str:
    def has(node: Json, name: str) -> bool:
        return quantity(node.get(name, "0")) >= quantity(wanted[name])

    if any(all(has(node, name) for name in wanted) for node in nodes):
        return ""
    alone = [name for name in wanted if not any(has(node, name) for node in nodes)]
    if not alone:
        whole = ", ".join(f"{value} {name}" for name, value in wanted.items())
        return f"{kind} asks for {whole}, no node has all of it"
    most = max((node.get(alone[0], "0") for node in nodes), key=quantity, default="0")
    return f"{kind} asks for {wanted[alone[0]]} {alone[0]}, no node has more than {most}"


def quantity(text: str) -> Decimal:
    """Kubernetes' way of writing a number, e.g. `500m` or `4Gi`."""
    unit = text.lstrip("0123456789.")
    return Decimal(text.removesuffix(unit)) * UNITS.get(unit, 1)
