"""A recipe: what to build, as TOML; checked, resolved, and frozen into the run."""

from __future__ import annotations

import hashlib
import json
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from covar_gen.core.agreement import Agreement
from covar_gen.core.errors import RecipeError
from covar_gen.core.lists import numbered_once, read_list
from covar_gen.core.proposals import Proposal
from covar_gen.core.shipped import shipped
from covar_gen.core.values import checked

OptionsOf = dict[str, dict[str, Any]]
"""Options of plugins, by plugin name; checked by the plugin."""

PathPart = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*$")]
"""Text that becomes a folder's name."""

Positive = Annotated[int, Field(ge=1)]

Fraction = Annotated[float, Field(ge=0, le=1)]


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


class Accept(Section):
    """[masks.accept]: which masks are too poor to be used. Each becomes a rejected row.

    All are fractions in [0, 1]. The defaults refuse only what tells object from background
    nowhere; an object that fills most of a close-up is accepted. A mask that the image's maker
    knew is never refused.

    Attributes:
        max_box: largest share of the image that one detected box covers; above it the detector
            has found the whole image (`box_covers_image`); 1 accepts every box.
        min_area: smallest share of the image that is object; below it the mask is a speck
            (`object_too_small`); 0 accepts every mask that is not empty.
        max_area: largest share of the image that is object; above it there is no background
            (`object_covers_image`); 1 accepts every mask.
        max_border: largest share of the image's outermost pixels that are object; above it the
            mask goes all around, as that of a background does (`object_touches_border`); 1
            accepts every mask.
    """

    max_box: Fraction = 0.98
    min_area: Fraction = 0.001
    max_area: Fraction = 0.95
    max_border: Fraction = 0.95

    @model_validator(mode="after")
    def _areas_in_order(self) -> Accept:
        if self.min_area >= self.max_area:
            raise ValueError("min_area must be smaller than max_area")
        return self


class Masks(Section):
    """[masks]: what outlines the object.

    Attributes:
        segmenter: the segmenter.
        accept: which masks are too poor to be used.
        options: options of the segmenter.
    """

    segmenter: str
    accept: Accept = Accept()
    options: OptionsOf = {}


class Backgrounds(Section):
    """[backgrounds]: before what each object is placed, and by what.

    Attributes:
        editor: the editor.
        backgrounds: a CSV (background_id, description) relative to the recipe, or the list.
        propose: ask a language model for the backgrounds instead.
        prompt: instruction; `{background}` and `{class_name}` are filled in; left out: the
            paper's sentence.
        agreement: how far an object that the editor draws again must stay the same.
        options: options of the editor.
    """

    editor: str
    backgrounds: str | list[Background] | None = None
    propose: Proposal | None = None
    prompt: str | None = None
    agreement: Agreement | None = None
    options: OptionsOf = {}


class Viewpoints(Section):
    """[viewpoints]: how many of the viewer's poses each image is shown from.

    Attributes:
        viewer: the viewer.
        views: poses drawn for each image.
        inpainter: what fills in what the object hides, for viewers that place the object of a
            view before its own background; left out: none.
        options: options of the viewer and of the inpainter.
    """

    viewer: str
    views: Positive = 2
    inpainter: str | None = None
    options: OptionsOf = {}


class Scale(Section):
    """[scale]: by which linear factors the object shrinks, and what paints around it.

    Attributes:
        inpainter: what paints the surroundings.
        factors: linear; at 8 the parent fills 1/8 of the side.
        keep: what of the parent stays as it is: `photograph`, all of it, if left out; `object`:
            its object's pixels alone, which is what the paper's mask protects.
        chain: `separate`, if left out: each factor's surroundings are painted on their own;
            `shared`: each around the canvas of the factor before.
        options: options of the inpainter.
    """

    inpainter: str
    factors: list[Annotated[float, Field(gt=1, le=64)]] = Field(
        default=[2.0, 4.0, 6.0, 8.0], min_length=1
    )
    keep: Literal["photograph", "object"] | None = None
    chain: Literal["separate", "shared"] | None = None
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
            for part in ("options", "agreement") if isinstance(section, dict) else ():
                if part in section:
                    section[part] = without_paths(section[part])
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
        numbered_once([c.class_id for c in classes.classes], "classes.classes")
    recipe = recipe.model_copy(update={"classes": classes.model_copy(update=changes)})
    backgrounds = recipe.backgrounds
    if backgrounds is None:
        return recipe
    if isinstance(backgrounds.backgrounds, str):
        rows = read_list(folder / backgrounds.backgrounds, Background, "background_id")
        backgrounds = backgrounds.model_copy(update={"backgrounds": rows})
    elif isinstance(backgrounds.backgrounds, list):
        numbered_once([b.background_id for b in backgrounds.backgrounds], "backgrounds")
    elif backgrounds.propose is None:
        mend = "Name a CSV of backgrounds, list them, or add [backgrounds.propose]"
        raise RecipeError("no backgrounds", where="backgrounds.backgrounds", mend=mend)
    return recipe.model_copy(update={"backgrounds": backgrounds})


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
