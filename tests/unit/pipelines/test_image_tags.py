"""Tags of images: a change reaches the stages that it can affect, and no others."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.image_tags import image_tags

ROOT = Path(__file__).resolve().parents[3]
DOOR = re.compile(r'base_image="(spa-vl/[a-z]+:[a-z_.]+)"')
ASK = (
    "import json, sys; from pipelines.compilation import stage_image;"
    "print(json.dumps({door: stage_image(door, '') for door in sys.argv[1:]}))"
)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of what tags are made from, to be changed."""
    for name in ("spavl", "components", "pipelines", "images"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def tags(tree: Path) -> dict[str, str]:
    """Door to image reference, as the tree's own code computes it."""
    sources = [path.read_text() for path in (tree / "components").glob("*/component.py")]
    doors = sorted({door for source in sources for door in DOOR.findall(source)})
    done = subprocess.run(
        [sys.executable, "-c", ASK, *doors],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def changed(tree: Path, file: str) -> set[str]:
    """The stages whose tags differ after a comment was added to a file."""
    before = tags(tree)
    path = tree / file
    path.write_text(path.read_text() + "\n# another line\n")
    after = tags(tree)
    return {door.split(":")[1] for door in before if before[door] != after[door]}


def test_a_change_in_the_report_changes_its_tag_alone(tree: Path) -> None:
    assert changed(tree, "components/reporting/report.py") == {"components.reporting.report"}


@pytest.mark.parametrize(
    ("file", "stages"),
    [
        ("spavl/alignment/ppo_math.py", {"ppo"}),
        ("spavl/alignment/rankings.py", {"reward_modeling"}),
        ("spavl/alignment/loop.py", {"dpo", "ppo", "reward_modeling"}),
    ],
)
def test_a_change_in_alignment_changes_exactly_the_stages_that_import_it(
    tree: Path, file: str, stages: set[str]
) -> None:
    assert changed(tree, file) == {f"components.{stage}" for stage in stages}


def test_a_change_in_the_command_line_changes_no_tag(tree: Path) -> None:
    assert changed(tree, "pipelines/cli.py") == set()


def test_a_lock_changes_the_tags_of_its_image_alone(tree: Path) -> None:
    found = changed(tree, "images/pipeline/requirements.lock")
    doors = set(tags(tree))
    assert found == {door.split(":")[1] for door in doors if door.startswith("spa-vl/pipeline:")}


def test_each_image_has_the_tags_that_the_compiled_pipelines_ask_for() -> None:
    found = image_tags("registry.example/team")
    assert set(found) == {"pipeline", "trainer"}
    for image, references in found.items():
        assert len(references) == len(set(references)) > 5
        for reference in references:
            assert re.fullmatch(
                rf"registry\.example/team/spa-vl/{image}:[0-9a-f]{{16}}", reference
            ), reference
