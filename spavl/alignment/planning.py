"""What training will cost, by the code that cuts its batches: tokens, memory, GPU-hours.

Rows are made at the sizes asked for, not read: their tokens differ, which is all that packing looks
at. Tokens are exact for such rows. Memory is a sum of parts with its formula beside it, seconds are
operations over a GPU's peak times an assumed share of it: arithmetic, no measurement.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from spavl.alignment.batching import even_row_passes, packed_length, packed_passes
from spavl.alignment.pair_training import EpochSteps
from spavl.alignment.processes import shares
from spavl.alignment.rows import PairRows, Row
from spavl.records import Maker, Preference
from spavl.settings.alignment import AlignmentSettings
from spavl.settings.dpo import DpoSettings
from spavl.settings.ppo import PpoSettings
from spavl.settings.reward_modeling import RewardModelingSettings

PICTURE, WORDS = 1, 10  # token ids: the picture's, and the first of the text's
# Passes over the weights in units of one forward pass: forward, backward, recomputed.
TRAINING_PASSES, RECOMPUTED = 3, 1
SAMPLE = 1200  # prompts that are batched; made rows are alike, so more would say the same


@dataclass(frozen=True)
class Corpus:
    """How large the data is.

    Attributes:
        prompts: Questions in all.
        questions: Questions a picture, one pair each.
        picture_tokens: Of a picture.
        text_tokens: Prompt tokens besides the picture's.
        answer_tokens: Of an answer, its end included.
    """

    prompts: int = 30_000
    questions: int = 3
    picture_tokens: int = 576
    text_tokens: int = 40
    answer_tokens: int = 100


@dataclass(frozen=True)
class ModelSize:
    """A vision-language model's numbers; the default is LLaVA-1.5-7B.

    Attributes:
        layers: Of the language model.
        width: Of its states.
        inner: Of its MLPs.
        heads: Width of keys and of values.
        vocabulary: Words.
        tower: Weights that nothing trains.
        projector: Weights between tower and language model.
    """

    layers: int = 32
    width: int = 4096
    inner: int = 11008
    heads: int = 4096
    vocabulary: int = 32_064
    tower: int = 303_507_456
    projector: int = 20_979_712

    @property
    def linear(self) -> int:
        """Weights of the linear layers, which are nearly all operations."""
        attention = 2 * self.width * self.width + 2 * self.width * self.heads
        return self.layers * (attention + 3 * self.width * self.inner)

    @property
    def weights(self) -> int:
        """All weights of a policy."""
        return self.linear + 2 * self.vocabulary * self.width + self.tower + self.projector

    def adapters(self, rank: int) -> int:
        """Weights of LoRA on every linear layer."""
        attention = 2 * rank * 2 * self.width + 2 * rank * (self.width + self.heads)
        return self.layers * (attention + 3 * rank * (self.width + self.inner))


@dataclass(frozen=True)
class Gpu:
    """A GPU, and how much of it is assumed to be reached.

    Attributes:
        flops: Peak operations a second in bfloat16; an A100's by default.
        bandwidth: Bytes a second of its memory.
        share: Of both, that are reached.
    """

    flops: float = 312e12
    bandwidth: float = 2.0e12
    share: float = 0.4


@dataclass(frozen=True)
class Tokens:
    """Tokens of a training's slowest process, summed over its steps.

    Attributes:
        steps: Optimizer steps.
        packed: Computed once, with what a process shares.
        plain: One row an answer, pairs spread evenly over as many processes.
    """

    steps: int
    packed: int
    plain: int

    @property
    def ratio(self) -> float:
        """Packed over plain; about the share of time too."""
        return self.packed / self.plain


def made_pairs(corpus: Corpus, answers: int = 2) -> list[PairRows]:
    """Pairs of the corpus's size, the first answer against each other one."""
    pairs = []
    pictures = -(-corpus.prompts // corpus.questions)
    for number in range(min(corpus.prompts, pictures * corpus.questions)):
        picture = number // corpus.questions
        rows = made_rows(corpus, number, answers)
        pairs += [
            PairRows(_preference(f"{number}.{place}", str(picture)), rows[0], other)
            for place, other in enumerate(rows[1:])
        ]
    return pairs


def made_rows(corpus: Corpus, number: int, answers: int) -> list[Row]:
    """One question with its answers, which differ from each other in their first token."""
    picture, question = divmod(number, corpus.questions)
    prompt = (PICTURE,) * corpus.picture_tokens + (WORDS + question,) * corpus.text_tokens
    return [
        Row(str(picture), (*prompt, *(WORDS + 100 + n,) * corpus.answer_tokens), len(prompt))
        for n in range(answers)
    ]


def pair_tokens(
    pairs: Sequence[PairRows], settings: DpoSettings | RewardModelingSettings
) -> Tokens:
    """Tokens of a trainer on pairs, by its own steps, shares and passes."""
    size = settings.batch_size * settings.gradient_accumulation_steps
    steps = EpochSteps(
        pairs, size, settings.num_train_epochs, settings.seed, settings.whole_pictures
    )
    number = settings.num_processes * settings.num_nodes
    packed = plain = 0
    for place in range(steps.total):
        step = steps[place]
        packed += max(_packed(share, settings) for share in shares(step, number))
        evenly = sorted(step, key=lambda pair: -sum(row.length for row in pair.rows))
        plain += max(
            sum(row.length for pair in evenly[start::number] for row in pair.rows)
            for start in range(number)
        )
    return Tokens(steps.total, packed, plain)


def _packed(share: Sequence[PairRows], settings: AlignmentSettings) -> int:
    if settings.packing == "plain":
        return sum(row.length for pair in share for row in pair.rows)
    passes = packed_passes(share, settings.packed_tokens)
    return sum(packed_length(row for pair in part for row in pair.rows) for part in passes)


@dataclass(frozen=True)
class Rollouts:
    """PPO's tokens over its whole training.

    Attributes:
        iterations: Of answering and learning.
        scored: Packed tokens of all passes without gradient, of the slowest process.
        learned: Packed tokens of all passes with gradient, of the slowest process.
        plain: What one pass over all rows would be without packing, of the slowest process.
        decoded: Tokens that a process draws one after the other.
        together: Rows that it draws at a time.
    """

    iterations: int
    scored: int
    learned: int
    plain: int
    decoded: int
    together: int


def rollout_tokens(corpus: Corpus, settings: PpoSettings, size: ModelSize) -> Rollouts:
    """PPO's tokens, one iteration cut as the trainer cuts it, times the iterations.

    Prompts are in a random order, so those of an iteration are taken to be on different pictures.
    """
    number = settings.num_processes * settings.num_nodes
    together = settings.num_generations
    asked = settings.rollout_batch_size // together
    apart = Corpus(asked, 1, corpus.picture_tokens, corpus.text_tokens, corpus.answer_tokens)
    rows = [row for place in range(asked) for row in made_rows(apart, place, together)]
    minibatch = settings.batch_size * settings.gradient_accumulation_steps
    updates = [range(start, start + minibatch) for start in range(0, len(rows), minibatch)]
    learned = sum(_of_slowest(rows, part, settings, number) for part in updates)
    width = corpus.picture_tokens + corpus.text_tokens + settings.response_length
    fitting = settings.generation_cache_mib * 2**20 / (width * _cache_bytes(size))
    at_once = max(
        together, min(settings.generation_batch_size, int(fitting)) // together * together
    )
    own = -(-asked // number) * together
    episodes = settings.total_episodes or corpus.prompts * together
    iterations = -(-episodes // settings.rollout_batch_size)
    return Rollouts(
        iterations,
        iterations * _of_slowest(rows, range(len(rows)), settings, number),
        iterations * settings.num_ppo_epochs * learned,
        iterations * -(-sum(row.length for row in rows) // number),
        iterations * -(-own // at_once) * corpus.answer_tokens,
        min(own, at_once),
    )


def _of_slowest(
    rows: Sequence[Row], numbers: Sequence[int], settings: PpoSettings, processes: int
) -> int:
    """Tokens of the process with most of these rows' passes."""
    if settings.packing == "plain":
        return sum(rows[place].length for place in numbers[::processes])
    passes = even_row_passes(rows, numbers, settings.packed_tokens, processes)
    lengths = [packed_length(rows[place] for place in part) for part in passes]
    return max(sum(lengths[start::processes]) for start in range(processes))


def _cache_bytes(size: ModelSize) -> int:
    return 2 * size.layers * size.heads * 2


def memory(
    settings: AlignmentSettings, size: ModelSize, frozen: int = 0, trained: int = 1
) -> dict[str, float]:
    """Gigabytes of one process, by part.

    Args:
        settings: The trainer's.
        size: The model's.
        frozen: Models that only score, beside the trained ones; under LoRA they are one backbone.
        trained: Models that are trained.

    Returns:
        `weights` (2 bytes each; ZeRO's stage 3 spreads the linear layers), `gradients` (4 bytes a
        trained weight, summed in float32), `masters_and_moments` (12 bytes), `activations` (the
        states between layers, and one layer's own), `logits`; `gpu` and `cpu` are the sums.
    """
    processes = settings.num_processes * settings.num_nodes
    spread = processes if settings.zero_stage else 1
    models = 1 if settings.use_peft else trained + frozen
    adapters = size.adapters(settings.lora_r) + size.projector
    every = size.weights - size.tower
    learned = trained * (adapters if settings.use_peft else every)
    layers = size.linear / processes if settings.zero_stage == 3 else size.linear
    whole = models * (every - size.linear + layers) + size.tower
    whole += adapters * (trained + frozen) if settings.use_peft else 0
    tokens = settings.packed_tokens
    states = size.layers if settings.gradient_checkpointing else size.layers * 12
    gigabytes = {
        "weights": 2 * whole / 1e9,
        "gradients": 4 * learned / spread / 1e9,
        "masters_and_moments": 12 * learned / spread / 1e9,
        "activations": 2 * tokens * (states * size.width + 8 * size.width + 3 * size.inner) / 1e9,
        "logits": 10 * min(tokens, 4096) * size.vocabulary / 1e9,
    }
    outside = {"gradients", "masters_and_moments"} if settings.offload else set()
    gpu = sum(value for name, value in gigabytes.items() if name not in outside)
    return gigabytes | {"gpu": gpu, "cpu": sum(gigabytes[name] for name in outside)}


@dataclass(frozen=True)
class StagePlan:
    """What one trainer will cost.

    Attributes:
        stage: Its name.
        processes: One GPU each.
        steps: Optimizer steps, of PPO iterations.
        tokens_a_step: Packed tokens of the slowest process in a step, on average.
        packed_to_plain: Packed over plain tokens on the slowest process.
        hours: Of the slowest process.
        memory: Gigabytes by part.
    """

    stage: str
    processes: int
    steps: int
    tokens_a_step: float
    packed_to_plain: float
    hours: float
    memory: Mapping[str, float]

    @property
    def gpu_hours(self) -> float:
        """Of all processes."""
        return self.processes * self.hours


def plan_pairs(
    stage: str,
    settings: DpoSettings | RewardModelingSettings,
    corpus: Corpus,
    size: ModelSize = ModelSize(),
    gpu: Gpu = Gpu(),
) -> StagePlan:
    """Plan DPO or the reward model; DPO's reference is one pass more over every pair."""
    sample = replace(corpus, prompts=min(corpus.prompts, SAMPLE))
    tokens = pair_tokens(made_pairs(sample), settings)
    times = corpus.prompts / sample.prompts
    passes = _passes(settings) + (stage == "dpo") / settings.num_train_epochs
    return StagePlan(
        stage,
        settings.num_processes * settings.num_nodes,
        round(times * tokens.steps),
        tokens.packed / tokens.steps,
        tokens.ratio,
        _seconds(passes * times * tokens.packed, size, gpu) / 3600,
        memory(settings, size),
    )


def plan_ppo(
    settings: PpoSettings, corpus: Corpus, size: ModelSize = ModelSize(), gpu: Gpu = Gpu()
) -> StagePlan:
    """Plan PPO: answers drawn token by token, scores of all models, updates of those trained.

    A drawn token reads all weights and the rows' keys and values from memory once.
    """
    tokens = rollout_tokens(corpus, settings, size)
    trained = 2 if settings.advantage == "gae" else 1
    passes = (trained + 2) * tokens.scored + trained * _passes(settings) * tokens.learned
    width = corpus.picture_tokens + corpus.text_tokens + corpus.answer_tokens / 2
    read = 2 * size.weights + tokens.together * width * _cache_bytes(size)
    drawing = tokens.decoded * read / (gpu.bandwidth * gpu.share)
    learned = settings.num_ppo_epochs * tokens.plain
    return StagePlan(
        "ppo",
        settings.num_processes * settings.num_nodes,
        tokens.iterations,
        (tokens.scored + tokens.learned) / tokens.iterations,
        (tokens.scored + tokens.learned) / (tokens.plain + learned),
        (_seconds(passes, size, gpu) + drawing) / 3600,
        memory(settings, size, frozen=2, trained=trained),
    )


def _passes(settings: AlignmentSettings) -> int:
    return TRAINING_PASSES + RECOMPUTED * settings.gradient_checkpointing


def _seconds(tokens: float, size: ModelSize, gpu: Gpu) -> float:
    """Of so many tokens through the linear layers once; attention and head are a few per cent."""
    return 2 * size.linear * tokens / (gpu.flops * gpu.share)


def training_plan(
    settings: Mapping[str, Any],
    corpus: Corpus = Corpus(),
    size: ModelSize = ModelSize(),
    gpu: Gpu = Gpu(),
) -> list[StagePlan]:
    """Plan the trainers of a resolved profile.

    Args:
        settings: Raw settings by stage, as `components.configuration.resolve` gives them.
        corpus: Sizes of the data.
        size: Of the model.
        gpu: What it runs on.
    """
    reward = RewardModelingSettings.parse(settings["reward_modeling"], "reward_modeling")
    return [
        plan_pairs("reward_modeling", reward, corpus, size, gpu),
        plan_pairs("dpo", DpoSettings.parse(settings["dpo"], "dpo"), corpus, size, gpu),
        plan_ppo(PpoSettings.parse(settings["ppo"], "ppo"), corpus, size, gpu),
    ]


def table(plans: Sequence[StagePlan]) -> list[list[str]]:
    """Plans as rows of text, the heading first."""
    heading = [
        "training",
        "GPUs",
        "steps",
        "tokens a step, slowest process",
        "packed / plain",
        "GB a GPU (weights, gradients, optimizer, activations and logits)",
        "hours",
        "GPU-hours",
    ]
    return [heading, *(_line(plan) for plan in plans)]


def _line(plan: StagePlan) -> list[str]:
    parts = plan.memory
    working = parts["activations"] + parts["logits"]
    held = (parts["weights"], parts["gradients"], parts["masters_and_moments"], working)
    return [
        plan.stage,
        str(plan.processes),
        f"{plan.steps:,}",
        f"{plan.tokens_a_step:,.0f}",
        f"{plan.packed_to_plain:.2f}",
        f"{parts['gpu']:.0f} ({', '.join(f'{part:.0f}' for part in held)})",
        f"{plan.hours:.1f}",
        f"{plan.gpu_hours:.1f}",
    ]


def _preference(name: str, image_id: str) -> Preference:
    text = dict.fromkeys(
        ("chosen_response_id", "rejected_response_id", "chosen_responder", "rejected_responder"),
        "",
    )
    return Preference(
        preference_id=name,
        image_id=image_id,
        question_id=name,
        question="",
        kind="easy_question",
        truth="unknown",
        thing=None,
        class3=None,
        chosen="",
        rejected="",
        chosen_safe=True,
        rejected_safe=False,
        reason1="",
        reason2="",
        maker=Maker("plan"),
        **text,
    )
