"""A tiny language model in the real format, with a tokenizer and a chat template of its own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from jinja2 import Template

from covar_gen.core.errors import MissingExtraError, ModelError
from covar_gen.core.prompts import load_prompt
from covar_gen.evaluation.judges import ClassPair, Judge, VerdictFile, get_judge, judge_pairs
from covar_gen.evaluation.judges._prompting import messages

TEMPLATE = (
    "{% for m in messages %}<{{ m['role'] }}> {{ m['content'].split('\n\nQuestion')[0] }} </s> "
    "{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
)
"""Leaves the questions' long end away: so short a conversation is learned in a moment."""
NO_SYSTEM = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
)
ANIMALS = ("siamang", "chimpanzee", "lion", "bicycle")
STEPS = 60
SPECIAL = ["<unk>", "</s>", "<system>", "<user>", "<assistant>"]


def save(folder: Path, answers: dict[str, list[str]], template: str | None = TEMPLATE) -> Path:
    """A Llama of one layer that was taught what to answer to each predicted class.

    It is trained for a moment on whole conversations: its answers are what its weights make of
    the question, and depend on the predicted class alone.
    """
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    prompt = load_prompt("fine_grained_judge")
    text = f"{prompt.system} {prompt.user} {' '.join(ANIMALS)} similar different maybe"
    splitter = pre_tokenizers.WhitespaceSplit()
    words = dict.fromkeys(word for word, _ in splitter.pre_tokenize_str(text))
    vocabulary = {word: number for number, word in enumerate([*SPECIAL, *words])}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    inner.pre_tokenizer = splitter
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="<unk>", eos_token="</s>")
    tokenizer.add_special_tokens({"additional_special_tokens": SPECIAL[2:]})
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=2048,
        bos_token_id=1,
        eos_token_id=1,
        pad_token_id=1,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = LlamaForCausalLM(config)
    taught(model, tokenizer, answers)
    model.save_pretrained(folder)
    return folder


def taught(model: Any, tokenizer: Any, answers: dict[str, list[str]]) -> None:
    import torch

    rows = []
    for predicted, said in answers.items():
        for truth in ANIMALS:
            turns = messages(ClassPair(0, 1, truth, predicted), "paper", examples=False)
            text = Template(TEMPLATE).render(messages=turns, add_generation_prompt=True)
            rows.append((tokenizer(text)["input_ids"], tokenizer(" ".join(said))["input_ids"]))
    longest = max(len(asked) + len(said) for asked, said in rows)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
    spare = [longest - len(asked) - len(said) for asked, said in rows]
    ids = [asked + said + [1] * more for (asked, said), more in zip(rows, spare, strict=True)]
    labels = [
        [-100] * len(asked) + said + [-100] * more
        for (asked, said), more in zip(rows, spare, strict=True)
    ]
    for _ in range(STEPS):
        loss = model(input_ids=torch.tensor(ids), labels=torch.tensor(labels)).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.1


ANSWERS = {
    "chimpanzee": ["similar", "</s>"],
    "bicycle": ["different", "</s>"],
    "lion": ["maybe", "similar", "</s>"],
    "siamang": ["</s>"],
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, one_thread: None) -> Path:
    return save(tmp_path_factory.mktemp("models") / "tiny-judge", ANSWERS)


def judge(folder: Path, **options: Any) -> Judge:
    return get_judge("transformers", model=str(folder), device="cpu", **options)


def pair(predicted: str, truth: str = "siamang") -> ClassPair:
    return ClassPair(0, 1 + ANIMALS.index(predicted), truth, predicted)


@pytest.mark.parametrize("batch", [1, 3, 16])
def test_the_models_word_is_the_verdict_whatever_the_batch(model: Path, batch: int) -> None:
    found = judge(model, batch=batch).judge([pair(name) for name in ANSWERS])
    assert [one.similar for one in found] == [True, False, None, None]
    assert [one.reason for one in found] == [None, None, "not_understood", "empty_answer"]
    assert [one.raw for one in found] == ["similar", "different", "maybe similar", None]
    assert found[0].judge.startswith("transformers tiny-judge@")


