"""TRL's DPOTrainer as it comes, checkpointing off, on the examples of the benchmark.

What is timed is its own loop from the beginning of a step to its end: forward passes of policy and
reference, loss, backward pass, clipping, AdamW. Reading and processing pictures and tokenising
happen before and are not counted. The vision tower is frozen, as in ours.
"""

import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from benchmarks.llava_world import Example, RandomPictures


def trl_trainer(
    policy: Any,
    reference: Any,
    processor: Any,
    steps: Sequence[Sequence[Example]],
    side: int,
    callbacks: Sequence[Any] = (),
) -> Any:
    """A DPOTrainer that takes the steps' pairs in their order.

    Args:
        policy: The model that is trained.
        reference: Its frozen copy; TRL would load the same from disk.
        processor: Their processor.
        steps: The examples of each optimizer step, equally many in each.
        side: Pixels of a picture's side.
        callbacks: Of transformers' Trainer.
    """
    from transformers import PrinterCallback
    from trl import DPOConfig, DPOTrainer

    # TRL still gives transformers a setting by its old name.
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
    arguments = DPOConfig(
        output_dir=tempfile.mkdtemp(),
        per_device_train_batch_size=len(steps[0]),
        max_steps=len(steps),
        learning_rate=1e-6,
        optim="adamw_torch_fused",
        beta=0.1,
        max_length=None,
        gradient_checkpointing=False,
        bf16=False,
        use_cpu=True,
        logging_steps=len(steps) + 1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
    )

    class InOrder(DPOTrainer):  # type: ignore[misc]
        """Without the shuffle, so that both sides see the same pairs at the same time."""

        def _get_train_sampler(self, *_: Any) -> Any:
            from torch.utils.data import SequentialSampler

            return SequentialSampler(self.train_dataset)

    trainer = InOrder(
        model=policy,
        ref_model=reference,
        args=arguments,
        processing_class=processor,
        train_dataset=_data_set(steps, side),
        callbacks=list(callbacks),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _data_set(steps: Sequence[Sequence[Example]], side: int) -> Any:
    """The examples as TRL reads them, in their order."""
    from datasets import Dataset

    pictures = RandomPictures(side)
    rows = [
        {
            "image": pictures.open(example.image_id),
            "prompt": example.prompt,
            "chosen": example.chosen,
            "rejected": example.rejected,
        }
        for examples in steps
        for example in examples
    ]
    return Dataset.from_list(rows)


def between_steps(begin: Callable[[], None], end: Callable[[int], None]) -> Any:
    """A callback of the trainer around its steps; `end` gets the number of steps done."""
    from transformers import TrainerCallback

    class Between(TrainerCallback):  # type: ignore[misc]
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            begin()

        def on_step_end(self, _arguments: Any, state: Any, _control: Any, **__: Any) -> None:
            end(state.global_step)

    return Between()


@contextmanager
def head_on_answers() -> Iterator[None]:
    """Within the block TRL's head skips the positions that no loss needs, as its GPU path does.

    On a CPU it scores every position. With this switch the comparison holds what a GPU would show.
    """
    from trl.trainer import utils

    before = utils._use_triton
    utils._use_triton = lambda _device: True
    try:
        yield
    finally:
        utils._use_triton = before
