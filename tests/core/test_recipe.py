"""A recipe is checked to the last key, and what it says is frozen and hashed."""

from pathlib import Path
from typing import Any

import pytest

from covar_gen.core.errors import CovarError, RecipeError
from covar_gen.core.lists import read_list
from covar_gen.core.recipe import Class, Recipe, read_recipe, recipe_path, recipe_toml
from covar_gen.core.shipped import shipped

MINIMAL = """
name = "small"
[classes]
source = "folder"
path = "photographs"
"""
FULL = """
[masks]
segmenter = "grabcut"
[backgrounds]
editor = "collage"
backgrounds = [{background_id = 5, description = "desert"}]
[scale]
inpainter = "telea"
[geometry]
inpainter = "telea"
variants = ["hflip"]
"""


def read(folder: Path, text: str, **changes: Any) -> Recipe:
    path = folder / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    return read_recipe(path, {key.replace("__", "."): value for key, value in changes.items()})


def refused(folder: Path, text: str, **changes: Any) -> str:
    with pytest.raises(RecipeError) as error:
        read(folder, text, **changes)
    assert "\n" not in error.value.line()
    return error.value.line()


def test_what_is_left_out_has_its_documented_value(tmp_path: Path) -> None:
    recipe = read(tmp_path, MINIMAL)
    assert (recipe.seed, recipe.block, recipe.classes.size) == (0, 32, 512)
    assert recipe.classes.per_class is None
    assert recipe.masks is None
    assert read(tmp_path, MINIMAL + FULL).scale.factors == [2.0, 4.0, 6.0, 8.0]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sed = 3", ["'sed'", "Did you mean 'seed'", "block", "classes"]),
        ("[clases]", ["'clases'", "Did you mean 'classes'"]),
        ("[masks]\nsegmenter = 'x'\nsegmentr = 'y'", ["masks", "'segmentr'", "segmenter"]),
        ("[masks]\nsegmenter = 'x'\noption = {x = 1}", ["masks", "'option'", "'options'"]),
    ],
)
def test_an_unknown_key_is_answered_with_the_known_ones(
    tmp_path: Path, text: str, words: list[str]
) -> None:
    before, after = (text, "") if not text.startswith("[") else ("", text)
    line = refused(tmp_path, before + MINIMAL + after)
    assert all(word in line for word in words), line
    assert "Known: " in line


@pytest.mark.parametrize(
    ("changes", "known"),
    [
        ({"classes__classes": [{"class_id": 1, "class_name": "a", "wnidd": "n"}]}, "wnid"),
        (
            {"backgrounds__backgrounds": [{"background_id": 1, "description": "a", "x": "y"}]},
            "description",
        ),
    ],
)
def test_an_unknown_key_inside_a_list_is_answered_with_the_known_ones(
    tmp_path: Path, changes: dict[str, Any], known: str
) -> None:
    line = refused(tmp_path, MINIMAL + FULL, **changes)
    assert "unknown key" in line
    assert known in line.partition("Known: ")[2]


@pytest.mark.parametrize(
    ("changes", "where", "words"),
    [
        ({"seed": "three"}, "seed", "integer"),
        ({"seed": 3.0}, "seed", "integer"),
        ({"seed": True}, "seed", "integer"),
        ({"seed": -1}, "seed", "greater"),
        ({"seed": 2**63}, "seed", "less"),
        ({"block": 0}, "block", "greater"),
        ({"name": "../up"}, "name", "pattern"),
        ({"name": 3}, "name", "string"),
        ({"classes": 3}, "classes", "got 3"),
        ({"classes__source": 3}, "classes.source", "string"),
        ({"classes__per_class": 0}, "classes.per_class", "greater"),
        ({"classes__per_class": "5"}, "classes.per_class", "integer"),
        ({"classes__size": 8}, "classes.size", "16"),
        ({"scale__factors": []}, "scale.factors", "at least 1"),
        ({"scale__factors": [2, 2.0]}, "scale.factors", "twice"),
        ({"scale__factors": [1]}, "scale.factors", "greater"),
        ({"scale__factors": [float("nan")]}, "scale.factors", "64"),
        ({"geometry__variants": []}, "geometry.variants", "at least 1"),
        ({"geometry__variants": ["hflip", "hflip"]}, "geometry.variants", "twice"),
        ({"backgrounds__backgrounds": None}, "backgrounds", "no backgrounds"),
        ({"name__x": 3}, "name.x", "no section"),
    ],
)
def test_a_wrong_value_is_named_with_its_place(
    tmp_path: Path, changes: dict[str, Any], where: str, words: str
) -> None:
    line = refused(tmp_path, MINIMAL + FULL, **changes)
    assert f"RecipeError: {where}" in line
    assert words in line


@pytest.mark.parametrize("section", ["scale", "geometry", "backgrounds"])
def test_a_section_without_the_one_that_it_reads_is_refused(tmp_path: Path, section: str) -> None:
    start = FULL.index(f"[{section}]")
    only = FULL[start : FULL.find("\n[", start + 1) % (len(FULL) + 1)]
    assert "needs a" in refused(tmp_path, MINIMAL + only)


