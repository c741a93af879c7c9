"""Batches: every pair once, one function of seed and epoch, pictures together."""

from collections import Counter

from spavl.alignment.batching import epoch_batches
from spavl.alignment.pair_training import EpochSteps
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


def pairs_of(sizes: list[int]) -> list[PairRows]:
    """Pictures with so many pairs each."""
    row = Row("a", (1, 2, 3), 2)
    pictures = [(f"p{place}", number) for place, size in enumerate(sizes) for number in range(size)]
    return [
        PairRows(make_preference(number, image_id), row, row)
        for number, (image_id, _) in enumerate(pictures)
    ]


def test_whole_pictures_end_a_batch_and_its_size_is_right_on_average() -> None:
    batches = epoch_batches(pairs_of([3] * 80), 8, 0, 0, whole_pictures=True)
    assert [len(batch) for batch in batches] == [9, 6, 9] * 10
    places: dict[str, set[int]] = {}
    for place, batch in enumerate(batches):
        for pair in batch:
            places.setdefault(pair.preference.image_id, set()).add(place)
    assert {len(found) for found in places.values()} == {1}


def test_whole_pictures_hold_every_pair_once_whatever_their_sizes() -> None:
    pairs = pairs_of([1, 20, 3, 2, 9, 8, 1, 1, 4])
    batches = epoch_batches(pairs, 8, 0, 0, whole_pictures=True)
    assert Counter(i for batch in ids(batches) for i in batch) == Counter(
        pair.preference.preference_id for pair in pairs
    )
    assert max(len(batch) for batch in batches) <= 16
    assert all(batches)


def test_epochs_of_unequal_lengths_follow_each_other() -> None:
    steps = EpochSteps(pairs_of([1, 20, 3, 2, 9, 8, 1, 1, 4, 3, 3]), 8, 3, 0, whole_pictures=True)
    found = Counter(i for step in range(steps.total) for i in ids([steps[step]])[0])
    assert set(found.values()) == {3}
    one = EpochSteps(some_pairs(), 8, 2, 0)
    assert one.total == 2 * 7
    assert sorted(ids([[pair for step in range(7) for pair in one[step]]])[0]) == sorted(
        pair.preference.preference_id for pair in some_pairs()
    )
