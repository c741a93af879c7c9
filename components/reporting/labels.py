"""What keys are called: read from `labels.yaml`; a key that is not there is shown as it is."""

import functools
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import yaml

MODELS = ("base", "dpo", "ppo")


@dataclass(frozen=True)
class Metric:
    """How a figure is called and read.

    Attributes:
        key: Its key in `figures.json`.
        label: Its name for people.
        short: The same for a terminal's narrow columns.
        lower_is_better: Which way is good; None where nobody has said.
    """

    key: str
    label: str
    short: str
    lower_is_better: bool | None

    @property
    def better(self) -> str:
        """`lower`, `higher` or nothing."""
        return {True: "lower", False: "higher", None: ""}[self.lower_is_better]

    @property
    def arrow(self) -> str:
        """The way that is good, as an arrow."""
        return {True: "↓", False: "↑", None: ""}[self.lower_is_better]


@functools.cache
def labels() -> dict[str, Any]:
    """The data table: `metrics`, `benchmarks`, `rules` and `facts` by key."""
    return yaml.safe_load((files("components.reporting") / "labels.yaml").read_text("utf-8"))


@functools.cache
def known_metrics() -> dict[str, Metric]:
    """The figures that have a name, in the order in which they are shown."""
    return {
        key: Metric(key, row["label"], row["short"], row["better"] == "lower")
        for key, row in labels()["metrics"].items()
    }


def metric_of(key: str) -> Metric:
    """How a figure is called and read; an unknown one by its key, and by how that ends."""
    ends = labels()["endings"]
    lower = next((ends[end] == "lower" for end in ends if key.endswith(end)), None)
    return known_metrics().get(key) or Metric(key, spaced(key), spaced(key), lower)


def is_control(benchmark: str) -> bool:
    """Whether items of this benchmark are blind controls of another's."""
    return "." in benchmark


def benchmark_label(key: str) -> str:
    """A benchmark's name; of its blind controls with what they show instead."""
    name, _, control = key.partition(".")
    label = str(labels()["benchmarks"].get(name, {"label": spaced(name)})["label"])
    return f"{label}, {control} picture" if control else label


def benchmark_order(key: str) -> tuple[int, str]:
    """Sorts benchmarks as the data table does, unknown ones last."""
    known = list(labels()["benchmarks"])
    return (known.index(key) if key in known else len(known), key)


def counts_faults(benchmark: str) -> bool:
    """Whether a benchmark's score is itself the fault; unknown ones count what is wanted."""
    return labels()["benchmarks"].get(benchmark.partition(".")[0], {"fault": False})["fault"]


def rule_label(name: str) -> str:
    """A promotion rule's name."""
    return labels()["rules"].get(name, spaced(name))


def fact_label(name: str) -> str:
    """A fact's name."""
    return labels()["facts"].get(name, spaced(name))


def stage_label(stage: str) -> str:
    """A stage's name: its kind, and whose it is where there are several."""
    kind, _, whose = stage.partition("-")
    name = str(labels()["stages"].get(kind, spaced(kind)))
    return f"{name}, {model_label(whose).replace('-', ' ')}" if whose else name


def stage_order(stage: str) -> tuple[int, str]:
    """Sorts stages as the DAG does, unknown ones last."""
    known = list(labels()["stages"])
    kind = stage.partition("-")[0]
    return (known.index(kind) if kind in known else len(known), stage)


def model_label(model: str) -> str:
    """A model's name: `base` as it is, methods in capitals."""
    return model.upper() if model in MODELS[1:] else spaced(model)


def spaced(key: str) -> str:
    """A key for people."""
    return key.replace("_", " ")
