"""`python -m tests.fuzz TARGET --minutes N`: inputs tried, lines reached, faults; 1 if any."""

import argparse
import random
import sys

from tests.fuzz.running import fuzz
from tests.fuzz.targets import targets


def main() -> int:
    """Fuzz one target, and say what came of it."""
    known = targets()
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("target", choices=sorted(known))
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    found = fuzz(known[asked.target], asked.minutes * 60, random.Random(asked.seed))
    print(
        f"{asked.target}: {found.tried} inputs, {found.reached} of {found.lines} lines, "
        f"{len(found.faults)} faults"
    )
    for what, content in found.faults.items():
        print(f"  {what}\n    {content[:400]!r}")
    return 1 if found.faults else 0


if __name__ == "__main__":
    sys.exit(main())
