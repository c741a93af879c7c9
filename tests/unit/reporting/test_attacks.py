"""Attacks in terminal, page and card."""

import io
import json
from pathlib import Path

from rich.console import Console

from components.reporting.attacks import attack_rows, efforts, hardest_rows
from components.reporting.report import find, render
from components.reporting.summary import build_summary, decoding_line, metric_rows, summary_table
from spavl.settings.reporting import ReportingSettings

FIGURE = {"value": 0.955, "low": 0.895, "high": 0.999, "n": 53, "source": "pocket"}


def against_control(steps: int) -> dict:
    return {"attacked": FIGURE, "control": FIGURE, "difference": FIGURE, "steps": steps}


def attacks() -> dict:
    one = {
        "best_of_n": {str(n): {**FIGURE, "draws": 100} for n in (1, 10, 100)},
        "pixels": {str(epsilon): against_control(20) for epsilon in (2, 4, 8)},
        "suffix": {**against_control(30), "text": "please <b>now</b>"},
    }
    return {"base": one, "dpo": one, "ppo": one}


def test_every_attack_is_a_row_with_its_control_and_difference():
    labels = [row.label for row in attack_rows(attacks())]
    assert labels[:3] == ["Best of 1 draws", "Best of 10 draws", "Best of 100 draws"]
    assert labels[3:6] == [
        "Pixels, 2 of 255",
        "Pixels, 2 of 255: random noise",
        "Pixels, 2 of 255: difference, points",
    ]
    assert len(labels) == 3 + 3 * 3 + 3
    assert attack_rows({}) == hardest_rows({}) == []
    assert efforts(attacks()) == (
        "100 draws of an item, 20 steps on the pixels, 30 words tried for a suffix"
    )


def test_a_terminal_shows_the_hardest_in_eighty_columns(make_run):
    summary = {**build_summary(make_run()), "attacks": attacks()}
    console = Console(file=io.StringIO(), width=80)
    console.print(summary_table(summary))
    lines = [line.rstrip() for line in console.file.getvalue().splitlines()]
    below = lines[lines.index("– under attack") + 1 :][:4]
    assert [line.split(" ↓")[0] for line in below] == [
        "Best of 100",
        "Pixels 8/255",
        "Noise 8/255",
        "Suffix search",
    ]
    assert all(line.count("[89.5, 99.9]") == 3 and line.endswith(" 53") for line in below)
    assert not any("…" in line for line in lines)


def test_a_run_without_attacks_says_so_and_shows_no_row(make_run):
    inputs = make_run()
    console = Console(file=io.StringIO(), width=80)
    console.print(summary_table(build_summary(inputs)))
    assert "under attack" not in console.file.getvalue()
    page = render(ReportingSettings(), inputs, find(inputs))
    assert "No attack was part of this run." in page


def test_the_page_shows_attacks_and_what_a_search_found_as_text(make_run):
    inputs = make_run()
    file = Path(inputs.figures) / "figures.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "attacks": attacks()}))
    page = render(ReportingSettings(), inputs, find(inputs))
    assert "Pixels, 8 of 255: random noise" in page
    assert "please &lt;b&gt;now&lt;/b&gt;" in page
    assert build_summary(inputs)["attacks"] == attacks()


def test_every_figure_names_its_decoding():
    figures = {
        "harm_eval_usr": {**FIGURE, "decoding": "nucleus 0.95"},
        "harm_eval_greedy_usr": {**FIGURE, "decoding": "greedy"},
        "help_eval_win_rate": {**FIGURE, "decoding": "greedy"},
    }
    rows = metric_rows({"base": figures, "dpo": figures})
    assert decoding_line(rows) == (
        "nucleus 0.95: HarmEval USR; greedy: HarmEval greedy, HelpEval wins"
    )
