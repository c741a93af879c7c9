"""PPO on a LLaVA: one iteration of ours against one of four plain models.

Both sides ask the same prompts on the same pictures, draw equally many answers of equal length and
take equally many updates with AdamW on rows of equal number. (Ours may end an answer early, the
baseline may not; under random weights the end is one word of 32,000.) Three of ours are measured:
whole models (the same weights are trained as in the baseline), LoRA on one backbone, and RLOO,
which has no value model: a cheaper method, not a cheaper way of the same.
"""

import copy
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

import components.ppo.experience as experience_module
from benchmarks.llava_world import (
    RandomPictures,
    Shape,
    make_examples,
    make_model,
    make_processor,
)
from benchmarks.measuring import Clock, Rounds, machine, peak_growth_mib
from benchmarks.ppo_baseline import FourModels, PlainSettings
from benchmarks.ppo_baseline import iteration as plain_iteration
from components.ppo.experience import gather_experience
from components.ppo.players import Players, Role
from components.ppo.prompts import Prompt
from components.ppo.update import learn
from spavl.alignment.engines import choose_engines
from spavl.alignment.loop import Trainer, trainable_weights
from spavl.models.adapters import AdaptedModel, AdapterShape, head_on
from spavl.models.pictures import Pictures, freeze_tower
from spavl.models.reward import reward_model_class
from spavl.settings.ppo import PpoSettings
from spavl.work import Stage, Work

IMAGE_TOKEN = "<image>"


@dataclass(frozen=True)
class PpoShape:
    """What one iteration consists of.

    Attributes:
        model: The model and its pictures and prompts.
        prompts: Prompts, each on a picture of its own.
        generations: Answers of a prompt.
        answer_tokens: Tokens of an answer.
        minibatch: Rows of an update.
        training_rows: Rows of a pass with gradient.
        scoring_rows: Rows of a pass without, and of generation.
        lora_rank: In LoRA mode; SPA-VL's 256 of 4096 is 32 of 512.
    """

    model: Shape = field(default_factory=lambda: Shape(questions=1))
    prompts: int = 8
    generations: int = 4
    answer_tokens: int = 100
    minibatch: int = 8
    training_rows: int = 4
    scoring_rows: int = 16
    lora_rank: int = 32

    def settings(self, use_peft: bool, advantage: str = "gae") -> PpoSettings:
        """Our trainer's settings."""
        return PpoSettings.parse(
            {
                "learning_rate": 1e-6,
                "batch_size": self.training_rows,
                "gradient_accumulation_steps": self.minibatch // self.training_rows,
                "warmup_steps": 0,
                "dtype": "float32",
                "gradient_checkpointing": False,
                "rollout_batch_size": self.prompts * self.generations,
                "num_generations": self.generations,
                "generation_batch_size": self.scoring_rows,
                "num_ppo_epochs": 1,
                "response_length": self.answer_tokens,
                "use_peft": use_peft,
                "advantage": advantage,
                "lora_r": self.lora_rank,
                "lora_alpha": 2 * self.lora_rank,
                "packed_tokens": 2048,
                "threads": torch.get_num_threads(),
            },
            "ppo",
        )


class Ours:
    """Our side.

    Args:
        shape: Sizes.
        policy: The base model, which is changed in place.
        head: The reward head, float `[1, width]`.
        use_peft: Adapters on one backbone, or models of their own.
        advantage: `gae`, with a value model, or `rloo`.
    """

    def __init__(
        self,
        shape: PpoShape,
        policy: Any,
        head: torch.Tensor,
        use_peft: bool,
        advantage: str = "gae",
    ) -> None:
        self.settings = shape.settings(use_peft, advantage)
        self.clock = Clock()
        self._processor = make_processor(shape.model)
        self._pictures = Pictures(policy, self._processor, RandomPictures(shape.model.side))
        engines = choose_engines(policy, self._pictures, 0, self.settings, print)
        roles = (_adapters if use_peft else _four)(self.settings, policy, head)
        self.players = Players(
            **roles, processor=self._processor, pictures=self._pictures, engines=engines
        )
        work = Work(Stage("ppo", "components.ppo", {}, {}), Path(tempfile.mkdtemp()))
        self._trainer = Trainer(self.players.weights, self.settings, 1000, work)

    def iteration(self, number: int, asked: Sequence[tuple[str, str]]) -> None:
        """One iteration on pictures and prompts that were not seen before."""
        self._pictures.read([image_id for image_id, _ in asked])
        prompts = [self._prompt(image_id, text) for image_id, text in asked]
        with self._rollouts_timed():
            experience = gather_experience(self.players, prompts, self.settings, number)
        learn(self.players, self._trainer, experience, self.settings, number)

    @contextmanager
    def _rollouts_timed(self) -> Iterator[None]:
        """Within the block the seconds of rollouts are noted, on the wall and of CPUs."""
        roll_out = experience_module.roll_out

        def timed(*arguments: Any) -> Any:
            with self.clock.timed("rollouts"):
                return roll_out(*arguments)

        with patch.object(experience_module, "roll_out", timed):
            yield

    def _prompt(self, image_id: str, text: str) -> Prompt:
        spaced = " ".join([IMAGE_TOKEN] * self._pictures.tokens(image_id))
        ids = self._processor.tokenizer(text.replace(IMAGE_TOKEN, spaced), add_special_tokens=False)
        return Prompt(image_id, image_id, text, tuple(ids["input_ids"]))