def test_a_truth_of_more_words_moves_nothing_in_its_batch(model: Path) -> None:
    # Shorter questions are filled up on the left: the answer still follows its own question.
    pairs = [pair("bicycle"), pair("bicycle", truth="lion lion lion lion"), pair("chimpanzee")]
    alone = [judge(model, batch=1).judge([one])[0] for one in pairs]
    assert judge(model, batch=3).judge(pairs) == alone


def test_an_answer_that_does_not_end_is_cut_off(model: Path) -> None:
    (found,) = judge(model, max_new_tokens=1).judge([pair("lion")])
    assert (found.similar, found.reason, found.raw) == (None, "cut_off", "maybe")
    # The one word needs no end.
    assert judge(model, max_new_tokens=1).judge([pair("chimpanzee")])[0].similar is True


def test_a_template_without_system_messages_gets_its_words_in_the_question(
    model: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(model, tmp_path / "tiny-judge"))
    (folder / "chat_template.jinja").write_text(NO_SYSTEM + TEMPLATE, encoding="utf-8")
    asked = judge(folder)
    asked.setup()
    prompt = load_prompt("fine_grained_judge")
    turns = [{"role": "system", "content": "S"}, {"role": "user", "content": "Q"}]
    assert asked._prompt(turns) == "<user> S\n\nQ </s> <assistant>"  # type: ignore[attr-defined]
    assert prompt.system
    assert len(asked.judge([pair("chimpanzee")])) == 1


def test_verdicts_are_kept_and_found_without_loading_the_model(model: Path, tmp_path: Path) -> None:
    store = VerdictFile(tmp_path / "verdicts.jsonl")
    pairs = [pair("chimpanzee"), pair("bicycle"), pair("lion")]
    first = judge_pairs(pairs, judge(model), store, range(9))
    again = judge(model, batch=2)
    assert judge_pairs(pairs[:2], again, store, range(9)) == first[:2]
    assert again._model is None  # type: ignore[attr-defined]


def test_other_weights_are_another_judge_and_another_place_is_not(
    model: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(model, tmp_path / "elsewhere"))
    first = judge(model).identity()
    assert judge(folder, batch=3).identity() == first
    assert judge(folder, examples=True).identity() != first
    weights = bytearray((folder / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (folder / "model.safetensors").write_bytes(weights)
    assert judge(folder).identity() != first


@pytest.mark.parametrize("damage", ["weights", "cut", "config", "template", "tensor"])
def test_a_folder_that_is_no_instruction_model_is_refused_in_a_line(
    model: Path, tmp_path: Path, damage: str
) -> None:
    from safetensors.torch import load_file, save_file

    folder = Path(shutil.copytree(model, tmp_path / "damaged"))
    weights = folder / "model.safetensors"
    if damage == "weights":
        weights.unlink()
    elif damage == "cut":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif damage == "config":
        (folder / "config.json").write_text(json.dumps({"model_type": "clip"}), encoding="utf-8")
    elif damage == "template":
        (folder / "chat_template.jinja").unlink()
    else:
        state = load_file(weights)
        del state["model.layers.0.mlp.up_proj.weight"]
        save_file(state, weights, metadata={"format": "pt"})
    with pytest.raises(ModelError) as caught:
        judge(folder).judge([pair("lion")])
    assert "\n" not in caught.value.line()
    assert caught.value.where == str(folder)


def test_a_model_that_is_not_there_is_refused_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="neither in the cache of the Hugging Face Hub"):
        get_judge("transformers", model="owner/no-such-model-of-the-test").setup()
    for place in (tmp_path / "nowhere", "./nowhere"):
        with pytest.raises(ModelError, match="there is no such folder"):
            get_judge("transformers", model=str(place)).reach()
    with pytest.raises(ModelError, match=r"there is no config\.json"):
        get_judge("transformers", model=str(tmp_path)).reach()


def test_without_torch_the_command_that_installs_it_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from covar_gen.core import plugins

    monkeypatch.setattr(plugins, "_found", lambda module: module != "torch")
    with pytest.raises(MissingExtraError, match=r"pip install 'covar-gen\[evaluate\]'"):
        get_judge("transformers", model="x/y")
