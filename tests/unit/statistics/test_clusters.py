"""Items in clusters: what they are worth, worked by hand where the answer is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spavl.statistics import clustered_rate, paired_difference, rate, win_rate
from spavl.statistics.clusters import design_of, effective_size


def crossed(pictures: int, texts: int) -> list[tuple[str, str]]:
    return [(f"p{i}", f"t{j}") for i in range(pictures) for j in range(texts)]


def test_items_that_share_nothing_are_independent() -> None:
    alone = [(f"p{i}", None) for i in range(40)]
    outcomes = [1.0] * 9 + [0.0] * 31
    assert clustered_rate(outcomes, alone) == rate(9, 40)


def test_what_all_items_share_is_no_dimension() -> None:
    outcomes = [1.0] * 9 + [0.0] * 31
    assert clustered_rate(outcomes, [("one picture",)] * 40) == rate(9, 40)


def test_a_second_name_of_the_same_clusters_changes_nothing() -> None:
    outcomes = np.random.default_rng(1).integers(0, 2, 100).tolist()
    once = clustered_rate(outcomes, [(f"p{i // 5}",) for i in range(100)])
    twice = clustered_rate(outcomes, [(f"p{i // 5}", f"q{i // 5}") for i in range(100)])
    assert once == twice


def test_items_that_repeat_their_picture_are_worth_their_pictures() -> None:
    # Fifty pictures, ten equal outcomes each: 500 items are worth fifty, less a little for t.
    outcomes = np.repeat(np.random.default_rng(1).random(50) < 0.4, 10).astype(float)
    size = effective_size(outcomes[None], design_of([(f"p{i // 10}",) for i in range(500)], 500))
    assert 42 < size[0] < 50.5


def test_both_dimensions_count() -> None:
    rng = np.random.default_rng(3)
    by_picture, by_text = rng.standard_normal((2, 20, 1))
    alike = by_picture + by_text.T + rng.standard_normal((20, 20)) > 0.3
    clusters = crossed(20, 20)
    both, pictures, none = (
        clustered_rate(alike.ravel().astype(float).tolist(), shared)
        for shared in (clusters, [c[:1] for c in clusters], [(None,)] * 400)
    )
    assert none.high - none.low < pictures.high - pictures.low < both.high - both.low


def test_no_hits_in_ten_clusters_are_not_worth_all_their_items() -> None:
    found = clustered_rate([0.0] * 500, [(f"t{i % 10}",) for i in range(500)])
    assert rate(0, 500).high * 5 < found.high < 0.15


def test_hits_of_one_picture_alone_are_worth_little() -> None:
    clusters = [(f"p{i // 20}",) for i in range(400)]
    gathered = clustered_rate([1.0] * 20 + [0.0] * 380, clusters)
    spread = clustered_rate([float(i % 20 == 0) for i in range(400)], clusters)
    assert gathered.value == spread.value == 0.05
    assert gathered.high - gathered.low > 1.5 * (spread.high - spread.low)


@given(st.lists(st.integers(0, 1), min_size=2, max_size=60), st.integers(1, 12))
@settings(deadline=None)
def test_an_interval_in_clusters_holds_its_value(outcomes: list[int], groups: int) -> None:
    clusters = [(f"p{i % groups}", f"t{i // groups}") for i in range(len(outcomes))]
    found = clustered_rate([float(each) for each in outcomes], clusters)
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.low < found.high


def test_pairs_and_wins_in_clusters_are_wider() -> None:
    first, second = np.random.default_rng(2).integers(0, 2, (2, 100)).astype(float).tolist()
    scores = np.repeat([1.0, 0.5, 0.0, 0.5, 1.0, 1.0, 0.0, 0.5, 0.5, 1.0], 10).tolist()
    texts = [(f"t{i // 10}",) for i in range(100)]
    for alone, shared in (
        (paired_difference(first, second), paired_difference(first, second, texts)),
        (win_rate(scores), win_rate(scores, texts)),
    ):
        assert alone.value == shared.value
        assert shared.high - shared.low > alone.high - alone.low


def test_clusters_of_other_items_are_refused() -> None:
    with pytest.raises(ValueError, match="2 items, but clusters of 1"):
        clustered_rate([1.0, 0.0], [("p",)])
