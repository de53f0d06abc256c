"""Seven photographs of six classes that come with scikit-image; nothing is downloaded."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from covar_gen.core.errors import PhotographsError
from covar_gen.sources.base import Photograph, Source, digest_of_files


class Fact(NamedTuple):
    """What is known about one photograph.

    Attributes:
        file: its name in the folder `skimage/data` of the installed package.
        label: the wnid of its ImageNet class, or a plain name where none fits.
        shows: what is to be seen on it.
        credit: who made it and under which terms, from the documentation of `skimage.data`.
    """

    file: str
    label: str
    shows: str
    credit: str


MIDDLEBURY = (
    "Middlebury stereo benchmark 2014: N. Nesic, P. Westling, X. Wang, Y. Kitajima,"
    " G. Krathwohl, D. Scharstein; shrunk by a factor of 4; no licence is stated"
)

FACTS = (
    Fact(
        "astronaut.png",
        "astronaut",
        "a woman in an orange space suit, from the waist up",
        "NASA Great Images database; no known copyright restrictions, public domain",
    ),
    Fact(
        "camera.png",
        "n04485082",
        "a tripod with a camera and the man behind it; grey levels",
        "Lav Varshney; CC0",
    ),
    Fact(
        "chelsea.png",
        "n02123045",
        "the head of a tabby cat, which fills the photograph",
        "Stefan van der Walt; CC0",
    ),
    Fact(
        "coffee.png",
        "n07920052",
        "an espresso in its cup on a red saucer",
        "Rachel Michetti, courtesy of Pikolo Espresso Bar; CC0",
    ),
    Fact(
        "motorcycle_left.png",
        "motorcycle",
        "a red motorcycle in a garage, from the left of two cameras",
        MIDDLEBURY,
    ),
    Fact(
        "motorcycle_right.png",
        "motorcycle",
        "the same motorcycle from the right camera, 193 mm beside the left one",
        MIDDLEBURY,
    ),
    Fact(
        "rocket.jpg",
        "rocket",
        "a Falcon 9 between the towers of its launch pad at dusk",
        "SpaceX; public domain",
    ),
)
"""The photographs of `skimage/data` with one clear object. The others are textures, documents,
drawings, things seen through instruments, many small coins, or (clock_motion.png) too blurred."""


class Skimage(Source):
    """The photographs inside the installed scikit-image package.

    A motorcycle is neither a moped nor a motor scooter, a launch vehicle is no missile and the
    1000 classes have no person: these bear plain names.
    """

    requires = ("skimage",)
    terms = "; ".join(f"{fact.file}: {fact.credit}" for fact in FACTS)

    def labels(self) -> list[str]:
        """wnids, and plain names for what ImageNet has no class for; sorted.

        Raises:
            PhotographsError: the installed scikit-image holds none of the photographs.
        """
        found = {fact.label for fact in FACTS if (_folder() / fact.file).is_file()}
        if not found:
            what = "the installed scikit-image holds none of the photographs that are known here"
            mend = (
                "Reinstall it (pip install --force-reinstall scikit-image), or use another source"
            )
            raise PhotographsError(what, where=_folder(), mend=mend)
        return sorted(found)

    def photographs(self, labels: Sequence[str], seed: int) -> Iterator[Photograph]:  # noqa: ARG002
        """Photographs of these labels, by file name; the seed plays no part."""
        for fact in FACTS:
            if fact.label in labels:
                path = _folder() / fact.file
                yield Photograph(fact.label, path.stem, fact.file, path.read_bytes)

    def digest(self, labels: Sequence[str]) -> str:
        """SHA-256 over names and contents of the files of these labels.

        Raises:
            PhotographsError: one of the files is missing.
        """
        files = [(fact.file, _folder() / fact.file) for fact in FACTS if fact.label in labels]
        try:
            return digest_of_files(files)
        except OSError as error:
            what = f"a photograph of scikit-image cannot be read: {error.strerror}"
            mend = "Type: pip install --force-reinstall scikit-image"
            raise PhotographsError(what, where=str(error.filename), mend=mend) from error


def _folder() -> Path:
    # The package itself is not imported: its data functions may download.
    found = importlib.util.find_spec("skimage")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "data"
