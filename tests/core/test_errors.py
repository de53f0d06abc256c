"""Errors of the libraries, in one line."""

from __future__ import annotations

import pytest

from covar_gen.core.errors import first_line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("it broke", "it broke"),
        ("\n  it broke.\nbecause\n", "it broke"),
        ("it broke:\n  of this", "it broke"),
        ("x" * 300, "x" * 200),
        (" \n", "OSError"),
        ("", "OSError"),
    ],
)
def test_of_a_long_error_the_first_line_that_says_something_is_kept(text: str, line: str) -> None:
    assert first_line(OSError(text)) == line
