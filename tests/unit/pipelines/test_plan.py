"""The plan counts what the stages ask, to the call, and never takes no price for 0."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from components.evaluation.blind import control_items
from components.evaluation.judging import task_of
from components.evaluation.metrics import HELP
from components.evaluation.pocket_items import pocket_items
from pipelines.cli import main
from pipelines.planning import Plan, PlanRequest, make_plan
from spavl.chat.accounts import FOLDER, Heading, heading_line
from spavl.errors import InputError
from spavl.records import Maker, Preference
from spavl.settings.evaluation import BenchmarkSettings
from spavl.shards import DatasetWriter
from tests.unit.evaluation.made_published import make_mm_safety_bench, make_xs_test

JUDGED = """
extends: pocket
evaluation:
  attacks: {items: 20, best_of_n: {draws: 7, counts: [7]}, pixels: {epsilons: [4, 8]}}
  benchmarks: {harm_per_class: 6, help_per_thing: 5, naming_per_thing: 2, harm_suffix_per_class: 5}
  judges:
    - {id: vlm, kind: chat, chat: {backend: openai, base_url: "http://judge/v1", model: judge}}
    - id: guard
      kind: moderation
      moderator:
        format: md_judge.v2
        chat: {backend: openai, base_url: "http://guard/v1", model: guard, prompt_price: 1}
"""


@pytest.fixture(autouse=True)
def _work_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPAVL_WORK_ROOT", str(tmp_path / "work"))


def llava(tmp_path: Path, *overrides: str, pictures: int = 60) -> Plan:
    given = [*overrides, f"evaluation.published.folder={published(tmp_path / 'published')}"]
    request = PlanRequest("llava-1.5-7b", given, pictures=pictures, out=tmp_path / "runs")
    return make_plan(request)


def published(folder: Path) -> Path:
    """The benchmarks that the profile's gate goes by, three items a column."""
    if not folder.exists():
        make_xs_test(folder, 3)
        make_mm_safety_bench(folder, 3)
    return folder


def test_a_data_set_of_60_pictures_is_counted_call_by_call(tmp_path: Path) -> None:
    calls = Counter(
        {(row.heading.stage, row.heading.model): row.calls for row in llava(tmp_path).rows}
    )
    assert calls["questions", "qwen2-5-vl-7b"] == 60 + 180
    assert calls["responses", "qwen2-5-vl-7b"] == 180
    assert calls["responses", "gemini-2.5-flash"] == 2 * 180
    assert sum(n for (stage, _), n in calls.items() if stage == "responses") == 12 * 180
    assert calls["pairing", "md-judge-v0-1"] == 12 * 180
    assert calls["judging", "qwen2-5-vl-72b"] == 2 * 180


def test_the_sample_stands_for_any_number_of_pictures(tmp_path: Path) -> None:
    few, many = (llava(tmp_path, pictures=number) for number in (30, 3000))
    for one, other in zip(few.rows, many.rows, strict=True):
        if one.heading.stage != "scoring":
            assert (other.calls, round(other.prompt_tokens, -3)) == (
                100 * one.calls,
                pytest.approx(100 * one.prompt_tokens, rel=0.01),
            )


def test_judges_are_asked_about_every_models_answer_to_every_item(tmp_path: Path) -> None:
    (tmp_path / "judged.yaml").write_text(JUDGED)
    plan = make_plan(PlanRequest(str(tmp_path / "judged.yaml"), out=tmp_path / "runs"))
    calls = {row.heading.model: row.calls for row in plan.rows}
    sizes = BenchmarkSettings(
        harm_per_class=6,
        help_per_thing=5,
        naming_per_thing=2,
        harm_suffix_per_class=5,
        harm_decodings_per_class=5,
    )
    items = [item for asked in pocket_items(sizes, 42) for item in asked.items]
    asked = sum(bool(task_of(item)) + (item.benchmark in HELP) for item in items)
    blind = [item for asked in control_items(items, 53, 42) for item in asked.items]
    controls = sum(bool(task_of(item)) for item in blind)  # the first judge sees them
    under_attack = 20 * (7 + 2 * 2 + 2)  # draws, pixels and noise, with a suffix and without
    assert calls["judge"] == len(plan.models) * (asked + controls + under_attack)
    moderated = sum(task_of(item) in ("harm", "refusal") for item in items)
    assert calls["guard"] == len(plan.models) * moderated


def test_a_price_is_both_prices_and_none_is_never_0(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "judged.yaml").write_text(JUDGED)
    command = ["spavl", "plan", f"--profile={tmp_path / 'judged.yaml'}", f"--out={tmp_path}"]
    assert told(monkeypatch, capsys, *command).count("no price") == 3
    priced = "--set=evaluation.judges.guard.moderator.chat.completion_price=2"
    content = json.loads(told(monkeypatch, capsys, *command, priced, "--json"))
    by_model = {row["model"]: row for row in content["rows"]}
    assert by_model["judge"]["cost"] is None
    guard = by_model["guard"]
    cost = (guard["prompt_tokens"] + 2 * guard["completion_tokens"]) / 1e6
    assert content["cost"] == guard["cost"] == pytest.approx(cost)
    assert content["rows_without_price"] == 1


