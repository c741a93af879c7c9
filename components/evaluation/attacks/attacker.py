"""What all attacks share: the model, the items, and a journal of what was answered."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from components.evaluation.attacks.target import Prompt, Target, as_replies
from spavl.chat import Journal, Sampling
from spavl.chat.interface import ChatReply
from spavl.images import ImageStore
from spavl.models.generation import Generated
from spavl.records import AttackAnswer, EvalItem, record_id
from spavl.seeds import derive_seed
from spavl.settings.evaluation import EvaluationSettings


@dataclass(frozen=True)
class Way:
    """An attack and its strength, as `AttackAnswer` keeps them."""

    attack: str
    strength: int = 0


@dataclass(frozen=True)
class Drawn:
    """Which answers of each item a batch gives: so many, the first of this number."""

    repeats: int = 1
    start: int = 0


@dataclass(frozen=True)
class Attacker:
    """One model under attack.

    Attributes:
        name: `base`, `dpo` or `ppo`.
        target: The model.
        items: The items that are asked.
        store: Their pictures.
        journal: Answers given so far: an attack that was interrupted goes on behind them.
        settings: The stage's.
    """

    name: str
    target: Target
    items: Sequence[EvalItem]
    store: ImageStore
    journal: Journal
    settings: EvaluationSettings

    def batches(self, size: int) -> Iterator[list[EvalItem]]:
        """The items, so many at a time."""
        for start in range(0, len(self.items), size):
            yield list(self.items[start : start + size])

    def inputs(self, items: Sequence[EvalItem], suffix: str = "") -> Any:
        """The items' prompts, with a suffix behind each question."""
        return self.target.inputs(
            [Prompt(asked(item, suffix), self.store.open(str(item.image_id))) for item in items]
        )

    def sampling(self, first: EvalItem) -> Sampling:
        """How the benchmark itself is sampled; a batch has the same draws under every attack."""
        answering = self.settings.answering
        seed = derive_seed(self.settings.seed, "attack", first.item_id)
        return Sampling(answering.max_new_tokens, answering.temperature, answering.top_p, seed)

    def answers(
        self,
        way: Way,
        items: Sequence[EvalItem],
        make: Callable[[], Generated],
        drawn: Drawn = Drawn(),
        suffix: str = "",
    ) -> Iterator[AttackAnswer]:
        """A batch's answers: from the journal where they are all there, else made and kept.

        Args:
            way: The attack.
            items: The batch.
            make: Answers to the batch, those of one item side by side.
            drawn: Which of each item's answers these are.
            suffix: What stood behind the questions.
        """
        of = [(item, drawn.start + k) for item in items for k in range(drawn.repeats)]
        # A search that is done again may find another suffix: its answers are others.
        behind = f"-{suffix}" if suffix else ""
        names = [f"{way.attack}-{way.strength}-{draw}-{item.item_id}{behind}" for item, draw in of]
        if not all(name in self.journal for name in names):
            for reply in as_replies(names, make()):
                self.journal.add(reply)
        for (item, draw), name in zip(of, names, strict=True):
            yield self._row(way, item, draw, self.journal.get(name), suffix)

    def _row(
        self, way: Way, item: EvalItem, draw: int, reply: ChatReply, suffix: str
    ) -> AttackAnswer:
        return AttackAnswer(
            answer_id=record_id("attack", self.name, reply.record_id),
            item_id=item.item_id,
            attack=way.attack,
            strength=way.strength,
            draw=draw,
            model=self.name,
            question=asked(item, suffix),
            text=reply.text,
            finish_reason=reply.finish_reason,
        )


def asked(item: EvalItem, suffix: str) -> str:
    """An item's question with a suffix behind it."""
    return f"{item.question} {suffix}".strip()
