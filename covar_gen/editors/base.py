"""What an editor is: an object and the description of a background in, the edited image out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from covar_gen.core.arrays import Image, Json, Mask, Matrix, Rejected
from covar_gen.core.plugins import Plugin


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
    """

    image: Image
    mask: Mask | None = None
    transform: Matrix | None = None
    known_pixel_max_diff: int | None = None
    params: dict[str, Json] = field(default_factory=dict)


class Editor(Plugin, ABC):
    """Changes the background and keeps the object.

    Attributes:
        knows_masks: True if every edit comes with its mask, so that no segmenter has to run.
    """

    knows_masks: ClassVar[bool] = False

    @abstractmethod
    def edit(self, batch: Sequence[EditRequest]) -> Sequence[Edit | Rejected]:
        """One answer per request, in their order."""
