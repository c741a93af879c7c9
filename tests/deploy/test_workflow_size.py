"""How long a run's Workflow becomes: what adds to it, by how much."""

from typing import Any

from pipelines.compilation import PIPELINES, compiled
from pipelines.targeting import Target
from tests.deploy.workflow_size import Run

TASKS = 4


def run_of(settings: dict[str, Any], items: int = TASKS) -> Run:
    ir, platform = compiled(PIPELINES["spa_vl"], Target(sizes="laptop"))
    pods = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    return Run(ir, pods, settings, items)


def test_a_setting_stands_six_times_for_each_task_that_is_given_it() -> None:
    text = "x" * 1000
    longer = run_of({"responses": {"a": text}}).length - run_of({"responses": {"a": ""}}).length
    assert longer == 6 * TASKS * len(text)


def test_each_answering_task_adds_the_same() -> None:
    lengths = [run_of({}, items).length for items in (1, 2, 3)]
    assert lengths[2] - lengths[1] == lengths[1] - lengths[0] > 0
