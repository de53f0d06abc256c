"""What the editors share that a model is told what to change by a sentence."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from covar_gen.core.arrays import Rejected, check_image, check_mask
from covar_gen.core.plugins import PluginOptions
from covar_gen.editors.base import (
    AlignmentOptions,
    Edit,
    Editor,
    EditRequest,
    aligned,
    pasted_back,
)
from covar_gen.neural.instructing import InstructionOptions, Manner, Task
from covar_gen.neural.plugins import PipelinePlugin

if TYPE_CHECKING:
    from covar_gen.neural.instructing import Answer, Instructor


class InstructionEditor(PipelinePlugin, Editor):
    """Asks a model for what the recipe's sentence says, word for word.

    A model that redraws the whole picture promises nothing: its edits come without a mask, and
    where it has drawn the object is measured (see AlignmentOptions). One that is given a mask
    repaints the background alone; the object's pixels are then put back.
    """

    class Options(InstructionOptions, AlignmentOptions):
        """Which model, how it edits, and what becomes of an object that it moves."""

    options: Options

    def __init__(self, options: PluginOptions | None = None) -> None:
        super().__init__(options)
        self._instructor: Instructor | None = None

    @abstractmethod
    def manner(self) -> Manner:
        """How the model's class is called, under these options."""

    @property
    def paste_back(self) -> bool:
        """True if the object's own pixels are put back."""
        return False

    def setup(self) -> None:
        """Load the pipeline onto this process's device.

        Raises:
            WeightsError: it cannot be had, or is of another class.
            PluginError: an attention backend, or offloading, that cannot be had here.
        """
        from covar_gen.neural.instructing import Instructor

        self._instructor = Instructor(self.folder, self.options, self.manner())
        self.model = self.folder.model

    def edit(self, batch: Sequence[EditRequest]) -> list[Edit | Rejected]:
        """One answer per request, with the params of `neural.instructing.Answer`.

        Returns:
            Edits as `editors.base.aligned` makes them or, where the object is put back, with the
            photograph's mask and a known_pixel_max_diff of 0. Or Rejected: empty_mask;
            no_background_left, where the object covers everything and only the background is
            repainted; too_long; bad_output, object_moved and object_not_found, made again.
        """
        assert self._instructor is not None
        masked = self._instructor.masked
        found: list[Edit | Rejected] = [Rejected("empty_mask") for _ in batch]
        tasks: list[tuple[int, Task]] = []
        for place, request in enumerate(batch):
            image = check_image(request.image, f"image of {request.key}")
            mask = check_mask(request.mask, image.shape, f"mask of {request.key}")
            if masked and mask.all():
                found[place] = Rejected("no_background_left")
            elif mask.any():
                fill = ~mask if masked else None
                tasks.append((place, Task(request.key, image, fill, request.prompt, request.seed)))
        places = [place for place, _ in tasks]
        answers = self._instructor.edit(
            [task for _, task in tasks], lambda n, answer: self._edit(batch[places[n]], answer)
        )
        for place, edit in zip(places, answers, strict=True):
            found[place] = edit
        return found

    def _edit(self, request: EditRequest, answer: Answer | Rejected) -> Edit | Rejected:
        if isinstance(answer, Rejected):
            return answer
        if self.paste_back:
            return pasted_back(request, Edit(answer.image, params=answer.params))
        return aligned(request, answer.image, self.options, answer.params)


class RepaintingEditor(InstructionEditor):
    """A model that is also to be had in a form which repaints what a mask says, and no more."""

    class Options(InstructionEditor.Options):
        """Which form of the model, and what becomes of the object in it.

        Attributes:
            form: edit: the whole picture is redrawn; inpaint: its background is repainted.
            strength: of form inpaint. 1: the background starts from noise alone; less: from the
                photograph's own, under that much noise.
            paste_back: of form inpaint: put the object's own pixels back.
        """

        form: str = "edit"
        strength: float = Field(default=1.0, gt=0, le=1)
        paste_back: bool = True

    options: Options

    def __init__(self, options: PluginOptions | None = None) -> None:
        super().__init__(options)
        self.knows_masks = self.paste_back

    @property
    def paste_back(self) -> bool:
        """True if the background alone is repainted and the object is put back."""
        return self.options.form == "inpaint" and self.options.paste_back
