"""Which attention packed rows get on an accelerator: block masks where they prove right, else sdpa.

Whether flex_attention's kernels can be had for this model, data type and machine, no list says.
They are tried once on a trie of more than one block, forward and backward, and held against sdpa.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from spavl.alignment import block_attention, processes
from spavl.alignment.logprobs import token_log_probs
from spavl.alignment.packed_engine import attention_mask, attention_of
from spavl.alignment.tries import Ints, lay_out
from spavl.models.families import language_model

NAMED = ("attn_implementation", "_attn_implementation")  # in a folder's configuration
# A picture's trie in small: its beginning, three questions, two answers each.
BEGINNING, QUESTION, ANSWER = 150, 20, 30
MOST_WORDS = 1000


def choose_attention(
    model: Any,
    say: Callable[[str], None],
    objection: Callable[[Any], str] | None = None,
) -> None:
    """Let a model's packed rows go under block masks where those prove right; tell what was chosen.

    A model that was loaded with anything but sdpa, or whose folder names what it wants, keeps it.

    Args:
        model: A policy or reward model on an accelerator, in evaluation mode.
        say: Told what was chosen, and why.
        objection: Why block masks will not do, empty if they will; `disagreement` by default.
    """
    attention = attention_of(model)
    named = named_by_folder(model)
    if attention != "sdpa" or named:
        reason = "the model's folder names it" if named else "the model takes no sdpa"
        say(f"packed rows attend by {attention}: {reason}")
        return
    block_attention.see_blocks(model)
    reason = (objection or disagreement)(model)
    # All processes go the same way: what one cannot do, none does.
    if processes.any_of(bool(reason)):
        language_model(model).set_attn_implementation("sdpa")
        reason = reason or "another process cannot take it"
        say(f"packed rows attend by sdpa: flex_attention {reason}")
        return
    say("packed rows attend by flex_attention: on a small trie it agrees with sdpa")


def named_by_folder(model: Any) -> bool:
    """Whether the folder that a model was loaded from says how it is to attend."""
    path = Path(getattr(model, "name_or_path", "") or "") / "config.json"
    if not path.is_file():
        return False
    content = json.loads(path.read_text())
    parts = (content, content.get("text_config") or {})
    return any(part.get(name) for part in parts for name in NAMED)


def disagreement(model: Any) -> str:
    """What speaks against block masks for a model that sees them; empty if nothing does."""
    if getattr(model.config.get_text_config(), "attention_dropout", 0.0):
        return "knows no dropout of attention's weights"
    try:
        found = small_trie(model, block_attention.NAME)
    except Exception as error:  # whatever a compiler, a driver or the library raises
        return f"fails here ({_first_line(error)})"
    most = tolerance(model.dtype)
    expected = small_trie(model, "sdpa")
    for name, right in expected.items():
        difference = relative_difference(found[name], right)
        if not difference <= most:  # NaN is no agreement
            return (
                f"differs from sdpa in {name} by {difference:.1e} of their spread, over {most:.1e}"
            )
    return ""


def relative_difference(found: torch.Tensor, right: torch.Tensor) -> float:
    """How far values lie from the right ones, in units of how much those differ among themselves.

    All log-probs of a model have a mean in common, which would hide what a wrong mask does.
    """
    return float((found - right).norm() / (right - right.mean()).norm())


def tolerance(dtype: torch.dtype) -> float:
    """How far two kernels' results may lie apart: the root of the data type's step at 1.

    Rounding adds up over layers to some steps; a mask that is misread differs by the results' size.
    """
    return float(torch.finfo(dtype).eps ** 0.5)


def small_trie(model: Any, attention: str) -> dict[str, torch.Tensor]:
    """A small trie's log-probs (or scores) and their gradients at its tokens' embeddings.

    Gradients pass through every layer's attention on their way there, and no weight holds any.

    Args:
        model: A policy or reward model.
        attention: Decides the mask; the model sees block masks before and after.
    """
    words, positions, ends = (_tensor(numbers, model) for numbers in _trie())
    ids = words % min(model.config.get_text_config().vocab_size, MOST_WORDS)
    language_model(model).set_attn_implementation(attention)
    try:
        with torch.enable_grad():
            embeddings = model.get_input_embeddings()(ids[None]).detach().requires_grad_()
            states = language_model(model)(
                inputs_embeds=embeddings,
                position_ids=positions[None],
                attention_mask=attention_mask(model, ends[None]),
                use_cache=False,
            ).last_hidden_state[0]
            said = _said(model, states, ids)
            weights = torch.linspace(-1, 1, len(said), device=said.device)
            (gradient,) = torch.autograd.grad((said * weights).sum(), embeddings)
    finally:
        language_model(model).set_attn_implementation(block_attention.NAME)
    return {"log-probs": said.detach().float(), "gradients": gradient.float()}


def _said(model: Any, states: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    if hasattr(model, "score"):
        scores: torch.Tensor = model.score(states).float().flatten()
        return scores
    return token_log_probs(model.lm_head, states, ids)[0]


def _trie() -> tuple[Ints, Ints, Ints]:
    """Token ids, positions and ends of a trie: int64 `[places]` each."""
    key = iter(range(1, 10_000))
    beginning = [next(key) for _ in range(BEGINNING)]
    paths = []
    for _ in range(3):
        question = [next(key) for _ in range(QUESTION)]
        for _ in range(2):
            answer = [next(key) for _ in range(ANSWER)]
            paths.append(np.array([*beginning, *question, *answer], dtype=np.int64))
    trie = lay_out(paths)
    ids, positions = (np.zeros(trie.length, dtype=np.int64) for _ in range(2))
    for place, number in enumerate(trie.order):
        ids[trie.places[place]] = paths[number]
        positions[trie.places[place]] = np.arange(len(paths[number]))
    return ids, positions, trie.ends


def _tensor(numbers: Ints, model: Any) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(numbers)).to(model.device)


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".strip().partition("\n")[0][:200]
