"""What packing gives on a GPU, in one prepared command that wants torch and transformers alone.

    python -m benchmarks.gpu --minutes 6 --json FILE

First flex_attention's log-probs and gradients are held against sdpa's on a small trie. Then one
optimizer step of DPO (LoRA, full), of a reward model and one iteration of PPO are timed at
LLaVA-1.5-7B's shape in bfloat16, packed and as plain padded batches with flash attention (or
torch's own flash kernel) and logits of answers only. Weights are random: speed does not look at
them. The file is written after every part; when the minutes are over, what is left is named in it.
`--shape small` runs all of it anywhere, and measures nothing.
"""

import argparse
import gc
import json
import signal
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch

from benchmarks.gpu_figures import operations_of, peak_of
from benchmarks.gpu_steps import Dpo, Ppo, RewardTraining, Side, Training, make_side, roll_out
from benchmarks.gpu_world import SMALL, Adapters, GpuShape, make_llava, make_pictures
from spavl.alignment import block_attention
from spavl.alignment.attention_choice import relative_difference, small_trie, tolerance
from spavl.alignment.batching import packed_length
from spavl.alignment.rows import Row

PARTS = ("dpo_lora", "ppo_lora", "reward_model", "dpo_full")
STEPS = 3  # timed, after one that warms up and compiles
GIB = 2**30
Found = TypeVar("Found")


class OutOfTime(BaseException):  # no error, and nothing that catches errors stops it
    """The minutes are over."""


class Ledger:
    """The figures so far, written after every part, and what is left of the time.

    Args:
        path: Where to write.
        seconds: How long all may take.
    """

    def __init__(self, path: Path, seconds: float) -> None:
        self.found: dict[str, Any] = {"not_run": {}}
        self._path, self._end = path, time.monotonic() + seconds
        self._begun = time.monotonic()

    def left(self) -> float:
        """Seconds left."""
        return self._end - time.monotonic()

    def keep(self) -> None:
        """Write what is there."""
        self._path.write_text(json.dumps(self.found, indent=2) + "\n")

    def tell(self, done: int) -> None:
        """Say how long the rest will take, by the trainings until now."""
        taken = time.monotonic() - self._begun
        rest = f"at most {max(self.left(), 0):.0f} s more"
        if done:
            rest = f"about {taken / done * (len(PARTS) - done):.0f} s more, {rest}"
        print(f"{done} of {len(PARTS)} trainings: {rest}", file=sys.stderr, flush=True)

    def of(self, name: str, body: Callable[[], Found]) -> Found | None:
        """What a part gives; None and a note where something kept it from that."""
        before = signal.signal(signal.SIGALRM, _over)
        try:
            if self.left() <= 0:
                raise OutOfTime
            signal.setitimer(signal.ITIMER_REAL, self.left())
            return body()
        except OutOfTime:
            self.found["not_run"][name] = "the minutes were over"
        except Exception as error:  # e.g. too little memory: the other parts go on
            line = str(error).partition("\n")[0]
            self.found["not_run"][name] = f"{type(error).__name__}: {line}"
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        return None


def run(shape: GpuShape, device: str, ledger: Ledger) -> None:
    """Measure all parts; the ledger holds the figures."""
    name = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    peak = peak_of(name)
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    ledger.found |= {"device": name, "bf16_peak": peak, "shape": vars(shape)}
    ledger.found |= {"torch": torch.__version__, "transformers": _transformers()}
    ledger.found["flex_against_sdpa"] = ledger.of("flex_against_sdpa", partial(agreement, device))
    ledger.keep()
    ledger.tell(0)
    model = ledger.of("model", partial(make_llava, shape, device, dtype))
    for number, part in enumerate(PARTS):
        sides = ledger.found[part] = {}
        for side in ("packed", "plain"):
            # What is left is shared by the sides that are left.
            share = ledger.left() / (2 * (len(PARTS) - number) - (side == "plain"))
            body = partial(measured, part, side, shape, model, share, peak)
            if figures := ledger.of(f"{part}, {side}", body):
                sides[side] = figures
            ledger.keep()
            _clean(model)
        _compare(sides)
        ledger.keep()
        ledger.tell(number + 1)


def agreement(device: str) -> dict[str, Any]:
    """How far flex_attention lies from sdpa on a trie of 390 places, in two data types."""
    if device == "cpu":
        return {"not_run": "no backward pass on a CPU"}
    found: dict[str, Any] = {}
    sizes = GpuShape(hidden=512, layers=4, heads=8, inner=1024, tower=(64, 3, 4), side=56)
    for dtype in (torch.float32, torch.bfloat16):
        model = make_llava(sizes, device, dtype)
        block_attention.see_blocks(model)
        flex, right = (small_trie(model, name) for name in (block_attention.NAME, "sdpa"))
        found[str(dtype)] = {
            **{name: relative_difference(flex[name], right[name]) for name in right},
            "tolerance": tolerance(dtype),
        }
    return found


