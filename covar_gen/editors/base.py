"""What an editor is: an object and the description of a background in, the edited image out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from pydantic import Field

from covar_gen.core.arrays import Image, Json, Mask, Matrix, Rejected
from covar_gen.core.plugins import Plugin, PluginOptions
from covar_gen.core.registration import Estimate, NoEstimate, realigned, register
from covar_gen.core.rows import Row

KEPT = 0.95
"""Share of the object that an edited image must still hold for it to be moved back."""


@dataclass(frozen=True)
class EditRequest:
    """One photograph to place before one background.

    Attributes:
        key: the row's key, for messages.
        image: uint8 (H, W, 3), RGB.
        mask: bool (H, W), True on the object.
        class_name: the object, in words.
        background_id: number of the background in the recipe's list.
        background: its description.
        prompt: the full instruction.
        seed: all randomness of this item.
    """

    key: str
    image: Image
    mask: Mask
    class_name: str
    background_id: int
    background: str
    prompt: str
    seed: int


@dataclass(frozen=True)
class Edit:
    """The object before the background.

    Attributes:
        image: uint8 (H, W, 3), RGB, the photograph's size.
        mask: bool (H, W), True on the object, where the editor knows it by construction.
        transform: float64 (3, 3), the photograph's pixels -> this image's pixels, for the object,
            where the editor knows it.
        known_pixel_max_diff: grey levels by which the object's pixels were changed where the
            editor promises to keep them; None where it promises nothing.
        params: further factors.
        columns: measurements that have columns of their own in the table.
        place: where the object lies in this image, where the editor has estimated it; None: the
            stage estimates it.
    """

    image: Image
    mask: Mask | None = None
    transform: Matrix | None = None
    known_pixel_max_diff: int | None = None
    params: dict[str, Json] = field(default_factory=dict)
    columns: Row = field(default_factory=dict)
    place: Estimate | NoEstimate | None = None


class Editor(Plugin, ABC):
    """Changes the background and keeps the object.

    Attributes:
        knows_masks: True if every edit comes with its mask, so that no segmenter has to run;
            options may decide it.
        reads_prompt: False where the recipe's instruction plays no part; a release's card quotes
            it otherwise. Options may decide it.
    """

    knows_masks: bool = False
    reads_prompt: bool = True

    def check_prompts(self, background_id: int, background: str, prompts: Sequence[str]) -> None:
        """See that the model can be asked all that it will be, when a run is made.

        Nothing is loaded then; an editor that can tell only later keeps them for its setup.

        Args:
            background_id: number of a background in the recipe's list.
            background: its description.
            prompts: the full instructions for it, one for each class, equal ones once.

        Raises:
            PluginError: one that the model cannot be asked.
        """
        del background_id, background, prompts

    @abstractmethod
    def edit(self, batch: Sequence[EditRequest]) -> Sequence[Edit | Rejected]:
        """One answer per request, in their order."""


class AlignmentOptions(PluginOptions):
    """What becomes of an object that a model has drawn elsewhere.

    Scale and shift are estimated from the pixels inside the object's mask (`core.registration`)
    and stand in the columns object_scale, object_shift_x, object_shift_y and object_match.

    Attributes:
        alignment: accept: the image is taken as it is. refuse: it is rejected where the object
            moved further than allowed, or cannot be found. realign: where it moved further, the
            image is moved back, and what it then lacks at its border is continued by its mirror
            image; where the object cannot be found, or has partly left, it is rejected.
        max_shift: movement that is allowed, fraction of the width and of the height.
        max_scale: growth that is allowed; 1.05 allows sizes from 1/1.05 to 1.05 of the
            photograph's.
    """

    alignment: Literal["accept", "refuse", "realign"] = "accept"
    max_shift: float = Field(default=0.02, ge=0, le=1)
    max_scale: float = Field(default=1.05, ge=1, le=2)


def aligned(
    request: EditRequest,
    edited: Image,
    options: AlignmentOptions,
    params: dict[str, Json] | None = None,
) -> Edit | Rejected:
    """Measure where a model has drawn the object, and do as the recipe says.

    Args:
        request: what was to be edited; its mask is not empty.
        edited: uint8 (H, W, 3), RGB, of the photograph's size.
        options: what is allowed, and what happens otherwise.
        params: of the edit so far.

    Returns:
        The edit, without mask or transform: where the object is was estimated, not known. With
        `unmeasured` in its params where the object could not be found, `realigned` and `mirrored`
        (share of its pixels, fraction) where it was moved back. Or, to be made again, object_moved
        or object_not_found.
    """
    found = register(request.image, request.mask, edited)
    about = dict(params or {})
    columns = placed(found)
    if isinstance(found, NoEstimate):
        about["unmeasured"] = found.reason
        if options.alignment == "accept":
            return Edit(edited, params=about, columns=columns, place=found)
        # An object that is too small or too plain is so whatever is drawn.
        return Rejected("object_not_found", about, columns, again=found.reason == "unlike")
    if options.alignment == "accept" or _is_close(found, options):
        return Edit(edited, params=about, columns=columns, place=found)
    if options.alignment == "refuse":
        return Rejected("object_moved", about, columns, again=True)
    moved, known = realigned(edited, found)
    about.update(realigned=True, mirrored=float(1 - known.mean()))
    if known[request.mask].mean() < KEPT:
        return Rejected("object_moved", about, columns, again=True)
    back = Estimate(1.0, 0.0, 0.0, found.match, np.eye(3))
    return Edit(moved, params=about, columns=columns, place=back)


def placed(found: Estimate | NoEstimate) -> Row:
    """The columns that say where an editor has drawn the object."""
    if isinstance(found, NoEstimate):
        return {"object_match": found.match}
    return {
        "object_scale": found.scale,
        "object_shift_x": found.shift_x,
        "object_shift_y": found.shift_y,
        "object_match": found.match,
    }


def _is_close(found: Estimate, options: AlignmentOptions) -> bool:
    shift = max(abs(found.shift_x), abs(found.shift_y))
    return shift <= options.max_shift and max(found.scale, 1 / found.scale) <= options.max_scale


def pasted_back(request: EditRequest, edit: Edit) -> Edit:
    """The edit with the photograph's own object in its place, pixel by pixel.

    Args:
        request: with the photograph and its object's mask.
        edit: of the photograph's size.

    Returns:
        The edit, whose mask is now the photograph's by construction; `pasted_back` in its params.
    """
    image = np.where(request.mask[..., None], request.image, edit.image)
    changed = np.abs(image[request.mask].astype(np.int16) - request.image[request.mask])
    return replace(
        edit,
        image=image,
        mask=request.mask,
        transform=np.eye(3),
        known_pixel_max_diff=int(changed.max(initial=0)),
        params={**edit.params, "pasted_back": True},
    )
