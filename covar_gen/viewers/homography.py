"""Shows the image plane turned about the object's vertical axis: planar views, no new sides.

The photograph is treated as a flat picture seen by a pinhole camera whose axis goes through the
centre of the object's box. These are views of the picture, not of the thing: a model that invents
unseen sides (Zero123++) gives another kind of view, and `params` says which kind this is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from covar_gen.core.arrays import Image, Mask, Matrix, Rejected, check_image, check_mask
from covar_gen.core.imaging import object_box, warp, warp_mask
from covar_gen.core.plugins import PluginOptions
from covar_gen.core.seeds import generator, seed_of
from covar_gen.viewers.base import Pose, View, Viewer, ViewRequest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]


class Homography(Viewer):
    """Turns the image plane by 15, 30 and 45 degrees to both sides.

    A positive azimuth moves the camera counter-clockwise seen from above, that is to the right of
    someone who faces the picture: the picture's right side gets nearer and larger, its left side
    farther and smaller.
    """

    class Options(PluginOptions):
        """The camera.

        Attributes:
            focal: focal length in units of the image's larger side; smaller is more dramatic.
            overhang: how far the object may leave the frame, as a fraction of the frame's side,
                before the view is made smaller.
            smallest: the view is never made smaller than by this factor.
            grain: strength of the noise in what is filled; 1 = as in the photograph.
        """

        focal: float = Field(default=1.2, ge=0.8, le=100)
        overhang: float = Field(default=0.02, ge=0, le=1)
        smallest: float = Field(default=0.6, gt=0, le=1)
        grain: float = Field(default=0.7, ge=0, le=2)

    options: Options
    requires = ("cv2",)
    knows_masks = True
    poses = tuple(Pose(yaw, 0) for yaw in (-45, -30, -15, 15, 30, 45))

    def views(self, batch: Sequence[ViewRequest]) -> list[list[View | Rejected]]:
        """Per request, one answer per wanted pose; no other pose is computed.

        Returns:
            Views with image, mask and transform, and params `planar` (always true), `focal` and
            `scale` (1 unless the view was made smaller); or empty_mask, or object_vanished where
            no pixel of the object is left.
        """
        return [[self._view(request, index) for index in request.wanted] for request in batch]

    def _view(self, request: ViewRequest, index: int) -> View | Rejected:
        image = check_image(request.image, f"image of {request.key}")
        mask = check_mask(request.mask, image.shape, f"mask of {request.key}")
        box = object_box(mask)
        if box is None:
            return Rejected("empty_mask")
        left, top, right, bottom = box
        centre = ((left + right - 1) / 2, (top + bottom - 1) / 2)
        focal = self.options.focal * max(image.shape[:2])
        turn = _turn(centre, self.poses[index].azimuth_deg, focal)
        scale = self._fitting(turn, mask, centre)
        transform = _about(centre, np.diag([scale, scale, 1.0])) @ turn
        seen = warp_mask(mask, transform, image.shape)
        if not seen.any():
            return Rejected("object_vanished")
        warped, known = warp(image, transform, image.shape, "cubic")
        if not known.any():
            return Rejected("nothing_known", {"focal": self.options.focal})
        source = known & ~_grown(seen, 1 + min(image.shape[:2]) // 64)
        seed = seed_of(request.seed, "homography", str(index))
        filled = _background(warped, source if source.any() else known, self.options.grain, seed)
        return View(
            image=np.where(known[..., None], warped, filled),
            mask=seen,
            transform=transform,
            known_pixel_max_diff=0,
            params={"planar": True, "focal": self.options.focal, "scale": scale},
        )

    def _fitting(self, turn: Matrix, mask: Mask, centre: tuple[float, float]) -> float:
        """The factor about `centre` that keeps the turned object in the frame, at most 1."""
        height, width = mask.shape
        rows = np.flatnonzero(mask.any(axis=1))
        first = mask[rows].argmax(axis=1)
        last = width - 1 - mask[rows, ::-1].argmax(axis=1)
        ends = np.stack([np.append(first, last), np.append(rows, rows), np.ones(2 * len(rows))])
        moved = turn @ ends
        scale = 1.0
        for axis, side in ((0, width), (1, height)):
            offset = moved[axis] / moved[2] - centre[axis]
            slack = self.options.overhang * side
            room = (centre[axis] + slack, side - 1 - centre[axis] + slack)
            for extent, space in ((-offset.min(), room[0]), (offset.max(), room[1])):
                if extent > space:
                    scale = min(scale, float(space / extent))
        return max(scale, self.options.smallest)


def _turn(centre: tuple[float, float], azimuth_deg: float, focal: float) -> Matrix:
    """Homography of a plane that faces the camera, turned about the vertical through `centre`.

    A point u pixels to the right of the axis and v below the centre comes to lie u cos(a) to the
    right and u sin(a) nearer than the axis, so it is seen at (u cos(a), v) f / (f - u sin(a)).

    Args:
        centre: (x, y) in pixels, on the axis and on the camera's axis; stays where it is.
        azimuth_deg: a, the camera's way around the axis, positive to the right.
        focal: f, focal length and distance of the plane, in pixels.
    """
    angle = np.deg2rad(azimuth_deg)
    around = np.array([[np.cos(angle), 0, 0], [0, 1, 0], [-np.sin(angle) / focal, 0, 1]])
    return _about(centre, around)


def _about(centre: tuple[float, float], transform: Matrix) -> Matrix:
    """The transform with its origin moved to `centre`, scaled to a last element of 1."""
    there, back = np.eye(3), np.eye(3)
    there[:2, 2] = centre
    back[:2, 2] = -there[:2, 2]
    moved = there @ transform @ back
    return np.asarray(moved / moved[2, 2])


def _background(image: Image, source: Mask, grain: float, seed: int) -> Image:
    """Colours of the source, the softer the farther, with its grain.

    A pyramid is averaged down over the source alone, then what is missing on each level is taken
    from the coarser one.
    """
    import cv2

    planes = [image.astype(np.float32)]
    weights = [source.astype(np.float32)]
    while min(weights[-1].shape) > 1:
        weight = weights[-1]
        sums = cv2.pyrDown(planes[-1] * weight[..., None])
        weights.append(cv2.pyrDown(weight))
        planes.append(sums / np.maximum(weights[-1], 1e-6)[..., None])
        # A place that is known by a quarter is known well enough for its level.
        weights[-1] = np.minimum(4 * weights[-1], 1)
    field = planes.pop()
    weights.pop()
    while planes:
        plane, weight = planes.pop(), weights.pop()[..., None]
        field = cv2.resize(field, (plane.shape[1], plane.shape[0]), interpolation=cv2.INTER_LINEAR)
        field = weight * plane + (1 - weight) * field
    detail = (image - cv2.GaussianBlur(image, (0, 0), 1.5).astype(np.float32))[source]
    noise = generator(seed).standard_normal(source.shape, np.float32)[..., None]
    strength = float(np.median(abs(detail))) * 1.5
    return np.asarray(np.clip(np.rint(field + grain * strength * noise), 0, 255), np.uint8)


def _grown(mask: Mask, width: int) -> Mask:
    import cv2

    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * width + 1,) * 2)
    return np.asarray(cv2.dilate(mask.astype(np.uint8), disc), np.bool_)
