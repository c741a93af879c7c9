"""A model that later stages could not ask or save is told in the first one, or works after all."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from components.base_model import prepare
from components.base_model.folders import check_model_folder
from spavl.chat import ChatRequest, Message, Sampling
from spavl.chat.transformers_backend import TransformersChat
from spavl.errors import InputError
from spavl.models.load import load_policy, load_processor
from spavl.models.saving import save_model
from tests.unit.models.tiny import TEMPLATE, save_tiny
from tests.unit.models.tiny_qwen import save_tiny_qwen


@pytest.fixture(autouse=True)
def work_root(tmp_path, monkeypatch):
    monkeypatch.setenv("SPAVL_WORK_ROOT", str(tmp_path / "work"))


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return save_tiny(tmp_path_factory.mktemp("sound") / "model")


@pytest.fixture
def model(tmp_path, sound):
    return shutil.copytree(sound, tmp_path / "model")


def given(folder):
    return prepare({"source": "path", "path": str(folder)})


def change(folder, file, **values):
    content = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps({**content, **values}))


def write_template(folder, template):
    (folder / "chat_template.jinja").write_text(template)


def template_in_tokenizer(folder, template=TEMPLATE):
    change(folder, "tokenizer_config.json", chat_template=template)
    (folder / "chat_template.jinja").unlink()


def template_of_many(folder):
    template_in_tokenizer(folder, [{"name": "default", "template": TEMPLATE}])


def older_export(folder):
    nothing = {"patch_size": None, "vision_feature_select_strategy": None}
    change(folder, "processor_config.json", **nothing)


def older_export_without_class_token(folder):
    older_export(folder)
    change(folder, "processor_config.json", num_additional_image_tokens=0)


def leftovers(folder):
    for name in ("training_args.bin", "optimizer.pt", "scheduler.pt", "rng_state.pth", "x.ckpt"):
        (folder / name).write_bytes(b"x")
    (folder / "trainer_state.json").write_text("{}")


def sampling_flags(folder):
    change(folder, "generation_config.json", temperature=0.9, top_p=0.6, do_sample=False)


def no_generation_config(folder):
    (folder / "generation_config.json").unlink()


@pytest.mark.parametrize(
    "mended",
    [
        template_in_tokenizer, template_of_many, older_export, older_export_without_class_token,
        leftovers, sampling_flags, no_generation_config,
    ],
)  # fmt: skip
def test_what_older_exports_and_trainers_leave_is_taken(model, mended, tmp_path):
    mended(model)
    given(model)
    asked = [ChatRequest("a", (Message("user", "What is this?"),))]
    assert len(list(TransformersChat(str(model), 1, 1).reply(asked, Sampling(4, 0.0)))) == 1
    save_model(*load_policy(model), tmp_path / "saved", {})
    assert load_processor(tmp_path / "saved").chat_template == TEMPLATE


def wrong_words(folder):
    path = folder / "model.safetensors"
    weights = load_file(path)
    name = next(each for each in weights if "embed_tokens" in each)
    save_file({**weights, name: torch.zeros(7, 32)}, path, {"format": "pt"})


def a_head_of_another_model(folder):
    path = folder / "model.safetensors"
    weights = load_file(path)
    name = next(each for each in weights if "lm_head" in each)
    save_file({**weights, name: torch.zeros(3, 3)}, path, {"format": "pt"})


def not_finite(folder):
    path = folder / "model.safetensors"
    weights = load_file(path)
    name = next(each for each in weights if "lm_head" in each)
    save_file({**weights, name: weights[name] * float("nan")}, path, {"format": "pt"})


def loop(text):
    return "{% for m in messages %}" + text + "{% endfor %}"


PARTS = "{% for p in m['content'] %}{{ p['text'] if p['type'] == 'text' else '' }}{% endfor %}"


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda f: (f / "chat_template.jinja").unlink(), "no chat template"),
        (lambda f: write_template(f, ""), "no chat template"),
        (lambda f: write_template(f, "{% for m in %}"), "unusable chat template: it fails"),
        (lambda f: write_template(f, "{{ 1 / 0 }}"), "unusable chat template: it fails"),
        (lambda f: write_template(f, "{{ raise_exception('no pictures') }}"), "no pictures"),
        (lambda f: write_template(f, loop("{{ m['content'] + '' }}")), "it fails"),
        (lambda f: write_template(f, loop(PARTS)), "0 places for one picture"),
        (lambda f: write_template(f, "<image> hello"), "the question is not in"),
        (lambda f: write_template(f, "<image>" + TEMPLATE), "2 places for one picture"),
        (lambda f: change(f, "processor_config.json", patch_size=4), "tokens do not match|fails"),
        (lambda f: change(f, "processor_config.json", num_additional_image_tokens=9), "fails when"),
        (lambda f: change(f, "tokenizer_config.json", eos_token=None), "no token that ends|fails"),
        (lambda f: change(f, "config.json", quantization_config={"bits": 4}), "quantized weights"),
        (wrong_words, r"embed_tokens.* is \[7, 32\] in the weights and \[330, 32\]"),
        (a_head_of_another_model, r"lm_head.* is \[3, 3\] in the weights and \[330, 32\]"),
        (not_finite, "NaN"),
    ],
)
def test_what_cannot_be_asked_is_told_in_the_first_stage(model, damage, told):
    damage(model)
    with pytest.raises(InputError, match=told) as caught:
        given(model)
    assert str(model) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "index",
    [
        {}, [], {"weight_map": ["a"]}, {"weight_map": {"a": 3}}, {"weight_map": {}},
        {"weight_map": None}, {"weight_map": {"a": None}}, {"weight_map": {"a": ""}},
        {"weight_map": {"a": ["model.safetensors"]}}, "x", 7,
    ],
)  # fmt: skip
def test_an_index_of_another_shape_is_one_line(model, index):
    (model / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(InputError, match=r"no model's index|not a JSON object"):
        check_model_folder(model)


@pytest.mark.parametrize(
    "leak",
    [
        {"repetition_penalty": 1.3}, {"no_repeat_ngram_size": 2}, {"num_beams": 3},
        {"bad_words_ids": [[40], [41], [42]]}, {"min_new_tokens": 12}, {"max_length": 3},
        {"suppress_tokens": list(range(30, 200))}, {"forced_bos_token_id": 50},
        {"do_sample": True, "temperature": 5.0, "top_k": 3}, {"sequence_bias": [[[50], 9.0]]},
    ],
)  # fmt: skip
def test_a_models_own_generation_settings_change_no_answer(model, sound, leak):
    change(model, "generation_config.json", **leak)
    questions = ("What is this?", "How do I use it? Tell me.", "Sorry, what?")
    asked = [ChatRequest(f"t{n}", (Message("user", q),)) for n, q in enumerate(questions)]

    def said(folder, sampling):
        replies = TransformersChat(str(folder), 4, 1).reply(asked, sampling)
        return sorted((reply.record_id, reply.text) for reply in replies)

    for sampling in (Sampling(12, 0.0), Sampling(12, 1.0, 1.0, 3)):
        assert said(model, sampling) == said(sound, sampling)


def test_a_qwen_is_tried_as_well(tmp_path):
    folder = save_tiny_qwen(tmp_path / "qwen")
    given(folder)
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(InputError, match="no chat template"):
        given(folder)


def test_an_adapter_is_no_model(tmp_path):
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(InputError, match="an adapter, and no model"):
        check_model_folder(tmp_path)
