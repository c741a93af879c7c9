"""The house holds: light imports, a lock that says what pyproject.toml says, data files packed."""

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterable, Iterator
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tools.house import circles

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("spavl", "components", "pipelines")
HEAVY = {"torch", "transformers", "kfp", "mlflow", "scipy", "matplotlib", "pandas", "pyarrow"}


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def declared(*extras: str) -> list[Requirement]:
    """What pyproject.toml asks for, and what it asks for besides for some extras."""
    table = project()["project"]
    asked = [line for extra in extras for line in table["optional-dependencies"][extra]]
    return [Requirement(line) for line in table["dependencies"] + asked]


LOCKS = {"requirements.lock": ("install",), "requirements-dev.lock": ("install", "dev")}
"""The locks, and the extras that each is made for."""


def pinned(lock: str) -> dict[str, str]:
    """A lock as {canonical name: version}, torch's own lock with it."""
    text = (ROOT / lock).read_text() + (ROOT / "torch.lock").read_text()
    pins = re.findall(r"^([A-Za-z0-9._-]+)==([A-Za-z0-9.!]+) \\$", text, re.M)
    return {canonicalize_name(name): version for name, version in pins}


OF_CUDA = ("nvidia-", "cuda-", "triton")


def closure(roots: Iterable[Requirement]) -> set[str]:
    """Names of all distributions that the roots need, as the installed metadata says."""
    todo, seen = list(roots), set()
    while todo:
        root = todo.pop()
        key = (canonicalize_name(root.name), frozenset(root.extras))
        if key in seen:
            continue
        seen.add(key)
        for line in requires(root.name) or []:
            need = Requirement(line)
            if root.name == "torch" and need.name.startswith(OF_CUDA):
                continue  # which build of torch lies here is the set-up's choice
            extras = root.extras or {""}
            if need.marker is None or any(need.marker.evaluate({"extra": e}) for e in extras):
                todo.append(need)
    return {name for name, _ in seen}


def imported(package: str) -> Iterator[tuple[str, Path]]:
    """Top-level names that a package's modules import, absolutely."""
    for path in sorted((ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from ((alias.name.split(".")[0], path) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield node.module.split(".")[0], path


def modules_after(code: str) -> set[str]:
    """Top-level names in sys.modules after the code ran in a fresh interpreter."""
    ask = f"import sys\n{code}\nprint('MODULES', *{{m.split('.')[0] for m in sys.modules}})"
    return set(run("-c", ask).rsplit("MODULES", 1)[1].split())


def run(*arguments: str) -> str:
    """What a fresh interpreter prints, in the project's folder."""
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_commands_help_loads_no_heavy_library():
    code = (
        "sys.argv = ['spavl', '--help']\n"
        "from pipelines.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code"
    )
    assert modules_after(code) & HEAVY == set()


def test_settings_and_room_packages_load_no_heavy_library():
    settings = [f"spavl.settings.{p.stem}" for p in (ROOT / "spavl/settings").glob("[a-z]*.py")]
    rooms = [f"components.{p.parent.name}" for p in (ROOT / "components").glob("*/__init__.py")]
    code = "\n".join(f"import {name}" for name in sorted(settings + rooms))
    assert modules_after(code) & (HEAVY - {"pyarrow"}) == set()


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_of_a_lock_fits_pyproject_and_has_hashes(lock: str):
    pins = pinned(lock)
    for need in declared(*LOCKS[lock]):
        version = pins[canonicalize_name(need.name)]
        assert need.specifier.contains(version), f"{need} is locked at {version}"
    entries = re.split(r"^(?=[A-Za-z0-9])", (ROOT / lock).read_text(), flags=re.M)
    pinned_there = [entry for entry in entries if "==" in entry]
    assert len(pinned_there) == len(pins) - 1  # torch's stands in its own
    assert all("--hash=sha256:" in entry for entry in pinned_there)


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_holds_what_pyproject_needs_and_nothing_else(lock: str):
    assert set(pinned(lock)) == closure(declared(*LOCKS[lock]))


def test_running_and_development_have_the_same_versions():
    running, development = map(pinned, LOCKS)
    assert running.items() <= development.items()


@pytest.mark.parametrize(
    ("build", "asked"),
    [("", '"torch=={}"'), ("cpu", '"torch=={}+cpu"'), ("cuda", '"torch==={}"')],
)
def test_set_up_asks_for_the_build_of_torch_that_is_named(build: str, asked: str, tmp_path: Path):
    ran = subprocess.run(
        ["make", "--no-print-directory", "-n", "setup", f"TORCH={build}", f"VENV={tmp_path / 'v'}"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    version = pinned("requirements.lock")["torch"]
    assert f"--report - {asked.format(version)}" in ran


def test_set_up_refuses_a_build_of_torch_that_there_is_not(tmp_path: Path):
    ran = subprocess.run(
        ["make", "--no-print-directory", "setup", "TORCH=rocm", f"VENV={tmp_path / 'none'}"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert ran.returncode == 2
    assert ran.stdout == "setup: no build of torch: TORCH=rocm; say TORCH=cpu or TORCH=cuda\n"
    assert not (tmp_path / "none").exists()


def test_every_imported_library_is_declared():
    owners = packages_distributions()
    names = {canonicalize_name(need.name) for need in declared("dev", "install")}
    known = set(sys.stdlib_module_names) | set(PACKAGES) | {"tests", "benchmarks", "tools"}
    # What the trainer's image has besides, and what confines the decoder, need not be here.
    optional = project()["project"]["optional-dependencies"]
    known |= {Requirement(line).name for name in ("trainer", "confined") for line in optional[name]}
    missing = {
        f"{path.relative_to(ROOT)}: {name}"
        for package in (*PACKAGES, "tests")
        for name, path in imported(package)
        if name not in known and not {canonicalize_name(o) for o in owners.get(name, [])} & names
    }
    assert not missing


def test_the_wheel_carries_every_data_file(tmp_path: Path):
    run("-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path))
    packed = set(zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist())
    files = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert files - packed == set()


def test_no_modules_import_each_other_however_far_around() -> None:
    assert circles() == []
