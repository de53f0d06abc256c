"""The house: what lies where, what it is called, and how large it may grow (DESIGN, 3 and 7)."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "covar_gen"
FILES = sorted(PACKAGE.rglob("*.py"))

TOP = {
    "covar_gen", "prompts", "manifests", "tests", "docs", "pyproject.toml", "README.md", "Makefile",
    "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "CITATION.cff", "constraints.txt", ".ci",
    ".gitignore",
}  # fmt: skip
HEAVY = (
    "torch", "cv2", "datasets", "skimage", "diffusers", "open_clip", "transformers", "accelerate",
    "openai", "scipy", "pandas", "timm", "matplotlib", "simplejpeg", "safetensors", "tokenizers",
)  # fmt: skip
LONGEST_FILE = 400
LONGEST_FUNCTION = 60
"""Lines, its docstring left aside."""


def test_the_top_level_holds_what_the_design_lists_and_nothing_else() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout")
    done = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files"], capture_output=True, text=True, check=True
    )
    tracked = done.stdout.splitlines()
    assert {path.partition("/")[0] for path in tracked} <= TOP
    assert [path for path in tracked if path.startswith(".ci/")] == [".ci/run"]


def test_nothing_in_the_package_bears_the_name_of_a_module_that_it_would_hide() -> None:
    # Run as a script, a stage has covar_gen/ itself as the first place where modules are sought.
    names = {path.stem for path in PACKAGE.iterdir() if path.suffix in ("", ".py")}
    taken = {*sys.stdlib_module_names, *metadata.packages_distributions()}
    assert not (names - {"__init__", "__pycache__"}) & (taken - {"covar_gen"})


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["run", "--help"], ["evaluate", "--help"], ["list"], ["estimate", "covar"]],
    ids=" ".join,
)
def test_a_command_that_computes_nothing_loads_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys\n"
        "from covar_gen.cli import app\n"
        f"try: app({arguments!r}, prog_name='covar-gen')\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        f"print('loaded:', *sorted(set({HEAVY!r}) & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].strip() == "loaded:"


def _public(tree: ast.Module) -> Iterator[ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
    """Public classes and functions of a module, and public methods of its public classes."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        for node in ast.iter_child_nodes(waiting.pop()):
            kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
            if isinstance(node, kinds) and not node.name.startswith("_"):
                yield node
                if isinstance(node, ast.ClassDef):
                    waiting.append(node)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_file_is_documented_and_short(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "the module has no docstring"
    assert not [node.name for node in _public(tree) if not ast.get_docstring(node)]
    assert len(text.splitlines()) <= LONGEST_FILE
    lengths = {
        node.name: _length(node)
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    }
    assert not {name: length for name, length in lengths.items() if length > LONGEST_FUNCTION}


def _length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    said = (ast.get_docstring(node, clean=False) or "").count("\n")
    return (node.end_lineno or 0) - node.lineno + 1 - said
