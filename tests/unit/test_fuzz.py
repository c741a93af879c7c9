"""A few seconds of each target in every run of the tests; faults that were found stay below."""

import random

import pytest

from tests.fuzz.running import fuzz
from tests.fuzz.targets import targets

SECONDS = 20.0


@pytest.mark.parametrize("name", sorted(targets()))
def test_a_reader_raises_nothing_but_what_it_says(name):
    target = targets()[name]
    found = fuzz(target, SECONDS, random.Random(1))
    assert not found.faults
    assert found.tried >= len(target.seeds)
