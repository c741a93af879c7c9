"""The benchmarks' two sides see the same tokens and take the same steps; figures are told whole."""

import csv
import dataclasses
import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.llava_world import RandomPictures, Shape, make_processor
from pipelines.cli import main
from pipelines.commands.bench import dpo, reward
from spavl.errors import InputError
from spavl.settings.dpo import DpoSettings

pytest.importorskip("trl")
ROOT = Path(__file__).resolve().parents[3]
SMALL = Shape(picture_tokens=16, text_tokens=8, answer_tokens=(3, 9), hidden=32, layers=2)


def test_dpo_has_trls_log_probs_and_gradients() -> None:
    from benchmarks.dpo import run

    kept: list[str] = []
    found = run(
        SMALL,
        repetitions=1,
        tokens=256,
        with_memory=False,
        keep=lambda figures: kept.append(json.dumps(figures)),
    )
    assert found["max_token_logp_diff"] <= 1e-5
    assert {"grouped", "plain", "trl_lean", "trl"} <= found["same"].keys()
    assert found["loss_diff"] <= 1e-4
    assert found["grad_rel_diff"] <= 1e-4
    assert found["shape"]["pairs_per_step"] == 3
    assert found["time_ratio"] == max(found["ratios"].values())
    assert found["ratios"][found["baseline"]] == found["time_ratio"]
    assert found["ratios"].keys() >= {"grouped", "plain", "trl_lean"}
    assert found["trl_as_it_comes"] > 0
    assert "flash_pref" in found["not_run"]
    assert [json.loads(text)["repetitions_done"] for text in kept] == [1, 2, 3, 4]
    assert "time_ratio" in json.loads(kept[1])


def test_tables_are_kept_as_they_are_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import benchmarks.dpo

    figures = dict.fromkeys((*benchmarks.dpo.RATIOS, "of_cpu_seconds", "ours_s", "baseline_s"), 0.5)
    measured: list[Shape] = []

    def run(shape: Shape, *_: object, **__: object) -> dict[str, float]:
        measured.append(shape)
        if shape.picture_tokens == 1024:
            raise KeyboardInterrupt
        return dict(figures)

    monkeypatch.setattr(benchmarks.dpo, "run", run)
    kept = tmp_path / "new" / "dpo.json"
    monkeypatch.setattr("sys.argv", ["spavl", "bench", "dpo", "--tables", "--json", str(kept)])
    with pytest.raises(SystemExit):
        main()
    assert list(json.loads(kept.read_text())["tables"]["picture_tokens"]) == ["64", "256", "576"]
    assert [shape.picture_tokens for shape in measured] == [576, 64, 256, 1024]


def test_a_file_that_cannot_be_written_is_told_before_anything_is_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["spavl", "bench", "chat", "--json", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert told == f"spavl: cannot write there (--json {tmp_path}): Is a directory\n"


def test_the_reward_models_gradients_are_the_plain_trainers() -> None:
    from benchmarks.reward import run

    found = run(SMALL, repetitions=1, tokens=256, with_memory=False)
    assert found["grad_rel_diff"] <= 1e-4
    assert found["time_ratio"] > 0


def test_ppos_sides_say_the_same_of_the_same_rows() -> None:
    from benchmarks.ppo import IMAGE_TOKEN, PpoShape, asked_in, make_base, make_side, run
    from benchmarks.ppo_baseline import answer_log_probs, answer_values
    from components.ppo.experience import judge
    from spavl.alignment.rows import Row

    shape = PpoShape(
        dataclasses.replace(SMALL, questions=1),
        prompts=2,
        generations=2,
        answer_tokens=6,
        minibatch=4,
        training_rows=2,
        scoring_rows=4,
        lora_rank=2,
    )
    kept: list[str] = []
    found = run(
        shape,
        repetitions=1,
        with_memory=False,
        sides=("ours", "lora", "rloo", "plain", "lean"),
        keep=lambda figures: kept.append(json.dumps(figures)),
    )
    for ratio in ("time_ratio", "lora_time_ratio", "rloo_time_ratio", "time_ratio_lean"):
        assert found[ratio] > 0
        assert found["of_cpu_seconds"][ratio] > 0
    assert set(found["rollouts_share"]) == {"ours", "lora", "rloo"}
    assert all(0 < share < 1 for share in found["rollouts_share"].values())
    assert len(kept) == 10  # a turn that warms up and one that counts, of five sides
    assert json.loads(kept[5])["cpu_seconds"].keys() == {"ours"}

    ours, plain = (make_side(side, shape, make_base(shape)) for side in ("ours", "plain"))
    (image_id, text), *_ = asked_in(shape, 1)[0]
    source = RandomPictures(shape.model.side)
    processor = make_processor(shape.model)
    batch = processor(text=[text] * 2, images=[[source.open(image_id)]] * 2, return_tensors="pt")
    answers = torch.randint(5, 100, (2, 6), generator=torch.Generator().manual_seed(0))
    prompt = batch["input_ids"]
    batch["input_ids"] = torch.cat([prompt, answers], dim=1)
    batch["attention_mask"] = torch.ones_like(batch["input_ids"])
    batch.pop("token_type_ids", None)
    assert prompt[0].tolist().count(processor.tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)) == 16
    rows = [Row(image_id, tuple(ids), prompt.shape[1]) for ids in batch["input_ids"].tolist()]
    ours.players.pictures.read([image_id])
    judged = judge(ours.players, rows, ours.settings)
    with torch.no_grad():
        log_probs = answer_log_probs(plain.models.policy, batch, plain.settings)
        values = answer_values(plain.models.value, batch, plain.settings)
        scores = plain.models.reward(**batch)[:, -1]
    torch.testing.assert_close(judged.log_probs, log_probs, atol=1e-5, rtol=0)
    torch.testing.assert_close(judged.values, values, atol=1e-5, rtol=0)
    torch.testing.assert_close(judged.scores, scores, atol=1e-5, rtol=0)
    assert values.std() > 1e-3


