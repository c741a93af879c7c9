"""The taxonomy is the paper's in shape, and knows the published spellings."""

from pathlib import Path

import pytest

from spavl.taxonomy import TaxonomyError, load_taxonomy

pytestmark = pytest.mark.unit


def test_it_has_the_papers_shape() -> None:
    classes = load_taxonomy().classes

    assert len(classes) == len({harm.name for harm in classes}) == 53
    assert len({harm.domain for harm in classes}) == 6
    assert len({(harm.domain, harm.category) for harm in classes}) == 15
    assert sum(harm.origin == "published" for harm in classes) == 35


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("scamns", "scams"),
        ("Disablity-Discrimination", "disability discrimination"),
        ("paypal lending", "payday lending"),
        ("Malicious Use/Security threats/cyber", "cyber attacks"),
        ("MULTI LEVEL marketing", "multi-level marketing"),
    ],
)
def test_published_spellings_find_their_class(text: str, name: str) -> None:
    found = load_taxonomy().find(text)

    assert found is not None
    assert found.name == name


def test_an_unknown_class_is_not_guessed() -> None:
    assert load_taxonomy().find("knitting") is None


@pytest.mark.parametrize(
    ("leaf", "complaint"),
    [
        ("{name: theft, published: theft, origin: guessed}", r"classes\.0\.origin"),
        ("{name: theft, origin: filled}", r"classes\.0\.published"),
        (
            "{name: theft, published: a, origin: filled}\n"
            "          - {name: b, published: Theft, origin: filled}",
            r"classes\.1: 'b' can be read as 'theft'",
        ),
    ],
)
def test_a_faulty_file_is_refused_by_key(tmp_path: Path, leaf: str, complaint: str) -> None:
    path = tmp_path / "taxonomy.yaml"
    path.write_text(
        "version: 1\n"
        "domains:\n"
        "  - name: d\n"
        "    published: d\n"
        "    categories:\n"
        "      - name: c\n"
        "        published: c\n"
        "        classes:\n"
        f"          - {leaf}\n"
    )

    with pytest.raises(TaxonomyError, match=complaint):
        load_taxonomy(path)
