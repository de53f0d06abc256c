"""What a user can mend is one line on stderr and exit code 2, through the real command line."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from covar_gen.core.store import open_run

Covar = Callable[..., "subprocess.CompletedProcess[str]"]

CLASSES_ONLY = """
name = "small"
[classes]
source = "folder"
path = "photographs"
size = 48
"""


def the_line(done: "subprocess.CompletedProcess[str]", *words: str) -> str:
    """What was said about the error: one line, with all these words in it."""
    assert done.returncode == 2
    said = [line for line in done.stderr.splitlines() if not line.endswith("s left")]
    assert len(said) == 1, done.stderr
    for word in words:
        assert word in said[0]
    return said[0]


def short(tmp_path: Path, text: str = CLASSES_ONLY) -> Path:
    path = tmp_path / "short.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("made", "words"),
    [
        ([], ("no class folders in it", "sub-folder named like the class")),
        (["loose.jpg"], ("no class folders in it",)),
        (["cat/", "dog/"], ("none of the 2 class folders holds a photograph",)),
        (["cat/.hidden.jpg", "dog/notes.txt"], ("holds a photograph",)),
        (None, ("no such folder", "[classes] path")),
    ],
)
def test_a_folder_without_photographs_is_refused(
    tmp_path: Path, covar: Covar, made: list[str] | None, words: tuple[str, ...]
) -> None:
    if made is not None:
        (tmp_path / "photographs").mkdir()
        for name in made:
            path = tmp_path / "photographs" / name
            (path if name.endswith("/") else path.parent).mkdir(exist_ok=True)
            if not name.endswith("/"):
                path.write_bytes(b"words")
    done = covar("init", short(tmp_path), "--run", "run", code=2)
    the_line(done, "PhotographsError", "photographs", *words)
    assert not (tmp_path / "run").exists()


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path, covar: Covar) -> None:
    (tmp_path / "photographs").write_bytes(b"words")
    the_line(covar("init", short(tmp_path), "--run", "run", code=2), "not a folder")


def test_a_class_that_keeps_fewer_photographs_than_asked_for_stops_the_run(
    tmp_path: Path, photographs: Path, covar: Covar
) -> None:
    path = photographs / "disc" / "p1.png"
    path.write_bytes(path.read_bytes()[:500])
    short(tmp_path, CLASSES_ONLY + "per_class = 3\n")
    done = covar("run", "short.toml", "--run", "run", code=2)
    the_line(done, "PhotographsError", "'disc' keeps 2 photographs (1 rejected)", "per_class = 3")
    assert not (tmp_path / "run" / "manifest.parquet").exists()


def test_two_class_folders_that_differ_in_case_only_are_two_classes(
    tmp_path: Path, photographs: Path, covar: Covar
) -> None:
    shutil.rmtree(photographs / "n02391049")
    shutil.copytree(photographs / "disc", photographs / "Disc")
    if len(list(photographs.iterdir())) < 2:
        pytest.skip("this file system takes both names for one")
    covar("init", short(tmp_path), "--run", "run")
    folders = [str(c.folder) for c in open_run(tmp_path / "run").recipe.class_list]
    assert len({folder.casefold() for folder in folders}) == 2


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (["clases.size=3"], ("unknown key 'clases'", "Did you mean 'classes'?", "block")),
        (["seed=three"], ("seed: ", "integer", "'three'")),
        (["seed"], ("'seed' is not KEY=VALUE", "seed=3")),
        (["classes.source=foldr"], ("unknown source 'foldr'", "'folder'?", "skimage")),
        (["masks.segmenter=zzz"], ("masks.segmenter: unknown segmenter 'zzz'. Known: ",)),
        (
            ["masks.segmenter=grabcut", "masks.options.grabcut.iteration=3"],
            ("masks.options.grabcut: unknown key 'iteration'", "'iterations'?", "margin"),
        ),
        (
            ["masks.segmenter=grabcut", "masks.options.other.level=3"],
            ("options for 'other'", "grabcut"),
        ),
        (["classes.classes=gone.csv"], ("gone.csv", "cannot be read")),
        (['classes.classes=[{class_id=1, class_name="ant"}]'], ("no class 'ant'", "disc")),
    ],
)
def test_a_recipe_that_is_wrong_is_answered_with_what_would_be_right(
    tmp_path: Path, photographs: Path, covar: Covar, changes: list[str], words: tuple[str, ...]
) -> None:
    given = [part for change in changes for part in ("--set", change)]
    done = covar("init", short(tmp_path), "--run", "run", *given, code=2)
    the_line(done, *words)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"name = ", ("short.toml", "not TOML")),
        (None, ("short.toml", "no such file")),
    ],
)
def test_what_is_no_recipe_is_refused(
    tmp_path: Path, covar: Covar, content: bytes | None, words: tuple[str, ...]
) -> None:
    if content is not None:
        (tmp_path / "short.toml").write_bytes(content)
    the_line(covar("init", "short.toml", "--run", "run", code=2), "RecipeError", *words)


def test_an_unknown_recipe_is_answered_with_the_shipped_ones(covar: Covar) -> None:
    the_line(covar("run", "demoo", "--run", "run", code=2), "'demoo'", "covar, demo")


def test_an_unknown_kind_of_tool_is_answered_with_the_kinds(covar: Covar) -> None:
    the_line(covar("list", "editorz", code=2), "'editors'?", "segmenters")


def test_an_unknown_stage_is_answered_with_the_recipes(
    tmp_path: Path, photographs: Path, covar: Covar
) -> None:
    done = covar("run", short(tmp_path), "--run", "run", "--stage", "geometri", code=2)
    the_line(done, "no stage 'geometri'", "classes, manifest")


def test_a_run_folder_of_another_recipe_is_refused_and_kept(
    tmp_path: Path, photographs: Path, covar: Covar
) -> None:
    covar("init", short(tmp_path), "--run", "run")
    before = (tmp_path / "run" / "recipe.toml").read_bytes()
    done = covar("run", "short.toml", "--run", "run", "--set", "seed=4", code=2)
    the_line(done, "AnotherRecipeError", "run/recipe.toml", "seed: 0 there, 4 here", "--run")
    image = photographs / "disc" / "p0.png"
    image.write_bytes((photographs / "disc" / "p1.png").read_bytes())
    the_line(covar("init", "short.toml", "--run", "run", code=2), "classes.content")
    assert (tmp_path / "run" / "recipe.toml").read_bytes() == before


@pytest.mark.parametrize(
    ("command", "place"),
    [("status", "gone"), ("verify", "photographs"), ("gallery", "photographs/disc/p0.png")],
)
def test_a_folder_that_is_no_run_is_refused(
    photographs: Path, covar: Covar, command: str, place: str
) -> None:
    the_line(covar(command, place, code=2), f"RunFolderError: {place}: not a run folder", "init")


def test_a_run_without_a_manifest_is_answered_with_the_command(
    tmp_path: Path, photographs: Path, covar: Covar
) -> None:
    covar("init", short(tmp_path), "--run", "run")
    done = covar("gallery", "run", code=2)
    the_line(done, "IncompleteInputError", "no manifest yet", "covar-gen run run/recipe.toml")


def test_a_folder_with_strangers_files_is_refused_and_left_alone(
    tmp_path: Path, photographs: Path, covar: Covar
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work", encoding="utf-8")
    done = covar("run", short(tmp_path), "--run", "mine", code=2)
    the_line(done, "RunFolderError: mine", "thesis.tex", "empty or new folder")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("place", ["afile", "afile/run", "dangling", "n" * 300])
def test_a_place_that_cannot_be_a_folder_is_refused(
    tmp_path: Path, photographs: Path, covar: Covar, place: str
) -> None:
    (tmp_path / "afile").write_bytes(b"words")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    the_line(covar("init", short(tmp_path), "--run", place, code=2), place)
    assert (tmp_path / "afile").read_bytes() == b"words"


def test_a_path_that_is_no_utf8_is_used_or_refused(
    tmp_path: Path, photographs: Path, covar: Covar
) -> None:
    place = tmp_path / os.fsdecode(b"caf\xe9")
    try:
        shutil.copytree(photographs, place)
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    text = CLASSES_ONLY.replace('"photographs"', '"."')
    (place / "short.toml").write_text(text, encoding="utf-8")
    done = covar("init", place / "short.toml", "--run", "run", code=None)
    if done.returncode:
        the_line(done)
