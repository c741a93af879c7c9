"""What a training step of the GPU benchmark has to compute, and what a chip can."""

from benchmarks.gpu_world import GpuShape
from spavl.alignment.rows import Row

# Dense bfloat16 operations a second by device name, the first that fits: NVIDIA's data sheets of
# these products, half of what they give with sparsity where they give that.
PEAKS = (
    ("B200", 2250e12),
    ("H200 NVL", 835e12),
    ("H200", 989e12),
    ("GH200", 989e12),
    ("H100 NVL", 835e12),
    ("H100 PCIe", 756e12),
    ("H100", 989e12),
    ("A100", 312e12),
    ("L40S", 362e12),
)


def peak_of(device: str) -> float | None:
    """Dense bfloat16 operations a second of a device by its name; None if it is not known."""
    return next((flops for known, flops in PEAKS if known in device), None)


def operations_of(
    part: str, shape: GpuShape, rows: list[Row], computed: int, packed: bool
) -> float:
    """Floating point operations that a step needs, recomputation and projector not counted.

    A forward pass: 2 x weights of linear layers x tokens, 4 x layers x width for each place and
    each it sees, 2 x head x answer tokens. Backward as much for activations and, where weights
    train, once more for them. PPO: four models forward, two adapters forward and backward.
    """
    seen = _seen(rows, packed)
    linear = 2.0 * shape.linear * computed
    attention = 4.0 * shape.layers * shape.hidden * seen
    answers = sum(row.response_length for row in rows)
    head = 2.0 * shape.vocabulary * shape.hidden * answers
    lora = 2.0 * shape.adapter * computed
    match part:
        case "dpo_full":
            return 3 * (linear + attention + head)
        case "reward_model":
            return 3 * (linear + attention)
        case "dpo_lora":
            return 2 * (linear + head) + 3 * (attention + lora)
        case _:
            judged = 4 * (linear + attention) + 2 * head + 2 * lora
            return judged + 2 * (2 * linear + 3 * (attention + lora)) + 2 * head


def _seen(rows: list[Row], packed: bool) -> int:
    """Pairs of places of which one sees the other, itself included."""
    if not packed:
        return sum(row.length * (row.length + 1) // 2 for row in rows)
    depths = {(r.image_ids, r.token_ids[:n]): n for r in rows for n in range(1, r.length + 1)}
    return sum(depths.values())
