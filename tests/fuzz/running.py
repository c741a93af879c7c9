"""The loop: an input that reaches a new line of the target joins those that others are made of."""

import random
import sys
import time
import traceback
from dataclasses import dataclass, field
from types import CodeType, FrameType
from typing import Any

from tests.fuzz.mutating import mutated
from tests.fuzz.targets import Target

SLOW_SECONDS = 5.0
"""More of the processor's time for an input below 200 kB is a fault as well."""


@dataclass
class Found:
    """What came of it.

    Attributes:
        tried: Inputs.
        lines: Lines of code that the target's modules have.
        reached: Those that an input reached.
        faults: An input for each kind of fault.
    """

    tried: int = 0
    lines: int = 0
    reached: int = 0
    faults: dict[str, bytes] = field(default_factory=dict)


def fuzz(target: Target, seconds: float, draw: random.Random) -> Found:
    """Read inputs for so many seconds."""
    known = _lines_of(target)
    corpus = list(target.seeds)
    reached: set[tuple[str, int]] = set()
    found = Found(lines=len(known))
    until = time.monotonic() + seconds
    while time.monotonic() < until or found.tried < len(target.seeds):
        first = found.tried < len(target.seeds)
        content = target.seeds[found.tried] if first else mutated(corpus, draw)
        found.tried += 1
        fresh = _try(target, content, found) & known - reached
        if fresh:
            reached |= fresh
            corpus.append(content)
    found.reached = len(reached)
    return found


def _try(target: Target, content: bytes, found: Found) -> set[tuple[str, int]]:
    files = {str(module.__file__) for module in target.modules}  # type: ignore[attr-defined]
    lines: set[tuple[str, int]] = set()

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if frame.f_code.co_filename not in files:
            return None
        lines.add((frame.f_code.co_filename, frame.f_lineno))
        return trace

    began = time.process_time()
    sys.settrace(trace)
    try:
        target.read(content)
    except target.allowed:
        pass
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        sys.settrace(None)
        place = traceback.extract_tb(error.__traceback__)[-1]
        found.faults.setdefault(f"{type(error).__name__} at {place.name}:{place.lineno}", content)
    finally:
        sys.settrace(None)
    if time.process_time() - began > SLOW_SECONDS:
        found.faults.setdefault("slow", content)
    return lines


def _lines_of(target: Target) -> set[tuple[str, int]]:
    """Lines within functions; those of the modules' own are run by the import."""
    found: set[tuple[str, int]] = set()
    for module in target.modules:
        file = str(module.__file__)  # type: ignore[attr-defined]
        with open(file, encoding="utf-8") as stream:
            waiting = [compile(stream.read(), file, "exec")]
        while waiting:
            code = waiting.pop()
            if code.co_name != "<module>":
                found |= {(file, line) for _, _, line in code.co_lines() if line}
            waiting += [each for each in code.co_consts if isinstance(each, CodeType)]
    return found
