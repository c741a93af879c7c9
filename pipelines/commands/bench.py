"""`spavl bench`: ours against a named baseline in one run."""

import importlib
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from spavl.errors import InputError

bench = typer.Typer(help="Measure ours against a named baseline.", no_args_is_help=True)


def _writable(path: Path | None) -> Path | None:
    """Tried before anything is measured: some benchmarks take half an hour."""
    if path is None:
        return None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.open("a").close()
    except OSError as error:
        raise InputError(
            "cannot write there", f"--json {path}", error.strerror or str(error)
        ) from None
    return path


Json = Annotated[
    Path | None,
    typer.Option("--json", help="Write the figures to this file.", callback=_writable),
]
Repetitions = Annotated[int, typer.Option(help="Timed steps of each side.", min=1)]
Threads = Annotated[int, typer.Option(help="Torch threads.", min=1)]
Tokens = Annotated[int, typer.Option(help="Most packed tokens of one forward pass.", min=64)]
Pictures = Annotated[int, typer.Option(help="Pictures of a step, three pairs each.", min=1)]


@bench.command()
def dpo(
    json_: Json = None,
    repetitions: Repetitions = 5,
    threads: Threads = 2,
    tokens: Tokens = 4096,
    pictures: Pictures = 1,
    tables: Annotated[
        bool, typer.Option("--tables", help="Also over picture tokens, answers, their lengths.")
    ] = False,
) -> None:
    """DPO on a LLaVA of 66 million weights against shared prompts, plain rows and TRL."""
    module = _benchmark("dpo", threads)
    shape = importlib.import_module("benchmarks.llava_world").Shape(pictures=pictures)
    found = module.run(shape, repetitions, tokens, keep=lambda figures: _keep(figures, json_))
    if tables:
        found["tables"] = {}
        for table, name, figures in module.tables(shape, found, repetitions, tokens):
            typer.echo(f"{table} {name}: time_ratio {figures['time_ratio']:.3f}", err=True)
            found["tables"].setdefault(table, {})[name] = figures
            _keep(found, json_)
    _tell(found, json_)


@bench.command()
def reward(
    json_: Json = None,
    repetitions: Repetitions = 5,
    threads: Threads = 2,
    tokens: Tokens = 4096,
    pictures: Pictures = 1,
) -> None:
    """A reward model on the same LLaVA against a plain trainer of two sequences a pair."""
    module = _benchmark("reward", threads)
    shape = importlib.import_module("benchmarks.llava_world").Shape(pictures=pictures)
    found = module.run(shape, repetitions, tokens, keep=lambda figures: _keep(figures, json_))
    _tell(found, json_)


@bench.command()
def ppo(
    json_: Json = None,
    repetitions: Repetitions = 1,
    threads: Threads = 2,
    lean: Annotated[
        bool, typer.Option("--lean", help="Also against plain models with the head on answers.")
    ] = False,
    memory: Annotated[
        bool, typer.Option(help="Measure memory too, in a fresh process a side.")
    ] = True,
) -> None:
    """PPO and RLOO on the same LLaVA, 8 prompts x 4 rollouts, against four plain models."""
    sides = ("ours", "lora", "rloo", "plain", *(("lean",) if lean else ()))
    module = _benchmark("ppo", threads)
    _tell(module.run(None, repetitions, memory, sides, lambda f: _keep(f, json_)), json_)


@bench.command(name="eval")
def eval_(json_: Json = None, repetitions: Repetitions = 2, threads: Threads = 2) -> None:
    """Answering a benchmark in batches with shared prompt caches, against one by one."""
    _tell(_benchmark("eval", threads).run(None, repetitions), json_)


@bench.command()
def chat(
    json_: Json = None,
    repetitions: Repetitions = 3,
    calls: Annotated[int, typer.Option(help="Calls of one repetition.", min=1)] = 3200,
) -> None:
    """The chat client at 64 calls at once against an endpoint of 200 ms, and against ideal."""
    module = _benchmark("chat")
    _tell(module.run(module.Shape(calls=calls), repetitions), json_)


@bench.command()
def data(
    json_: Json = None,
    repetitions: Repetitions = 3,
    pictures: Annotated[
        int, typer.Option(help="Pictures, three questions each; a multiple of 8.", min=800)
    ] = 33_600,
    memory: Annotated[
        bool, typer.Option(help="Measure memory too, at 10,000 and 100,788 rows.")
    ] = True,
) -> None:
    """Data construction at SPA-VL's size against Hugging Face datasets."""
    module = _benchmark("data", threads=1)
    shape = importlib.import_module("benchmarks.data_world").Shape(
        pictures=pictures, rows=3 * pictures - 12, block=pictures // 8
    )
    _tell(module.run(shape, repetitions, memory), json_)


@bench.command()
def coverage(
    json_: Json = None,
    draws: Annotated[int, typer.Option(help="Samples of each cell.", min=100)] = 10_000,
    seed: Annotated[int, typer.Option(help="Seed of all.")] = 16,
    more: Annotated[
        bool, typer.Option("--more", help="Also at sizes and rates beside the named ones.")
    ] = False,
) -> None:
    """Simulated coverage and width of the intervals of figures; a table on standard error."""
    module = _benchmark("coverage")
    found = module.run(draws, seed, more)
    typer.echo(module.table(found), err=True)
    _tell(found, json_)


@bench.command()
def judges(
    labels: Annotated[
        Path, typer.Option(help="XSTest's folder, with the labelled `model_completions/*.csv`.")
    ],
    json_: Json = None,
    second_half: Annotated[
        bool,
        typer.Option(
            "--second-half", help="Also on the half of the prompts kept back while judges change."
        ),
    ] = False,
) -> None:
    """Judges of refusal against people's labels, beside plain string matching."""
    halves = ("first", "second") if second_half else ("first",)
    _tell(_benchmark("judges").run(labels, halves), json_)


def _benchmark(name: str, threads: int | None = None) -> Any:
    """A module of the source tree's `benchmarks`; with threads, torch is loaded and held to them.

    Where no model is measured torch stays out: its objects lengthen every garbage collection.
    """
    try:
        module = importlib.import_module(f"benchmarks.{name}")
    except ModuleNotFoundError as error:
        if error.name not in ("benchmarks", "trl", "datasets"):
            raise
        raise InputError(
            f"no module {error.name!r}",
            f"bench {name}",
            "run it in a checkout of the source that was set up with the dev extra",
        ) from None
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    return module


def _tell(found: dict[str, Any], path: Path | None) -> None:
    print(json.dumps(found, indent=2))
    _keep(found, path)


def _keep(found: dict[str, Any], path: Path | None) -> None:
    if path is not None:
        path.write_text(json.dumps(found, indent=2) + "\n")


@bench.command()
def gate(
    json_: Json = None,
    chains: Annotated[int, typer.Option(help="Chains of twelve candidates.", min=1)] = 200,
    draws: Annotated[int, typer.Option(help="Decisions of each other case.", min=1)] = 1000,
    seed: Annotated[int, typer.Option(help="Seed of the simulation.", min=0)] = 1,
) -> None:
    """How often the promotion gate errs, by simulation with models whose rates are known."""
    _tell(_benchmark("gate", 1).run(chains, draws, seed), json_)