@pytest.mark.parametrize(
    "text", ["name = ", "= 3", "[classes", "name = 'a'\nname = 'b'", "\x00", "this is prose"]
)
def test_what_is_not_toml_is_refused(tmp_path: Path, text: str) -> None:
    assert "not TOML" in refused(tmp_path, text)


def test_what_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(RecipeError, match="not TOML"):
        read_recipe(path)


def test_a_recipe_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="cannot be read"):
        read_recipe(tmp_path)
    with pytest.raises(RecipeError, match="no such file"):
        recipe_path(tmp_path / "gone.toml")


def test_a_shipped_recipe_is_found_by_name_and_an_unknown_one_is_answered_with_them() -> None:
    names = sorted(p.parent.name for p in shipped("manifests").glob("*/recipe.toml"))
    assert names
    assert recipe_path(names[0]) == shipped("manifests") / names[0] / "recipe.toml"
    with pytest.raises(RecipeError, match=", ".join(names)):
        recipe_path("nothing-of-this-name")


def csv(folder: Path, text: str | bytes) -> list[Class]:
    path = folder / "classes.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_list(path, Class, "class_id")


def test_a_list_is_read_from_csv_with_other_columns_passed_over(tmp_path: Path) -> None:
    rows = csv(
        tmp_path,
        "\ufeffclass_id,class_name,wnid,imagenet_index,note\n"
        '3,"camel, one hump",n02437312, 354 ,desert\n'
        "4,zebra,,,\n",
    )
    assert rows == [
        Class(class_id=3, class_name="camel, one hump", wnid="n02437312", imagenet_index=354),
        Class(class_id=4, class_name="zebra"),
    ]
    assert [c.class_id for c in csv(tmp_path, "class_name\nant\nbee\n")] == [1, 2]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the list is empty"),
        ("class_id,class_name\n", "the list is empty"),
        ("class_id\n1\n", "class_name"),
        ("class_id,class_name\none,ant\n", "class_id"),
        ("class_id,class_name\n1,ant\n1,bee\n", "number 1 occurs twice"),
        ("class_id,class_name\n1,ant\n2,\n", "line 3"),
        (b"class_id,class_name\n1,caf\xe9\n", "cannot be read"),
        ('class_id,class_name\n1,"' + "no quote ends this field\n" * 6000, "classes.csv"),
    ],
)
def test_a_list_that_cannot_be_used_is_refused(
    tmp_path: Path, text: str | bytes, words: str
) -> None:
    with pytest.raises(CovarError) as error:
        csv(tmp_path, text)
    assert words in error.value.line()
    assert len(error.value.line()) < 1000


def test_a_list_that_is_not_there_is_refused(tmp_path: Path) -> None:
    line = refused(tmp_path, MINIMAL, classes__classes="gone.csv")
    assert "gone.csv" in line
    assert "relative to the recipe" in line


def test_numbers_in_an_inline_list_are_used_once(tmp_path: Path) -> None:
    ants = [{"class_id": 1, "class_name": "ant"}, {"class_id": 1, "class_name": "bee"}]
    assert "number 1 occurs twice" in refused(tmp_path, MINIMAL, classes__classes=ants)


def test_a_frozen_recipe_reads_back_as_itself(tmp_path: Path) -> None:
    recipe = read(tmp_path, MINIMAL + FULL, name="a.b-c_1", backgrounds__prompt='say "ä"\n{x}')
    path = tmp_path / "frozen.toml"
    path.write_bytes(recipe_toml(recipe))
    assert read_recipe(path) == recipe
    assert recipe_toml(read_recipe(path)) == recipe_toml(recipe)


def test_a_path_that_is_there_is_made_absolute_and_is_not_hashed(tmp_path: Path) -> None:
    digests = set()
    for name in ("here", "there"):
        folder = tmp_path / name
        (folder / "photographs").mkdir(parents=True)
        recipe = read(folder, MINIMAL)
        assert recipe.classes.path == str(folder / "photographs")
        digests.add(recipe.digest())
    assert len(digests) == 1


def test_where_the_photographs_lie_is_not_hashed_even_if_it_is_no_folder(tmp_path: Path) -> None:
    one, other = (read(tmp_path, MINIMAL, classes__path=path) for path in ("here", "owner/data"))
    assert one.digest() == other.digest()


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"block": 31},
        {"name": "other"},
        {"classes__size": 256},
        {"classes__per_class": 3},
        {"classes__content": "abc"},
        {"scale__factors": [2, 4]},
        {"backgrounds__prompt": "Put it on {background}."},
    ],
)
def test_everything_else_is_hashed(tmp_path: Path, changes: dict[str, Any]) -> None:
    text = MINIMAL + FULL
    assert read(tmp_path, text, **changes).digest() != read(tmp_path, text).digest()
