"""The attacks' stage: one model answers under attack, beside its answers to the benchmarks.

In: a model, the benchmarks. Out: `attacks/`, a data set of `AttackAnswer`, in the folder of the
model's answers; none where no attack is asked for. Answers are journaled batch by batch.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spavl.chat import Journal
from spavl.errors import InputError
from spavl.images import ImageStore
from spavl.records import AttackAnswer, EvalItem
from spavl.settings.attacks import AttackSettings
from spavl.settings.evaluation import EvaluationSettings
from spavl.shards import read_records
from spavl.storage import local_copy
from spavl.work import Reference, Stage, Work, run_stage

if TYPE_CHECKING:
    from components.evaluation.attacks.attacker import Attacker

ATTACKS = "attacks"


def attack(
    settings: dict[str, Any], name: str, model: Reference, benchmarks: Reference, output: str
) -> None:
    """Writes one model's answers under attack.

    Args:
        settings: Raw `EvaluationSettings`.
        name: `base`, `dpo` or `ppo`.
        model: The model's folder.
        benchmarks: The benchmarks' folder.
        output: Data set of the model's answers; `attacks/` is added to it.
    """
    checked = EvaluationSettings.parse(settings, "evaluation")
    if checked.attacks is None:
        return
    stage = Stage(
        f"attacks-{name}",
        "components.evaluation.attacks.attacking",
        {
            "seed": checked.seed,
            "threads": checked.threads,
            "answering": checked.answering.model_dump(),
            **checked.attacks.model_dump(mode="json"),
        },
        {"model": model.digest, "benchmarks": benchmarks.digest},
    )

    def body(work: Work) -> dict[str, Any]:
        return _answer(work, checked, checked.attacks or AttackSettings(), name, model, benchmarks)

    run_stage(stage, body, {ATTACKS: Path(output) / ATTACKS})


def chosen_items(items: Iterable[EvalItem], settings: AttackSettings) -> list[EvalItem]:
    """The items under attack: the first of each class, then the second, and so on.

    Raises:
        InputError: If the benchmark has none with a picture.
    """
    seen: Counter[str | None] = Counter()
    ranked = []
    for item in items:
        if item.benchmark == settings.benchmark and item.image_id:
            seen[item.class3 or item.thing] += 1
            ranked.append((seen[item.class3 or item.thing], item))
    if not ranked:
        raise InputError(
            f"no item of {settings.benchmark} with a picture",
            "evaluation.attacks.benchmark",
            "name a benchmark of this run whose items have pictures",
        )
    return [item for _, item in sorted(ranked, key=lambda pair: pair[0])][: settings.items]


def _answer(
    work: Work,
    checked: EvaluationSettings,
    settings: AttackSettings,
    name: str,
    model: Reference,
    benchmarks: Reference,
) -> dict[str, Any]:
    folder = local_copy(benchmarks.uri)
    items = chosen_items(read_records(folder / "items", EvalItem), settings)
    with work.importing():
        from components.evaluation.attacks.attacker import Attacker
        from components.evaluation.attacks.target import Target

        target = Target(model.uri, settings.openings, checked.threads)
    store = ImageStore(str(folder / "images"))
    with (
        Journal(work.checkpoint / "attacks.jsonl") as journal,
        work.writer(ATTACKS, AttackAnswer) as writer,
    ):
        attacker = Attacker(name, target, items, store, journal, checked)
        for row in _answers(attacker, settings):
            writer.add(row)
            work.keep()
    return {"answers": writer.rows}


def _answers(attacker: "Attacker", settings: AttackSettings) -> Iterator[AttackAnswer]:
    from components.evaluation.attacks.best_of_n import draw_answers
    from components.evaluation.attacks.pixels import pixel_answers
    from components.evaluation.attacks.suffix_search import suffix_answers

    if settings.best_of_n:
        yield from draw_answers(attacker, settings.best_of_n)
    if settings.pixels:
        yield from pixel_answers(attacker, settings.pixels)
    if settings.suffix:
        yield from suffix_answers(attacker, settings.suffix)
