"""The plan: calls, tokens and cost by stage and endpoint, from settings, sources and prices."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.planning.counting import Books, new_books
from pipelines.planning.lengths import EXPECTED, answers_of, length_of, take_seen, test_items_of
from spavl.chat.accounts import Heading

if TYPE_CHECKING:
    from spavl.alignment.planning import StagePlan

MODELS = ("base", "dpo", "ppo")
QUESTIONS = 3  # a picture: easy, hard and statement
_IN_ORDER = ("questions", "responses", "pairing", "judging", "scoring")


@dataclass(frozen=True)
class PlanRequest:
    """What is planned; see `pipelines.local_run.RunRequest`.

    Attributes:
        profile: Profile's name or path.
        overrides: `stage.key=value` each.
        images: Folder of the user's pictures; empty for none.
        data: Address of a data set to start from; empty to make one.
        pictures: How many pictures there are; None counts them.
        out: Folder of all runs, whose ledgers tell how long calls are.
    """

    profile: str
    overrides: Sequence[str] = ()
    images: str = ""
    data: str = ""
    pictures: int | None = None
    out: Path = Path("runs")


@dataclass(frozen=True)
class Row:
    """Calls of one stage to one endpoint.

    Attributes:
        heading: Who asks, who is asked, at which prices.
        calls: How many.
        prompt_tokens: Tokens that they read.
        completion_tokens: Tokens that they write.
        lengths: Where the lengths of answers are from: `expected`, `seen`, `assumed`.
    """

    heading: Heading
    calls: int
    prompt_tokens: int
    completion_tokens: int
    lengths: str

    @property
    def cost(self) -> float | None:
        """Money; None where there is no price."""
        return self.heading.cost(self.prompt_tokens, self.completion_tokens)

    def to_json(self) -> dict[str, Any]:
        """As programs read it; a cost of null is no price."""
        return {
            "stage": self.heading.stage,
            "endpoint": self.heading.endpoint,
            "model": self.heading.model,
            "calls": self.calls,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "cost": self.cost,
            "lengths": self.lengths,
        }


@dataclass(frozen=True)
class Plan:
    """What a run will ask of endpoints.

    Attributes:
        rows: By stage and endpoint, in the order of the stages.
        pictures: Pictures that are asked about; None on a data set that there is.
        models: Models whose answers are judged.
        training: What the trainers cost; none of a pocket base, which trains on a laptop.
    """

    rows: tuple[Row, ...]
    pictures: int | None
    models: tuple[str, ...]
    training: "tuple[StagePlan, ...]" = ()

    @property
    def cost(self) -> float | None:
        """Money for all calls that have a price; None where none has."""
        known = [row.cost for row in self.rows if row.cost is not None]
        return sum(known) if known else None

    @property
    def unpriced(self) -> int:
        """Rows without a price."""
        return sum(row.cost is None for row in self.rows)


def make_plan(request: PlanRequest) -> Plan:
    """Plans a run.

    Raises:
        InputError: Settings are wrong, or a source is missing.
    """
    from components.configuration import resolve_with_origins

    stages: Mapping[str, Any] = resolve_with_origins(request.profile, request.overrides).stages
    books = new_books()
    pictures = None if request.data else _count_data_stages(request, stages, books)
    models = tuple(_models(request, stages))
    _count_scoring(request, stages, models, books)
    take_seen(books, request.out)
    training = () if stages["base_model"].source == "pocket" else _training(stages, pictures)
    return Plan(tuple(_rows(books)), pictures, models, training)


def _training(stages: Mapping[str, Any], pictures: int | None) -> "tuple[StagePlan, ...]":
    """Of a model of 7B, on as many prompts as the pictures give; on SPA-VL's number if unknown."""
    from spavl.alignment.planning import Corpus, training_plan

    corpus = Corpus(prompts=QUESTIONS * pictures) if pictures else Corpus()
    raw = {name: stages[name].model_dump() for name in ("reward_modeling", "dpo", "ppo")}
    return tuple(training_plan(raw, corpus))


def _count_data_stages(request: PlanRequest, stages: Mapping[str, Any], books: Books) -> int:
    from pipelines.planning.data_stages import DataSettings, DataStages
    from pipelines.planning.pictures import count_sources

    pictures = request.pictures
    if pictures is None:
        pictures = count_sources(stages["collection"], request.images)
    settings = DataSettings(stages["questions"], stages["responses"], stages["labeling"])
    DataStages(settings, pictures, books).count()
    return pictures


def _count_scoring(
    request: PlanRequest, stages: Mapping[str, Any], models: Sequence[str], books: Books
) -> None:
    from pipelines.planning.scoring import Answering, count_scoring

    settings = stages["evaluation"]
    length = length_of("answer", settings.answering.expected_tokens)
    if request.data and length.source != EXPECTED:
        length = answers_of(request.data)
    held_out = test_items_of(request.data) if request.data else ()
    count_scoring(settings, Answering(models, length.tokens, held_out), books)


def _models(request: PlanRequest, stages: Mapping[str, Any]) -> Iterator[str]:
    """The models that will answer; the reigning champion does as well, where there is one."""
    from components.evaluation.metrics import CHAMPION
    from spavl.champion import reigning_champion

    yield from MODELS
    if reigning_champion(stages["reporting"].model_name):
        yield CHAMPION


def _rows(books: Books) -> Iterator[Row]:
    for heading in sorted(books, key=lambda each: _IN_ORDER.index(each.stage)):
        calls = books[heading]
        yield Row(
            heading,
            round(calls.calls),
            round(calls.prompt_tokens),
            round(calls.completion_tokens),
            ", ".join(sorted(calls.lengths)),
        )
