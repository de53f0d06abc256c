"""docs/how-to/generators.md: its recipes hold, and its numbers are those of the code."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from covar_gen.core import plugins
from covar_gen.core.pins import pin, pins
from covar_gen.core.recipe import Backgrounds, Scale, Viewpoints
from covar_gen.core.values import checked

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "generators.md"
TEXT = PAGE.read_text("utf-8")
BLOCKS = re.findall(r"^```toml\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
SECTIONS = {"backgrounds": Backgrounds, "scale": Scale, "viewpoints": Viewpoints}
KINDS = ("editors", "viewers", "inpainters")


def kind_of(name: str) -> str:
    return next(kind for kind in KINDS if name in plugins.names(kind))


def rows_of(head: str) -> list[list[str]]:
    """Cells of the table whose first heading is `head`."""
    table = TEXT[TEXT.index(f"| {head} |") :].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


@pytest.mark.parametrize("block", BLOCKS)
def test_a_recipes_options_are_options_of_its_plugins(block: str) -> None:
    for section, values in tomllib.loads(block).items():
        options: dict[str, dict[str, Any]] = values.pop("options", {})
        if values:
            checked(SECTIONS[section], values, section)
        for name, given in options.items():
            plugin = plugins.find(kind_of(name), name, plugins.Plugin)
            checked(plugin.Options, given, f"{section}.options.{name}")


@pytest.mark.parametrize("row", rows_of("editor"), ids=lambda row: row[0].strip("`"))
def test_an_editors_defaults_are_those_of_the_code(row: list[str]) -> None:
    name, weights, steps, guidance, forms, _ = row
    options = plugins.find("editors", name.strip("`"), plugins.Plugin).Options
    defaults = {key: field.default for key, field in options.model_fields.items()}
    assert defaults["steps"] == int(steps)
    if guidance[0].isdigit():
        assert defaults["guidance"] == float(guidance.partition(",")[0])
    if "`" in weights:
        assert defaults["weights"] == weights.strip("`")
    for form in re.findall(r"`(\w+)`", forms):
        if "form" in defaults:
            checked(options, {"form": form}, name)


def test_every_editor_with_weights_is_in_the_table() -> None:
    told = {row[0].strip("`") for row in rows_of("editor")}
    there = {
        name
        for name in plugins.names("editors")
        if "weights" in plugins.find("editors", name, plugins.Plugin).Options.model_fields
    }
    assert told == there


def test_repositories_and_commits_on_the_page_are_those_of_the_file() -> None:
    named = set(re.findall(r"`([\w-]+/[\w.-]+)`", TEXT)) - {"owner/name"}
    assert {repo for repo in named if pin(repo) is None} == set()
    commits = {known.revision for known in pins().values()}
    assert set(re.findall(r"--revision (\w+)", TEXT)) <= commits


def test_zero123plus_has_the_poses_and_values_that_the_page_says() -> None:
    from covar_gen.viewers.zero123plus import AZIMUTHS, ELEVATIONS, Zero123plus

    assert ", ".join(map(str, AZIMUTHS[:-1])) + f" and {AZIMUTHS[-1]}" in TEXT
    assert "elevations of {} and {} degrees".format(*ELEVATIONS["1.2"]) in TEXT
    assert "({} and {} for".format(*ELEVATIONS["1.1"]) in TEXT
    defaults = Zero123plus.Options()
    assert f"| `guidance`, `steps` | {defaults.guidance:g}, {defaults.steps} |" in TEXT
    for key in ("input", "output"):
        field = Zero123plus.Options.model_fields[key]
        for value in field.annotation.__args__:  # type: ignore[union-attr]
            assert f'`"{value}"`' in TEXT