def _four(settings: PpoSettings, policy: Any, head: torch.Tensor) -> dict[str, Role]:
    reference = copy.deepcopy(policy).requires_grad_(False)
    reward = head_on(copy.deepcopy(policy), head).requires_grad_(False)
    freeze_tower(policy)
    for model in (reference, reward):
        model.model.vision_tower = policy.model.vision_tower
    roles = {
        "policy": Role(policy, weights=trainable_weights(policy)),
        "reference": Role(reference),
        "reward": Role(reward),
    }
    if settings.advantage == "gae":
        value = head_on(copy.deepcopy(policy), head)
        value.score.requires_grad_(True)
        freeze_tower(value)
        value.model.vision_tower = policy.model.vision_tower
        roles["value"] = Role(value, weights=trainable_weights(value))
    return roles


def _adapters(settings: PpoSettings, policy: Any, head: torch.Tensor) -> dict[str, Role]:
    adapters = AdaptedModel(policy)
    for name in ("policy", "reward", "value"):
        adapters.add(name, AdapterShape.of(settings))
    reward, value = head_on(policy, head), head_on(policy, head)
    value.score.requires_grad_(True)
    trained = {**adapters.weights("value"), "score.weight": value.score.weight}
    return {
        "policy": Role(policy, adapters, "policy", adapters.weights("policy")),
        "reference": Role(policy, adapters, None),
        "reward": Role(reward, adapters, "reward"),
        "value": Role(value, adapters, "value", trained),
    }


class Plain:
    """The baseline's side; see `benchmarks.ppo_baseline`.

    Args:
        shape: Sizes.
        policy: The base model, which is changed in place.
        head: The reward head, float `[1, width]`.
        lean: Whether its language-model head runs on answers only.
    """

    def __init__(self, shape: PpoShape, policy: Any, head: torch.Tensor, lean: bool = False):
        self._processor = make_processor(shape.model)
        self._source = RandomPictures(shape.model.side)
        self.settings = PlainSettings(
            shape.generations,
            shape.answer_tokens,
            shape.scoring_rows,
            shape.training_rows,
            shape.minibatch,
            1,
            lean,
        )
        value, reward = (_whole_reward_model(policy, head) for _ in range(2))
        reference = copy.deepcopy(policy).requires_grad_(False)
        reward.requires_grad_(False)
        for model in (policy, value):
            freeze_tower(model)
        trained = [p for model in (policy, value) for p in model.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=1e-6, weight_decay=0.0)
        self.models = FourModels(policy, reference, reward, value, optimizer)

    def iteration(self, number: int, asked: Sequence[tuple[str, str]]) -> None:
        """One iteration."""
        torch.manual_seed(number)
        inputs = self._processor(
            text=[text for _, text in asked],
            images=[[self._source.open(image_id)] for image_id, _ in asked],
            return_tensors="pt",
            padding=True,
            padding_side="left",
            add_special_tokens=False,
        )
        names = ("input_ids", "attention_mask", "pixel_values")
        plain_iteration(self.models, {name: inputs[name] for name in names}, self.settings)


def _whole_reward_model(policy: Any, head: torch.Tensor) -> Any:
    config = copy.deepcopy(policy.config)
    config.num_labels = 1
    model = reward_model_class("llava", "benchmark")(config).eval()
    model.model.load_state_dict(policy.model.state_dict())
    with torch.no_grad():
        model.score.weight.copy_(head)
    return model


def make_base(shape: PpoShape) -> Any:
    """The base model of every side."""
    return make_model(shape.model, make_processor(shape.model)).eval()


