"""The cache with room holds what the library's own holds, and copies nothing while it has room."""

import torch
from transformers.cache_utils import DynamicLayer

from spavl.models.caches import RoomyLayer


def states(tokens: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Keys and values of some tokens of two rows with three heads."""
    return torch.randn(2, 3, tokens, 4), torch.randn(2, 3, tokens, 4)


def test_it_holds_what_the_librarys_cache_holds_whatever_is_done_to_both() -> None:
    torch.manual_seed(0)
    ours, theirs = RoomyLayer(2), DynamicLayer()
    steps = [
        lambda layer: layer.batch_repeat_interleave(2),
        lambda layer: layer.crop(-3),
        lambda layer: layer.batch_select_indices(torch.tensor([3, 0])),
        lambda layer: layer.reorder_cache(torch.tensor([1, 0])),
        lambda layer: layer.reset(),
    ]
    for number, change in enumerate(steps):
        for tokens in (5, 1, 1, 1, 1):  # more than there is room for
            rows = (len(ours.keys) if ours.get_seq_length() else 2) // 2
            added = [part.repeat(rows, 1, 1, 1) for part in states(tokens)]
            for found, expected in zip(ours.update(*added), theirs.update(*added), strict=True):
                assert torch.equal(found, expected), number
        assert ours.get_mask_sizes(1) == theirs.get_mask_sizes(1)
        change(ours)
        change(theirs)


def test_tokens_are_written_where_there_is_room() -> None:
    layer = RoomyLayer(8)
    first, _ = layer.update(*states(5))
    places = {layer.update(*states(1))[0].data_ptr() for _ in range(8)}
    assert places == {first.data_ptr()}
    assert layer.update(*states(1))[0].data_ptr() not in places
