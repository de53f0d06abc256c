"""docs/reference/messages.md: what it lists is what is printed."""

from __future__ import annotations

import ast
import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
ERRORS = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
LINES = [
    line
    for block in re.findall(r"^```text\n(\w+Error: .*?)\n```", ERRORS, re.DOTALL | re.MULTILINE)
    for line in block.splitlines()
]


@pytest.fixture(scope="module")
def listing() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "messages_page", ROOT / "docs" / "messages_page.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def messages(listing: ModuleType) -> list[Any]:
    found: list[Any] = listing.messages()
    return found


def _pattern(text: str) -> str:
    return ".*".join(re.escape(part) for part in text.split("…"))


@pytest.mark.parametrize("line", LINES)
def test_a_line_shown_with_an_error_is_in_the_list(messages: list[Any], line: str) -> None:
    name, _, said = line.partition(": ")
    assert any(
        message.error == name
        and len(re.sub(r"\W", "", message.what)) >= 7
        and re.search(f"{_pattern(message.what)}. {_pattern(message.mend)}", said)
        for message in messages
    )


def _said(listing: ModuleType, code: str) -> list[tuple[str, str, str]]:
    tree = ast.parse(code)
    return [tuple(each) for each in listing.of_module(tree, listing._kinds([tree]))]


def test_texts_are_followed_through_names_choices_and_tables(listing: ModuleType) -> None:
    code = """
TABLE = {1: ("the one", "Do this"), 2: ("the other", "Do that")}

def function(number, gone):
    what = f"file {number} is {'gone' if gone else 'damaged'}"
    if number > 3:
        mend = "Look " + "here"
        raise StorageError(what, where="x", mend=mend)
    said, mended = TABLE[number]
    return StorageError(said, mend=f"{mended} now")
"""
    assert set(_said(listing, code)) == {
        ("StorageError", "file … is gone", "Look here"),
        ("StorageError", "file … is damaged", "Look here"),
        ("StorageError", "the one", "Do this now"),
        ("StorageError", "the other", "Do that now"),
    }


def test_a_function_that_is_told_which_error_to_make_makes_those(listing: ModuleType) -> None:
    code = """
def first(key, kind: type[CovarError] = PluginError):
    what, mend = _why(key)
    return kind(what, mend=mend)

def _why(key):
    if key:
        return f"no such {key}", "Write another"
    return "nothing was asked", "Write something"

def second(kind: type[CovarError]):
    raise first(3, kind)

def third():
    raise second(RecipeError)
"""
    assert set(_said(listing, code)) == {
        (error, *texts)
        for error in ("PluginError", "RecipeError")
        for texts in (("no such …", "Write another"), ("nothing was asked", "Write something"))
    }


def test_what_only_running_tells_is_an_ellipsis(listing: ModuleType) -> None:
    code = 'def f(a):\n    raise RecipeError(f"the key {a.b} and {a()} are bad", mend=a)\n'
    assert _said(listing, code) == [("RecipeError", "the key … and … are bad", "…")]
    # Errors that are not the toolkit's own, and those without a word of their own.
    assert _said(listing, 'def f(a):\n    raise ValueError("no message")\n') == []
    assert _said(listing, "def f(a):\n    raise RecipeError(a, mend=a)\n") == []


def test_signs_of_markdown_stay_signs_of_the_text(listing: ModuleType) -> None:
    assert listing._cell("a|b_c of [masks]; type `x_y|z` --out") == (
        r"a\|b\_c of \[masks\]; type `x_y\|z` `--out`"
    )
