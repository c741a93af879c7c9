"""Whatever comes from outside, what passes the door can be stored and read back."""

import json
from collections import Counter
from contextlib import suppress

import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spavl.storable import MARK, count_of, read_json, text_of

ANY_TEXT = st.text(st.characters(codec=None))
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(ANY_TEXT, inner),
    max_leaves=20,
)


def texts_of(value):
    match value:
        case str():
            yield value
        case list():
            for each in value:
                yield from texts_of(each)
        case dict():
            for key, each in value.items():
                yield key
                yield from texts_of(each)


@settings(deadline=None)  # the first one imports
@given(ANY_TEXT | st.binary() | st.none() | st.integers() | st.floats() | st.lists(ANY_TEXT))
def test_any_value_becomes_a_text_that_parquet_holds(value):
    text = text_of(value)
    assert pyarrow.array([text])[0].as_py() == text
    assert "\x00" not in text
    assert text_of(text) == text


@given(st.text(st.characters(codec="utf-8", exclude_characters="\x00")))
def test_what_can_be_stored_is_left_as_it_is_and_not_counted(text):
    changed = Counter()
    assert text_of(text, changed) == text == text_of(text.encode(), changed)
    assert not changed


@given(ANY_JSON)
def test_any_json_is_read_so_that_all_of_it_can_be_stored(value):
    read = read_json(json.dumps(value))
    json.dumps(read, allow_nan=False)
    for text in texts_of(read):
        text.encode()


@given(st.binary())
def test_bytes_are_json_or_a_value_error(content):
    with suppress(ValueError):
        read_json(content)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("cut \ud83d", f"cut {MARK}"),
        ("\ude00 tail", f"{MARK} tail"),
        ("\ud83d\ude00", "\U0001f600"),
        ("\ude00\ud83d", MARK * 2),
        ("a\x00b", f"a{MARK}b"),
        (b"caf\xe9", f"caf{MARK}"),
        (b"\xed\xa0\xbd", MARK * 3),
        (memoryview(b"x"), "x"),
        (float("nan"), ""),
        (["x"], ""),
    ],
)
def test_only_what_cannot_be_stored_is_changed(raw, text):
    changed = Counter()
    assert text_of(raw, changed) == text
    assert changed["changed texts"] == (MARK in text)


@pytest.mark.parametrize("depth", [101, 5_000, 200_000])
@pytest.mark.parametrize("sign", ["[", '{"a":'])
def test_deep_nesting_is_no_json(depth, sign):
    close = "]" if sign == "[" else "}"
    for content in (sign * depth, sign * depth + "1" + close * depth):
        with pytest.raises(ValueError, match=r"too deep|Expecting"):
            read_json(content)


def test_numbers_that_are_not_finite_are_null_and_very_long_ones_no_json():
    assert read_json("[1e999, -1e999, NaN, Infinity, 1.5]") == [None, None, None, None, 1.5]
    with pytest.raises(ValueError, match="digits"):
        read_json("1" * 10_000)


@pytest.mark.parametrize(
    ("said", "count"),
    [(3, 3), (3.0, 3), (2**31, 0), (-1, 0), (1e308, 0), (float("inf"), 0), (float("nan"), 0),
     (True, 0), ("7", 0), (None, 0), ([1], 0), (2.5, 0), (10**400, 0)],
)  # fmt: skip
def test_counts_are_hints(said, count):
    assert count_of(said) == count
