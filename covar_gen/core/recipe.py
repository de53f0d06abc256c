"""A recipe: what to build, as TOML; checked, resolved, and frozen into the run."""

from __future__ import annotations

import csv
import hashlib
import json
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from covar_gen.core.errors import RecipeError
from covar_gen.core.plugins import checked
from covar_gen.core.proposals import Proposal
from covar_gen.core.shipped import shipped

OptionsOf = dict[str, dict[str, Any]]
"""Options of plugins, by plugin name; checked by the plugin."""

PathPart = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*$")]
"""Text that becomes a folder's name."""

Positive = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    """Base of all parts of a recipe: unknown keys are refused, values are not converted."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Class(Section):
    """One class of the benchmark.

    Attributes:
        class_id: number in the list, from 1.
        class_name: the class in words.
        label: what the source calls it; found by wnid or name where left out.
        wnid: WordNet id, where it is a synset.
        imagenet_index: index among the 1000 classes of ILSVRC 2012, where it is one.
        folder: first component of the keys of its photographs; set when the run is made.
    """

    class_id: int
    class_name: str
    label: str | None = None
    wnid: PathPart | None = None
    imagenet_index: int | None = None
    folder: PathPart | None = None


class Background(Section):
    """One background of the benchmark.

    Attributes:
        background_id: number in the list, from 1.
        description: the background in words.
    """

    background_id: Annotated[int, Field(ge=0, le=9999)]
    description: str


class Classes(Section):
    """[classes]: which photographs of which classes.

    Attributes:
        source: where photographs come from.
        path: folder, file or Hub id of the source, relative to the recipe; not part of the hash.
        per_class: photographs sampled per class; left out: all.
        size: shortest edge of the working photographs, pixels; "original" leaves them as they are.
        classes: a CSV (class_id, class_name, wnid, ...) relative to the recipe, or the list
            itself; left out: every label of the source.
        propose: ask a language model for the classes instead.
        options: further options of the source.
        derived: True if the list is the source's or a language model's; set when the run is made.
        content: digest of the photographs' content; set when the run is made.
    """

    source: str
    path: str | None = None
    per_class: Positive | None = None
    size: Annotated[int, Field(ge=16, le=8192)] | Literal["original"] = 512
    classes: str | list[Class] | None = None
    propose: Proposal | None = None
    options: OptionsOf = {}
    derived: bool = False
    content: str | None = None


class Masks(Section):
    """[masks]: what outlines the object.

    Attributes:
        segmenter: the segmenter.
        options: options of the segmenter.
    """

    segmenter: str
    options: OptionsOf = {}


class Backgrounds(Section):
    """[backgrounds]: before what each object is placed, and by what.

    Attributes:
        editor: the editor.
        backgrounds: a CSV (background_id, description) relative to the recipe, or the list.
        propose: ask a language model for the backgrounds instead.
        prompt: instruction; `{background}` and `{class_name}` are filled in; left out: the
            paper's sentence.
        options: options of the editor.
    """

    editor: str
    backgrounds: str | list[Background] | None = None
    propose: Proposal | None = None
    prompt: str | None = None
    options: OptionsOf = {}


class Viewpoints(Section):
    """[viewpoints]: how many of the viewer's poses each image is shown from.

    Attributes:
        viewer: the viewer.
        views: poses drawn for each image.
        options: options of the viewer.
    """

    viewer: str
    views: Positive = 2
    options: OptionsOf = {}


class Scale(Section):
    """[scale]: by which linear factors the object shrinks, and what paints around it.

    Attributes:
        inpainter: what paints the surroundings.
        factors: linear; at 8 the parent fills 1/8 of the side.
        options: options of the inpainter.
    """

    inpainter: str
    factors: list[Annotated[float, Field(gt=1, le=64)]] = Field(
        default=[2.0, 4.0, 6.0, 8.0], min_length=1
    )
    options: OptionsOf = {}

    @field_validator("factors")
    @classmethod
    def _each_once(cls, factors: list[float]) -> list[float]:
        if len({f"{factor:g}" for factor in factors}) != len(factors):
            raise ValueError("a factor is listed twice")
        return factors


class Geometry(Section):
    """[geometry]: which variants, and what fills their borders.

    Attributes:
        inpainter: what fills the borders of rotations and translations.
        variants: their names, listed so that a new plugin file never changes an old recipe.
        options: options of the variants and of the inpainter.
    """

    inpainter: str
    variants: list[str] = Field(min_length=1)
    options: OptionsOf = {}

    @field_validator("variants")
    @classmethod
    def _each_once(cls, variants: list[str]) -> list[str]:
        if len(set(variants)) != len(variants):
            raise ValueError("a variant is listed twice")
        return variants


class Recipe(Section):
    """A whole recipe, one section per stage; stages without a section are left out.

    Attributes:
        name: of the benchmark.
        seed: of all sampling and all noise.
        block: rows computed together: the most that a killed process loses.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    block: Annotated[int, Field(ge=1, le=4096)] = 32
    classes: Classes
    masks: Masks | None = None
    backgrounds: Backgrounds | None = None
    viewpoints: Viewpoints | None = None
    scale: Scale | None = None
    geometry: Geometry | None = None

    @model_validator(mode="after")
    def _needs_what_it_reads(self) -> Recipe:
        if self.backgrounds and not self.masks:
            raise ValueError("[backgrounds] needs a [masks] section")
        for name in ("viewpoints", "scale", "geometry"):
            if getattr(self, name) and not self.backgrounds:
                raise ValueError(f"[{name}] needs a [backgrounds] section")
        return self

    @property
    def class_list(self) -> list[Class]:
        """The classes of a frozen recipe."""
        found = self.classes.classes
        return found if isinstance(found, list) else []

    @property
    def background_list(self) -> list[Background]:
        """The backgrounds of a frozen recipe."""
        found = self.backgrounds.backgrounds if self.backgrounds else None
        return found if isinstance(found, list) else []

    def hashed(self) -> dict[str, Any]:
        """What decides the run's content: everything but where the photographs lie."""
        content = self.model_dump(mode="json", exclude_none=True)
        content["classes"].pop("path", None)
        for section in content.values():
            if isinstance(section, dict) and "options" in section:
                section["options"] = without_paths(section["options"])
        return content

    def digest(self) -> str:
        """SHA-256 of `hashed`, in hex."""
        text = json.dumps(self.hashed(), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()


def without_paths(values: dict[str, Any]) -> dict[str, Any]:
    """A copy without the absolute paths in it: moving a folder changes nothing that is made."""
    kept: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            kept[key] = without_paths(value)
        elif not (isinstance(value, str) and Path(value).is_absolute()):
            kept[key] = value
    return kept


S = TypeVar("S", bound=Section)
T = TypeVar("T", Class, Background)


def recipe_path(recipe: str | Path) -> Path:
    """The file of a recipe: a path, or the name of a shipped one.

    Raises:
        RecipeError: neither exists; the shipped names are offered.
    """
    path = Path(recipe)
    if path.suffix == ".toml" or path.is_file():
        if not path.is_file():
            raise RecipeError("no such file", where=path, mend="Check the path of the recipe")
        return path
    if path.is_dir() and (path / "recipe.toml").is_file():
        return path / "recipe.toml"
    known = {p.parent.name: p for p in sorted(shipped("manifests").glob("*/recipe.toml"))}
    if str(recipe) not in known:
        mend = f"Give a .toml file or one of: {', '.join(known)}"
        raise RecipeError(f"no recipe of the name {str(recipe)!r}", mend=mend)
    return known[str(recipe)]


def read_recipe(path: Path, changes: dict[str, Any] | None = None) -> Recipe:
    """Read and check a recipe; class and background lists named as CSV files are inlined.

    Args:
        path: the TOML file; paths in it are relative to its folder.
        changes: values to set before checking, by dotted key ("classes.path").

    Raises:
        RecipeError: not TOML, an unknown key, a wrong type, a list that cannot be read.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"not TOML: {error}", where=path, mend="Correct the line") from error
    except OSError as error:
        raise RecipeError(
            f"cannot be read: {error.strerror}", where=path, mend="Check the path"
        ) from error
    for key, value in (changes or {}).items():
        _set(values, key, value)
    recipe = checked(Recipe, values, "")
    return _inlined(recipe, path.parent)


def _set(values: dict[str, Any], key: str, value: object) -> None:
    *sections, last = key.split(".")
    for section in sections:
        values = values.setdefault(section, {})
        if not isinstance(values, dict):
            raise RecipeError(f"{section!r} is no section", where=key, mend="Check --set")
    values[last] = value


def _inlined(recipe: Recipe, folder: Path) -> Recipe:
    classes = recipe.classes
    changes: dict[str, Any] = {}
    if classes.path is not None and (folder / classes.path).exists():
        changes["path"] = str((folder / classes.path).resolve())
    if isinstance(classes.classes, str):
        changes["classes"] = read_list(folder / classes.classes, Class, "class_id")
    if isinstance(classes.classes, list):
        _numbered_once([c.class_id for c in classes.classes], "classes.classes")
    recipe = recipe.model_copy(update={"classes": classes.model_copy(update=changes)})
    backgrounds = recipe.backgrounds
    if backgrounds is None:
        return recipe
    if isinstance(backgrounds.backgrounds, str):
        rows = read_list(folder / backgrounds.backgrounds, Background, "background_id")
        backgrounds = backgrounds.model_copy(update={"backgrounds": rows})
    elif isinstance(backgrounds.backgrounds, list):
        _numbered_once([b.background_id for b in backgrounds.backgrounds], "backgrounds")
    elif backgrounds.propose is None:
        mend = "Name a CSV of backgrounds, list them, or add [backgrounds.propose]"
        raise RecipeError("no backgrounds", where="backgrounds.backgrounds", mend=mend)
    return recipe.model_copy(update={"backgrounds": backgrounds})


def read_list(path: Path, model: type[T], number: str) -> list[T]:
    """Rows of a CSV of classes or backgrounds; columns that are not ours are passed over.

    Raises:
        RecipeError: no such file, a column missing, a value of the wrong kind, a number twice.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        mend = "Check the path; it is relative to the recipe"
        raise RecipeError("the list cannot be read", where=path, mend=mend) from error
    found = []
    for place, row in enumerate(rows, start=1):
        values: dict[str, Any] = {
            key: value for key, value in row.items() if key in model.model_fields and value
        }
        for key in (number, "imagenet_index"):
            text = str(values.get(key, "")).strip()
            if text.isdecimal():
                values[key] = int(text)
        values.setdefault(number, place)
        found.append(checked(model, values, f"{path.name} line {place + 1}"))
    if not found:
        raise RecipeError("the list is empty", where=path, mend="Add at least one row")
    _numbered_once([getattr(row, number) for row in found], str(path))
    return found


def _numbered_once(numbers: list[int], where: str) -> None:
    twice = sorted({n for n in numbers if numbers.count(n) > 1})
    if twice:
        raise RecipeError(f"number {twice[0]} occurs twice", where=where, mend="Number each once")


def recipe_toml(recipe: Recipe) -> bytes:
    """A recipe as TOML, nulls left out."""
    try:
        return tomli_w.dumps(recipe.model_dump(mode="json", exclude_none=True)).encode()
    except UnicodeEncodeError as error:
        what = f"{error.object[:200]!r} is not UTF-8 and cannot be kept in a recipe"
        raise RecipeError(what, mend="Rename the file or folder") from error


def needed(section: S | None, name: str) -> S:
    """A section that a stage cannot do without.

    Raises:
        RecipeError: the recipe has not got it.
    """
    if section is None:
        what = f"the recipe has no [{name}] section"
        raise RecipeError(what, where=name, mend="Make a new run of a recipe that has one")
    return section
