"""Ids of Emu2's sequences: those of the tokenizer of 2023, for the tiny and for the real words."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from covar_gen.core.errors import PluginError, WeightsError
from covar_gen.editors._emu2_tokens import ADDED, OWN, Tokens, load_tokens

DATA = Path(__file__).parents[1] / "data" / "emu2"
PHOTOGRAPH: Any = object()
REAL = json.loads((DATA / "llama_token_ids.json").read_text())
MARKS = ("literal_special", "grounding")
"""Prompts of REAL with special tokens in their words."""
PLAIN = [name for name in REAL["cases"] if name not in (*MARKS, "neg_step2")]
"""Prompts of photographs and words; the one left out is no prompt."""


def parts(text: str) -> list[Any]:
    """A prompt of REAL, "{IMG}" standing for a photograph, without the mark that ends it."""
    found: list[Any] = []
    for number, piece in enumerate(text.removesuffix("[IMG]").split("{IMG}")):
        found += [PHOTOGRAPH] * (number > 0) + [piece] * bool(piece)
    return found


@pytest.fixture(scope="module", params=["tokenizer.model", "tokenizer.json"])
def tokens(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Tokens:
    folder = tmp_path_factory.mktemp("tokenizer")
    shutil.copy(DATA / "tokenizer" / request.param, folder)
    return load_tokens(folder, "weights")


@pytest.mark.parametrize("case", ["edit", "edit2", "t2i", "ae"])
def test_ids_are_those_of_the_authors_tokenizer(case: str, tokens: Tokens) -> None:
    known = json.loads((DATA / "token_ids.json").read_text())[case]
    inputs = json.loads((DATA / "cases.json").read_text())[case]["inputs"]
    given = [PHOTOGRAPH if part.startswith("@") else part for part in inputs]
    assert tokens.ids(given) == known["prompt_plus_boi_ids"]
    assert tokens.ids([]) == tokens.ids([""]) == known["negative_plus_boi_ids"]


def test_added_tokens_follow_the_words(tokens: Tokens) -> None:
    known = json.loads((DATA / "special_ids.json").read_text())
    assert {token: tokens.added[token] for token in known if token not in OWN} == {
        token: number for token, number in known.items() if token not in OWN
    }
    assert (tokens.rows, tokens.slot, len(ADDED)) == (672, 403, 272)


def real_words() -> dict[str, list[int]]:
    """Ids of the texts in REAL, blanks around them left out, as they stand between the marks."""
    found: dict[str, list[int]] = {}
    for name in PLAIN:
        ids = [number for number in REAL["ids"][name][1:-1] if number != 32003]
        runs: list[list[int]] = [[]]
        for number in ids:
            if number in (32001, 32002):
                runs.append([])
            else:
                runs[-1].append(number)
        words = [each for each in parts(REAL["cases"][name]) if each is not PHOTOGRAPH]
        for word, run in zip(words, [run for run in runs if run], strict=True):
            assert found.setdefault(word.strip(), run) == run
    return found


@pytest.mark.parametrize("name", PLAIN)
def test_with_llamas_words_ids_are_those_of_the_authors_tokenizer(name: str) -> None:
    """The words' own ids are recorded; how marks, photographs and blanks are read is tested."""
    words = real_words()
    found = Tokens(lambda text: words[text], 32000).ids(parts(REAL["cases"][name]))
    assert found == REAL["ids"][name]


def test_blanks_around_a_text_are_not_read(tokens: Tokens) -> None:
    plain = tokens.ids([PHOTOGRAPH, "make it snow"])
    for text in (" make it snow", "make it snow \n", "\n\tmake it snow "):
        assert tokens.ids([PHOTOGRAPH, text]) == plain
    assert tokens.ids([PHOTOGRAPH, "make  it snow"]) != plain


def test_texts_side_by_side_are_one(tokens: Tokens) -> None:
    assert tokens.ids(["make it", " snow"]) == tokens.ids(["make it snow"])
    assert tokens.ids([PHOTOGRAPH, " "]) == tokens.ids([PHOTOGRAPH])


@pytest.mark.parametrize("mark", ["[IMG]", "<image>", "</s>", "<grounding>", "<patch_index_0256>"])
def test_a_mark_in_a_sentence_is_refused_in_a_line(mark: str, tokens: Tokens) -> None:
    with pytest.raises(PluginError, match="reads as a mark") as caught:
        tokens.ids([PHOTOGRAPH, f"a beach {mark} with palms"])
    assert mark in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", MARKS)
def test_the_authors_own_prompts_with_marks_are_refused(name: str, tokens: Tokens) -> None:
    with pytest.raises(PluginError, match="reads as a mark"):
        tokens.ids(parts(REAL["cases"][name]))


def test_words_like_marks_are_words(tokens: Tokens) -> None:
    assert tokens.added["[IMG]"] not in tokens.ids(["an [img] or <Image> of s> and IMG"])[:-1]


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"lacks tokenizer\.model"):
        load_tokens(tmp_path, "weights")


@pytest.mark.parametrize("name", ["tokenizer.model", "tokenizer.json"])
def test_a_damaged_tokenizer_is_refused_in_a_line(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes((DATA / "tokenizer" / name).read_bytes()[:3000])
    with pytest.raises(WeightsError, match=f"{name} is no tokenizer"):
        load_tokens(tmp_path, "weights")


def test_the_list_of_added_tokens_is_compared(tmp_path: Path) -> None:
    shutil.copy(DATA / "tokenizer" / "tokenizer.model", tmp_path)
    listed = tmp_path / "added_tokens.json"
    added = load_tokens(tmp_path, "weights").added
    listed.write_text(json.dumps(added))
    assert load_tokens(tmp_path, "weights").added == added
    listed.write_text(json.dumps({**added, "<image>": 404}))
    with pytest.raises(WeightsError, match="'<image>' as 404"):
        load_tokens(tmp_path, "weights")
    listed.write_text("{")
    with pytest.raises(WeightsError, match="is not JSON"):
        load_tokens(tmp_path, "weights")
