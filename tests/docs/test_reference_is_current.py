"""docs/reference/ is what docs/generate.py writes from the code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def generate(module_of: Callable[[Path], ModuleType]) -> ModuleType:
    return module_of(ROOT / "docs" / "generate.py")


def test_the_reference_is_what_the_code_says(
    generate: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert generate.main(["--check"]) == 0, capsys.readouterr().err


def test_a_page_that_would_change_is_named(
    generate: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(generate, "REFERENCE", tmp_path)
    assert generate.main([]) == 0
    assert generate.main(["--check"]) == 0
    page = tmp_path / "manifest.md"
    page.write_text(page.read_text("utf-8").replace("degrees", "radians"), encoding="utf-8")
    assert generate.main(["--check"]) == 1
    assert capsys.readouterr().err == f"{page}: not what the code says. Type: make docs\n"


def test_the_reference_says_nothing_about_the_machine(
    generate: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = generate.pages()
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("LANG", "de_DE.UTF-8")
    assert generate.pages() == before
    assert not any(str(Path.home()) in text or str(ROOT) in text for text in before.values())


def test_every_key_and_option_has_a_meaning(generate: ModuleType) -> None:
    text = generate.pages()[generate.REFERENCE / "plugins.md"]
    lacking = [line for line in text.splitlines() if line.endswith("| see above |")]
    assert not lacking, "describe the option in the Attributes of its class's docstring"
