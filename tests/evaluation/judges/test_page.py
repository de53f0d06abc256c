"""The page about judges has every judge and every reason, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from covar_gen.core.plugins import names
from covar_gen.evaluation.judges import REASONS

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "how-to" / "judges.md").read_text("utf-8")


def _table(head: str) -> dict[str, str]:
    block = PAGE.partition(f"| {head} |")[2].partition("\n\n")[0]
    return dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", block, re.MULTILINE))


def test_the_page_has_every_judge() -> None:
    assert sorted(_table("judge")) == names("judges")


def test_the_page_has_every_reason_in_the_codes_words() -> None:
    assert _table("reason") == REASONS


def test_the_code_of_the_page_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    exec(code, {})
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "True 0.875 None wordnet 3.0 (Wu-Palmer >= 0.87)"
    assert [line.partition(" ")[0] for line in said] == ["True"] * 3
