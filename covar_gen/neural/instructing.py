"""Photographs edited by diffusion models that are given the photograph and a sentence.

One adapter over diffusers' classes: InstructPix2Pix, FLUX.1 Kontext, FLUX.2 klein and
Qwen-Image-Edit, and the forms of these that repaint a part alone. What is particular to a class
stands in a `Manner`: under which name it takes its guidance, which sizes it leaves as they are, and
which photographs may be edited together.

Each class would resize a photograph in its own way. Here it is resized before, to a size that the
class leaves alone, and its answer afterwards to the photograph's size, both by Lanczos' filter.
Noise is drawn on the CPU, from one generator per picture.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
from pydantic import Field

from covar_gen.core.arrays import Image, Json, Mask, Rejected
from covar_gen.core.errors import PluginError, WeightsError
from covar_gen.neural.diffusion import LIBRARIES, DiffusionOptions, Folder, load_pipeline
from covar_gen.neural.fitting import LONGEST, SHORTEST, Size, near_area, repainted, resized
from covar_gen.neural.inpainting import BLACK, steps_to_ask
from covar_gen.neural.quiet import quiet
from covar_gen.neural.reading import Reader
from covar_gen.neural.running import device_name, exact, in_halves, overlapped, own_device, resolved

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image as Pillow

R = TypeVar("R")


class InstructionOptions(DiffusionOptions):
    """How a model edits; each plugin has the defaults of its model's authors.

    Attributes:
        steps: of denoising, each of which is really made.
        guidance: how strongly the sentence is followed.
        native: edge in pixels of the square whose area the model paints; the canvas has the
            photograph's shape and at most that area, in the model's own multiples.
    """

    steps: int = Field(default=50, ge=1, le=1000)
    guidance: float = Field(default=4.0, ge=0, le=100)
    native: int = Field(default=1024, ge=SHORTEST, le=4096)


@dataclass(frozen=True)
class Task:
    """One photograph to edit.

    Attributes:
        key: for messages.
        image: uint8 (H, W, 3), RGB.
        fill: bool (H, W), True where it is repainted; None for classes that take no mask.
        prompt: what is asked, word for word.
        seed: of all noise.
    """

    key: str
    image: Image
    fill: Mask | None
    prompt: str
    seed: int


@dataclass(frozen=True)
class Answer:
    """An edited photograph.

    Attributes:
        image: uint8 (H, W, 3), RGB, of the photograph's size. Nothing of it is put back.
        params: class, the guidances under diffusers' names, steps, scheduler, dtype, device
            (`devices`, if more than one), and the model's canvas (height, width); `batch` if less
            than the batch fitted into memory; `text_cut` where the model reads the beginning of
            the sentence, or of what to avoid, only.
    """

    image: Image
    params: dict[str, Json] = field(default_factory=dict)


@dataclass(frozen=True)
class Manner:
    """How one class of diffusers is called.

    Attributes:
        kind: the class's name.
        folders: classes that a folder's model_index.json may name for it to fit.
        guidance: what it is told beside sentence, picture and size, by diffusers' names.
        negative_prompt: what not to paint; for classes that take it.
        strength: 1: what is repainted starts from noise alone; for classes that take it.
        together: which photographs it can edit in one batch: `all`; those of one `photograph`,
            asked for different things, where a list of pictures means several references for one
            answer; or `one`.
        multiple: of its canvas's edges, pixels.
        cell: pixels of the canvas that the smallest repainted square covers.
        canvas: the size of canvas for a photograph's size, `native` and `multiple`.
    """

    kind: str
    folders: tuple[str, ...]
    guidance: Mapping[str, float]
    negative_prompt: str = ""
    strength: float = 1.0
    together: Literal["all", "photograph", "one"] = "all"
    multiple: int = 16
    cell: int = 8
    canvas: Callable[[Size, int, int], Size] = near_area


@dataclass(frozen=True)
class _Shown:
    """A task and what the model is shown of it, as Pillow's images of the canvas's size."""

    task: Task
    size: Size
    picture: Pillow.Image
    mask: Pillow.Image | None


class Instructor:
    """A pipeline on this process's device.

    Args:
        folder: the pipeline's files.
        options: how it edits.
        manner: how its class is called.

    Raises:
        WeightsError: the folder is not of a class that fits, or cannot be loaded.
        PluginError: an attention backend, or offloading, that cannot be had here.
    """

    def __init__(self, folder: Folder, options: InstructionOptions, manner: Manner) -> None:
        self.options, self.manner, self.where = options, manner, folder.where
        own = str(folder.index().get("_class_name", "no class"))
        if own not in manner.folders:
            what = f"{folder.model} is of {own}, which {manner.kind} cannot stand in for"
            mend = f"Name weights of {' or '.join(manner.folders)}"
            raise WeightsError(what, where=folder.where, mend=mend)
        device = own_device()
        half: Literal["bfloat16", "float16"] = "float16" if "unet" in folder.parts else "bfloat16"
        dtype = resolved(options.dtype, device, half)
        self.pipe = load_pipeline(folder, manner.kind, options, device, dtype)
        self.reader = Reader(self.pipe)
        self.takes = set(inspect.signature(type(self.pipe).__call__).parameters)
        strength: dict[str, Json] = {"strength": manner.strength} if self.masked else {}
        self.about: dict[str, Json] = {
            "class": manner.kind,
            "steps": options.steps,
            **manner.guidance,
            **strength,
            "scheduler": type(self.pipe.scheduler).__name__,
            "dtype": str(dtype).removeprefix("torch."),
            "device": device_name(device),
            **({"devices": options.devices} if options.devices > 1 else {}),
        }

    @property
    def masked(self) -> bool:
        """True if the class takes a mask of what it repaints."""
        return "mask_image" in self.takes

    def edit(self, tasks: Sequence[Task], finish: Callable[[int, Answer | Rejected], R]) -> list[R]:
        """Edit photographs of any sizes.

        Args:
            tasks: what is asked.
            finish: is given each task's place and answer, in another thread, while the next
                batch is edited. Rejected: too_long, for a photograph more than LONGEST times as
                long as wide; bad_output, to be made again, where the model's picture has values
                that are no numbers, or is all black.

        Returns:
            What `finish` returned, in the tasks' order.

        Raises:
            DeviceMemoryError: the device's memory does not suffice for a single picture.
            PluginError: this version of diffusers paints another size than it is asked for.
        """
        batches = self._batches(tasks)
        sizes = {place: size for size, places in batches for place in places}

        def prepare(place: int) -> _Shown:
            return _shown(tasks[place], sizes[place], self.manner.cell)

        def answered(place: int, painted: tuple[NDArray[np.float32], dict[str, Json]]) -> R:
            return finish(place, self._answer(tasks[place], *painted))

        found = overlapped([places for _, places in batches], prepare, self._edited, answered)
        done = {
            place: answer
            for (_, places), answers in zip(batches, found, strict=True)
            for place, answer in zip(places, answers, strict=True)
        }
        return [
            done[place] if place in done else finish(place, Rejected("too_long"))
            for place in range(len(tasks))
        ]

    def _batches(self, tasks: Sequence[Task]) -> list[tuple[Size, list[int]]]:
        """Canvases, and places of the tasks that are painted together on them, in their order."""
        groups: dict[tuple[Size, object], list[int]] = {}
        for place, task in enumerate(tasks):
            height, width = task.image.shape[:2]
            if max(height, width) > LONGEST * min(height, width):
                continue
            size = self.manner.canvas((height, width), self.options.native, self.manner.multiple)
            alike: object = {"all": None, "one": place}.get(self.manner.together)
            if self.manner.together == "photograph":
                alike = (task.image.shape, hashlib.sha256(task.image.tobytes()).digest())
            groups.setdefault((size, alike), []).append(place)
        most = self.options.batch
        return [
            (size, places[start : start + most])
            for (size, _), places in groups.items()
            for start in range(0, len(places), most)
        ]

    def _edited(self, items: Sequence[_Shown]) -> list[tuple[NDArray[np.float32], dict[str, Json]]]:
        """The model's pictures; and `batch`, if less than all of them fitted into memory."""

        def some(part: Sequence[_Shown]) -> list[tuple[NDArray[np.float32], dict[str, Json]]]:
            about: dict[str, Json] = {"batch": len(part)} if len(part) < len(items) else {}
            return [
                (picture, about | self._said_of(item.task))
                for item, picture in zip(part, self._painted(part), strict=True)
            ]

        return in_halves(some, items, self.where)

    def _said_of(self, task: Task) -> dict[str, Json]:
        told = [task.prompt]
        told += [self.manner.negative_prompt] if "negative_prompt" in self.takes else []
        cut = any(map(self.reader.cuts, told))
        return {"text_cut": True} if cut else {}

    def _painted(self, items: Sequence[_Shown]) -> list[NDArray[np.float32]]:
        """The model's pictures, float32 (height, width, 3) in [0, 1]."""
        import torch

        manner = self.manner
        height, width = size = items[0].size
        different = items[:1] if manner.together == "photograph" else items
        asked: dict[str, Any] = {
            **manner.guidance,
            "prompt": [item.task.prompt for item in items],
            "negative_prompt": [manner.negative_prompt] * len(items),
            "image": [item.picture for item in different],
            "mask_image": [item.mask for item in items],
            "height": height,
            "width": width,
            # Kontext takes the area and a size for its shape alone, and would choose one itself.
            "max_area": height * width,
            "_auto_resize": False,
            "num_inference_steps": self._scheduled(),
            "strength": manner.strength,
            "generator": [torch.Generator().manual_seed(item.task.seed) for item in items],
            "output_type": "np",
        }
        asked = {name: value for name, value in asked.items() if name in self.takes}
        with exact(), quiet(LIBRARIES):
            pictures = self.pipe(**asked).images
        if tuple(pictures[0].shape[:2]) != size:
            what = f"{manner.kind} answered {pictures[0].shape[:2]} where {size} was asked for"
            raise PluginError(what, where=self.where, mend="Install diffusers 0.42.1")
        return [np.asarray(picture, np.float32) for picture in pictures]

    def _scheduled(self) -> int:
        strength = self.manner.strength if self.masked else 1.0
        return steps_to_ask(self.options.steps, strength, transformer=True)

    def _answer(
        self, task: Task, picture: NDArray[np.float32], about: dict[str, Json]
    ) -> Answer | Rejected:
        params: dict[str, Json] = {**self.about, "canvas": list(picture.shape[:2]), **about}
        if not np.isfinite(picture).all():
            return Rejected("bad_output", {**params, "output": "not_finite"}, again=True)
        levels = np.clip(np.rint(picture * 255), 0, 255).astype(np.uint8)
        if levels.max() <= BLACK:
            return Rejected("bad_output", {**params, "output": "black"}, again=True)
        height, width = task.image.shape[:2]
        return Answer(resized(levels, (height, width)), params)


def _shown(task: Task, size: Size, cell: int) -> _Shown:
    from PIL import Image as Pillow

    mask = None
    if task.fill is not None:
        mask = Pillow.fromarray(repainted(task.fill, size, cell).astype(np.uint8) * 255)
    return _Shown(task, size, Pillow.fromarray(resized(task.image, size)), mask)
