"""Commands, recipes, code and links of the pages are such as the toolkit understands."""

from __future__ import annotations

import argparse
import importlib
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from typer.main import get_command

from covar_gen.cli import app
from covar_gen.core.plugins import checked
from covar_gen.core.recipe import Recipe
from covar_gen.core.shipped import shipped

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [*(ROOT / "docs").rglob("*.md"), *(ROOT / n for n in ("README.md", "CONTRIBUTING.md"))]
)
OTHERS = {"pip", "git", "export"}
"""Programs that are not ours."""


def _blocks(language: str) -> list[tuple[str, str]]:
    """(page, text) of every fenced block of a language."""
    fence = re.compile(rf"^```{language}\n(.*?)^```", re.DOTALL | re.MULTILINE)
    return [
        (page.relative_to(ROOT).as_posix(), block)
        for page in PAGES
        for block in fence.findall(page.read_text(encoding="utf-8"))
    ]


def _commands() -> list[tuple[str, str]]:
    return [
        (page, line.strip())
        for page, block in _blocks("bash")
        for line in block.splitlines()
        if line.strip() and not line.lstrip().startswith("#")
    ]


def _inline() -> list[tuple[str, str]]:
    """Commands in running text; they may be cut short."""
    return [
        (page.relative_to(ROOT).as_posix(), command)
        for page in PAGES
        for command in re.findall(r"`covar-gen ([a-z]+)[^`]*`", page.read_text(encoding="utf-8"))
    ]


def _understood(line: str) -> None:
    """Raises where a command or an option of it does not exist."""
    words = shlex.split(line)
    while "=" in words[0]:
        words.pop(0)
    program, *rest = words
    if program == "covar-gen":
        _covar(rest)
    elif program == "python" and rest[:1] == ["-m"]:
        _stage(rest[1], rest[2:])
    elif program == "accelerate":
        _accelerate(rest)
    elif program == "make":
        targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
        assert set(rest) <= set(targets)
    else:
        assert program in OTHERS, program


def _covar(words: list[str]) -> None:
    group: Any = get_command(app)
    name, *rest = words
    context = group.commands[name].make_context(name, list(rest))
    recipe = context.params.get("recipe")
    if recipe and not recipe.endswith(".toml") and recipe != "RECIPE":
        assert (shipped("manifests") / recipe / "recipe.toml").is_file(), recipe


class _Parsed(Exception):  # noqa: N818 - not an error
    pass


def _parser(module: str) -> argparse.ArgumentParser:
    """The parser of a stage's command line, taken before it parses."""
    assert re.fullmatch(r"covar_gen\.stage_\w+", module), module
    caught: list[argparse.ArgumentParser] = []

    def catch(parser: argparse.ArgumentParser, *_given: object) -> NoReturn:
        caught.append(parser)
        raise _Parsed

    main = importlib.import_module(module).main
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", catch)
        with pytest.raises(_Parsed):
            main()
    return caught[0]


def _stage(module: str, words: list[str]) -> None:
    _parser(module).parse_args(words)


def _accelerate(words: list[str]) -> None:
    launch = pytest.importorskip("accelerate.commands.launch")
    assert words[0] == "launch"
    given = launch.launch_command_parser().parse_args(words[1:])
    if given.module:
        _stage(given.training_script, given.training_script_args)
    else:
        script = ROOT / given.training_script
        assert script.is_file(), given.training_script
        _stage(f"covar_gen.{script.stem}", given.training_script_args)


@pytest.mark.parametrize(("page", "line"), _commands())
def test_a_command_of_the_docs_is_understood(
    page: str, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        _understood(line)
    except SystemExit:
        pytest.fail(f"{page}: {capsys.readouterr().err}")


@pytest.mark.parametrize(("page", "name"), sorted(set(_inline())))
def test_a_command_named_in_running_text_exists(page: str, name: str) -> None:
    group: Any = get_command(app)
    assert name in group.commands, page


@pytest.mark.parametrize(
    "line",
    [
        "covar-gen build demo",
        "covar-gen run demo --run runs/demo --procs 2",
        "covar-gen run no_such_recipe --run runs/demo",
        "python -m covar_gen.stage_masks --run RUN --of photographs",
        "python -m covar_gen.stage_blur --run RUN",
        "accelerate launch --no_such_option covar_gen/stage_masks.py --run RUN",
        "make coffee",
    ],
)
def test_a_command_that_does_not_exist_is_not_understood(line: str) -> None:
    with pytest.raises((Exception, SystemExit)):
        _understood(line)


@pytest.mark.parametrize(
    ("page", "text"), [(p, t) for p, t in _blocks("toml") if re.search("^name =", t, re.MULTILINE)]
)
def test_a_recipe_of_the_docs_is_one(page: str, text: str) -> None:
    checked(Recipe, tomllib.loads(text), page)


@pytest.mark.parametrize(("page", "text"), _blocks("python"))
def test_code_of_the_docs_compiles(page: str, text: str) -> None:
    compile(text, page, "exec")


def _links() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if not re.match(r"[a-z]+:", target):
                yield page.relative_to(ROOT).as_posix(), target


@pytest.mark.parametrize(("page", "target"), sorted(set(_links())))
def test_a_link_leads_somewhere(page: str, target: str) -> None:
    place, _, anchor = target.partition("#")
    path = (ROOT / page).parent / place if place else ROOT / page
    assert path.exists()
    if anchor:
        headings = re.findall(r"^#+ (.+)$", path.read_text("utf-8"), re.MULTILINE)
        anchors = {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}
        assert anchor in anchors


def test_every_page_is_in_the_sites_navigation() -> None:
    settings = (ROOT / "docs" / "site" / "mkdocs.yml").read_text(encoding="utf-8")
    listed = re.findall(r": (\S+\.md)$", settings, re.MULTILINE)
    there = [path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")]
    assert sorted(listed) == sorted(there)
