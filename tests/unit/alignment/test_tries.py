"""Tries: hand-worked layout, and properties over random paths."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as some

from spavl.alignment.packing import PackingLimits, PlainRow, compose, pack
from spavl.alignment.rows import Row
from spavl.alignment.trie_attention import chains
from spavl.alignment.tries import GrowingTrie, ancestor_mask, lay_out

PAD = 7
paths = some.lists(some.lists(some.integers(1, 3), min_size=1, max_size=8), min_size=1, max_size=12)


def arrays(lists: list[list[int]]) -> list[np.ndarray]:
    return [np.array(path, dtype=np.int64) for path in lists]


def plain(lists: list[list[int]]) -> list[PlainRow]:
    """Rows whose first token stands for their picture and whose positions are unlike depths."""
    return [
        PlainRow(Row(str(path[0]), tuple(path), 1), array, (0,), np.cumsum([array, array], axis=1))
        for path, array in zip(lists, arrays(lists), strict=True)
    ]


def test_three_rows_laid_out_by_hand() -> None:
    trie = lay_out(arrays([[0, 9, 9, 3, 4, 5], [0, 9, 9, 3, 4, 6], [0, 9, 9, 7, 4]]))
    assert [list(places) for places in trie.places] == [
        [0, 1, 2, 3, 4, 5],
        [0, 1, 2, 3, 4, 6],
        [0, 1, 2, 7, 8],
    ]
    assert list(trie.ends) == [9, 9, 9, 7, 7, 6, 7, 9, 9]


@given(paths)
def test_there_is_a_place_for_each_distinct_beginning_and_no_other(lists: list[list[int]]) -> None:
    trie = lay_out(arrays(lists))
    beginnings = {tuple(path[: n + 1]) for path in lists for n in range(len(path))}
    assert trie.length == len(beginnings)
    place_of = {}
    for path, places in zip(lists, trie.places, strict=True):
        for n, place in enumerate(places):
            assert place_of.setdefault(tuple(path[: n + 1]), place) == place
    assert sorted(place_of.values()) == list(range(trie.length))


@given(paths)
def test_a_place_sees_itself_and_its_ancestors_only(lists: list[list[int]]) -> None:
    trie = lay_out(arrays(lists))
    expected = np.zeros((trie.length, trie.length), dtype=bool)
    for places in trie.places:
        for n, place in enumerate(places):
            expected[place, places[: n + 1]] = True
    assert (ancestor_mask(trie.ends) == expected).all()


@given(paths)
def test_the_length_is_known_without_laying_out(lists: list[list[int]]) -> None:
    growing = GrowingTrie()
    for path in arrays(lists):
        growing.add(path)
    assert growing.length == lay_out(arrays(lists)).length


@given(paths, some.integers(1, 20), some.booleans())
def test_packs_hold_every_row_once_within_their_limits(
    lists: list[list[int]], tokens: int, one_picture: bool
) -> None:
    rows = plain(lists)
    packs = compose(rows, PackingLimits(tokens, one_picture))
    assert sorted(number for numbers in packs for number in numbers) == list(range(len(rows)))
    for numbers in packs:
        length = lay_out([rows[number].path for number in numbers]).length
        assert length <= tokens or len({rows[number].row.token_ids for number in numbers}) == 1
        assert not one_picture or len({rows[number].row.image_id for number in numbers}) == 1


@given(paths, some.integers(1, 20), some.booleans())
def test_every_token_finds_its_id_position_and_row_in_the_batches(
    lists: list[list[int]], tokens: int, one_picture: bool
) -> None:
    rows = plain(lists)
    batches = pack(rows, PackingLimits(tokens, one_picture), PAD)
    assert sorted(n for batch in batches for n in batch.places) == list(range(len(rows)))
    for batch in batches:
        ids, ends = batch.input_ids.ravel(), batch.ends
        for number, places in batch.places.items():
            assert tuple(ids[places]) == rows[number].row.token_ids
            flat = batch.positions.reshape(len(batch.positions), -1)
            assert (flat[:, places] == rows[number].positions).all()
        padding = batch.input_ids == PAD
        assert batch.tokens == (~padding).sum()
        assert (ends[padding] == ends.shape[1]).all()
        for end, padded in zip(ends, padding, strict=True):
            # Rows and padding do not see each other.
            assert not (ancestor_mask(end) & (padded != padded[:, None])).any()


@given(paths)
def test_order_of_the_rows_changes_nothing_but_their_numbers(lists: list[list[int]]) -> None:
    there, back = (lay_out(arrays(order)) for order in (lists, lists[::-1]))
    assert (there.ends == back.ends).all()
    for one, other in zip(there.places, reversed(back.places), strict=True):
        assert (one == other).all()


@given(paths)
def test_chains_and_what_is_above_them_are_what_the_mask_shows(lists: list[list[int]]) -> None:
    ends = lay_out(arrays(lists)).ends
    found = chains(torch.from_numpy(ends))
    begins = np.cumsum([0, *(chain.length for chain in found)])
    assert begins[-1] == len(ends)
    seen = np.zeros((len(ends), len(ends)), dtype=bool)
    for number, chain in enumerate(found):
        own = slice(begins[number], begins[number + 1])
        seen[own, own] = np.tril(np.ones((chain.length, chain.length), dtype=bool))
        for above in chain.ancestors:
            seen[own, begins[above] : begins[above + 1]] = True
    assert (seen == ancestor_mask(ends)).all()
