"""Edits a photograph as a sentence tells it to, with Emu2-Gen: the editor of the paper.

Sun et al., arXiv:2312.13286. The model sees the photograph as 64 vectors and paints a new picture:
nothing of the photograph's pixels reaches it, so the object is drawn again too. Computed without
the authors' code, from their checkpoint in either of its layouts. The weights are not for
commercial use.

The tower sees every photograph squeezed to a square, and the model was made to paint squares. So a
photograph is shown and painted as a square, and the picture stretched back to the photograph's
size, which undoes the squeeze; as long as the model draws what it has seen, proportions are right.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from covar_gen.core.arrays import Json, Rejected, check_image, check_mask
from covar_gen.core.plugins import PluginOptions, RecipePath, WeightsName
from covar_gen.editors._emu2_batches import Asked, Painted, make_ready, paint_all
from covar_gen.editors._emu2_layouts import find
from covar_gen.editors._emu2_model import ENCODER, PAINTER
from covar_gen.editors._emu2_painting import Canvas
from covar_gen.editors._emu2_placing import Language, Placement, Stage
from covar_gen.editors._emu2_published import REPO
from covar_gen.editors._emu2_room import HALF, published_gib, thriftier
from covar_gen.editors._emu2_settings import check_name, is_own, words_in_cache
from covar_gen.editors._emu2_showing import Mode, Showing
from covar_gen.editors._emu2_tokens import Limits, check_text, load_tokens
from covar_gen.editors._scenes.photographs import BackgroundPhotographs
from covar_gen.editors.base import (
    AlignmentOptions,
    Edit,
    Editor,
    EditRequest,
    aligned,
    pasted_back,
)
from covar_gen.neural.fitting import LONGEST, SHORTEST, Size, near_area, resized
from covar_gen.neural.inpainting import BLACK
from covar_gen.neural.running import Dtype, device_name, own_devices, resolved

if TYPE_CHECKING:
    from covar_gen.editors._emu2_model import Networks
    from covar_gen.editors._emu2_weights import Weights

WEIGHTS = "emu2.weights"
"""The option that names the checkpoint, for messages."""

MULTIPLE = 32
"""Of a canvas's edges, pixels: the VAE shrinks by 8, the UNet halves twice."""


