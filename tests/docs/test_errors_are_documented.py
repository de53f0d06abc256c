"""docs/errors.md has every error and every reason, and none that does not exist."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

from covar_gen.core import errors
from covar_gen.core.rows import PARENT_REJECTED
from covar_gen.evaluation import explaining, reading

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
ERRORS = [
    name
    for name, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, errors.CovarError)
]
PLACEHOLDERS = {"examined_before"}
"""Answers inside a stage that no row ever carries."""


def _sections() -> dict[str, str]:
    parts = re.split(r"^## (.+)$", PAGE, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def _reasons() -> set[str]:
    """Slugs that any file of the package gives to Rejected."""
    found = {PARENT_REJECTED, reading.UNREADABLE, reading.ANOTHER_FILE}
    found |= {explaining.NO_MASK, explaining.ANOTHER_SIZE}
    for path in (ROOT / "covar_gen").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and _called(node) == "Rejected" and node.args:
                found |= {
                    part.value
                    for part in ast.walk(node.args[0])
                    if isinstance(part, ast.Constant) and isinstance(part.value, str)
                }
    return found - PLACEHOLDERS


def _called(node: ast.Call) -> str:
    return getattr(node.func, "id", getattr(node.func, "attr", ""))


def test_every_error_has_its_heading_and_no_heading_lacks_its_error() -> None:
    assert set(_sections()) == {*ERRORS, "Reasons"}


def test_every_error_shows_a_line_as_it_is_printed() -> None:
    sections = _sections()
    for name in ERRORS:
        if name != "CovarError":
            lines = re.findall(r"```text\n(.+?)\n```", sections[name], flags=re.DOTALL)
            assert lines, name
            assert all(line.startswith(f"{name}: ") for line in "\n".join(lines).splitlines())


def test_every_reason_of_the_code_is_in_the_table_and_no_other() -> None:
    table = re.findall(r"^\| `(\w+)` \|", _sections()["Reasons"], flags=re.MULTILINE)
    assert len(table) == len(set(table))
    assert set(table) == _reasons()
