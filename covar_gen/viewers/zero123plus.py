"""Shows the object from six camera positions with Zero123++ (v1.1 or v1.2).

The model sees the object cut out before grey (or the middle of the photograph) and paints six views
of 320 pixels at once: azimuths of 30 to 330 degrees in steps of 60 relative to the input, with two
absolute elevations in turn. Loaded from the official checkpoint folders, without remote code.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from covar_gen.core.arrays import Image, Json, Rejected, check_image, check_mask
from covar_gen.core.imaging import object_box
from covar_gen.core.outlines import measured
from covar_gen.core.plugins import PluginOptions, RecipePath, WeightsName
from covar_gen.core.seeds import seed_of
from covar_gen.neural.diffusion import DiffusionOptions, Folder, find_network, is_own
from covar_gen.neural.plugins import PipelinePlugin
from covar_gen.neural.running import device_name, exact, in_halves, own_device, resolved
from covar_gen.viewers._zero123_depth import DepthCanvases
from covar_gen.viewers._zero123_loading import load
from covar_gen.viewers._zero123_model import Asked, Seeded, Zero123
from covar_gen.viewers._zero123_pictures import (
    COLUMNS,
    ROWS,
    Cutout,
    by_normals,
    centre_square,
    cutout,
    levels,
    lifted,
    on_frame,
    recomposed,
    tiles,
)
from covar_gen.viewers.base import Pose, View, Viewer, ViewRequest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Painted = tuple[NDArray[np.float32], NDArray[np.float32] | None, int]

AZIMUTHS = (30, 90, 150, 210, 270, 330)
ELEVATIONS = {"1.1": (30, -20), "1.2": (20, -10)}
REPOSITORIES = {"1.1": "sudo-ai/zero123plus-v1.1", "1.2": "sudo-ai/zero123plus-v1.2"}
NORMALS = "sudo-ai/controlnet-zp12-normal-gen-v1"
DEPTH = "sudo-ai/controlnet-zp11-depth-v1"
PARTS = (
    "feature_extractor_clip",
    "feature_extractor_vae",
    "scheduler",
    "text_encoder",
    "tokenizer",
    "unet",
    "vae",
    "vision_encoder",
)
SURFACE = 0.4
"""Length from which on a painted normal is a surface: between the 0.2 below which the authors' own
example sees ground and the 0.6 above which it sees the object."""
BLACK = 2
"""A canvas whose brightest level is at most this is black."""


class Zero123plus(PipelinePlugin, Viewer):
    """Six views of the object by a diffusion model."""

    class Options(DiffusionOptions):
        """Which weights, what they are shown, and what is kept: see also DiffusionOptions.

        Attributes:
            version: of the model: decides the poses and the default weights.
            weights: `owner/name` or `owner/name@revision` of the Hugging Face Hub, or a folder
                relative to the recipe; left out: the official ones of the version.
            normals: the ControlNet that paints surface normals of the views (v1.2), named in the
                same way: the object is then where there are any; left out: the object is what
                differs from the grey ground.
            depth: the ControlNet that follows the depth of the views (v1.1), named in the same
                way, such as sudo-ai/controlnet-zp11-depth-v1; wants `depth_canvases`.
            depth_canvases: a folder, relative to the recipe, of depth that you have rendered, for
                `depth`: CLASS/PHOTOGRAPH.png (or CLASS/PHOTOGRAPH/07.png for background 7) with
                all six views on one canvas of two columns and three rows of tiles, near to far
                stretched over the object, the object's mask as alpha.
            depth_scale: weight of the depth ControlNet; the authors' is 0.75.
            steps: of denoising.
            guidance: classifier-free guidance; up to 1: none, and half the time.
            prompt: usually none; the model was trained without.
            tile: side of a view, pixels; the model was trained to paint 320.
            input: `cutout`: the object before grey, centred; `photograph`: its middle square.
            fill: share of the cutout's side that the object's longer side takes.
            output: `as_generated`: the view before its grey ground; `recomposed`: the object of
                the view in the parent's place, before the parent's own background.
            ground: grey levels by which the object differs from the ground around it.
            part: connected parts smaller than this fraction of the largest are no object.
            min_area: smallest object, as a fraction of a view.
            max_area: largest object, as a fraction of a view.
            devices: always 1: all networks together take 4 GB.
        """

        version: Literal["1.1", "1.2"] = "1.2"
        weights: WeightsName = REPOSITORIES["1.2"]
        normals: WeightsName | None = None
        depth: WeightsName | None = None
        depth_canvases: RecipePath | None = None
        depth_scale: float = Field(default=0.75, ge=0, le=2)
        steps: int = Field(default=75, ge=1, le=1000)
        guidance: float = Field(default=4, ge=0, le=50)
        prompt: str = ""
        tile: int = Field(default=320, ge=32, le=1024, multiple_of=32)
        input: Literal["cutout", "photograph"] = "cutout"
        fill: float = Field(default=0.75, gt=0, le=1)
        output: Literal["as_generated", "recomposed"] = "as_generated"
        ground: float = Field(default=12, ge=0, le=255)
        part: float = Field(default=0.05, ge=0, le=1)
        min_area: float = Field(default=0.02, ge=0, lt=1)
        max_area: float = Field(default=0.9, gt=0, le=1)
        devices: int = Field(default=1, ge=1, le=1)

        @model_validator(mode="before")
        @classmethod
        def _weights_of_version(cls, given: Any) -> Any:
            if isinstance(given, dict) and given.get("weights") is None:
                repository = REPOSITORIES.get(given.get("version", "1.2"), "")
                return {**given, "weights": repository}
            return given

        @model_validator(mode="after")
        def _areas_in_order(self) -> Self:
            if self.min_area >= self.max_area:
                msg = "min_area must be smaller than max_area"
                raise ValueError(msg)
            return self

        @model_validator(mode="after")
        def _of_the_version(self) -> Self:
            # Another version's weights would paint other elevations than the rows say.
            official = self.weights.partition("@")[0]
            for version, repository in REPOSITORIES.items():
                if official == repository and version != self.version:
                    msg = f"{repository} wants version = {version!r}"
                    raise ValueError(msg)
            control = (self.normals or "").partition("@")[0]
            if control == NORMALS and self.version != "1.2":
                msg = f"{NORMALS} wants version = '1.2'"
                raise ValueError(msg)
            if control == DEPTH:
                msg = f"{DEPTH} paints no normals: {NORMALS} does"
                raise ValueError(msg)
            if self.depth is not None and self.version != "1.1":
                msg = "depth wants version = '1.1': no other has a depth ControlNet"
                raise ValueError(msg)
            if self.depth is not None and self.normals is not None:
                msg = "depth and normals are ControlNets of different versions: leave one out"
                raise ValueError(msg)
            if (self.depth is None) != (self.depth_canvases is None):
                msg = "depth and depth_canvases want each other"
                raise ValueError(msg)
            return self

    options: Options
    requires = (*PipelinePlugin.requires, "scipy")
    parts = PARTS

    def __init__(self, options: PluginOptions | None = None) -> None:
        super().__init__(options)
        low, high = ELEVATIONS[self.options.version]
        self.poses = tuple(
            Pose(azimuth, (low, high)[place % 2]) for place, azimuth in enumerate(AZIMUTHS)
        )
        self.wants_background = self.options.output == "recomposed"
        self.knows_masks = self.wants_background or self.options.normals is not None
        self._networks: Zero123 | None = None
        self._how: dict[str, Json] = {}

    @cached_property
    def normals(self) -> Folder | None:
        """Those of the ControlNet that paints normals; None without one.

        Raises:
            WeightsError: they cannot be had.
        """
        name = self.options.normals
        return None if name is None else find_network(name, "zero123plus.normals")

    @cached_property
    def depth(self) -> Folder | None:
        """Those of the ControlNet that follows depth; None without one.

        Raises:
            WeightsError: they cannot be had.
        """
        name = self.options.depth
        return None if name is None else find_network(name, "zero123plus.depth")

    @cached_property
    def canvases(self) -> DepthCanvases | None:
        """The folder of depth; None without one."""
        folder = self.options.depth_canvases
        if folder is None:
            return None
        return DepthCanvases(Path(folder).expanduser(), "zero123plus.depth_canvases")

    def check(self) -> None:
        """Look at folders of the user's own: of weights, and of depth, which is hashed.

        Raises:
            WeightsError: weights are not there, incomplete or cut off, or are nothing here and
                cannot be on the Hub.
            RecipeError: the folder of depth is not there, or holds no canvas.
        """
        super().check()
        for option in ("normals", "depth"):
            name = getattr(self.options, option)
            if name is not None and is_own(name, f"zero123plus.{option}"):
                _ = getattr(self, option)
        if self.canvases is not None:
            _ = self.canvases.sha256

    def identity(self) -> dict[str, Json]:
        """Name, version and options; for weights and depth, the hash of their content.

        Raises:
            WeightsError: they cannot be had.
            RecipeError: the folder of depth is not there, or holds no canvas.
        """
        found = super().identity()
        options = found["options"]
        assert isinstance(options, dict)
        options["normals"] = None if self.normals is None else self.normals.identity()
        options["depth"] = None if self.depth is None else self.depth.identity()
        digest = None if self.canvases is None else f"sha256:{self.canvases.sha256}"
        options["depth_canvases"] = digest
        return found

    def setup(self) -> None:
        """Load the networks onto this process's device.

        Raises:
            WeightsError: they cannot be had, or are another model's.
            PluginError: an attention backend, compiling, or offloading, that cannot be had here.
            DeviceMemoryError: the device cannot hold the weights.
        """
        device = own_device()
        dtype = resolved(self.options.dtype, device, "float16")
        control = self.normals or self.depth
        self._networks = load(self.folder, device, dtype, control, self.options)
        self._how = {
            "scheduler": type(self._networks.scheduler).__name__,
            "dtype": str(dtype).removeprefix("torch."),
            "device": device_name(device),
        }
        self.model = " ".join(each.model for each in (self.folder, control) if each)

    def views(self, batch: Sequence[ViewRequest]) -> list[list[View | Rejected]]:
        """Per request, one answer per wanted pose; all six are painted, on one canvas.

        Returns:
            Views with params `input`, `output`, `steps`, `guidance`, `scheduler`, `dtype`,
            `device`, `cut_side` (side of the square that the model saw, pixels), `object_area`
            (fraction of the view), with depth `depth_scale` and, of recomposed ones, `touches_edge`
            (the parent's object may be cut off by its frame); `batch` if less than the batch fitted
            into memory. Rejected are: empty_mask; bad_output (no numbers, or black); blank_view and
            full_view, by the object's area; object_vanished; no_background (the inpainter refused
            the image).

        Raises:
            RecipeError: the depth of an image is missing, or does not fit the canvas.
        """
        found: list[list[View | Rejected]] = [
            [Rejected("empty_mask")] * len(request.wanted) for request in batch
        ]
        shown = [
            (number, request, self._shown(request))
            for number, request in enumerate(batch)
            if request.mask.any()
        ]
        size = self.options.batch
        for start in range(0, len(shown), size):
            chunk = shown[start : start + size]
            painted = in_halves(self._paint, chunk, self.name())
            for (number, request, cut), (canvas, normals, together) in zip(
                chunk, painted, strict=True
            ):
                about = {**self._about(), "cut_side": cut.side}
                if together < len(chunk):
                    about["batch"] = together
                found[number] = self._answers(request, canvas, normals, about)
        return found

    def _shown(self, request: ViewRequest) -> Cutout:
        """What the model is shown of an image."""
        image = check_image(request.image, f"image of {request.key}")
        mask = check_mask(request.mask, image.shape, f"mask of {request.key}")
        if self.options.input == "photograph":
            picture = centre_square(image)
            return Cutout(picture, picture.width)
        return cutout(image, mask, self.options.fill)

    def _paint(self, items: Sequence[tuple[int, ViewRequest, Cutout]]) -> list[Painted]:
        """The canvas of each image, that of its normals where they are wanted, and how many."""
        from PIL import Image as Pillow

        assert self._networks is not None
        options = self.options
        width, height = COLUMNS * options.tile, ROWS * options.tile
        asked = Asked(
            options.steps,
            options.guidance,
            width,
            height,
            options.prompt,
            control_scale=1.0 if self.canvases is None else options.depth_scale,
        )
        pictures = [cut.picture for _, _, cut in items]
        seeds = [request.seed for _, request, _ in items]
        normals: Sequence[NDArray[np.float32] | None] = [None] * len(items)
        depths = None
        if self.canvases is not None:
            depths = [self.canvases.of(request.key, (width, height)) for _, request, _ in items]
        with exact():
            noises = [Seeded(seed) for seed in seeds]
            canvases = self._networks.make(pictures, noises, asked, depths)
            if self.normals is not None:
                colours = [Pillow.fromarray(levels(canvas)) for canvas in canvases]
                noises = [Seeded(seed_of(seed, "normals", "")) for seed in seeds]
                normals = list(self._networks.make(pictures, noises, asked, colours))
        return [
            (canvas, normal, len(items)) for canvas, normal in zip(canvases, normals, strict=True)
        ]

    def _answers(
        self,
        request: ViewRequest,
        canvas: NDArray[np.float32],
        normals: NDArray[np.float32] | None,
        about: dict[str, Json],
    ) -> list[View | Rejected]:
        finite = bool(np.isfinite(canvas).all())
        if not finite or canvas.max() * 255 <= BLACK:
            about = {**about, "output": "black" if finite else "not_finite"}
            return [Rejected("bad_output", about, again=True) for _ in request.wanted]
        views = tiles(canvas)
        surfaces = None if normals is None else tiles(normals)
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
        if request.background is None:
            return Rejected("no_background", about)
        about["touches_edge"] = measured(request.mask).border > 0
        placed = recomposed(tile, found, request.background, box)
        if placed is None:
            return Rejected("object_vanished", about)
        return View(placed[0], placed[1], params=about)

    def _about(self) -> dict[str, Json]:
        options = self.options
        return {
            "input": options.input,
            "output": options.output,
            "steps": options.steps,
            "guidance": options.guidance,
            **({} if self.depth is None else {"depth_scale": options.depth_scale}),
            **self._how,
        }
