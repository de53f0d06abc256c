"""Pictures of the toy world to train and to measure toy models on, rendered as they are needed.

A picture's seed is a hash of a purpose and a number: "training" here, "held out" for measuring;
the source of the classes stage draws its photographs under the word "photographs". No two of them
share a seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from covar_gen.core.seeds import generator, seed_of, uniform
from covar_gen.toys.captions import Caption, caption
from covar_gen.toys.world import BACKGROUNDS, CLASSES, TYPICAL, render

if TYPE_CHECKING:
    from numpy.typing import NDArray

EDGE = 64
"""Edge in pixels of what the toy models see."""


@dataclass(frozen=True)
class Batch:
    """Pictures with all that is known of them.

    Attributes:
        images: uint8 (N, EDGE, EDGE, 3), RGB.
        objects: float32 (N, EDGE, EDGE), share of each pixel that is object.
        facts: (class, colour, background) of each picture.
        captions: one true caption for each.
    """

    images: NDArray[np.uint8]
    objects: NDArray[np.float32]
    facts: list[tuple[str, str, str]]
    captions: list[Caption]

    @property
    def classes(self) -> NDArray[np.int64]:
        """Number of each picture's class, int64 (N,)."""
        return np.array([CLASSES.index(name) for name, _, _ in self.facts], np.int64)


def draw(purpose: str, numbers: range, *, typical: bool, seed: int = 0) -> Batch:
    """Render pictures as a model sees them: drawn at the world's size, shrunk by Pillow's bicubic.

    Args:
        purpose: word that tells this use of the world from others.
        numbers: of the pictures; one number of one purpose is always the same picture.
        typical: True: each class before its typical background; False: before any of them.
        seed: of the whole series.
    """
    from PIL import Image as Pillow

    images, objects, facts, captions = [], [], [], []
    for number in numbers:
        own = seed_of(seed, purpose, str(number))
        rng = generator(own)
        name = CLASSES[int(uniform(rng, 0, len(CLASSES)))]
        any_other = BACKGROUNDS[int(uniform(rng, 0, len(BACKGROUNDS)))]
        background = TYPICAL[name] if typical else any_other
        picture, drawn = render(name, background, own)
        resized = Pillow.fromarray(picture).resize((EDGE, EDGE), Pillow.Resampling.BICUBIC)
        outline = Pillow.fromarray(drawn.mask.astype(np.float32))
        images.append(np.asarray(resized))
        objects.append(np.asarray(outline.resize((EDGE, EDGE), Pillow.Resampling.BOX)))
        facts.append((name, drawn.colour, background))
        captions.append(caption(name, drawn.colour, background, rng))
    return Batch(np.stack(images), np.stack(objects), facts, captions)
