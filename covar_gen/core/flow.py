"""What flows where: table -> what it is made from and the module that makes it.

    photographs -> sources -> masks_sources -> backgrounds -> masks_backgrounds
                                                                |-> viewpoints -> masks_viewpoints
                                                                |-> scale
                                                                '-> geometry
    all of them -> manifest.parquet

Module names only: nothing here imports a stage.
"""

from __future__ import annotations

from dataclasses import dataclass

from covar_gen.core.recipe import Recipe


@dataclass(frozen=True)
class Step:
    """One table and how it comes about.

    Attributes:
        table: what is made.
        reads: the tables it is made from.
        module: file in covar_gen/ that makes it.
        section: the recipe's section; without it the step is left out.
        arguments: of the module's command line, besides --run.
    """

    table: str
    reads: tuple[str, ...]
    module: str
    section: str
    arguments: tuple[str, ...] = ()


STEPS = (
    Step("photographs", (), "stage_classes", "classes"),
    Step("sources", ("photographs",), "stage_classes", "classes"),
    Step("masks_sources", ("sources",), "stage_masks", "masks", ("--of", "sources")),
    Step("backgrounds", ("sources", "masks_sources"), "stage_backgrounds", "backgrounds"),
    Step(
        "masks_backgrounds",
        ("backgrounds",),
        "stage_masks",
        "backgrounds",
        ("--of", "backgrounds"),
    ),
    Step("viewpoints", ("backgrounds", "masks_backgrounds"), "stage_viewpoints", "viewpoints"),
    Step("masks_viewpoints", ("viewpoints",), "stage_masks", "viewpoints", ("--of", "viewpoints")),
    Step("scale", ("backgrounds", "masks_backgrounds"), "stage_scale", "scale"),
    Step("geometry", ("backgrounds", "masks_backgrounds"), "stage_geometry", "geometry"),
)
MANIFEST = Step("manifest", tuple(s.table for s in STEPS), "stage_manifest", "classes")

IMAGES = ("sources", "backgrounds", "viewpoints", "scale", "geometry")
"""Tables whose rows are images, in the manifest's order."""


def steps(recipe: Recipe) -> list[Step]:
    """The steps of a recipe, in the order in which they are run; the manifest is the last."""
    return [step for step in (*STEPS[1:], MANIFEST) if getattr(recipe, step.section) is not None]


def children(table: str, recipe: Recipe) -> int:
    """Rows that a table has for each row of the table that it is made from."""
    if table.startswith("masks_"):
        return 1
    section = getattr(recipe, table)
    if table == "backgrounds":
        return len(recipe.background_list)
    if table == "viewpoints":
        return int(section.views)
    return len(section.factors if table == "scale" else section.variants)


def step_of(table: str) -> Step:
    """The step that makes a table."""
    return next(step for step in STEPS if step.table == table)


def after(table: str) -> list[str]:
    """All tables that are made from a table, directly or not."""
    found: list[str] = []
    for step in STEPS:
        if {table, *found} & set(step.reads):
            found.append(step.table)
    return found
