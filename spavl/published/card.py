"""The data card: counts, rates, classes, licence and provenance, written beside the rows."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from urllib.parse import urlsplit

from spavl.images import ImageStore
from spavl.published.row_files import Form
from spavl.records import Preference
from spavl.statistics import rate


@dataclass
class Card:
    """What a card tells, counted while rows are written.

    Attributes:
        licence: Of the rows.
        preferences: By split, those that a moderator judged, but for those about harmless
            pictures, where every answer is safe.
        safe_rejected: Preferences whose rejected answer is safe, by split.
        unsafe_chosen: Preferences whose chosen answer is unsafe, by split.
        classes: Preferences by class.
        responders: Answers by side and responder.
        judges: Preferences by judge.
    """

    licence: str
    preferences: Counter[str] = field(default_factory=Counter)
    safe_rejected: Counter[str] = field(default_factory=Counter)
    unsafe_chosen: Counter[str] = field(default_factory=Counter)
    classes: Counter[str] = field(default_factory=Counter)
    responders: Counter[tuple[str, str]] = field(default_factory=Counter)
    judges: Counter[str] = field(default_factory=Counter)

    def add(self, split: str, preference: Preference) -> None:
        """Count a row."""
        judged = preference.chosen_safe is not None and preference.rejected_safe is not None
        if judged and preference.truth != "harmless":
            self.preferences[split] += 1
            self.safe_rejected[split] += bool(preference.rejected_safe)
            self.unsafe_chosen[split] += not preference.chosen_safe
        self.classes[preference.class3 or preference.truth] += 1
        self.responders["chosen", preference.chosen_responder] += 1
        self.responders["rejected", preference.rejected_responder] += 1
        self.judges[preference.maker.model] += 1


def write_card(
    path: Path, card: Card, store: ImageStore, rows: Mapping[str, int], form: Form
) -> None:
    """Writes the card.

    Args:
        path: Where to.
        card: What was counted.
        store: The pictures.
        rows: Rows by split.
        form: Of the files.
    """
    import jinja2

    pictures: Counter[str] = Counter()
    sources: Counter[str] = Counter()
    for facts in store.facts():
        pictures[facts.class3 or facts.truth] += 1
        sources[_origin(facts.source)] += 1
    names = sorted({name for _, name in card.responders})
    written = {split: count for split, count in rows.items() if count}
    ending = "-*.parquet" if form == "parquet" else f".{form}"
    template = (files(__package__) / "card.md.jinja").read_text(encoding="utf-8")
    text = jinja2.Template(template, keep_trailing_newline=True).render(
        licence=card.licence,
        files={split: f"{split}{ending}" for split in written},
        rows=written,
        safe_rejected={split: _share(card, card.safe_rejected, split) for split in written},
        unsafe_chosen={split: _share(card, card.unsafe_chosen, split) for split in written},
        classes=[
            (name, pictures[name], card.classes[name])
            for name in sorted(pictures.keys() | card.classes.keys())
        ],
        sources=sources.most_common(20),
        digest=store.manifest.digest,
        responders=[
            (name, *(card.responders[side, name] for side in ("chosen", "rejected")))
            for name in names
        ],
        judges=sorted(card.judges),
    )
    path.write_text(text, encoding="utf-8")


def _share(card: Card, counted: Counter[str], split: str) -> str:
    estimate = rate(counted[split], card.preferences[split])
    if estimate.value is None:
        return "–"
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"


def _origin(source: str) -> str:
    """The host of an address, the pocket world, or a file."""
    parts = urlsplit(source)
    if parts.scheme in ("http", "https"):
        return parts.hostname or "an address"
    return "the pocket world" if source.startswith("pocket:") else "files"