def make_side(side: str, shape: PpoShape, base: Any) -> Ours | Plain:
    """A side by name: `ours`, `lora`, `rloo`, `plain` or `lean`; it changes the base in place."""
    torch.manual_seed(1)
    head = torch.randn(1, shape.model.hidden) * 0.02
    if side in ("plain", "lean"):
        return Plain(shape, base, head, lean=side == "lean")
    advantage = "rloo" if side == "rloo" else "gae"
    return Ours(shape, base, head, use_peft=side == "lora", advantage=advantage)


def asked_in(shape: PpoShape, iterations: int) -> list[list[tuple[str, str]]]:
    """Pictures' names and prompts of some iterations."""
    examples = make_examples(shape.model, iterations * shape.prompts)
    flat = [(example.image_id, example.prompt) for step in examples for example in step]
    size = shape.prompts
    return [flat[start : start + size] for start in range(0, len(flat), size)]


def run(
    shape: PpoShape | None = None,
    repetitions: int = 2,
    with_memory: bool = True,
    sides: Sequence[str] = ("ours", "lora", "rloo", "plain"),
    keep: Callable[[dict[str, Any]], None] = lambda _: None,
) -> dict[str, Any]:
    """Measure one iteration; sides take turns, and `keep` gets the figures after each turn.

    Before that each side takes a small iteration that is not counted.

    Returns:
        The figures of `spavl bench ppo --json`: seconds and ratio of ours with whole models
        (`time_ratio`), with LoRA and by RLOO (`*_time_ratio`), against the baseline as it comes
        and, where that side takes part, against its lean form (`*_lean`); the share of an iteration
        that rollouts take (`rollouts_share`); growth of memory over the loaded base in a fresh
        process of LoRA (`ours_peak_mib`) and baseline, and their ratio.
    """
    shape = shape or PpoShape()
    clock = Clock()
    found: dict[str, Any] = {"shape": asdict(shape), "machine": machine()}
    turns = Rounds((repetitions + 1) * len(sides), found, keep)
    made = {side: make_side(side, shape, make_base(shape)) for side in sides}
    warm_up, *rounds = asked_in(shape, repetitions + 1)
    for side in sides:
        made[side].iteration(0, warm_up[: shape.minibatch // shape.generations])
        turns.done({})
    for number, asked in enumerate(rounds, start=1):
        for side in sides:
            with clock.timed(side):
                made[side].iteration(number, asked)
            turns.done(_figures(clock, made))
    return found | (memory(shape, sides) if with_memory else {})


def _figures(clock: Clock, made: Mapping[str, Ours | Plain]) -> dict[str, Any]:
    """What is known after a turn; ratios as soon as both of their sides have had one."""
    seconds, cpu_seconds = clock.medians(warm_up=0)
    rollouts = {
        name: side.clock.medians()[1]["rollouts"] / cpu_seconds[name]
        for name, side in made.items()
        if isinstance(side, Ours) and name in cpu_seconds
    }
    found: dict[str, Any] = {
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "rollouts_share": rollouts,
        "of_cpu_seconds": _ratios(cpu_seconds),
        **_ratios(seconds),
    }
    if {"ours", "plain"} <= seconds.keys():
        found |= {"ours_s": seconds["ours"], "baseline_s": seconds["plain"]}
    return found


def _ratios(seconds: Mapping[str, float]) -> dict[str, float]:
    named = {"ours": "time_ratio", "lora": "lora_time_ratio", "rloo": "rloo_time_ratio"}
    found = {}
    for baseline, end in (("plain", ""), ("lean", "_lean")):
        for side, name in named.items():
            if side in seconds and baseline in seconds:
                found[name + end] = seconds[side] / seconds[baseline]
    return found


def memory(shape: PpoShape, sides: Sequence[str]) -> dict[str, float]:
    """Peak growth over the loaded base, a fresh process a side, in MiB."""
    arguments = [json.dumps(asdict(shape)), str(torch.get_num_threads())]
    peaks = {side: peak_growth_mib("benchmarks.ppo_memory", [side, *arguments]) for side in sides}
    found = {
        "ours_peak_mib": peaks["lora"],
        "baseline_peak_mib": peaks["plain"],
        "memory_ratio": peaks["lora"] / peaks["plain"],
        "memory_ratio_whole": peaks["ours"] / peaks["plain"],
    }
    if "lean" in peaks:
        found["memory_ratio_lean"] = peaks["lora"] / peaks["lean"]
    return found
