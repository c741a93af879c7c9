"""A promoted model gets its place, its card and a pointer; another one does not."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from components.reporting.publishing import publish
from spavl.champion import crown, reigning_champion
from spavl.errors import BusyError, InputError


@pytest.fixture(autouse=True)
def work(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("SPAVL_WORK_ROOT", str(tmp_path / "work"))
    return tmp_path / "work"


def publish_run(inputs, output, name="ppo"):
    model = getattr(inputs, name)
    return publish({}, name, model, inputs.figures, inputs.decision, str(output), inputs.settings)


def test_the_champion_lies_under_its_digest_and_is_pointed_to(make_run, work, tmp_path):
    champion = publish_run(make_run(), tmp_path / "out")
    folder = work / "champion/ppo-digest"
    assert champion["folder"] == str(folder)
    assert (folder / "model.safetensors").read_bytes() == b"weights of ppo"
    assert json.loads((work / "champion/champion.json").read_text()) == champion
    assert json.loads((tmp_path / "out/decision.json").read_text())["promoted"]
    assert (tmp_path / "out/README.md").is_file()
    assert champion["figures"]["harm_eval_usr"]["value"] == 0.004


def test_the_card_says_origin_settings_figures_limits_and_use(make_run, work, tmp_path):
    publish_run(make_run(), tmp_path / "out")
    card = (work / "champion/ppo-digest/README.md").read_text()
    for said in ("Intended use", "Limits", '"kl": 0.1', "d1935e", "0.4 [0.0, 3.4]"):
        assert said in card


def test_publishing_twice_changes_nothing(make_run, work, tmp_path):
    inputs = make_run()
    first = publish_run(inputs, tmp_path / "out")
    assert publish_run(inputs, tmp_path / "out") == first
    assert not (Path(inputs.ppo) / "README.md").exists()


@pytest.mark.parametrize(("promoted", "name"), [(False, "ppo"), (True, "dpo")])
def test_a_model_that_was_not_promoted_is_not_published(make_run, work, tmp_path, promoted, name):
    with pytest.raises(InputError, match="was not promoted"):
        publish_run(make_run(promoted=promoted), tmp_path / "out", name)
    assert not (work / "champion").exists()


def test_the_champions_lineage_leads_back_to_the_pictures(make_run, work, tmp_path, monkeypatch):
    monkeypatch.setenv("SPAVL_RUN_FOLDER", str(tmp_path / "run"))
    (tmp_path / "run/stages").mkdir(parents=True)
    for stage, inputs in (("collection", {}), ("ppo", {"images": "pictures' digest"})):
        told = {"stage": stage, "made_by": {"code": "c"}, "inputs": inputs, "result": {"rows": 1}}
        (tmp_path / f"run/stages/{stage}.json").write_text(json.dumps(told))
    publish_run(make_run(), tmp_path / "out")
    lineage = json.loads((work / "champion/ppo-digest/lineage.json").read_text())
    assert lineage["ppo"]["inputs"] == {"images": "pictures' digest"}
    assert set(lineage) == {"collection", "ppo"}


def test_the_card_tells_of_drawn_pictures_and_core_capabilities(make_run, work, tmp_path):
    inputs = make_run()
    path = Path(inputs.figures) / "figures.json"
    figures = json.loads(path.read_text())
    share = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 90}
    typo = {**share, "source": "published", "pictures": {"read": 0, "drawn": 90}}
    named = {**share, "better": "higher", "note": "", "source": "lmms-eval"}
    for model in figures["models"].values():
        model["mm_safety_bench_typo_asr"] = typo
    figures["capabilities"] = {
        model: {"pope/acc": named, "a|b\n": named} for model in ("base", "ppo")
    }
    path.write_text(json.dumps(figures))
    publish_run(inputs, tmp_path / "out")
    card = (work / "champion/ppo-digest/README.md").read_text()
    drawn = "MM-SafetyBench, written (Typo): pictures: 90 drawn here from the key phrases, 0 read."
    assert f"\n\n{drawn}\n" in card
    assert "| pope/acc | higher | 0.5 [0.4, 0.6] | – | 0.5 [0.4, 0.6] | 90 |" in card
    assert "| a&#124;b\\n | higher | 0.5" in card


def decide_anew(inputs, **facts):
    path = Path(inputs.decision)
    path.write_text(json.dumps({**json.loads(path.read_text()), **facts}))


def rename(inputs, digest, name="ppo"):
    path = Path(getattr(inputs, name)) / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "digest": digest}))


def test_a_pointer_that_names_another_champion_than_was_compared_stays(make_run, work, tmp_path):
    inputs = make_run()
    publish_run(inputs, tmp_path / "first")
    rename(inputs, "later")
    decide_anew(inputs, champion="somebody else", candidates=["later"])
    with pytest.raises(BusyError, match="another model became champion"):
        publish_run(inputs, tmp_path / "later")
    assert reigning_champion("spa-vl-champion").digest == "ppo-digest"
    decide_anew(inputs, champion="ppo-digest")
    publish_run(inputs, tmp_path / "later")
    assert reigning_champion("spa-vl-champion").digest == "later"


def test_of_two_publishers_at_once_one_is_crowned_and_the_other_told(work):
    """Both were compared with the same champion; sixteen try, whoever comes first wins."""
    crown({"name": "vlm", "digest": "reigning"}, None, ())
    (work / "champion/reigning").mkdir()
    digests = [f"model-{k}" for k in range(16)]
    for digest in digests:
        (work / "champion" / digest).mkdir()
    start = threading.Barrier(len(digests))

    def attempt(digest):
        start.wait()
        try:
            crown({"name": "vlm", "digest": digest}, "reigning", {digest})
        except BusyError:
            return None
        return digest

    with ThreadPoolExecutor(len(digests)) as pool:
        crowned = [digest for digest in pool.map(attempt, digests) if digest]
    assert len(crowned) == 1
    assert reigning_champion("vlm").digest == crowned[0]


def test_a_line_is_kept_whatever_is_published_under_another_name(work):
    for name, digest in (("vlm", "first"), ("another", "second")):
        (work / "champion" / digest).mkdir(parents=True)
        crown({"name": name, "digest": digest}, None, ())
    assert json.loads((work / "champion/champion.json").read_text())["name"] == "another"
    assert reigning_champion("vlm").digest == "first"
    assert reigning_champion("another").digest == "second"
