"""What a segmenter is: photographs in, the object's mask out."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from covar_gen.core.arrays import Image, Json, Mask, Rejected
from covar_gen.core.errors import RecipeError
from covar_gen.core.plugins import Plugin

_NO_NAME = re.compile(r"n\d{8}|[+-]?\d+(\.\d+)?")


@dataclass(frozen=True)
class SegmentRequest:
    """One photograph to outline.

    Attributes:
        key: the row's key, for messages.
        image: uint8 (H, W, 3), RGB.
        class_name: what to outline, in words.
        seed: all randomness of this item.
    """

    key: str
    image: Image
    class_name: str
    seed: int


@dataclass(frozen=True)
class Segmentation:
    """The object found.

    What a segmenter detected goes into `params` under these names, for a `Rejected` too; the
    table of masks has a column for each:

        scores: list of float in [0, 1], one per detection.
        boxes: list of [left, top, right, bottom], pixels from the image's upper left corner.
        phrases: list of str, the words of the prompt that each detection was found by.

    The stage measures the mask, and decides by the recipe's [masks.accept] whether it is used.

    Attributes:
        mask: bool (H, W), True on the object.
        params: scores, boxes, phrases and whatever else led to it.
    """

    mask: Mask
    params: dict[str, Json] = field(default_factory=dict)


class Segmenter(Plugin, ABC):
    """Outlines the object of each photograph.

    Attributes:
        reads_names: True if it looks for the class's name; classes that are called by a number or
            a wnid are then refused before anything is computed.
    """

    reads_names: ClassVar[bool] = True

    def fetch(self) -> None:
        """Have on this machine what `setup` will load, before anybody works in vain.

        Raises:
            WeightsError: it cannot be had.
        """
        self.identity()

    def check_names(self, names: Iterable[str]) -> None:
        """See that a segmenter which looks for names is given some.

        Args:
            names: of the classes, in words.

        Raises:
            RecipeError: a class is called by a number or a wnid.
        """
        nameless = [name for name in names if _NO_NAME.fullmatch(name)]
        if self.reads_names and nameless:
            what = f"{self.name()} looks for a class's name, and {nameless[0]!r} is none"
            mend = "List the classes in a CSV with the columns label and class_name"
            mend += " ([classes] classes in a recipe, --classes of covar-gen masks)"
            raise RecipeError(what, where="classes.classes", mend=mend)

    @abstractmethod
    def segment(self, batch: Sequence[SegmentRequest]) -> Sequence[Segmentation | Rejected]:
        """One answer per request, in their order."""