def measured(
    part: str, name: str, shape: GpuShape, model: Any, seconds: float, peak: float | None
) -> dict[str, Any]:
    """One side of a part: seconds of a step, tokens a second, share of the peak, memory."""
    with adapted(part, shape, model) as adapters:
        pictures = make_pictures(shape, model)
        pictures.read(f"picture {number}" for number in range(shape.pictures))
        rollouts, rows = _rollouts(part, shape, model, pictures)
        side, attention = make_side(name, shape, model, pictures)
        training = _training(part, model, side, adapters, rows)
        first, *taken = _seconds(training.step, seconds)
        taken = taken or [first]
    step = statistics.median(taken)
    tokens = sum(row.length for row in training.rows)
    computed = packed_length(training.rows) if name == "packed" else tokens
    operations = operations_of(part, shape, training.rows, computed, name == "packed")
    return {
        "attention": attention,
        "seconds": step,
        "first_step_seconds": first,
        "timed_steps": len(taken),
        **rollouts,
        "tokens": tokens,
        "computed_tokens": computed,
        "tokens_per_second": tokens / step,
        "computed_tokens_per_second": computed / step,
        "operations": operations,
        "share_of_peak": operations / step / peak if peak else None,
        "peak_gib": torch.cuda.max_memory_allocated() / GIB if model.device.type == "cuda" else 0,
    }


@contextmanager
def adapted(part: str, shape: GpuShape, model: Any) -> Iterator[Adapters | None]:
    """Within the block the model has the adapters that a part trains."""
    names = {"dpo_lora": ["policy"], "ppo_lora": ["policy", "value"]}.get(part)
    adapters = Adapters(model, shape.rank, names) if names else None
    try:
        yield adapters
    finally:
        if adapters is not None:
            adapters.remove()


def _rollouts(
    part: str, shape: GpuShape, model: Any, pictures: Any
) -> tuple[dict[str, Any], list[Row]]:
    if part != "ppo_lora":
        return {}, []
    torch.manual_seed(0)
    generate = roll_out(shape, model, pictures)
    begun = time.perf_counter()
    rows = generate()
    return {"rollout_seconds": time.perf_counter() - begun}, rows


def _training(
    part: str, model: Any, side: Side, adapters: Adapters | None, rows: list[Row]
) -> Training:
    if part == "reward_model":
        return RewardTraining(model, side)
    if part == "ppo_lora":
        assert adapters is not None
        return Ppo(model, side, adapters, rows)
    return Dpo(model, side, adapters)


def _seconds(step: Callable[[], None], most: float) -> list[float]:
    """Seconds of each step, the first's included, as many as `most` seconds hold."""
    taken: list[float] = []
    begun = time.perf_counter()
    while len(taken) <= STEPS:
        if len(taken) > 1 and time.perf_counter() - begun + taken[-1] > most:
            break
        before = time.perf_counter()
        step()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - before)
    return taken


def _compare(sides: dict[str, Any]) -> None:
    """Packed over plain: time and memory."""
    if sides.keys() < {"packed", "plain"}:
        return
    packed, plain = sides["packed"], sides["plain"]
    sides["time_ratio"] = packed["seconds"] / plain["seconds"]
    sides["token_ratio"] = packed["computed_tokens"] / plain["computed_tokens"]
    if plain["peak_gib"]:
        sides["memory_ratio"] = packed["peak_gib"] / plain["peak_gib"]


def _clean(model: Any) -> None:
    if model is not None:
        for weight in model.parameters():
            weight.grad = None
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def _transformers() -> str:
    from transformers import __version__

    return str(__version__)


def _over(*_: Any) -> None:
    raise OutOfTime


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--minutes", type=float, default=6.0, help="stop by then")
    parser.add_argument("--json", type=Path, required=True, help="file for the figures")
    parser.add_argument("--shape", choices=("7b", "small"), default="7b")
    asked = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu" and asked.shape == "7b":
        parser.error("no GPU here: LLaVA-1.5-7B's shape needs one; try --shape small")
    print(f"{', '.join(PARTS)}: at most {asked.minutes:g} minutes", file=sys.stderr, flush=True)
    ledger = Ledger(asked.json, 60 * asked.minutes)
    ledger.keep()
    run(SMALL if asked.shape == "small" else GpuShape(), device, ledger)


if __name__ == "__main__":
    main()
