"""One image and one text: the map of an attribution method on the image's own pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from covar_gen.core.arrays import Image, Mask, Rejected
from covar_gen.core.errors import PhotographsError
from covar_gen.core.ranks import Ranks
from covar_gen.evaluation.attribution import get_method
from covar_gen.evaluation.attribution.alignment import pixel_map, seen
from covar_gen.evaluation.computing import device_of, enough_memory
from covar_gen.evaluation.images import decode, make_grids
from covar_gen.evaluation.models import load_model
from covar_gen.evaluation.models.base import Precision


@dataclass(frozen=True)
class Attribution:
    """A map and what it lies on.

    Attributes:
        image: uint8 (H, W, 3), RGB.
        heat: float32 (H, W), raw.
        visible: bool (H, W), True where the model saw the image.
        labels: int64 (H, W), the cluster of each pixel where the method makes clusters; None where
            it does not; 0 where the model saw nothing.
        flat: True if the map says nothing.
        cosine: of image and text.
    """

    image: Image
    heat: NDArray[np.float32]
    visible: Mask
    labels: NDArray[np.int64] | None
    flat: bool
    cosine: float


def attribute(
    model_name: str,
    method: str,
    image_file: Path,
    text: str,
    *,
    options: Mapping[str, Any] | None = None,
    device: str | None = None,
    precision: Precision = "fp32",
    threads: int = 1,
) -> Attribution:
    """Explain how well an image fits a text.

    Args:
        model_name: as `load_model` takes it.
        method: an attribution method.
        image_file: any image that Pillow reads.
        text: anything, for example "a photo of a zebra.".
        options: the method's own.
        device: a torch device; None: a GPU where there is one.
        precision: of the towers.
        threads: that compute on a CPU.

    Raises:
        PhotographsError: the file is not an image.
        ModelError, PluginError: of the model and the method.
    """
    import torch

    image = _read(image_file)
    explainer = get_method(method, **(options or {}))
    with device_of(device, Ranks.from_environment().local, threads) as place:
        with enough_memory(model_name):
            model = load_model(model_name, device=str(place.place), precision=precision)
        grid = model.preprocessing.grid
        batch = torch.from_numpy(make_grids(image, [grid])[grid])[None].to(place.place)
        pixels = model.preprocessing.normalise(batch)
        with torch.inference_mode():
            words = model.encode_text([text])
            found = explainer.explain(model, pixels, words)
            cosine = float((model.encode_image(pixels) @ words.T)[0, 0])
    height, width = image.shape[:2]
    patches = tuple(found.maps.shape[-2:])
    clusters = getattr(found, "labels", None)
    labels = None
    if clusters is not None:
        labels = pixel_map(clusters[0].float(), grid, height, width, "nearest").astype(np.int64)
    return Attribution(
        image,
        pixel_map(found.maps[0, 0], grid, height, width),
        seen(grid, height, width, (patches[0], patches[1])),
        labels,
        bool(found.flat[0, 0]),
        cosine,
    )


def _read(path: Path) -> Image:
    try:
        image = decode(path.read_bytes())
    except OSError as error:
        mend = "Give the path of an image file"
        raise PhotographsError("cannot be read", where=path, mend=mend) from error
    if isinstance(image, Rejected):
        mend = "Give another image file"
        raise PhotographsError(f"not an image ({image.reason})", where=path, mend=mend)
    return image
