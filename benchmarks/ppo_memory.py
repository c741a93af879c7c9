"""One side of the PPO benchmark in its own process: prints the peak's growth in MiB.

The growth is over the loaded base model and holds all that PPO adds: the other roles' models or
adapters, gradients, optimizer, caches, activations.
"""

import json
import sys

import torch

from benchmarks.llava_world import Shape
from benchmarks.measuring import growth_mib
from benchmarks.ppo import PpoShape, asked_in, make_base, make_side


def main(side: str, shape_json: str, threads: str) -> None:
    """Take an iteration, whose later updates find the optimizer's state, and print the growth."""
    torch.set_num_threads(int(threads))
    fields = json.loads(shape_json)
    model = fields.pop("model")
    shape = PpoShape(Shape(**{**model, "answer_tokens": tuple(model["answer_tokens"])}), **fields)
    base = make_base(shape)

    def one() -> None:
        made = make_side(side, shape, base)
        for number, asked in enumerate(asked_in(shape, 1)):
            made.iteration(number, asked)

    print(growth_mib(one))


if __name__ == "__main__":
    main(*sys.argv[1:])
