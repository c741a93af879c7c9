"""The documentation is current: every error line is explained, every link leads somewhere."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

from components.configuration import resolve
from pipelines.cli import app

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
ERRORS = {
    "InputError",
    "CorruptShardError",
    "BusyError",
    "AwayError",
    "RunFailedError",
    "TrainingFailedError",
}


def literal(node: ast.expr) -> str | None:
    """A string as it is written, with `…` for what varies; None if it is no literal."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        parts = [str(p.value) if isinstance(p, ast.Constant) else "…" for p in node.values]
        return "".join(parts)
    return None


def error_lines() -> Iterator[tuple[str, str]]:
    """What is wrong, by the first argument of every error of ours, and where it is raised."""
    for package in ("spavl", "components", "pipelines"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
                    continue
                if node.func.id in ERRORS and node.args and (what := literal(node.args[0])):
                    yield what, f"{path.relative_to(ROOT)}:{node.lineno}"


def test_every_error_line_is_explained() -> None:
    text = (ROOT / "docs/troubleshooting.md").read_text()
    explained = {row.split("`")[1] for row in text.splitlines() if row.startswith("| `")}
    told = {what: where for what, where in error_lines() if re.search(r"\w", what.replace("…", ""))}
    assert len(told) > 50
    missing = {f"{where}: {what}" for what, where in told.items() if what not in explained}
    assert not missing, "add rows to docs/troubleshooting.md"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_within_the_project_leads_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (document.parent / path).resolve() if path else document
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(file.read_text()), target


def blocks(document: Path, language: str) -> list[str]:
    """Code of a language in a document, indented or not."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```", document.read_text(), re.M | re.S)
    return [re.sub(rf"^{indent}", "", code, flags=re.M) for indent, code in found]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_profile_in_the_documents_resolves(document: Path, tmp_path: Path) -> None:
    for number, code in enumerate(blocks(document, "yaml")):
        if "extends" in yaml.safe_load(code):
            (tmp_path / f"{number}.yaml").write_text(code)
            assert resolve(str(tmp_path / f"{number}.yaml"))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_in_the_documents_exists(document: Path) -> None:
    for line in "\n".join(blocks(document, "sh")).splitlines():
        words = line.partition("#")[0].split()
        if not words or words[0] != "spavl":
            continue
        command = get_command(app)
        for word in words[1:]:
            command = getattr(command, "commands", {}).get(word, command)
        known = {option for parameter in command.params for option in parameter.opts}
        given = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert given <= known | {"--help", "--install-completion"}, line


def anchors(markdown: str) -> set[str]:
    """Anchors of the headings, as forges make them."""
    headings = re.findall(r"^#+ (.+)$", markdown, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in headings}