def told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *command: str) -> str:
    monkeypatch.setattr("sys.argv", list(command))
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    return capsys.readouterr().out


def test_lengths_are_expected_else_seen_in_earlier_runs_else_assumed(tmp_path: Path) -> None:
    account = tmp_path / "runs" / "pilot" / FOLDER / "pairing-1.calls"
    account.parent.mkdir(parents=True)
    heading = Heading("pairing", "http://spa-vl-model-md-judge-v0-1:8000/v1", "md-judge-v0-1")
    lines = [heading_line(heading)]
    lines += [f"+ {n} 0\n= {n} {400 + n} {2 + n % 2}" for n in range(20)]
    account.write_text("\n".join(lines) + "\n")
    rows = {row.heading.stage: row for row in llava(tmp_path, "labeling.judge.sampling="
        "{max_new_tokens: 256, expected_tokens: 41}").rows}  # fmt: skip
    assert (rows["pairing"].lengths, rows["judging"].lengths) == ("seen", "expected")
    assert rows["questions"].lengths == "assumed"
    assert rows["pairing"].completion_tokens == 2.5 * rows["pairing"].calls
    assert rows["pairing"].prompt_tokens == 409.5 * rows["pairing"].calls
    assert rows["judging"].completion_tokens == 41 * rows["judging"].calls


def test_pictures_are_counted_in_the_sources(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(7):
        (folder / f"{number}.png").touch()
    (tmp_path / "table.csv").write_text("url\nhttp://h/1.png\nhttp://h/2.png\n")
    given = [
        f"collection.addresses={tmp_path / 'table.csv'}",
        f"evaluation.published.folder={published(tmp_path / 'published')}",
    ]
    request = PlanRequest("llava-1.5-7b", given, images=str(folder), out=tmp_path / "runs")
    assert make_plan(request).pictures == 9
    pocket = PlanRequest("pocket", ["collection.pocket_pictures=2"], out=tmp_path / "runs")
    assert make_plan(pocket).pictures == 2 * 45 + 27  # 0.3 harmless ones to each harmful one
    assert make_plan(pocket).rows == ()


def test_what_cannot_be_counted_is_told(tmp_path: Path) -> None:
    for changes, what in (
        ({"overrides": ["collection.hub=hub:some/one"]}, "--pictures"),
        ({"images": str(tmp_path / "nowhere")}, "no such folder"),
        ({"data": str(tmp_path / "nowhere")}, "no such folder"),
    ):
        with pytest.raises(InputError, match=what):
            make_plan(PlanRequest("llava-1.5-7b", out=tmp_path / "runs", **changes))


def test_models_are_expected_to_answer_as_a_given_data_set_does(tmp_path: Path) -> None:
    (tmp_path / "judged.yaml").write_text(JUDGED)
    for name, words in (("short", 10), ("long", 40)):
        with DatasetWriter(tmp_path / name / "train", Preference) as writer:
            for number in range(5):
                writer.add(preference(str(number), "word " * words))

    def read(name: str, *overrides: str) -> float:
        request = PlanRequest(str(tmp_path / "judged.yaml"), overrides, out=tmp_path / "runs")
        plan = make_plan(replace(request, data=str(tmp_path / name)))
        (guard,) = (row for row in plan.rows if row.heading.model == "guard")
        return guard.prompt_tokens / guard.calls

    # 200 characters are longer than the 40 tokens that models may write.
    assert read("long") - read("short") == pytest.approx((160 - 50) / 4, abs=1)
    given = "evaluation.answering.expected_tokens=12.5"
    assert read("long", given) == pytest.approx(read("short"), abs=1)


def preference(name: str, answer: str) -> Preference:
    texts = dict.fromkeys(Preference.__annotations__, name)
    facts = {"chosen": answer, "chosen_safe": True, "rejected_safe": False, "maker": Maker("m")}
    return Preference(**{**texts, **facts})


def test_training_is_planned_beside_the_calls_for_a_model_that_is_not_pockets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    planned = llava(tmp_path, pictures=100)
    assert [stage.stage for stage in planned.training] == ["reward_modeling", "dpo", "ppo"]
    dpo = planned.training[1]
    assert dpo.steps == -(-300 // 8)  # eight pairs a step
    assert dpo.gpu_hours == pytest.approx(3 * dpo.hours)
    folder = f"--set=evaluation.published.folder={tmp_path / 'published'}"
    command = ["spavl", "plan", "--profile=llava-1.5-7b", "--pictures=100", folder]
    shown = told(monkeypatch, capsys, *command, f"--out={tmp_path / 'runs'}")
    assert "packed / plain" in shown
    assert "not measured" in shown
