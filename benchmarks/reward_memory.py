"""One side of the reward model's benchmark in its own process: prints the peak's growth in MiB."""

import sys

import torch

from benchmarks.llava_world import Shape, make_examples, make_processor, pair_rows
from benchmarks.measuring import growth_mib
from benchmarks.reward import Ours, PlainTrainer, make_reward_model
from spavl.models.pictures import Pictures

STEPS = 2  # the first makes the optimizer's state, the second finds it there


def main(side: str, shape_json: str, tokens: str, threads: str) -> None:
    """Train two steps and print the growth over the loaded model."""
    torch.set_num_threads(int(threads))
    shape = Shape.from_json(shape_json)
    processor = make_processor(shape)
    model = make_reward_model(shape, processor)
    steps = make_examples(shape, STEPS)

    def baseline() -> None:
        trainer = PlainTrainer(model, processor, shape.side)
        known = Pictures(model, processor, trainer.pictures)
        for examples in steps:
            known.read([example.image_id for example in examples])
            pairs = [pair_rows(processor, known, example) for example in examples]
            trainer.step(trainer.batch(examples, pairs))

    def ours() -> None:
        mine = Ours(model, processor, shape, int(tokens))
        for examples in steps:
            mine.pictures.read([example.image_id for example in examples])
            mine.step([pair_rows(processor, mine.pictures, example) for example in examples])

    print(growth_mib(baseline if side == "baseline" else ours))


if __name__ == "__main__":
    main(*sys.argv[1:])
