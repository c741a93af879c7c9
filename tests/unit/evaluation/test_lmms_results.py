"""What lmms-eval's results mean: which figures have an interval, and which one."""

import math
from typing import Any

import pytest

from components.evaluation.lmms_results import Capability, read_results
from spavl.statistics import rate

NONE = {"stderr": "N/A", "stderr_clt": "N/A", "stderr_clustered": "N/A"}


def results(n: int, value: Any, metric: str = "score,none", **errors: Any) -> dict[str, Any]:
    """A results file with one figure, in the layout that lmms-eval 0.7.3 writes."""
    name, _, filtered = metric.partition(",")
    told = {f"{name}_{key},{filtered}": error for key, error in {**NONE, **errors}.items()}
    return {
        "results": {"pope": {"alias": "pope", metric: value, **told}},
        "group_subtasks": {"pope": []},
        "higher_is_better": {"pope": {name: True}},
        "n-samples": {"pope": {"original": 9000, "effective": n}},
    }


def figure(content: dict[str, Any]) -> Capability:
    (found,) = read_results(content, 0.95).values()
    return found


def test_a_share_of_right_answers_gets_wilsons_interval() -> None:
    error = math.sqrt(0.8 * 0.2 / 9)
    of_figure = figure(results(10, 0.8, stderr=error, stderr_clt=error))
    of_scores = figure(results(10, 0.8, stderr_clt=error))  # as POPE's accuracy has it
    wilson = rate(8, 10)
    assert of_figure == of_scores == Capability(0.8, wilson.low, wilson.high, 10, "higher")


def test_percentages_are_known_by_their_standard_error() -> None:
    error, wilson = math.sqrt(0.8 * 0.2 / 9), rate(8, 10)
    for told in ({"stderr_clt": error}, {"stderr": 100 * error}):
        found = figure(results(10, 80.0, **told))
        assert (found.low, found.high) == (100 * (wilson.low or 0), 100 * (wilson.high or 0))


def test_a_share_without_a_single_fault_still_has_an_interval() -> None:
    found = figure(results(5, 1.0, stderr=0.0, stderr_clt=0.0))
    assert (found.low, found.high) == (pytest.approx(0.0375 ** (1 / 5), abs=1e-4), 1.0)


def test_the_unit_of_a_figure_that_is_0_everywhere_is_unknown() -> None:
    found = figure(results(5, 0.0, stderr=0.0, stderr_clt=0.0))
    assert (found.value, found.low, found.high, found.n) == (0.0, None, None, 5)
    assert found.note.endswith("does not show its unit")
    signed = figure(results(50, 0.0, stderr=0.05))  # its spread is in its own unit
    assert (signed.low, signed.high) == pytest.approx((-0.098, 0.098), abs=1e-3)


def test_names_from_the_results_hold_no_control_signs() -> None:
    (name,) = read_results(results(10, 0.5, "sc\x1b[2Jore\n,none"), 0.95)
    assert name == "pope/sc [2Jore "


def test_a_mean_of_grades_gets_the_normal_interval() -> None:
    found = figure(results(50, 0.61, stderr=0.05, stderr_clt=0.05))
    assert (found.low, found.high) == (
        pytest.approx(0.512, abs=1e-3),
        pytest.approx(0.708, abs=1e-3),
    )


def test_questions_about_one_picture_are_not_independent() -> None:
    error = math.sqrt(0.8 * 0.2 / 9)
    found = figure(results(10, 0.8, stderr_clt=error, stderr_clustered=0.2))
    assert (found.low, found.high) == (pytest.approx(0.8 - 1.96 * 0.2, abs=1e-4), 1.0)


def test_the_error_of_the_scores_is_not_taken_for_another_figures() -> None:
    f1 = figure(results(10, 0.77, stderr_clt=math.sqrt(0.8 * 0.2 / 9)))
    assert (f1.value, f1.low, f1.high, f1.n) == (0.77, None, None, 10)
    assert "no interval" in f1.note


def test_what_is_no_number_is_told() -> None:
    for value in (None, [], math.nan):
        found = figure(results(10, value))
        assert (found.value, found.n) == (None, 0)
        assert found.note.startswith("no number")


def test_filters_groups_and_directions_are_read() -> None:
    content = results(10, 0.5, "exact_match,flexible")
    content["results"]["both"] = {"alias": "both", "wer,none": 0.3}
    content["group_subtasks"]["both"] = ["pope", "other"]
    content["n-samples"]["other"] = {"original": 7, "effective": 5}
    content["higher_is_better"]["both"] = {"wer": False}
    found = read_results(content, 0.95)
    assert list(found) == ["pope/exact_match/flexible", "both/wer"]
    assert (found["both/wer"].n, found["both/wer"].better) == (15, "lower")
