"""Which engine scores rows: packed where the model can take its masks, else plain, and why.

Whether a model can is not read from a list but tried once on a few tokens: a mask that is ignored
or misread, e.g. by flash attention or in sliding windows, shows as another result.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch

from spavl.alignment import block_attention, processes
from spavl.alignment.attention_choice import choose_attention, named_by_folder
from spavl.alignment.batching import (
    even_row_passes,
    length_batches,
    packed_passes,
)
from spavl.alignment.logprobs import LogProbEngine, PlainEngine
from spavl.alignment.packed_engine import PackedEngine, attention_mask, attention_of
from spavl.alignment.rewards import RewardEngine, RewardScorer
from spavl.alignment.rows import PairRows, Row
from spavl.alignment.trie_attention import see_tries
from spavl.models.pictures import Pictures

# Packed and plain results differ by rounding; a mask misread differs by the size of the states.
MOST_DIFFERENCE = 0.05


class PackingChoice(Protocol):
    """Whether rows are packed, and how many of their tokens go into a pass."""

    @property
    def packing(self) -> Literal["auto", "plain"]:
        """`auto`: where the model can; `plain`: never."""

    @property
    def packed_tokens(self) -> int:
        """Most packed tokens of a pass."""


@dataclass(frozen=True)
class Engines:
    """What scores rows, and how pairs are cut into its passes.

    Attributes:
        log_probs: Answer log-probs of policies.
        rewards: Rewards and values.
        pictures: What both see.
        tokens: Most packed tokens of a pass; None: passes are counted in pairs.
        reason: Why the plain engine was taken; empty for the packed one.
    """

    log_probs: LogProbEngine
    rewards: RewardScorer
    pictures: Pictures
    tokens: int | None
    reason: str = ""

    @property
    def name(self) -> str:
        """`packed` or `plain`."""
        return "plain" if self.tokens is None else "packed"

    @property
    def told(self) -> dict[str, str]:
        """What a trainer's figures say of its engine."""
        return {"name": self.name} | ({"reason": self.reason} if self.reason else {})

    def training_passes(self, pairs: Sequence[PairRows], size: int) -> list[list[PairRows]]:
        """Cut a step's pairs into forward passes; `size` pairs each under the plain engine."""
        if self.tokens is not None:
            return packed_passes(pairs, self.tokens)
        return [list(pairs[start : start + size]) for start in range(0, len(pairs), size)]

    def row_passes(self, rows: Sequence[Row], numbers: Sequence[int], size: int) -> list[list[int]]:
        """Cut rows, by their numbers, into forward passes; `size` rows under the plain engine.

        Packed passes are of such a length that every process gets as many.
        """
        if self.tokens is None:
            return [list(numbers[start : start + size]) for start in range(0, len(numbers), size)]
        return even_row_passes(rows, numbers, self.tokens, processes.count())

    def scoring_passes(self, pairs: Sequence[PairRows], size: int) -> list[list[PairRows]]:
        """Cut pairs into passes without gradient, long ones first."""
        if self.tokens is not None:
            return packed_passes(pairs, self.tokens)
        return list(length_batches(pairs, size))


def choose_engines(
    model: Any,
    pictures: Pictures,
    pad_token_id: int,
    wanted: PackingChoice,
    say: Callable[[str], None],
) -> Engines:
    """Take the packed engine if it is wanted and the model can take its masks.

    Args:
        model: A policy or reward model, as it will be trained.
        pictures: Picture features of the models that will be asked.
        pad_token_id: Any valid id; masks say what is padding.
        wanted: Whether to pack, and how much; settings of a trainer fit.
        say: Told once why the plain engine is taken although packing was wanted; on an accelerator
            also which attention packed rows get, and why.
    """
    plain = wanted.packing == "plain"
    longest = getattr(wanted, "max_length", None)
    reason = "packing is plain by setting" if plain else refusal(model, longest)
    if not reason:
        attend_to_tries(model, say)
        packed = PackedEngine(pictures, pad_token_id, wanted.packed_tokens)
        return Engines(packed, packed, pictures, wanted.packed_tokens)
    if not plain:
        say(f"rows are not packed: {reason}; every answer pays for its picture again")
    return Engines(
        PlainEngine(pictures, pad_token_id),
        RewardEngine(pictures, pad_token_id),
        pictures,
        None,
        reason,
    )


def attend_to_tries(model: Any, say: Callable[[str], None]) -> None:
    """Let a model whose rows will be packed compute what a trie shows, where that is faster.

    Chain by chain on the CPU, under block masks on an accelerator; see
    `spavl.alignment.trie_attention` and `spavl.alignment.attention_choice`.
    """
    if model.device.type != "cpu":
        choose_attention(model, say)
    elif attention_of(model) == "sdpa":
        see_tries(model)


def attend_alike(model: Any, first: Any) -> None:
    """Let a further model of the same base attend to packed rows as the first was made to."""
    if attention_of(model) != "sdpa":
        return
    if model.device.type == "cpu":
        see_tries(model)
    elif attention_of(first) == block_attention.NAME and not named_by_folder(model):
        block_attention.see_blocks(model)


@torch.no_grad()
def refusal(model: Any, longest: int | None = None) -> str:
    """Why a model cannot take packed rows; empty if it can.

    Args:
        model: The model.
        longest: Most tokens of a row, where that is known: a window that holds a whole row is none.
    """
    text = model.config.get_text_config()
    window = getattr(text, "sliding_window", None)
    slides = window or "sliding_attention" in (getattr(text, "layer_types", None) or ())
    if slides and not (window and longest and window >= longest):
        return "its attention looks through a sliding window"
    # Two short texts with a common beginning, as one row each and as one trie.
    plain = torch.tensor([[1, 2, 3, 1], [1, 2, 2, 3]], device=model.device)
    trie = torch.tensor([[1, 2, 3, 1, 2, 3]], device=model.device)
    positions = torch.tensor([[0, 1, 2, 3, 2, 3]], device=model.device)
    ends = torch.tensor([[6, 6, 4, 4, 6, 6]], device=model.device)
    backbone = model.model
    try:
        packed = backbone(
            input_ids=trie,
            position_ids=positions,
            attention_mask=attention_mask(model, ends),
            use_cache=False,
        ).last_hidden_state[0]
    except (ValueError, RuntimeError, TypeError, NotImplementedError) as error:
        return f"a mask of ancestors is refused ({str(error).splitlines()[0]})"
    expected = backbone(input_ids=plain, use_cache=False).last_hidden_state
    found = packed[torch.tensor([[0, 1, 2, 3], [0, 1, 4, 5]], device=model.device)]
    difference = (found - expected).norm() / expected.norm()
    return "" if difference < MOST_DIFFERENCE else "a mask of ancestors is misread"
