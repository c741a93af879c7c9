"""How large the house is, and how clear: lines, functions, parameters, settings, names, circles.

    python -m tools.house [--json FILE]

Product code is `spavl`, `components` and `pipelines`; tests and benchmarks are counted apart.
"""

import argparse
import ast
import json
import statistics
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grimp
import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

ROOT = Path(__file__).resolve().parents[1]
PRODUCT = ("spavl", "components", "pipelines")
SAME_EVERYWHERE = {"__init__.py", "component.py"}
Function = ast.FunctionDef | ast.AsyncFunctionDef


def files_of(folder: str) -> list[Path]:
    """Python files of a folder of the project."""
    return sorted((ROOT / folder).rglob("*.py"))


def lines_of(paths: list[Path]) -> int:
    """Lines of all of them, empty ones included."""
    return sum(len(path.read_text().splitlines()) for path in paths)


def functions_of(paths: list[Path]) -> Iterator[tuple[str, Function]]:
    """Every function and method, with where it stands."""
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, Function):
                yield f"{path.relative_to(ROOT)}:{node.name}", node


def parameters_of(function: Function) -> int:
    """Parameters, without self and cls."""
    given = function.args
    named = [*given.posonlyargs, *given.args, *given.kwonlyargs]
    return len([each for each in named if each.arg not in ("self", "cls")])


def reused_names(paths: list[Path]) -> dict[str, list[str]]:
    """File names that stand for several files."""
    names = Counter(path.name for path in paths)
    return {
        name: [str(path.relative_to(ROOT)) for path in paths if path.name == name]
        for name, count in sorted(names.items())
        if count > 1 and name not in SAME_EVERYWHERE
    }


def circles() -> list[list[str]]:
    """Modules that import each other, however far around; for types alone does not count."""
    graph = grimp.build_graph(*PRODUCT, exclude_type_checking_imports=True)
    modules = sorted(graph.modules)
    number = {name: place for place, name in enumerate(modules)}
    edges = [
        (number[name], number[imported])
        for name in modules
        for imported in graph.find_modules_directly_imported_by(name)
    ]
    rows, columns = np.array(edges).T
    matrix = csr_array((np.ones(len(edges)), (rows, columns)), shape=(len(modules),) * 2)
    _, labels = connected_components(matrix, connection="strong")
    members: dict[int, list[str]] = {}
    for name, label in zip(modules, labels.tolist(), strict=True):
        members.setdefault(label, []).append(name)
    return [found for found in members.values() if len(found) > 1]


def settings_count() -> int:
    """Settings that a profile may give, those of chat backends once each."""
    from components.configuration.reference import settings_reference

    return sum(line.startswith("| `") for line in settings_reference().splitlines())


def measured() -> dict[str, Any]:
    """All figures."""
    product = [path for folder in PRODUCT for path in files_of(folder)]
    functions = dict(functions_of(product))
    lengths = {name: (node.end_lineno or 0) - node.lineno + 1 for name, node in functions.items()}
    parameters = {
        name: parameters_of(node)
        for name, node in functions.items()
        if "component.py" not in name and "pipelines/commands/" not in name
    }
    ordered = sorted(lengths.values())
    return {
        "files": len(product),
        "lines": lines_of(product),
        "lines_of_tests": lines_of(files_of("tests")),
        "lines_of_benchmarks": lines_of(files_of("benchmarks")),
        "settings": settings_count(),
        "functions": len(functions),
        "lines_a_function": {
            "median": statistics.median(ordered),
            "p90": ordered[int(0.9 * len(ordered))],
            "max": max(ordered),
        },
        "longest": sorted(lengths.items(), key=lambda each: -each[1])[:10],
        "most_parameters": sorted(parameters.items(), key=lambda each: -each[1])[:10],
        "reused_names": reused_names(product),
        "circles": circles(),
    }


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="How large the house is, and how clear.")
    parser.add_argument("--json", type=Path, help="Write the figures to this file.")
    asked = parser.parse_args()
    text = json.dumps(measured(), indent=2)
    print(text)
    if asked.json:
        asked.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