class Emu2Gen(Editor):
    """Paints the photograph anew, as the recipe's sentence says."""

    class Options(AlignmentOptions):
        """Which checkpoint, what is asked of it, and where it computes; see AlignmentOptions too.

        Attributes:
            weights: `owner/name` or `owner/name@revision` of the Hugging Face Hub; or, relative to
                the recipe, a copy of its folder or the native file.
            weights_sha256: SHA-256 that all weights together must have, in hex; left out: files
                of the Hub are known by their revision, others are not compared.
            mode: edit: the photograph, then the sentence, as the authors have it; text: the
                sentence alone; autoencode: the photograph alone, drawn again without the language
                model: what a picture is like that nothing was to be changed in.
            references: of mode edit: a folder of pictures, relative to the recipe, that are shown
                between photograph and sentence: those of the row's background, by number
                (`07.jpg`) or description (`swampy area.jpg`), or all of a sub-folder so named. A
                background without any is refused.
            steps: of denoising.
            guidance: how strongly the picture follows what was asked; 1: it is not guided, and
                takes half the time.
            size: edge of the canvas in pixels, a multiple of 32; the model was made for 1024.
            canvas: square: as the model was made, and stretched to the photograph's size;
                photograph: of the photograph's shape and about the area of the square. Which of
                them keeps proportions depends on what the model makes of what it sees squeezed.
            paste_back: put the object's own pixels back into the picture, over the one that the
                model has drawn; the paper does not. Where that lies elsewhere it stays beside it:
                `alignment` is asked first.
            safety_checker: reject pictures that the checkpoint's safety checker flags, and paint
                them again; the authors' pipeline blackens them.
            dtype: float32, bfloat16 or float16; auto: bfloat16 on a GPU, else float32.
            batch: images computed together. A GPU that is too small for them takes halves.
            attempts: how often an image is painted at most, where the result cannot be used.
            stage: resident: all networks stay loaded, 74 GiB in bfloat16; swap: tower and language
                model, 68 GiB, make room for the painter and are read again for the next images;
                auto: resident where there is room for it and for the pictures, else swap. Further
                attempts at refused images need the painter alone: nothing is read again for them.
            devices: GPUs of a process, over which the language model's layers are spread.
            language: full: the language model in `dtype`; int4: its matrices in 4 bits (extra
                int4), which gives other pictures and takes 29 GiB, under swap 24.
        """

        weights: WeightsName = REPO
        weights_sha256: str | None = Field(default=None, pattern=r"^[0-9a-fA-F]{64}$")
        mode: Mode = "edit"
        references: RecipePath | None = None
        steps: int = Field(default=50, ge=1, le=1000)
        guidance: float = Field(default=3.0, ge=1, le=100)
        size: int = Field(default=1024, ge=SHORTEST, le=4096, multiple_of=MULTIPLE)
        canvas: Literal["square", "photograph"] = "square"
        paste_back: bool = False
        safety_checker: bool = True
        dtype: Dtype = "auto"
        batch: int = Field(default=4, ge=1, le=256)
        attempts: int = Field(default=3, ge=1, le=100)
        stage: Stage = "auto"
        devices: int = Field(default=1, ge=1, le=16)
        language: Language = "full"

        @model_validator(mode="after")
        def _shown_where_they_are_read(self) -> Self:
            if self.references is not None and self.mode != "edit":
                msg = f"references are shown in mode = 'edit' only, not in {self.mode!r}"
                raise ValueError(msg)
            return self

    options: Options
    requires = ("torch", "diffusers", "transformers", "accelerate", "sentencepiece", "cv2")
    extra = "generate"

    def __init__(self, options: PluginOptions | None = None) -> None:
        super().__init__(options)
        self.knows_masks = self.options.paste_back
        self.reads_prompt = self.options.mode != "autoencode"
        self._networks: Networks | None = None
        self._how: dict[str, Json] = {}
        self._unread: list[list[str | None]] = []
        folder, where = self.options.references, "backgrounds.options.emu2.references"
        pictures = folder and BackgroundPhotographs(Path(folder).expanduser(), where)
        self._showing = Showing(self.options.mode, pictures or None)

    @cached_property
    def weights(self) -> Weights:
        """The checkpoint's files, fetched if need be.

        Raises:
            WeightsError: they cannot be had, or are no Emu2-Gen.
        """
        checker = self.options.safety_checker
        return find(self.options.weights, WEIGHTS, safety_checker=checker)

    def check(self) -> None:
        """Look at files of the user's own, headers and settings.

        A run that could not paint its backgrounds is told before hours of masks. The Hub is asked
        for nothing but the tokenizer, where a native file has none beside it.

        Raises:
            WeightsError: they are not there, incomplete or cut off, or no Emu2-Gen; or what is
                named is nothing here and cannot be on the Hub.
            RecipeError: the references are no folder, or there is no picture in it.
        """
        _ = self._pictures_digest
        if is_own(self.options.weights):
            _ = self.weights
        else:
            check_name(self.options.weights, WEIGHTS)

    def check_prompts(self, background_id: int, background: str, prompts: Sequence[str]) -> None:
        """Refuse sentences that hold one of the model's marks, or that are too long for it.

        How long they are is told by the tokenizer: where it is not on this machine yet, in `setup`.

        Raises:
            PluginError: one that the model cannot be asked.
            WeightsError: the weights cannot be used.
        """
        asked = self._showing.sketched(background_id, background, prompts)
        for parts in asked:
            check_text(str(parts[-1]))
        if self._limits is None:
            self._unread += asked
        else:
            self._check_lengths(asked, self._limits)

    @cached_property
    def _limits(self) -> Limits | None:
        """What the model can read, as far as this is known without asking the Hub."""
        if is_own(self.options.weights):
            return self._known_limits()
        found = words_in_cache(self.options.weights, WEIGHTS)
        return None if found is None else Limits(load_tokens(found[0], WEIGHTS), found[1])

    def _known_limits(self) -> Limits:
        positions = self.weights.configs["lm"]["max_position_embeddings"]
        return Limits(load_tokens(self.weights.tokenizer, WEIGHTS), positions)

    def _check_lengths(self, asked: Sequence[Sequence[str | None]], limits: Limits) -> None:
        for parts in asked:
            limits.ids(parts)

    def identity(self) -> dict[str, Json]:
        """Name, version and options; for the weights, the hash of their content.

        Raises:
            WeightsError: they cannot be had.
        """
        own = {"weights": self.weights.identity(), "references": self._pictures_digest}
        return {**super().identity(), "options": {**self.options.model_dump(mode="json"), **own}}

    @property
    def _pictures_digest(self) -> str | None:
        references = self._showing.references
        return None if references is None else f"sha256:{references.digest()}"

    def memory_gib(self) -> float | None:
        """GiB that each GPU needs for the published checkpoint; None for the user's own files."""
        options = self.options
        if options.weights.partition("@")[0] != REPO:
            return None
        return published_gib(options.stage, options.language, options.devices, self._itemsize)

    def thriftier(self, gib: float) -> list[str]:
        """Settings under which each GPU needs no more, as a recipe writes them.

        Args:
            gib: GiB of memory that a GPU has.
        """
        options = self.options
        kept = (options.stage, options.language, options.devices)
        return thriftier(gib, *kept, self._itemsize)

    @property
    def _itemsize(self) -> int:
        """Bytes of a number on a GPU."""
        return 2 * HALF if self.options.dtype == "float32" else HALF

    def setup(self) -> None:
        """Load the networks onto this process's devices.

        Raises:
            WeightsError: they cannot be had, or do not belong together.
            DeviceMemoryError: the devices cannot hold them.
            PluginError: there are not as many GPUs as a process is to take, or a language model
                in 4 bits is wanted without its extra; or a sentence is too long.
        """
        from covar_gen.editors._emu2_loading import load

        options = self.options
        if self._unread:
            self._check_lengths(self._unread, self._known_limits())
        devices = own_devices(options.devices)
        dtype = resolved(options.dtype, devices[0])
        self.weights.check_pinned(options.weights_sha256)
        placement = Placement(devices, dtype, options.stage, options.language)
        self._networks = load(self.weights, placement)
        self._how = {
            "mode": options.mode,
            "steps": options.steps,
            "guidance": options.guidance,
            "scheduler": "EulerDiscreteScheduler",
            "dtype": str(dtype).removeprefix("torch."),
            "device": device_name(devices[0]),
            "language": options.language,
        }
        self.model = self.weights.model
        make_ready(self._networks, ENCODER)
        if self._networks.staged.stage == "resident":
            make_ready(self._networks, PAINTER)

    def edit(self, batch: Sequence[EditRequest]) -> list[Edit | Rejected]:
        """One answer per request: all are read first and then painted, in batches.

        Returns:
            Edits as `editors.base.aligned` makes them or, where the object is put back, with the
            photograph's mask and a known_pixel_max_diff of 0. Params: mode, steps, guidance,
            scheduler, dtype, device, language and the model's canvas (height, width); `batch` if
            less than the batch fitted into memory; `references`, files and their SHA-256. Or
            Rejected: empty_mask; too_long, where the canvas has the photograph's shape;
            no_picture_of_background; background_photograph_unreadable; and, to be made again,
            bad_output, flagged, object_moved and object_not_found.

        Raises:
            PluginError: the sentence holds one of the model's special tokens, or is too long.
            DeviceMemoryError: the device's memory does not suffice for a single picture.
        """
        assert self._networks is not None
        edge = self._networks.shape.image_size
        found: list[Edit | Rejected] = [Rejected("empty_mask") for _ in batch]
        asked: dict[int, Asked] = {}
        for place, request in enumerate(batch):
            image = check_image(request.image, f"image of {request.key}")
            height, width = image.shape[:2]
            if not check_mask(request.mask, image.shape, f"mask of {request.key}").any():
                continue
            canvas, parts = self._canvas((height, width)), self._showing.parts(request, edge)
            if canvas is None:
                found[place] = Rejected("too_long")
            elif isinstance(parts, Rejected):
                found[place] = parts
            else:
                asked[place] = Asked(request.key, parts, request.seed, canvas)
        places = list(asked)

        def finish(number: int, painted: Painted) -> Edit | Rejected:
            return self._answer(batch[places[number]], painted)

        answers = paint_all(self._networks, list(asked.values()), self.options.batch, finish)
        for place, answer in zip(places, answers, strict=True):
            found[place] = answer
        return found

    def _canvas(self, photograph: Size) -> Canvas | None:
        """That of a photograph; None for one that is too long for its shape to be painted."""
        options = self.options
        height = width = options.size
        if options.canvas == "photograph":
            if max(photograph) > LONGEST * min(photograph):
                return None
            height, width = near_area(photograph, options.size, MULTIPLE)
        return Canvas(height, width, options.steps, options.guidance)

    def _answer(self, request: EditRequest, painted: Painted) -> Edit | Rejected:
        picture = painted.picture
        params: dict[str, Json] = {**self._how, "canvas": list(picture.shape[:2])}
        if painted.batch is not None:
            params["batch"] = painted.batch
        if files := self._showing.files(request):
            params["references"] = files
        if not np.isfinite(picture).all():
            return Rejected("bad_output", {**params, "output": "not_finite"}, again=True)
        levels = np.rint(picture * 255).astype(np.uint8)
        if levels.max() <= BLACK:
            return Rejected("bad_output", {**params, "output": "black"}, again=True)
        if painted.flagged:
            return Rejected("flagged", params, again=True)
        height, width = request.image.shape[:2]
        edited = resized(levels, (height, width))
        found = aligned(request, edited, self.options, params)
        if isinstance(found, Edit) and self.options.paste_back:
            return pasted_back(request, found)
        return found
