"""The stage behind each table: the one place that knows all stage files."""

from __future__ import annotations

from covar_gen.core.stage import Stage
from covar_gen.core.store import Run
from covar_gen.stage_backgrounds import BackgroundsStage
from covar_gen.stage_geometry import GeometryStage
from covar_gen.stage_masks import Masks
from covar_gen.stage_scale import ScaleStage
from covar_gen.stage_viewpoints import ViewpointsStage

_STAGES = (BackgroundsStage, ViewpointsStage, ScaleStage, GeometryStage)


def stage_of(run: Run, table: str) -> Stage:
    """The stage that makes a table of a run.

    Args:
        run: the run.
        table: a table made by a stage: not sources, which a summary makes.
    """
    if table.startswith("masks_"):
        return Masks(run, table.removeprefix("masks_"))
    return next(stage(run) for stage in _STAGES if stage.table == table)
