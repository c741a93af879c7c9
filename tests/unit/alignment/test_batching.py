"""Batches: every pair once, one function of seed and epoch, pictures together."""

from collections import Counter

from spavl.alignment.batching import epoch_batches
from spavl.alignment.rows import PairRows, Row
from tests.unit.alignment.worlds import make_preference


def some_pairs() -> list[PairRows]:
    pairs = []
    for number in range(50):
        image_id = str(number % 10)
        row = Row(image_id, tuple(range(5 + number % 7)), 3)
        pairs.append(PairRows(make_preference(number, image_id), row, row))
    return pairs


def ids(batches: list[list[PairRows]]) -> list[list[str]]:
    return [[pair.preference.preference_id for pair in batch] for batch in batches]


def test_an_epoch_holds_every_pair_once() -> None:
    pairs = some_pairs()
    found = Counter(i for batch in ids(epoch_batches(pairs, 8, 0, 0)) for i in batch)
    assert found == Counter(pair.preference.preference_id for pair in pairs)


def test_batches_depend_on_seed_and_epoch_and_not_on_the_pairs_order() -> None:
    pairs = some_pairs()
    first = ids(epoch_batches(pairs, 8, 0, 0))
    assert first == ids(epoch_batches(pairs[::-1], 8, 0, 0))
    assert first != ids(epoch_batches(pairs, 8, 0, 1))
    assert first != ids(epoch_batches(pairs, 8, 1, 0))


def test_the_pairs_of_a_picture_share_batches() -> None:
    for batch in epoch_batches(some_pairs(), 10, 0, 0):
        assert len({pair.preference.image_id for pair in batch}) <= 3
