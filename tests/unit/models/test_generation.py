"""Generation and loading: the same answers at every batch size, and errors that say why."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from spavl.alignment.rows import Tokeniser
from spavl.chat.interface import Message, Sampling
from spavl.errors import InputError
from spavl.models.generation import generate, generate_from, pad_left
from spavl.models.load import load_policy, load_reward_model
from spavl.models.pictures import Pictures
from spavl.models.prompts import answered_prompt, chat_text, question_prompt
from spavl.models.saving import save_model
from spavl.models.shared_prompts import generate_shared
from tests.unit.models.tiny import PictureBook, save_tiny, tiny_processor
from tests.unit.models.tiny_qwen import tiny_qwen_processor

QUESTIONS = ("Hm?", "What is this?", "How?", "How do I use this thing?", "So?", "A lamp?", "Tell!")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("base"))


def answers(base: Path, batch_size: int, sampling: Sampling) -> list[list[int]]:
    model, processor = load_policy(base)
    texts = [question_prompt(processor, question) for question in QUESTIONS]
    pictures = [PictureBook().open(str(number)) for number in range(len(texts))]
    found = []
    for start in range(0, len(texts), batch_size):
        part = slice(start, start + batch_size)
        found += generate(model, processor, texts[part], pictures[part], sampling).token_ids
    return found


def test_greedy_answers_are_the_same_at_batch_1_and_batch_7(base: Path) -> None:
    sampling = Sampling(max_new_tokens=12, temperature=0.0)
    alone = answers(base, 1, sampling)
    assert alone == answers(base, 7, sampling)
    assert len({tuple(answer) for answer in alone}) > 3  # the rows do differ


def test_answers_that_share_their_prompts_cache_are_those_that_do_not(base: Path) -> None:
    model, processor = load_policy(base)
    pictures = Pictures(model, processor, PictureBook())
    pictures.read("abc")
    questions = dict(zip("abc", ("Hm?", "How do I use this thing, tell me?", "So?"), strict=True))
    tokeniser = Tokeniser(processor, pictures, 100)
    prompts = [tokeniser.prompt(image_id, question) for image_id, question in questions.items()]
    inputs = {
        **pad_left(prompts, processor.tokenizer.pad_token_id, model.device),
        **pictures.inputs_for(model, list(questions)),
    }
    greedy = Sampling(max_new_tokens=12, temperature=0.0)
    alone = generate_from(model, processor.tokenizer, inputs, greedy)
    shared = generate_from(model, processor.tokenizer, inputs, greedy, repeats=3)
    assert shared.token_ids == [ids for ids in alone.token_ids for _ in range(3)]
    drawn = generate_from(model, processor.tokenizer, inputs, Sampling(12, 1.0), repeats=3)
    assert len({tuple(ids) for ids in drawn.token_ids}) > 6
    assert drawn.prompt_tokens == [len(ids) for ids in prompts for _ in range(3)]


def test_pictures_read_once_for_all_their_questions_give_the_same_answers(base: Path) -> None:
    model, processor = load_policy(base)
    names = ["a", "b", "a", "c", "a", "b", "c"]
    texts = [question_prompt(processor, question) for question in QUESTIONS]
    pictures = [PictureBook().open(name) for name in names]
    greedy = Sampling(max_new_tokens=12, temperature=0.0)
    alone = [
        generate(model, processor, [text], [picture], greedy).token_ids[0]
        for text, picture in zip(texts, pictures, strict=True)
    ]
    read: list[int] = []
    model.model.vision_tower.register_forward_hook(
        lambda tower, args, kwargs, output: read.append(
            len(kwargs.get("pixel_values", args[0] if args else None))
        ),
        with_kwargs=True,
    )
    shared = generate_shared(model, processor, texts, pictures, names, greedy)
    assert shared.token_ids == alone
    assert sum(read) == 3
    assert len(set(shared.prompt_tokens)) == 3  # padding was needed


def test_an_answer_never_holds_a_picture_token(base: Path) -> None:
    model, processor = load_policy(base)
    token = model.config.image_token_id
    with torch.no_grad():
        model.lm_head.weight[token] = model.lm_head.weight.mean(dim=0) * 50
    texts = [question_prompt(processor, "Hm?")] * 20
    found = generate(model, processor, texts, [PictureBook().open("a")] * 20, Sampling(20, 2.0))
    assert token not in {token for ids in found.token_ids for token in ids}


def test_sampling_depends_on_its_seed_and_leaves_torchs_own_chance_alone(base: Path) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = answers(base, 7, Sampling(12, 1.0, seed=1))
    assert first == answers(base, 7, Sampling(12, 1.0, seed=1))
    assert first != answers(base, 7, Sampling(12, 1.0, seed=2))
    model, processor = load_policy(base)
    torch.manual_seed(5)
    generate(model, processor, ["Hm?"], [], Sampling(2, 1.0))
    assert torch.equal(torch.get_rng_state(), before)


def test_an_answer_ends_with_its_end_token_or_says_that_it_was_cut(base: Path) -> None:
    model, processor = load_policy(base)
    end = processor.tokenizer.eos_token_id
    texts = [question_prompt(processor, "Hm?")] * 40
    pictures = [PictureBook().open("a")] * 40
    found = generate(model, processor, texts, pictures, Sampling(25, 1.5))
    assert set(found.finish_reasons) == {"stop", "length"}
    for ids, reason in zip(found.token_ids, found.finish_reasons, strict=True):
        assert (ids[-1] == end) == (reason == "stop")
        assert end not in ids[:-1]
        assert reason == "stop" or len(ids) == 25


def test_features_kept_per_picture_give_the_librarys_own_logits(base: Path) -> None:
    model, processor = load_policy(base)
    pictures = Pictures(model, processor, PictureBook(), budget_mib=1e-9)  # nothing stays
    pictures.read(["a", "b"])
    text = question_prompt(processor, "Hm?")
    inputs = processor(
        text=[text, text],
        images=[[PictureBook().open("b")], [PictureBook().open("a")]],
        return_tensors="pt",
    )
    expected = model(**inputs).logits
    ids = {name: inputs[name] for name in ("input_ids", "attention_mask")}
    found = model(**ids, **pictures.inputs_for(model, ["b", "a"])).logits
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_the_picture_goes_to_the_first_user_turn_and_the_answer_ends_the_text() -> None:
    processor = tiny_processor()
    turns = [Message("system", "Be kind."), Message("user", "Hm?"), Message("user", "So?")]
    text = chat_text(processor, turns)
    assert text == "SYSTEM: Be kind. USER: <image>\nHm? USER: So? ASSISTANT: "
    assert "<image>" not in chat_text(processor, turns, has_image=False)
    assert answered_prompt(processor, "So?", "No. ") == "USER: <image>\nSo? ASSISTANT: No."
    assert answered_prompt(processor, "So?", "") == question_prompt(processor, "So?")


def test_a_short_answer_ends_where_it_was_given_and_not_within_the_templates_own_words() -> None:
    for processor in (tiny_processor(), tiny_qwen_processor()):
        prompt = question_prompt(processor, "Is it a, d or end?")
        for answer in ("d", "end", "|", "a", "user"):
            assert answered_prompt(processor, "Is it a, d or end?", answer) == prompt + answer


def test_a_folder_without_a_model_and_one_that_lacks_weights_are_refused(
    base: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="no model here"):
        load_policy(tmp_path)
    model, processor = load_reward_model(base)  # a base lacks its reward head: allowed
    save_model(model, processor, tmp_path, {})
    weights = load_file(tmp_path / "model.safetensors")
    del weights["score.weight"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"score\.weight"):
        load_reward_model(tmp_path)


def test_weights_that_are_no_numbers_are_refused_by_name(base: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(base, tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    name = next(name for name in weights if "norm" in name)
    weights[name][0] = float("nan")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match="holds NaN or infinity"):
        load_policy(folder)


def test_pickled_weights_are_refused_unread(base: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(base, tmp_path / "model")
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"cos\nabort\n(tR.")  # would end this process
    for load in (load_policy, load_reward_model):
        with pytest.raises(InputError, match=r"pickled \(pytorch_model\.bin\)"):
            load(folder)


def test_truncated_weights_and_another_family_are_refused(base: Path, tmp_path: Path) -> None:
    from transformers import LlamaConfig

    folder = shutil.copytree(base, tmp_path / "model")
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(InputError, match="unreadable weights"):
        load_policy(folder)
    LlamaConfig().save_pretrained(folder)
    with pytest.raises(InputError, match="no vision-language model"):
        load_policy(folder)
    with pytest.raises(InputError, match="no reward model for the family 'llama'"):
        load_reward_model(folder)


def test_a_damaged_configuration_and_a_missing_processor_are_told_in_one_line(
    base: Path, tmp_path: Path
) -> None:
    shutil.copytree(base, tmp_path, dirs_exist_ok=True)
    (tmp_path / "processor_config.json").unlink()
    with pytest.raises(InputError, match=r"(?s)unreadable processor \(.*give the whole model"):
        load_policy(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(InputError, match=r"unreadable configuration \(.*give the whole model"):
        load_reward_model(tmp_path)


def test_only_safetensors_are_written_and_the_digest_is_kept(base: Path) -> None:
    assert not [path for path in base.iterdir() if path.suffix in {".bin", ".pt", ".pkl"}]
    assert len(json.loads((base / "model.json").read_text())["digest"]) == 64