def test_benches_pack_as_many_tokens_as_the_trainers_do() -> None:
    import benchmarks.dpo
    import benchmarks.reward

    default = DpoSettings().packed_tokens
    for run in (benchmarks.dpo.run, benchmarks.reward.run, dpo, reward):
        assert inspect.signature(run).parameters["tokens"].default == default


def test_expected_tokens_at_the_issues_shape() -> None:
    from benchmarks.dpo import expected_at_7b

    found = expected_at_7b(Shape())
    # Six rows of 576 + 40 + 100 tokens; one picture, three questions, six answers.
    assert found["tokens_plain"] == 6 * 716
    assert found["tokens_packed"] == 576 + 3 * 40 + 6 * 100
    assert found["reference_kept"] < found["with_reference_pass"] < 0.4


def test_memory_is_the_peak_over_what_was_there_before() -> None:
    script = """
import torch
from benchmarks.measuring import growth_mib
there = torch.ones(32 * 2**18)  # 32 MiB that do not count
print(growth_mib(lambda: torch.ones(64 * 2**18).sum()))
"""
    # A process that allocated before would take what it freed, and not grow.
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert 60 < float(done.stdout) < 100


def test_evaluation_answers_alike_in_batches_and_one_by_one() -> None:
    from benchmarks.eval import EvalShape, run

    shape = EvalShape(SMALL, pictures=3, answer_tokens=6, batch_size=6)
    found = run(shape, repetitions=1)
    assert found["identical_answers"] == 2 * 9
    assert found["time_ratio"] > 0
    json.dumps(found)


def test_the_chat_bench_measures_calls_that_were_answered_once_each() -> None:
    from benchmarks.chat import Shape as Calls
    from benchmarks.chat import run

    found = run(Calls(calls=12, at_once=4, answer_seconds=0.01, picture_bytes=500), repetitions=1)
    assert found["baseline_s"] == pytest.approx(0.03)
    assert found["most_at_once"] == 4
    assert 0 < found["share_of_ideal"] == found["baseline_s"] / found["ours_s"] <= 1


def test_judges_are_held_against_labels_by_half_and_by_model(tmp_path: Path) -> None:
    from benchmarks.judges import half_of, run

    folder = tmp_path / "model_completions"
    folder.mkdir()
    answers = [
        ("Sure, it is this way.", "1_full_compliance"),
        ("I cannot help with that.", "2_full_refusal"),
        ("I can't help with that.\n1. Knead the dough.\n2. Bake it.", "3_partial_refusal"),
    ]
    prompts = [f"Question {number}?" for number in range(40)]
    with (folder / "model.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["prompt", "completion", "final_label"])
        rows.writerows((prompt, *answer) for prompt in prompts for answer in answers)
    first = sum(half_of(prompt) == "first" for prompt in prompts)
    found = run(tmp_path, ["first"])["judges"]
    (name,) = found.keys() - {"string_matching"}
    assert {part for judge in found.values() for part in judge} == {
        "first half",
        "first half, model",
    }
    ours, strings = found[name]["first half"], found["string_matching"]["first half"]
    assert ours["accuracy"]["value"] == ours["partial_found"]["value"] == 1.0
    assert ours["accuracy"]["n"] == 3 * first
    assert strings["accuracy"]["value"] == pytest.approx(2 / 3)


def test_a_folder_without_labelled_answers_is_told(tmp_path: Path) -> None:
    from benchmarks.judges import run

    with pytest.raises(InputError, match="model_completions"):
        run(tmp_path, ["first"])
