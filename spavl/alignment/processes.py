"""The processes of one training: who they are, what each takes of a step, sums over all of them.

Every process goes through the same steps in the same order. It holds the whole list of pairs, so
it knows without asking what the others take; only sums are exchanged. Alone, a process is the
leader, takes everything, and its sums are what it gave.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

import torch
import torch.distributed as distributed

from spavl.alignment.batching import by_picture, packed_length
from spavl.alignment.rows import PairRows

if TYPE_CHECKING:  # whoever packs rows needs no settings
    from spavl.settings.alignment import AlignmentSettings

RENDEZVOUS = "SPAVL_RENDEZVOUS"
PATIENCE = timedelta(hours=2)  # a reference pass or an evaluation of one process may take long
Item = TypeVar("Item")
Made = TypeVar("Made")


def join(settings: "AlignmentSettings") -> None:
    """Meet the other processes, as the environment says; take this process's GPU if there is one.

    The environment is torchrun's (`RANK`, `WORLD_SIZE`, `LOCAL_RANK`), with the meeting place in
    `SPAVL_RENDEZVOUS`.
    """
    on_gpu = torch.cuda.is_available() and settings.device != "cpu"
    if on_gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group(
        "nccl" if on_gpu else "gloo",
        init_method=os.environ[RENDEZVOUS],
        rank=int(os.environ["RANK"]),
        world_size=int(os.environ["WORLD_SIZE"]),
        timeout=PATIENCE,
    )


def count() -> int:
    """How many processes train together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def rank() -> int:
    """This process's number, from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def is_leader() -> bool:
    """Whether this process writes and tells for all."""
    return rank() == 0


def wait_for_all() -> None:
    """Go on when every process has come here."""
    if count() > 1:
        distributed.barrier()


def summed(values: torch.Tensor) -> torch.Tensor:
    """The sum of every process's tensor, which all have in the same shape; on the CPU."""
    if count() == 1:
        return values.cpu()
    total = values.clone().to(_device())
    distributed.all_reduce(total)
    return total.cpu()


def each_in_turn(items: Sequence[Item], do: Callable[[Item], Made]) -> list[Made]:
    """Do something with every item, the processes in turn; all get all that was made, in order.

    All do it equally often; who has fewer items repeats one, see `share_of_training`.

    Args:
        items: Alike in every process.
        do: Makes something of an item; tensors in it must be on the CPU.
    """
    own = [do(item) for item, _ in share_of_passes(items)]
    if count() == 1:
        return own
    made: list[list[Made]] = [[] for _ in range(count())]
    distributed.all_gather_object(made, own)
    return [made[place % count()][place // count()] for place in range(len(items))]


def most(number: int) -> int:
    """The largest of the processes' numbers."""
    if count() == 1:
        return number
    found = torch.tensor([number], device=_device())
    distributed.all_reduce(found, distributed.ReduceOp.MAX)
    return int(found)


def any_of(mark: bool) -> bool:
    """Whether the mark is set in any process."""
    return bool(summed(torch.tensor(float(mark))) > 0)


def sum_gradients(weights: Iterable[torch.Tensor]) -> None:
    """Make every process's gradients the sum of all; a weight without gradient counts as zero."""
    if count() == 1:
        return
    pending = []
    for weight in weights:
        if weight.grad is None:
            weight.grad = torch.zeros_like(weight)
        pending.append(distributed.all_reduce(weight.grad, async_op=True))
    for one in pending:
        one.wait()


def shares(pairs: Sequence[PairRows], number: int | None = None) -> list[list[PairRows]]:
    """Cut pairs into one share a process (or so many), of about as many tokens each.

    The pairs of a picture stay together, where packing finds what they share, unless there are
    fewer pictures than processes and whoever has most gets less when they are parted.
    """
    number = number or count()
    groups = by_picture(pairs)
    whole = _spread(groups, number)
    if len(groups) >= number:
        return whole
    parted = _spread([[pair] for group in groups for pair in group], number)
    return min((whole, parted), key=_most_packed)


def _most_packed(shares_of: Sequence[Sequence[PairRows]]) -> int:
    return max(packed_length(row for pair in share for row in pair.rows) for share in shares_of)


def _spread(groups: Sequence[list[PairRows]], number: int) -> list[list[PairRows]]:
    """So many shares of groups: the longest goes to whoever has least (Graham, 1969)."""
    tokens = [sum(row.length for pair in group for row in pair.rows) for group in groups]
    found: list[list[PairRows]] = [[] for _ in range(number)]
    filled = [0] * number
    for place in sorted(range(len(groups)), key=lambda place: -tokens[place]):
        least = filled.index(min(filled))
        found[least] += groups[place]
        filled[least] += tokens[place]
    return found


def share_of_training(
    pairs: Sequence[PairRows], cut: Callable[[Sequence[PairRows]], list[list[PairRows]]]
) -> list[tuple[list[PairRows], bool]]:
    """This process's passes of a step, and whether each counts.

    All processes go through as many passes, since engines that spread gradients or weights over
    them wait for each other in each; one with fewer repeats a pass that does not count.

    Args:
        pairs: The whole step's pairs.
        cut: Cuts pairs into forward passes.
    """
    if count() == 1:
        return [(part, True) for part in cut(pairs)]
    return _levelled([cut(share) if share else [] for share in shares(pairs)])


def share_of_passes(passes: Sequence[Item]) -> list[tuple[Item, bool]]:
    """This process's share of passes that are alike in every process, and whether each counts."""
    return _levelled([list(passes[start :: count()]) for start in range(count())])


def _levelled(by_process: Sequence[list[Item]]) -> list[tuple[Item, bool]]:
    most = max(len(passes) for passes in by_process)
    own = by_process[rank()]
    counting = [(part, True) for part in own]
    if len(own) == most:
        return counting
    filler = next(passes[-1] for passes in (own, *by_process) if passes)
    return counting + [(filler, False)] * (most - len(own))


def _device() -> torch.device:
    on_gpu = distributed.get_backend() == "nccl"
    return torch.device("cuda", torch.cuda.current_device()) if on_gpu else torch.device("cpu")
