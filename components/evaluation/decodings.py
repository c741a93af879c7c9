"""How each benchmark's answers are decoded: what stands beside every figure made of them.

HarmEval, the data set's own too, over-refusal and HelpEval are drawn from the nucleus of the
model's distribution (Holtzman et al., 2020): harm is what a model may say, not only what it says
most likely, and so is help. Some of HarmEval's questions are asked once more greedily and once more
from all tokens, so that the three can be read side by side. All else is greedy.
"""

from collections.abc import Mapping
from typing import Any, Literal

from components.evaluation.metrics import METRICS, plain
from spavl.chat import Sampling
from spavl.seeds import derive_seed
from spavl.settings.evaluation import AnsweringSettings

Decoding = Literal["greedy", "nucleus", "all_tokens"]
HARM_DECODINGS = ("harm_eval_greedy", "harm_eval_all_tokens")
_SAMPLED: Mapping[str, Decoding] = {
    "harm_eval": "nucleus",
    "unseen_classes": "nucleus",
    "help_eval": "nucleus",
    "harm_eval_suffix": "nucleus",
    "over_refusal": "nucleus",
    "held_out_harm": "nucleus",
    "harm_eval_all_tokens": "all_tokens",
}


def decoding_of(benchmark: str) -> Decoding:
    """How a benchmark's answers are decoded, and those of its blind controls."""
    return _SAMPLED.get(plain(benchmark), "greedy")


def samplings(settings: AnsweringSettings, seed: int) -> dict[Decoding, Sampling]:
    """The sampling of each decoding; alike for every model."""
    limit, drawn = settings.max_new_tokens, derive_seed(seed, "answering")
    return {
        "nucleus": Sampling(limit, settings.temperature, settings.top_p, drawn),
        "all_tokens": Sampling(limit, 1.0, 1.0, drawn),
        "greedy": Sampling(limit, 0.0),
    }


def in_words(decoding: Decoding, settings: AnsweringSettings) -> str:
    """A decoding as a reader of figures knows it."""
    if decoding == "nucleus" and settings.temperature > 0:
        nucleus = f"nucleus {settings.top_p:g}" if settings.top_p < 1 else "all tokens"
        warmth = "" if settings.temperature == 1 else f", temperature {settings.temperature:g}"
        return nucleus + warmth
    return "all tokens" if decoding == "all_tokens" else "greedy"


def tell_decodings(figures: Mapping[str, Any], settings: AnsweringSettings) -> None:
    """Writes beside each figure of each model how its answers were decoded."""
    told = {m.key: in_words(decoding_of(m.benchmark), settings) for m in METRICS}
    told["malformed_rate"] = in_words("nucleus", settings)
    for each in figures["models"].values():
        for key, figure in each.items():
            if key in told:
                figure["decoding"] = told[key]
