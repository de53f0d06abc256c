"""What Emu2 is given for a row: photograph, pictures of the background and sentence, as asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from covar_gen.core.arrays import Json, Rejected
from covar_gen.editors._emu2_tower import squeezed

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

    from covar_gen.editors._emu2_tokens import Part
    from covar_gen.editors._scenes.photographs import BackgroundPhotographs
    from covar_gen.editors.base import EditRequest

Mode = Literal["edit", "text", "autoencode"]
"""edit: photograph and sentence; text: the sentence alone; autoencode: the photograph alone."""


class Showing:
    """Puts together what the model is given.

    Args:
        mode: what of a row is shown.
        references: of mode edit: pictures of the backgrounds, shown before the sentence.
    """

    def __init__(self, mode: Mode, references: BackgroundPhotographs | None) -> None:
        self.mode, self.references = mode, references
        self._pictures: dict[str, Picture | Rejected] = {}

    def parts(self, request: EditRequest, edge: int) -> list[Part] | Rejected:
        """What is shown for a row, in its order.

        Args:
            request: the row.
            edge: of the square that the tower sees, pixels.

        Returns:
            Sentences and pictures; or no_picture_of_background, where a row's background is to be
            shown and is not, or background_photograph_unreadable.
        """
        from PIL import Image as Pillow

        if self.mode == "text":
            return [request.prompt]
        shown: list[Part] = [Pillow.fromarray(request.image)]
        if self.mode == "autoencode":
            return shown
        names = self._names(request.background_id, request.background)
        if self.references is not None and not names:
            return Rejected("no_picture_of_background", {"background": request.background})
        for name in names:
            picture = self._picture(name, edge)
            if isinstance(picture, Rejected):
                return picture
            shown.append(picture)
        return [*shown, request.prompt]

    def sketched(
        self, background_id: int, background: str, prompts: Sequence[str]
    ) -> list[list[str | None]]:
        """The sequences of a background's sentences, None for each picture.

        Args:
            background_id: its number.
            background: its description.
            prompts: the sentences.

        Returns:
            One for each sentence, which is its last part; none where sentences are not read.
        """
        if self.mode == "autoencode":
            return []
        pictures = 0 if self.mode == "text" else 1 + len(self._names(background_id, background))
        return [[*[None] * pictures, prompt] for prompt in prompts]

    def files(self, request: EditRequest) -> dict[str, Json]:
        """SHA-256 of a row's pictures of its background, by their names."""
        if self.references is None:
            return {}
        names = self._names(request.background_id, request.background)
        return {name: self.references.digests[name] for name in names}

    def _names(self, background_id: int, background: str) -> list[str]:
        return self.references.of(background_id, background) if self.references is not None else []

    def _picture(self, name: str, edge: int) -> Picture | Rejected:
        """A picture of a background as the tower sees it: each file is read and shrunk once."""
        from PIL import Image as Pillow

        assert self.references is not None
        if name not in self._pictures:
            whole = self.references.whole(name)
            self._pictures[name] = (
                whole if isinstance(whole, Rejected) else squeezed(Pillow.fromarray(whole), edge)
            )
        return self._pictures[name]
