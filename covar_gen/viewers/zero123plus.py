"""Shows the object from six camera positions with Zero123++ (v1.1 or v1.2).

The model sees the object cut out before grey (or the middle of the photograph) and paints six views
of 320 pixels at once: azimuths of 30 to 330 degrees in steps of 60 relative to the input, with two
absolute elevations in turn. Loaded from the official checkpoint folders, without remote code.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from covar_gen.core.arrays import Image, Json, Rejected, check_image, check_mask
from covar_gen.core.imaging import object_box
from covar_gen.core.plugins import PluginOptions
from covar_gen.core.seeds import seed_of
from covar_gen.neural.batching import halving
from covar_gen.neural.placing import Numbers, Place, place
from covar_gen.neural.weights import Weights, loading
from covar_gen.viewers._zero123_model import Asked, Seeded, Zero123, load
from covar_gen.viewers._zero123_pictures import (
    Cutout,
    by_normals,
    centre_square,
    cutout,
    lifted,
    on_frame,
    recomposed,
    tiles,
    touches_edge,
)
from covar_gen.viewers.base import Pose, View, Viewer, ViewRequest

if TYPE_CHECKING:
    from numpy.typing import NDArray

AZIMUTHS = (30, 90, 150, 210, 270, 330)
ELEVATIONS = {"1.1": (30, -20), "1.2": (20, -10)}
REPOSITORIES = {"1.1": "sudo-ai/zero123plus-v1.1", "1.2": "sudo-ai/zero123plus-v1.2"}
NETWORKS = ("vae", "unet", "text_encoder", "tokenizer", "vision_encoder", "scheduler")
FILES = (
    "model_index.json",
    *(f"{name}/*" for name in (*NETWORKS, "feature_extractor_vae", "feature_extractor_clip")),
)
CONTROL_FILES = ("config.json", "*.safetensors", "*.bin")
SURFACE = 0.4
"""Length from which on a painted normal is a surface: between the 0.2 below which the authors' own
example sees ground and the 0.6 above which it sees the object."""
BLACK = 2
"""A canvas whose brightest level is at most this is black."""


class Zero123plus(Viewer):
    """Six views of the object by a diffusion model."""

    class Options(PluginOptions):
        """Which weights, what they are shown, and what is kept.

        Attributes:
            version: of the model: decides the poses and the default weights.
            weights: repository on the Hub, or a local folder in its layout; left out: the
                official one of the version.
            revision: branch, tag or commit on the Hub.
            normals: repository or folder of the ControlNet that paints surface normals of the
                views (v1.2): the object's mask is then where there are any; left out: the object
                is what differs from the grey ground.
            normals_revision: likewise.
            steps: of denoising.
            guidance: classifier-free guidance; up to 1: none, and half the time.
            prompt: usually none; the model was trained without.
            input: `cutout`: the object before grey, centred; `photograph`: its middle square.
            fill: share of the cutout's side that the object's longer side takes.
            output: `as_generated`: the view before its grey ground; `recomposed`: the object of
                the view in the parent's place, before the parent's own background.
            ground: grey levels by which the object differs from the ground around it.
            part: connected parts smaller than this fraction of the largest are no object.
            min_area: smallest object, as a fraction of a view.
            max_area: largest object, as a fraction of a view.
            numbers: type of the networks' numbers.
            batch: images whose views are painted together.
        """

        version: Literal["1.1", "1.2"] = "1.2"
        weights: str | None = None
        revision: str | None = None
        normals: str | None = None
        normals_revision: str | None = None
        steps: int = Field(default=75, ge=1, le=1000)
        guidance: float = Field(default=4, ge=0, le=50)
        prompt: str = ""
        input: Literal["cutout", "photograph"] = "cutout"
        fill: float = Field(default=0.75, gt=0, le=1)
        output: Literal["as_generated", "recomposed"] = "as_generated"
        ground: float = Field(default=12, ge=0, le=255)
        part: float = Field(default=0.05, ge=0, le=1)
        min_area: float = Field(default=0.02, ge=0, lt=1)
        max_area: float = Field(default=0.9, gt=0, le=1)
        numbers: Numbers = "auto"
        batch: int = Field(default=4, ge=1, le=256)

        @model_validator(mode="after")
        def _areas_in_order(self) -> Self:
            if self.min_area >= self.max_area:
                msg = "min_area must be smaller than max_area"
                raise ValueError(msg)
            return self

    options: Options
    requires = ("torch", "diffusers", "transformers", "scipy")
    extra = "generate"

    def __init__(self, options: PluginOptions | None = None) -> None:
        super().__init__(options)
        low, high = ELEVATIONS[self.options.version]
        self.poses = tuple(
            Pose(azimuth, (low, high)[place % 2]) for place, azimuth in enumerate(AZIMUTHS)
        )
        self.wants_background = self.options.output == "recomposed"
        self._networks: Zero123 | None = None
        self._place: Place | None = None

    @cached_property
    def weights(self) -> Weights:
        """The model's own."""
        name = self.options.weights or REPOSITORIES[self.options.version]
        return Weights(name, self.options.revision, FILES, "viewpoints.options.zero123plus.weights")

    @cached_property
    def normals(self) -> Weights | None:
        """The ControlNet's that paints normals; None without one."""
        if self.options.normals is None:
            return None
        where = "viewpoints.options.zero123plus.normals"
        return Weights(self.options.normals, self.options.normals_revision, CONTROL_FILES, where)

    @property
    def model(self) -> str:
        """`repo@commit` of the weights."""
        return self.weights.label

    def identity(self) -> dict[str, Json]:
        """Name, version, options, and which weights they are.

        Raises:
            WeightsError: they cannot be had.
        """
        options = self.options.model_dump(
            mode="json", exclude={"weights", "revision", "normals", "normals_revision"}
        )
        found = [self.weights.label, *([self.normals.label] if self.normals else [])]
        return {**super().identity(), "options": options, "weights": list(found)}

    def setup(self) -> None:
        """Load the networks onto this process's device.

        Raises:
            WeightsError: they cannot be had, or are another model's.
        """
        self._place = place(self.options.numbers)
        control = self.normals and self.normals.folder
        with loading(self.weights):
            self._networks = load(
                self.weights.folder,
                device=self._place.device,
                dtype=self._place.dtype,
                control=control,
            )

    def views(self, batch: Sequence[ViewRequest]) -> list[list[View | Rejected]]:
        """Per request, one answer per wanted pose; all six are painted, on one canvas.

        Returns:
            Views with params `input`, `output`, `steps`, `guidance`, `device`, `together` (images
            painted at once), `object_area` (fraction of the view) and `cut_side` (side of the
            square that the model saw, photograph's pixels); `touches_edge` where the object was
            cut off by the parent's frame. Rejected are: empty_mask; bad_output (not a number
            anywhere, or black); blank_view, full_view, by the object's area; object_vanished.
        """
        found: list[list[View | Rejected]] = [
            [Rejected("empty_mask")] * len(request.wanted) for request in batch
        ]
        whole = [place for place, request in enumerate(batch) if request.mask.any()]
        shown = [self._shown(batch[place]) for place in whole]
        items = list(zip([batch[place] for place in whole], shown, strict=True))
        painted = halving(items, self._paint, self.options.batch, "zero123plus")
        for place, (_, cut), ((canvas, normals), together) in zip(
            whole, items, painted, strict=True
        ):
            about: dict[str, Json] = {**self._about(), "together": together, "cut_side": cut.side}
            found[place] = self._answers(batch[place], canvas, normals, about)
        return found

    def _shown(self, request: ViewRequest) -> Cutout:
        """What the model is shown of an image."""
        image = check_image(request.image, f"image of {request.key}")
        mask = check_mask(request.mask, image.shape, f"mask of {request.key}")
        if self.options.input == "photograph":
            picture = centre_square(image)
            return Cutout(picture, picture.width)
        return cutout(image, mask, self.options.fill)

    def _paint(
        self, items: Sequence[tuple[ViewRequest, Cutout]]
    ) -> list[tuple[NDArray[np.float32], NDArray[np.float32] | None]]:
        """The canvas of each image, and that of its normals where they are wanted."""
        from PIL import Image as Pillow

        assert self._networks is not None
        options = self.options
        asked = Asked(options.steps, options.guidance, prompt=options.prompt)
        pictures = [cut.picture for _, cut in items]
        canvases = self._networks.make(
            pictures, [Seeded(request.seed) for request, _ in items], asked
        )
        if self.normals is None:
            return [(canvas, None) for canvas in canvases]
        colours = [
            Pillow.fromarray(np.rint(np.nan_to_num(canvas) * 255).astype(np.uint8))
            for canvas in canvases
        ]
        noises = [Seeded(seed_of(request.seed, "normals", "")) for request, _ in items]
        normals = self._networks.make(pictures, noises, asked, colours)
        return list(zip(canvases, normals, strict=True))

    def _answers(
        self,
        request: ViewRequest,
        canvas: NDArray[np.float32],
        normals: NDArray[np.float32] | None,
        about: dict[str, Json],
    ) -> list[View | Rejected]:
        if not np.isfinite(canvas).all() or canvas.max() * 255 <= BLACK:
            return [Rejected("bad_output", about, again=True) for _ in request.wanted]
        views = tiles(canvas)
        surfaces = None if normals is None else tiles(np.nan_to_num(normals))
        return [
            self._view(request, views[pose], None if surfaces is None else surfaces[pose], about)
            for pose in request.wanted
        ]

    def _view(
        self, request: ViewRequest, tile: Image, surface: Image | None, about: dict[str, Json]
    ) -> View | Rejected:
        options = self.options
        found = (
            lifted(tile, options.ground, options.part)
            if surface is None
            else by_normals(surface, SURFACE, options.part)
        )
        area = float(found.mean())
        about = {**about, "object_area": area}
        if area < options.min_area:
            return Rejected("blank_view", about, again=True)
        if area > options.max_area:
            return Rejected("full_view", about, again=True)
        size = request.image.shape[:2]
        if options.output == "as_generated":
            # The outline by colour is a check, not a mask to publish; that by normals is one.
            image, mask = on_frame(tile, None if surface is None else found, size)
            return View(image, mask, params=about)
        box = object_box(request.mask)
        assert box is not None
        assert request.background is not None
        about["touches_edge"] = touches_edge(request.mask)
        placed = recomposed(tile, found, request.background, box)
        if placed is None:
            return Rejected("object_vanished", about)
        return View(placed[0], placed[1], params=about)

    def _about(self) -> dict[str, Json]:
        options = self.options
        assert self._place is not None
        return {
            "input": options.input,
            "output": options.output,
            "steps": options.steps,
            "guidance": options.guidance,
            "device": self._place.name,
        }
