"""What toy models are told: captions of pictures of the toy world, and the words they are made of.

A caption may say the class, its colour, the background, or several of them. Which other pictures
of a batch it is true of follows from what it says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from covar_gen.core.seeds import uniform
from covar_gen.toys.world import BACKGROUNDS, CLASSES, COLOURS

if TYPE_CHECKING:
    from numpy.typing import NDArray

OBJECT = (
    "a photo of a {}.", "a photo of the {}.", "a {} photo of a {}.", "a picture of a {}.", "a {}.",
    "{}", "the {}", "there is a {} in the photo.", "a photo of one {}.", "an image of a {}.",
    "a {} {}.", "a photo of a {} {}.",
)  # fmt: skip
"""Templates of captions about the object; of two places the first takes any of `FILLERS`."""
BOTH = (
    "a photo of a {} on {}.", "a {} on {}.", "a {} before {}.", "a photo of a {} in front of {}.",
    "a picture of a {} with a background of {}.", "{}, {}",
)  # fmt: skip
"""Templates of captions about the object and its background."""
BACKGROUND = (
    "a photo of {}.", "{}", "{}.", "a picture of {}.", "a background of {}.",
    "a photo with {} in the background.", "the {}",
)  # fmt: skip
"""Templates of captions about the background alone."""
FILLERS = (
    "big", "large", "small", "little", "nice", "good", "bad", "clean", "dirty", "old", "new",
    "bright", "dark", "cropped", "blurry", "plain", "close-up", "colourful", "beautiful", "weird",
)  # fmt: skip
"""Words that say nothing of the picture here; a model learns to pass over them."""


@dataclass(frozen=True)
class Caption:
    """A text and what it says of a picture; None is what it leaves open.

    Attributes:
        text: the caption.
        class_name: one of the world's classes.
        colour: the object's colour.
        background: one of the world's backgrounds.
    """

    text: str
    class_name: str | None
    colour: str | None
    background: str | None


def caption(class_name: str, colour: str, background: str, rng: np.random.Generator) -> Caption:
    """A caption of a picture, its kind and words drawn.

    Half of the captions speak of the object alone, three in ten of the background alone; one in
    four of those that speak of an object say its colour.
    """
    kind = uniform(rng, 0, 1)
    described = background
    if uniform(rng, 0, 1) < 0.3:  # noqa: PLR2004 - a share of the captions
        described = background.rpartition(" ")[2]
    if kind < 0.3:  # noqa: PLR2004 - the same
        return Caption(_one(BACKGROUND, rng).format(described), None, None, background)
    coloured = uniform(rng, 0, 1) < 0.25  # noqa: PLR2004 - the same
    thing = f"{colour} {class_name}" if coloured else class_name
    said = colour if coloured else None
    if kind < 0.5:  # noqa: PLR2004 - the same
        text = _one(BOTH, rng).format(thing, described)
        return Caption(text, class_name, said, background)
    template = _one(OBJECT, rng)
    words = [thing] if template.count("{}") == 1 else [_one(FILLERS, rng), thing]
    return Caption(template.format(*words), class_name, said, None)


def true_of(
    captions: Sequence[Caption], pictures: Sequence[tuple[str, str, str]]
) -> NDArray[np.bool_]:
    """Which caption is true of which picture.

    Args:
        captions: of the batch.
        pictures: (class, colour, background) of each picture.

    Returns:
        bool (pictures, captions).
    """
    facts = np.array(pictures)
    said = np.array([[c.class_name or "", c.colour or "", c.background or ""] for c in captions])
    agree = (facts[:, None] == said[None]) | (said[None] == "")
    return np.asarray(agree.all(axis=2))


def words() -> list[str]:
    """Every word of the captions in lower case, sorted, marks left aside."""
    texts = [*OBJECT, *BOTH, *BACKGROUND, *FILLERS, *CLASSES, *BACKGROUNDS, *COLOURS]
    found = {word for text in texts for word in "".join(_letters(text)).split()}
    return sorted(found)


def _letters(text: str) -> list[str]:
    return [mark if mark.isalnum() else " " for mark in text.lower()]


def _one(choices: Sequence[str], rng: np.random.Generator) -> str:
    return choices[int(uniform(rng, 0, len(choices)))]
