"""The toys' tokenizer, as open_clip and transformers read it from its two files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from covar_gen.toys.tokens import LENGTH, make_tokenizer, save_tokenizer, vocabulary


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_tokenizer(tmp_path)
    return tmp_path


def test_numbers_run_from_padding_to_the_end_without_a_gap() -> None:
    known = vocabulary()
    assert list(known.values()) == list(range(len(known)))
    assert known["[PAD]"] == 0
    assert known["[END]"] == len(known) - 1


def test_open_clip_reads_the_files_and_finds_the_end_by_its_number(folder: Path) -> None:
    from open_clip.tokenizer import HFTokenizer

    texts = ["A photo of a RING.", "a photo of a ring.", "", "ring " * 50]
    numbers = HFTokenizer(str(folder), context_length=LENGTH)(texts)
    assert numbers.shape == (4, LENGTH)
    assert torch.equal(numbers[0], numbers[1])
    end = len(vocabulary()) - 1
    assert (numbers == end).sum(1).tolist() == [1, 1, 1, 1]
    assert numbers.argmax(1).tolist() == [6, 6, 0, LENGTH - 1]
    assert numbers[0].tolist() == make_tokenizer().encode(texts[0]).ids


@pytest.mark.parametrize("text", ["ein Schrein", "x-ray 42!", "a wholly unknown sentence"])
def test_a_word_that_no_caption_has_is_spelt(text: str) -> None:
    found = make_tokenizer().encode(text)
    assert len(found.ids) == LENGTH
    assert "[UNK]" not in found.tokens


def test_a_sign_of_another_script_is_unknown_and_no_error(folder: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    found = tokenizer(["\u6771\u4eac ring"])["input_ids"]
    assert found == [[1, 1, vocabulary()["ring"], vocabulary()["[END]"]]]
    assert (tokenizer.pad_token_id, tokenizer.unk_token_id) == (0, 1)
