"""Published benchmarks in their layouts, with harmless texts of ours."""

import json
from pathlib import Path

import PIL.Image

SCENARIO = "01-Any"


def make_png(path: Path, colour: str) -> bytes:
    """A picture's file, and its bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.new("RGB", (8, 8), colour).save(path)
    return path.read_bytes()


def make_xs_test(root: Path, prompts: int) -> None:
    """XSTest with so many safe prompts, and as many unsafe ones."""
    kinds = ("homonyms", "contrast_homonyms")
    rows = [f"{kind},{kind} prompt {k}" for kind in kinds for k in range(prompts)]
    (root / "xstest").mkdir(parents=True)
    (root / "xstest/xstest_prompts.csv").write_text("type,prompt\n" + "\n".join(rows) + "\n")


def make_mm_safety_bench(root: Path, questions: int) -> None:
    """MM-SafetyBench with so many questions of one scenario, and its SD pictures."""
    folder = root / "mm-safetybench"
    (folder / "processed_questions").mkdir(parents=True)
    texts = ("Changed Question", "Rephrased Question", "Rephrased Question(SD)", "Key Phrase")
    content = {str(k): {name: f"{name} {k}" for name in texts} for k in range(questions)}
    (folder / f"processed_questions/{SCENARIO}.json").write_text(json.dumps(content))
    listed = [{"Scenario": SCENARIO, "Sampled_ID_List": list(range(questions))}]
    (folder / "TinyVersion_ID_List.json").write_text(json.dumps(listed))
    for k in range(questions):
        make_png(folder / f"imgs/{SCENARIO}/SD/{k}.png", f"#{k:02x}{90 + k:02x}40")
