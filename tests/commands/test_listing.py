"""`covar-gen list` names every tool and recipe there is, each with its summary."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import covar_gen
from covar_gen.commands.listing import listing
from covar_gen.core.errors import PluginError
from covar_gen.core.plugins import KINDS

PACKAGE = Path(covar_gen.__file__).parent
Covar = Callable[..., "subprocess.CompletedProcess[str]"]


def test_all_kinds_are_listed_then_the_recipes_and_the_models() -> None:
    assert list(listing()) == [
        "sources", "segmenters", "editors", "inpainters", "viewers", "variants", "methods",
        "judges", "recipes", "models",
    ]  # fmt: skip


def test_the_models_are_listed_by_the_names_that_evaluate_takes() -> None:
    said = dict(listing("models")["models"])
    assert len(said) == 26
    assert said["ViT-B-16-quickgelu/openai"] == (
        "paper: B/16 OpenAI, 224 px, 86 M parameters, ImageNet 68.3 %"
    )
    assert said["toy:honest"] == "toy: toy honest, 64 px"


def test_listing_the_models_loads_no_model_library() -> None:
    code = (
        "import sys; from covar_gen.commands.listing import listing; listing('models'); "
        "print(sorted({'torch', 'open_clip', 'transformers', 'timm'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_plugin_file_of_a_kind_is_listed_with_its_summary(kind: str) -> None:
    folder = PACKAGE.parent.joinpath(*KINDS[kind].package.split("."))
    aside = {"base", *KINDS[kind].besides}
    files = [path for path in folder.glob("[a-z]*.py") if path.stem not in aside]
    said = {
        path.stem: str(ast.get_docstring(ast.parse(path.read_text("utf-8")))).splitlines()[0]
        for path in files
    }
    assert listing(kind) == {kind: sorted(said.items())}
    assert files
    assert all(summary.endswith(".") or ";" in summary for summary in said.values())


def test_the_shipped_recipes_are_listed_with_their_first_line() -> None:
    assert [name for name, _ in listing("recipes")["recipes"]] == ["covar", "demo", "toy-world"]
    said = dict(listing("recipes")["recipes"])
    assert said["covar"].startswith("The paper's benchmark: 33 ImageNet classes")
    assert said["demo"].startswith("A small benchmark from real photographs")


def test_a_kind_that_does_not_exist_is_answered_with_the_nearest() -> None:
    with pytest.raises(PluginError, match="unknown kind 'editor'") as caught:
        listing("editor")
    assert caught.value.mend.startswith("Did you mean 'editors'? Known: ")
    assert "recipes" in caught.value.mend


def test_the_command_prints_the_kind_its_names_and_their_summaries(covar: Covar) -> None:
    heading, *lines = covar("list", "variants").stdout.splitlines()
    assert heading == "variants:"
    assert [line.split()[0] for line in lines] == [
        "crop", "hflip", "rotation", "translate", "vflip"
    ]  # fmt: skip
    assert lines[1].startswith("  hflip            Horizontal flip")
    said = covar("list", "nothing", code=2).stderr
    assert said.startswith("PluginError: unknown kind 'nothing'. Known: sources,")
