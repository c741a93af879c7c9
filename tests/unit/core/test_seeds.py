"""What is seeded is the same bit for bit, also where threads race for the order of a sum."""

from collections.abc import Iterator

import pytest
import torch

from spavl.seeds import seed_everything


@pytest.fixture
def torch_as_it_was() -> Iterator[None]:
    threads, random = torch.get_num_threads(), torch.get_rng_state()
    fixed = torch.are_deterministic_algorithms_enabled()
    yield
    torch.use_deterministic_algorithms(fixed)
    torch.set_num_threads(threads)
    torch.set_rng_state(random)


@pytest.mark.usefixtures("torch_as_it_was")
def test_gradients_of_shared_places_do_not_hang_on_which_thread_comes_first() -> None:
    seed_everything(42, threads=4)
    states = torch.randn(4096, 128)
    children = torch.randint(0, 1000, (3000,))  # many places have three and more
    weights = torch.randn(3000, 128)

    def gradient() -> torch.Tensor:
        leaf = states.clone().requires_grad_()
        (leaf[children] * weights).sum().backward()
        assert leaf.grad is not None
        return leaf.grad

    first = gradient()
    assert all(torch.equal(gradient(), first) for _ in range(30))
