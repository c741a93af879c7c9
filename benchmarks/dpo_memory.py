"""One side of the DPO benchmark in its own process: prints the peak's growth in MiB.

The growth is over the loaded policy and holds all that training adds: TRL's reference model,
gradients, optimizer, activations.
"""

import copy
import sys

import torch

from benchmarks.dpo import make_ours
from benchmarks.dpo_baseline import trl_trainer
from benchmarks.llava_world import Shape, make_examples, make_model, make_processor, pair_rows
from benchmarks.measuring import growth_mib
from spavl.models.pictures import freeze_tower

STEPS = 2  # the first makes the optimizer's state, the second finds it there


def main(side: str, shape_json: str, tokens: str, threads: str) -> None:
    """Train two steps and print the growth."""
    torch.set_num_threads(int(threads))
    shape = Shape.from_json(shape_json)
    processor = make_processor(shape)
    model = make_model(shape, processor)
    freeze_tower(model)
    steps = make_examples(shape, STEPS)
    if side == "trl":
        import datasets  # noqa: F401  # imports are not what is measured
        import trl  # noqa: F401
        from trl import DPOTrainer  # noqa: F401

    def baseline() -> None:
        trl_trainer(model, copy.deepcopy(model), processor, steps, shape.side).train()

    def ours() -> None:
        mine = make_ours(model, processor, shape, "auto", int(tokens))
        for examples in steps:
            mine.engines.pictures.read([example.image_id for example in examples])
            pairs = [pair_rows(processor, mine.engines.pictures, e) for e in examples]
            mine.step(pairs, mine.reference(pairs))

    print(growth_mib(baseline if side == "trl" else ours))


if __name__ == "__main__":
    main(*sys.argv[1:])
