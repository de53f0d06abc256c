"""Make a recipe complete: its classes matched to the photographs, its tools checked."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from covar_gen.core import imagenet, plugins
from covar_gen.core.errors import CovarError, RecipeError
from covar_gen.core.names import colliding, safe, short_hash
from covar_gen.core.plan import lacks
from covar_gen.core.proposals import propose_backgrounds, propose_classes
from covar_gen.core.recipe import Background, Class, Recipe
from covar_gen.core.store import RECIPE, open_run
from covar_gen.core.values import checked
from covar_gen.editors.base import Editor
from covar_gen.inpainters.base import Inpainter
from covar_gen.neural.patches import Patches, patches_of
from covar_gen.segmenters.base import Segmenter
from covar_gen.sources.base import Source
from covar_gen.variants.base import Variant
from covar_gen.viewers.base import Viewer

PROPOSALS = "proposals"

TOOLS: tuple[tuple[str, str, str, type[plugins.Plugin]], ...] = (
    ("classes", "source", "sources", Source),
    ("masks", "segmenter", "segmenters", Segmenter),
    ("backgrounds", "editor", "editors", Editor),
    ("backgrounds.agreement", "segmenter", "segmenters", Segmenter),
    ("viewpoints", "viewer", "viewers", Viewer),
    ("viewpoints", "inpainter", "inpainters", Inpainter),
    ("scale", "inpainter", "inpainters", Inpainter),
    ("geometry", "inpainter", "inpainters", Inpainter),
)
"""Section, its key that names a plugin, the plugin's kind and base class."""


def tools(recipe: Recipe) -> list[tuple[str, str, str, type[plugins.Plugin]]]:
    """(recipe key, kind, name, base class) of every plugin that a recipe names."""
    found = [
        (f"{section}.{key}", kind, getattr(part, key), base)
        for section, key, kind, base in TOOLS
        if (part := part_of(recipe, section)) is not None and getattr(part, key) is not None
    ]
    variants = recipe.geometry.variants if recipe.geometry else []
    return [*found, *(("geometry.variants", "variants", name, Variant) for name in variants)]


def part_of(recipe: Recipe, section: str) -> Any:
    """A section of a recipe by its name, `backgrounds.agreement`; None where it has not got it."""
    part: Any = recipe
    for name in section.split("."):
        part = getattr(part, name, None)
    return part


def network_of(recipe: Recipe, folder: Path) -> Patches | None:
    """The network that compares redrawn objects, not loaded; None where the recipe wants none.

    Args:
        recipe: as read.
        folder: of its file, to which a network that is a folder is relative.
    """
    section = recipe.backgrounds.agreement if recipe.backgrounds else None
    found = patches_of(section)
    if found is None:
        return None
    given = plugins.with_paths(Patches, found.options.model_dump(), folder)
    return Patches(Patches.Options(**given))


def is_measured(recipe: Recipe) -> bool:
    """True if the recipe has objects measured that its editor redraws."""
    section = recipe.backgrounds
    if (
        section is None
        or section.agreement is None
        or section.editor not in plugins.names("editors")
    ):
        return False
    return not knows_masks("editors", section.editor, section.options.get(section.editor))


def knows_masks(kind: str, name: str, options: Mapping[str, Any] | None) -> bool:
    """True if an editor's or a viewer's images come with their masks.

    Args:
        kind: "editors" or "viewers".
        name: of the plugin, which must be there.
        options: its own; where they are wrong, which is told elsewhere, the plugin's usual answer.
    """
    base: type[Editor | Viewer] = Editor if kind == "editors" else Viewer
    plugin = plugins.find(kind, name, base)
    with contextlib.suppress(CovarError):
        return plugin(checked(plugin.Options, dict(options or {}), name)).knows_masks
    return plugin.knows_masks


def resolve(recipe: Recipe, folder: Path, root: Path) -> Recipe:
    """A recipe with nothing left open, as it is frozen into a run.

    Args:
        recipe: as read from its file.
        folder: the file's folder, to which paths in options are relative.
        root: the run's folder, where a language model's answers are kept.

    Raises:
        RecipeError: a class that the source has not.
        PluginError: a tool that is not there, or whose packages are not installed.
        PhotographsError: the source has no photographs.
        ProposalError: a language model gave no usable answer.
    """
    recipe = _with_options(recipe, folder)
    if recipe.classes.content is not None:
        return recipe
    begun = _begun(recipe, root)
    if begun is not None:
        return begun
    return _with_backgrounds(_with_photographs(recipe, root), root)


def _begun(recipe: Recipe, root: Path) -> Recipe | None:
    """The resolved recipe of a run whose photographs are chosen already: they are not needed."""
    if not (root / RECIPE).is_file():
        return None
    run = open_run(root)
    if lacks(run, "sources"):
        return None
    frozen = run.recipe
    classes = recipe.classes.classes
    derived = not isinstance(classes, list)
    if isinstance(classes, list):
        classes = [_as_frozen(entry, frozen) for entry in classes]
    elif frozen.classes.derived:
        classes = frozen.class_list
    found = {"classes": classes, "derived": derived, "content": frozen.classes.content}
    updated: dict[str, Any] = {"classes": recipe.classes.model_copy(update=found)}
    if recipe.backgrounds and recipe.backgrounds.backgrounds is None:
        updated["backgrounds"] = recipe.backgrounds.model_copy(
            update={"backgrounds": frozen.background_list}
        )
    return recipe.model_copy(update=updated)


def _as_frozen(entry: Class, frozen: Recipe) -> Class:
    """A listed class with the label and folder that the run gave it, if it is the same class."""
    for known in frozen.class_list:
        given = known.model_copy(update={"folder": None, "label": entry.label})
        if given == entry and entry.label in (None, known.label):
            return known
    return entry


