"""Cut the object out and lay it over a painted scene or a photograph of yours (CPU).

The object keeps its place, its size and every one of its pixels; its edge fades outside the mask.
Painted scenes are previews of a benchmark: they are told apart at a glance, cost no GPU, and show
what an editing model will be asked for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from pydantic import Field

from covar_gen.core.arrays import Json, Rejected, check_image, check_mask
from covar_gen.core.plugins import PluginOptions, RecipePath
from covar_gen.editors._scenes.matching import scene_for
from covar_gen.editors._scenes.painted import Scene, paint
from covar_gen.editors._scenes.photographs import BackgroundPhotographs
from covar_gen.editors._scenes.placing import place
from covar_gen.editors.base import Edit, Editor, EditRequest


class Collage(Editor):
    """Lays the object over a scene for the background's description.

    A photograph of the user's wins over a painted scene; which of the two it was stands in the
    edit's `params`: `scene` ("photograph" or "painted"), and `file` and `sha256` of the photograph
    or `painting`, the name of the painted scene.
    """

    requires = ("cv2",)

    class Options(PluginOptions):
        """How scenes are chosen and objects laid over them.

        Attributes:
            photographs: a folder of background photographs, relative to the recipe, matched to
                backgrounds by number (`07.jpg`, `7.png`) or description (`swampy area.jpg`), or in
                sub-folders so named, of which each item draws one. Backgrounds that it lacks are
                painted.
            feather: width of the object's soft edge, in pixels; it lies outside the mask.
            shadow: strength of the shadow where the object touches the ground; 0 = none, 1 = as
                the scene's light asks.
        """

        photographs: RecipePath | None = None
        feather: float = Field(default=2.5, ge=0, le=20)
        shadow: float = Field(default=1.0, ge=0, le=1.5)

    options: Options

    knows_masks = True
    reads_prompt = False

    def check(self) -> None:
        """List and hash the folder of photographs.

        Raises:
            RecipeError: it is not a folder, or holds no photograph.
        """
        if self._photographs is not None:
            self._photographs.digest()

    def identity(self) -> dict[str, Json]:
        """Name, version and options, with the folder's content in the place of its path.

        Raises:
            RecipeError: it is not a folder, or holds no photograph.
        """
        digest = None if self._photographs is None else f"sha256:{self._photographs.digest()}"
        options = {**self.options.model_dump(mode="json"), "photographs": digest}
        return {**super().identity(), "options": options}

    def edit(self, batch: Sequence[EditRequest]) -> list[Edit | Rejected]:
        """The object of each photograph over its scene.

        Args:
            batch: requests; each is answered by itself.

        Returns:
            Edits whose mask is the request's and whose transform is the identity, or
            empty_mask, no_scene_for_background, background_photograph_unreadable.

        Raises:
            PhotographsError: a background photograph changed during the run.
        """
        return [self._edit(request) for request in batch]

    @cached_property
    def _photographs(self) -> BackgroundPhotographs | None:
        folder = self.options.photographs
        where = "backgrounds.options.collage.photographs"
        return None if folder is None else BackgroundPhotographs(Path(folder).expanduser(), where)

    def _edit(self, request: EditRequest) -> Edit | Rejected:
        image = check_image(request.image, request.key)
        mask = check_mask(request.mask, image.shape, request.key)
        if not mask.any():
            return Rejected("empty_mask")
        found = self._scene(request)
        if isinstance(found, Rejected):
            return found
        scene, params = found
        result = place(image, mask, scene, self.options.feather, self.options.shadow)
        changed = np.abs(result[mask].astype(np.int16) - image[mask].astype(np.int16)).max()
        return Edit(
            image=result,
            mask=mask,
            transform=np.eye(3),
            known_pixel_max_diff=int(changed),
            params=params,
        )

    def _scene(self, request: EditRequest) -> tuple[Scene, dict[str, Json]] | Rejected:
        """A scene of the photograph's size, and what it is."""
        name = scene_for(request.background)
        names = []
        if self._photographs is not None:
            names = self._photographs.of(request.background_id, request.background)
        if self._photographs is not None and names:
            file = names[_derived(request.seed, "choice") % len(names)]
            seed = _derived(request.seed, "crop")
            picture = self._photographs.read(file, request.image.shape, seed)
            if isinstance(picture, Rejected):
                return picture
            # Nobody knows where the ground begins in a photograph: no shadow is better than one
            # in the sky.
            sha256 = self._photographs.digests[file]
            return Scene(picture), {"scene": "photograph", "file": file, "sha256": sha256}
        if name is None:
            return Rejected("no_scene_for_background", {"background": request.background})
        seed = _derived(request.seed, name)
        return paint(name, request.image.shape, seed), {"scene": "painted", "painting": name}


def _derived(seed: int, purpose: str) -> int:
    """A seed of its own for each purpose, so that one draw never shifts another."""
    text = f"{seed}\0{purpose}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 1
