"""Seeds: every source of chance derives from the run's one seed."""

import hashlib


def derive_seed(seed: int, *names: str) -> int:
    """A stable seed for one purpose, independent of all others.

    Args:
        seed: The run's seed.
        names: What the seed is for, e.g. `"collection", image_id`.

    Returns:
        An integer in [0, 2**63), equal on every machine and Python version.
    """
    text = "\x1f".join((str(seed), *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def seed_everything(seed: int, threads: int) -> None:
    """Seed Python, numpy and torch, and fix the order of floating-point sums.

    The order hangs on the thread count and, in gradients of indexing, on which thread comes first
    unless torch is told otherwise. On a GPU that costs speed and some operations know no fixed
    order, so there it stays as it is.
    """
    import random

    import numpy
    import torch

    random.seed(seed)
    numpy.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(not torch.cuda.is_available())
    # A help for tests, and slow.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
