"""A plugin is a file; what is wrong with one is said with the known names or the command."""

import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

from covar_gen.core import plugins
from covar_gen.core.errors import MissingExtraError, PluginError, RecipeError
from covar_gen.core.plugins import (
    KINDS,
    Kind,
    Plugin,
    PluginOptions,
    RecipePath,
    WeightsName,
    names,
    summary,
)
from covar_gen.segmenters.base import Segmenter
from covar_gen.variants.base import Variant

HEADER = '"""A segmenter of a test.\n\nMore words."""\n\n'
FINE = (
    HEADER
    + """
from covar_gen.core.plugins import PluginOptions
from covar_gen.segmenters.base import Segmenter


class Fine(Segmenter):
    class Options(PluginOptions):
        level: int = 3

    def segment(self, batch):
        return []
"""
)


@pytest.fixture
def kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of segmenters of its own, beside a `base.py` and a private file."""
    package = types.ModuleType("covar_gen.trials")
    package.__path__ = [str(tmp_path)]
    monkeypatch.setitem(sys.modules, "covar_gen.trials", package)
    monkeypatch.setitem(KINDS, "trials", Kind("trial", "covar_gen.trials", ("aside",)))
    monkeypatch.setattr(plugins, "_folder", lambda _kind: tmp_path)
    for name in ("base", "_private", "__init__", "aside"):
        (tmp_path / f"{name}.py").write_text("", encoding="utf-8")
    yield tmp_path
    for name in [n for n in sys.modules if n.startswith("covar_gen.trials.")]:
        del sys.modules[name]


def put(folder: Path, name: str, text: str) -> None:
    (folder / f"{name}.py").write_text(text, encoding="utf-8")


def test_the_files_of_a_folder_are_its_plugins(kind: Path) -> None:
    put(kind, "fine", FINE)
    put(kind, "another", FINE)
    assert names("trials") == ["another", "fine"]
    assert summary("trials", "fine") == "A segmenter of a test."


def test_a_file_dropped_in_is_found_made_and_named_by_its_file(kind: Path) -> None:
    put(kind, "fine", FINE)
    made = plugins.make("trials", "fine", Segmenter, {"level": 5}, "masks.segmenter")
    assert made.name() == "fine"
    assert made.identity() == {"plugin": "fine", "version": "1", "options": {"level": 5}}
    assert plugins.make("trials", "fine", Segmenter).identity() == {
        "plugin": "fine",
        "version": "1",
        "options": {"level": 3},
    }


@pytest.mark.parametrize("kind_", sorted(KINDS))
def test_every_plugin_is_one_class_with_a_summary_and_sound_facts(kind_: str) -> None:
    import importlib

    word, package, _ = KINDS[kind_]
    base = getattr(importlib.import_module(f"{package}.base"), word.capitalize())
    for name in names(kind_):
        plugin = plugins.find(kind_, name, base)
        assert plugin.name() == name
        assert summary(kind_, name)
        assert plugin.version
        assert isinstance(plugin.requires, tuple)
        assert plugin.Options.model_config["extra"] == "forbid"


def test_an_unknown_plugin_is_answered_with_the_nearest_and_the_known_ones() -> None:
    with pytest.raises(PluginError) as error:
        plugins.find("variants", "rotatoin", Variant, "geometry.variants")
    line = error.value.line()
    assert "geometry.variants: unknown variant 'rotatoin'" in line
    assert "Did you mean 'rotation'?" in line
    assert ", ".join(names("variants")) in line


def test_an_unknown_kind_is_answered_with_the_kinds() -> None:
    with pytest.raises(PluginError, match="Did you mean 'viewers'"):
        names("viewer")


@pytest.mark.parametrize(
    "name", ["base", "_private", "__init__", "aside", "../segmenters/grabcut", ""]
)
def test_what_is_no_plugin_of_the_folder_is_unknown(kind: Path, name: str) -> None:
    put(kind, "fine", FINE)
    with pytest.raises(PluginError, match="unknown"):
        plugins.find("trials", name, Segmenter)


@pytest.mark.parametrize(
    ("text", "count"),
    [(HEADER, 0), (FINE + "\n\nclass Second(Fine):\n    pass\n", 2)],
)
def test_a_file_without_exactly_one_plugin_is_refused(kind: Path, text: str, count: int) -> None:
    put(kind, "odd", text)
    with pytest.raises(PluginError, match=f"the file holds {count} trial classes, not one"):
        plugins.find("trials", "odd", Segmenter)


def test_a_class_that_is_only_imported_is_not_counted(kind: Path) -> None:
    put(kind, "fine", FINE)
    put(kind, "second", FINE.replace("class Fine", "class Second"))
    put(kind, "user", "from covar_gen.trials.fine import Fine\n\n\nclass User(Fine):\n    pass\n")
    assert plugins.find("trials", "user", Segmenter).__name__ == "User"


@pytest.mark.parametrize(
    ("requires", "extra", "command"),
    [
        (("numpy", "no_such_module"), "sam", "pip install 'covar-gen[sam]'"),
        (("no_such_module",), None, "pip install 'no_such_module'"),
        (("no_such_module.inner",), "sam", "pip install 'covar-gen[sam]'"),
        (("numpy.no_such_part",), "sam", "pip install 'covar-gen[sam]'"),
    ],
)
def test_a_missing_package_is_answered_with_the_command(
    kind: Path, requires: tuple[str, ...], extra: str | None, command: str
) -> None:
    facts = f"    requires = {requires!r}\n    extra = {extra!r}\n\n    class Options"
    put(kind, "needy", FINE.replace("    class Options", facts))
    with pytest.raises(MissingExtraError) as error:
        plugins.make("trials", "needy", Segmenter, {}, "masks.segmenter")
    line = error.value.line()
    assert line.startswith("MissingExtraError: masks.segmenter: trial 'needy' needs ")
    assert requires[-1] in line
    assert "numpy, " not in line
    assert command in line


def test_an_option_is_checked_and_named_by_its_place_in_the_recipe(kind: Path) -> None:
    put(kind, "fine", FINE)
    with pytest.raises(RecipeError) as error:
        plugins.make("trials", "fine", Segmenter, {"levle": 3}, "masks.segmenter")
    line = error.value.line()
    assert "masks.options.fine" in line
    assert "unknown key 'levle'. Did you mean 'level'? Known: level" in line
    with pytest.raises(RecipeError, match=r"masks\.options\.fine\.level: .*integer"):
        plugins.make("trials", "fine", Segmenter, {"level": "high"}, "masks.segmenter")


def test_an_option_that_no_recipe_holds_is_named_by_its_plugin(kind: Path) -> None:
    put(kind, "fine", FINE)
    with pytest.raises(PluginError) as error:
        plugins.make("trials", "fine", Segmenter, {"level": "high"})
    line = error.value.line()
    assert line.startswith("PluginError: trial fine.level: ")
    assert line.endswith("(got 'high'). Correct it")
    with pytest.raises(PluginError, match="trial fine: unknown key 'levle'"):
        plugins.make("trials", "fine", Segmenter, {"levle": 3})


def test_a_kind_need_not_stand_directly_in_the_package() -> None:
    assert "cci" in names("methods")
    assert plugins.summary("methods", "cci")


def test_options_that_are_paths_are_relative_to_the_recipe(tmp_path: Path) -> None:
    class Options(PluginOptions):
        folder: RecipePath | None = None
        name: str = "x"

    plugin = type("Somewhere", (Plugin,), {"Options": Options})
    found = plugins.with_paths(plugin, {"folder": "a/../b", "name": "a"}, tmp_path)
    assert found == {"folder": str(tmp_path / "b"), "name": "a"}
    absolute = plugins.with_paths(plugin, {"folder": "/elsewhere"}, tmp_path)
    assert absolute == {"folder": "/elsewhere"}
    assert plugins.with_paths(plugin, {}, tmp_path) == {}


def test_weights_are_a_folder_where_it_is_there_and_else_a_name(tmp_path: Path) -> None:
    class Options(PluginOptions):
        weights: WeightsName = "me/model"

    plugin = type("Somewhere", (Plugin,), {"Options": Options})
    given = {"weights": "me/model"}
    assert plugins.with_paths(plugin, given, tmp_path) == given
    (tmp_path / "me" / "model").mkdir(parents=True)
    assert plugins.with_paths(plugin, given, tmp_path) == {"weights": str(tmp_path / "me/model")}
    assert plugins.with_paths(plugin, {"weights": "me/model@v1"}, tmp_path)["weights"][:2] == "me"


def test_weights_in_one_file_keep_the_name_of_a_link_to_them(tmp_path: Path) -> None:
    class Options(PluginOptions):
        weights: WeightsName = "me/model"

    plugin = type("Somewhere", (Plugin,), {"Options": Options})
    (tmp_path / "blob").write_bytes(b"w")
    (tmp_path / "model.safetensors").symlink_to(tmp_path / "blob")
    given = {"weights": "model.safetensors"}
    found = plugins.with_paths(plugin, given, tmp_path)
    assert found == {"weights": str(tmp_path / "model.safetensors")}