def _with_options(recipe: Recipe, folder: Path) -> Recipe:
    """Every plugin found and its options checked; options for tools not used are refused."""
    used: dict[str, dict[str, Any]] = {}
    for where, kind, name, base in tools(recipe):
        section = where.rpartition(".")[0]
        part = part_of(recipe, section)
        given = dict(part.options.get(name, {}))
        if kind == "sources" and recipe.classes.path is not None:
            given["path"] = recipe.classes.path
        plugin = plugins.find(kind, name, base, where)
        full = plugins.with_paths(plugin, given, folder)
        plugins.make(kind, name, base, full, where).check()
        if kind == "sources":
            full.pop("path", None)
        used.setdefault(section, {})[name] = full
    for section in dict.fromkeys(section for section, _, _, _ in TOOLS):
        part = part_of(recipe, section)
        if part is None:
            continue
        chosen = used.get(section, {})
        for name in part.options:
            if name not in chosen:
                known = ", ".join(chosen) or "none"
                what = f"options for {name!r}, which the section does not use"
                raise RecipeError(what, where=f"{section}.options", mend=f"It uses: {known}")
        options = {name: value for name, value in chosen.items() if value}
        recipe = _updated(recipe, section, {"options": options})
    network = network_of(recipe, folder)
    if network is not None:
        network.check()
        given = {"network": network.options.network}
        recipe = _updated(recipe, "backgrounds.agreement", given)
    return recipe


def _updated(recipe: Recipe, section: str, values: dict[str, Any]) -> Recipe:
    """A recipe with other values in one of its sections."""
    outer, _, inner = section.rpartition(".")
    part = part_of(recipe, section).model_copy(update=values)
    if outer:
        return _updated(recipe, outer, {inner: part})
    return recipe.model_copy(update={inner: part})


def _with_backgrounds(recipe: Recipe, root: Path) -> Recipe:
    section = recipe.backgrounds
    if section is None or section.backgrounds is not None:
        return recipe
    assert section.propose is not None
    texts = propose_backgrounds(section.propose, root / PROPOSALS / "backgrounds.json")
    listed = [Background(background_id=n, description=t) for n, t in enumerate(texts, start=1)]
    return recipe.model_copy(
        update={"backgrounds": section.model_copy(update={"backgrounds": listed})}
    )


def _with_photographs(recipe: Recipe, root: Path) -> Recipe:
    section = recipe.classes
    options = dict(section.options.get(section.source, {}))
    if section.path is not None:
        options["path"] = section.path
    source = plugins.make("sources", section.source, Source, options, "classes.source")
    source.setup()
    labels = source.labels()
    listed = _classes(recipe, labels, root)
    content = source.digest([str(c.label) for c in listed])
    return recipe.model_copy(
        update={
            "classes": section.model_copy(
                update={
                    "classes": listed,
                    "derived": not isinstance(section.classes, list),
                    "content": content,
                }
            )
        }
    )


def matched_classes(recipe: Recipe, labels: list[str]) -> list[Class]:
    """The recipe's classes, or all of the source's, each with its label in the source.

    Raises:
        RecipeError: a class that the source has not.
    """
    listed = recipe.classes.classes
    if not isinstance(listed, list):
        listed = [_class_of(number, label) for number, label in enumerate(labels, start=1)]
    return [entry.model_copy(update={"label": _label(entry, labels)}) for entry in listed]


def _classes(recipe: Recipe, labels: list[str], root: Path) -> list[Class]:
    """The class list, each class with its label in the source and its folder in the run."""
    section = recipe.classes
    if section.propose is not None and section.classes is None:
        found = propose_classes(section.propose, root / PROPOSALS / "classes.json")
        listed = [
            Class(class_id=n, class_name=c.name, wnid=c.wnid, imagenet_index=c.index)
            for n, c in enumerate(found, start=1)
        ]
        section = section.model_copy(update={"classes": listed})
        recipe = recipe.model_copy(update={"classes": section})
    matched = matched_classes(recipe, labels)
    meant = [str(entry.label) for entry in matched]
    twice = sorted(label for label in set(meant) if meant.count(label) > 1)
    if twice:
        what = f"two classes mean the source's {twice[0]!r}"
        raise RecipeError(what, where="classes.classes", mend="Keep one of them")
    folders = [entry.wnid or safe(str(entry.label), "class") for entry in matched]
    same = colliding(folders)
    return [
        entry.model_copy(
            update={
                "folder": f"{name}-{short_hash(str(entry.label).encode())}"
                if name in same
                else name
            }
        )
        for entry, name in zip(matched, folders, strict=True)
    ]


def _class_of(number: int, label: str) -> Class:
    synset = imagenet.find(label)
    if synset is None:
        return Class(class_id=number, class_name=label.replace("_", " ").strip(), label=label)
    return Class(
        class_id=number,
        class_name=synset.name,
        label=label,
        wnid=synset.wnid,
        imagenet_index=synset.index,
    )


def _label(entry: Class, labels: list[str]) -> str:
    """What the source calls a class: its label, wnid or name."""
    known = {label.casefold().replace("_", " "): label for label in labels}
    for name in (entry.label, entry.wnid, entry.class_name):
        if name is not None and name in labels:
            return name
        if name is not None and name.casefold().replace("_", " ") in known:
            return known[name.casefold().replace("_", " ")]
    some = ", ".join(labels[:8]) + (", ..." if len(labels) > 8 else "")  # noqa: PLR2004
    what = f"the source has no class {entry.class_name!r}" + (
        f" ({entry.wnid})" if entry.wnid else ""
    )
    raise RecipeError(what, where="classes.classes", mend=f"It has: {some}")
