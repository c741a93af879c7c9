"""A stage's digest changes with what the stage can feel, and with nothing else."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from spavl.digests import folder_digest, import_closure, json_digest

PROJECT = Path(__file__).parents[3]


def test_the_closure_holds_what_a_module_imports_and_no_more() -> None:
    closure = import_closure("components.labeling.judging")
    assert {"components.labeling.judging", "spavl.records", "spavl.shards"} <= closure
    assert not {name for name in closure if name.startswith(("pipelines", "components.dpo"))}
    assert not {name for name in closure if name.endswith(".component")}


def digests(project: Path, *modules: str) -> list[str]:
    script = (
        "import sys; from spavl.digests import code_digest\n"
        "print(*[code_digest(name) for name in sys.argv[1:]])"
    )
    ended = subprocess.run(
        [sys.executable, "-S", "-c", _with_site_packages(script), *modules],
        cwd=project,
        capture_output=True,
        text=True,
        check=True,
    )
    return ended.stdout.split()


def _with_site_packages(script: str) -> str:
    """Imports our packages from the working directory, all others from where they are."""
    others = [path for path in sys.path if path.endswith("-packages")]
    return f"import sys; sys.path[:0] = ['.']; sys.path += {others!r}\n{script}"


@pytest.mark.parametrize(
    ("touched", "changes"),
    [
        ("components/reporting/report.py", [True, False, False]),
        ("components/dpo/component.py", [False, False, False]),
        ("spavl/alignment/losses.py", [False, True, False]),
        ("spavl/shards.py", [True, True, True]),
    ],
)
def test_a_comment_touches_only_the_stages_that_import_it(
    tmp_path: Path, touched: str, changes: list[bool]
) -> None:
    for name in ("spavl", "components", "pipelines"):
        shutil.copytree(PROJECT / name, tmp_path / name)
    modules = ("components.reporting.report", "components.dpo", "components.labeling.judging")
    before = digests(tmp_path, *modules)
    with (tmp_path / touched).open("a") as source:
        source.write("# a comment\n")
    after = digests(tmp_path, *modules)
    assert [old != new for old, new in zip(before, after, strict=True)] == changes


def test_a_folders_digest_follows_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    first = folder_digest(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    second = folder_digest(tmp_path)
    (tmp_path / "b").write_text("2")
    assert len({first, second, folder_digest(tmp_path)}) == 3


def test_json_digests_ignore_key_order() -> None:
    assert json_digest({"a": 1, "b": 2}) == json_digest({"b": 2, "a": 1})
