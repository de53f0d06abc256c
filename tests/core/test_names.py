"""Whatever photographs and classes are called, their keys are plain path components."""

import hashlib
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from covar_gen.core.names import colliding, safe, short_hash


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=120))
@example("..")
@example("../../etc/passwd")
@example("_.hidden")
@example("-._-._")
@example("\ud800")
def test_a_safe_name_is_one_visible_plain_path_component(name: str) -> None:
    found = safe(name, "otherwise")
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,79}", found)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=120))
@example(".:.")
@example("-_.x_")
@example("x" * 79 + "::y")
def test_a_safe_name_is_safe_already(name: str) -> None:
    once = safe(name, "otherwise")
    assert safe(once, "again") == once


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("zebra", "zebra"),
        ("Arabian camel", "Arabian_camel"),
        ("a  b\t c", "a_b_c"),
        ("Äpfel", "Apfel"),
        ("IMG_0042.tar", "IMG_0042.tar"),
        ('it\'s "so"', "it_s_so"),
        ("a..b", "a..b"),
        ("../../etc/passwd", "etc_passwd"),
        ("a/b\\c", "a_b_c"),
        ("-rf", "rf"),
        (".hidden", "hidden"),
        ("日本", "otherwise"),
        ("..", "otherwise"),
        ("", "otherwise"),
        ("   ", "otherwise"),
        ("x" * 100, "x" * 80),
    ],
)
def test_names_become_what_a_reader_expects(name: str, wanted: str) -> None:
    assert safe(name, "otherwise") == wanted


def test_a_short_hash_is_the_beginning_of_the_sha256() -> None:
    assert short_hash(b"zebra") == hashlib.sha256(b"zebra").hexdigest()[:8]


def test_names_that_differ_in_case_only_collide() -> None:
    assert colliding(["Cat", "dog", "cat", "CAT", "bird"]) == {"Cat", "cat", "CAT"}
    assert colliding(["a", "b", "b"]) == {"b"}
    assert colliding(["a", "b"]) == set()
    assert colliding([]) == set()
