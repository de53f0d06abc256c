"""Where an object lies in another grey image: it may have grown and moved, and been relit.

Candidates are where it was; where most of its features are found again (SIFT: Lowe, IJCV 60, 2004;
RANSAC); and where its picture correlates best at several sizes. Each is refined by Gauss-Newton
steps on grey values up to a gain and an offset, which is what maximising the enhanced correlation
coefficient comes to (Evangelidis and Psarakis, PAMI 30, 2008). The one counts whose details
correlate best.

What is known of the object alone is worked out once for all images that it is looked for in.

cv2 is imported inside functions: the command line answers before it would be loaded.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from covar_gen.core.arrays import Mask
from covar_gen.core.imaging import object_box

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Plane = NDArray[np.float32]

SURE = 0.9
"""Correlation of details from which nothing better is sought."""

SCALES = (0.5, 2.0)
"""Smallest and largest scale that is believed."""

TURN = 6.0
"""Degrees by which matched features may be turned and still count."""

_SMALL = 96
"""Longest edge at which the object's picture is searched for, pixels."""
_STEPS = 13
"""Sizes at which it is, evenly in the logarithm over SCALES."""
_RATIO, _TOLERANCE, _FEWEST = 0.8, 3.0, 6
"""Of features: the ratio test, RANSAC's tolerance in pixels, and the fewest that must agree."""
_BLURS = (6.0, 2.0, 1.0)
"""Standard deviations of the blurs under which a candidate is refined, in this order, pixels."""
_ROUNDS, _STILL = 30, 1e-3
"""Gauss-Newton steps at most, and the movement in pixels below which they end."""
_STRIDE = 8.0
"""Longest step, pixels."""
_RIM = 0.6
"""Share of an object's pixels, those nearest to its edge, that is never left out further."""
_SAMPLES = 20_000
"""Pixels of the object that a step is computed from at most."""
_IN_FRAME = 0.6
"""Share of the object that must lie in the edited image."""
_EDGE = 3.0
"""Width of an object's rim that does not count for its likeness, pixels."""
_DETAIL = 0.1
"""Of what is compared: largest size of a detail over the square root of the object's area."""


class Move(NamedTuple):
    """there = scale * here + (x, y), in pixels; pixel centres at integers."""

    scale: float
    x: float
    y: float


class Subject:
    """An object that is looked for in other images.

    Args:
        here: float32 (H, W), grey values of the image with the object.
        inside: bool (H, W), True on the object, somewhere.
    """

    def __init__(self, here: Plane, inside: Mask) -> None:
        self.here, self.inside = here, inside

    @cached_property
    def features(self) -> tuple[Any, Any]:
        """SIFT's key points on the object, and their descriptions; None if there are none."""
        import cv2

        found = cv2.SIFT.create()
        points, told = found.detectAndCompute(
            self.here.astype(np.uint8), self.inside.astype(np.uint8)
        )
        return points, told

    @cached_property
    def levels(self) -> list[tuple[float, tuple[Plane, Plane], Plane]]:
        """By blur: pixels of the object away from its rim (x and y), and their blurred values."""
        found = []
        for blur in _BLURS:
            at = _pixels(without_rim(self.inside, 3 * blur + 1))
            found.append((blur, at, _sampled(_blurred(self.here, self.inside, blur), *at)))
        return found

    @cached_property
    def templates(self) -> list[tuple[float, Plane, Plane]]:
        """By scale: the object's small picture, and 1 where it counts."""
        factor = self.factor
        left, top, right, bottom = self.box
        picture, weight = (
            plane[top:bottom, left:right].astype(np.float32) for plane in (self.here, self.inside)
        )
        found = []
        for scale in np.geomspace(*SCALES, _STEPS):
            small, kept = (_resized(plane, factor * scale) for plane in (picture, weight))
            found.append((float(scale), small, (kept > 0.5).astype(np.float32)))  # noqa: PLR2004
        return found

    @cached_property
    def factor(self) -> float:
        """By which images are shrunk for the templates to be searched for."""
        return float(min(1.0, _SMALL / max(self.here.shape)))

    @cached_property
    def box(self) -> tuple[int, int, int, int]:
        """The object's: left, top, right, bottom."""
        found = object_box(self.inside)
        assert found is not None
        return found

    @cached_property
    def details(self) -> tuple[float, Mask, Plane, Plane]:
        """The blur beyond which nothing is a detail, where they count, how much, and they."""
        blur = _DETAIL * float(np.sqrt(np.count_nonzero(self.inside)))
        core = without_rim(self.inside, _EDGE)
        near = _near(core, blur)
        return blur, core, near, self.here - _blurred(self.here, core, blur, near)


def best_move(subject: Subject, there: Plane) -> tuple[float, Move]:
    """Where an object lies in another image.

    Args:
        subject: the object.
        there: float32 (H, W), grey values of the other image.

    Returns:
        How alike the object's details are there, in [-1, 1]; and the movement.
    """
    fields = [_field(there, blur) for blur in _BLURS]
    best = _refined(subject, there, fields, Move(1.0, 0.0, 0.0))
    # Most editors leave the object nearly where it was: searching costs more than looking there.
    for candidate in (_matched, _searched):
        if best[0] >= SURE:
            break
        start = candidate(subject, there)
        if start is not None:
            best = max(best, _refined(subject, there, fields, start))
    return best


def _searched(subject: Subject, there: Plane) -> Move | None:
    """Where the object's picture correlates best, at several sizes, on small images."""
    import cv2

    field = _resized(there, subject.factor)
    left, top, _, _ = subject.box
    best: tuple[float, Move] | None = None
    for scale, small, kept in subject.templates:
        # The object may have moved partly out of the picture.
        pad = (small.shape[0] // 4, small.shape[1] // 4)
        wide = cv2.copyMakeBorder(field, pad[0], pad[0], pad[1], pad[1], cv2.BORDER_REPLICATE)
        if min(small.shape) < 3 or any(np.subtract(wide.shape, small.shape) < 0):  # noqa: PLR2004
            continue
        scores = cv2.matchTemplate(wide, small, cv2.TM_CCOEFF_NORMED, mask=kept)
        # Where the picture is even the correlation is no number.
        scores = np.where(np.isfinite(scores) & (np.abs(scores) <= 1.001), scores, -1)  # noqa: PLR2004
        y, x = np.unravel_index(int(scores.argmax()), scores.shape)
        if best is None or scores[y, x] > best[0]:
            # The corner of the picture, half a pixel outside the centre of its first pixel.
            corner = (np.array([x - pad[1], y - pad[0]])) / subject.factor
            offset = corner - 0.5 - scale * (np.array([left, top]) - 0.5)
            best = (float(scores[y, x]), Move(scale, *map(float, offset)))
    return None if best is None else best[1]


def _resized(plane: Plane, factor: float) -> Plane:
    import cv2

    size = tuple(max(1, round(edge * factor)) for edge in plane.shape[::-1])
    way = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(plane, size, interpolation=way), np.float32)


def _matched(subject: Subject, there: Plane) -> Move | None:
    """The movement that most features of the object agree on."""
    import cv2

    first, theirs = subject.features
    if theirs is None:
        return None
    second, others = cv2.SIFT.create().detectAndCompute(there.astype(np.uint8), None)
    if others is None or len(second) < 2:  # noqa: PLR2004
        return None
    pairs = cv2.BFMatcher().knnMatch(theirs, others, k=2)
    good = [near for near, far in pairs if near.distance < _RATIO * far.distance]
    if len(good) < _FEWEST:
        return None
    source = np.array([first[match.queryIdx].pt for match in good])
    target = np.array([second[match.trainIdx].pt for match in good])
    cv2.setRNGSeed(0)
    found, agree = cv2.estimateAffinePartial2D(
        source, target, method=cv2.RANSAC, ransacReprojThreshold=_TOLERANCE
    )
    if found is None or np.count_nonzero(agree) < _FEWEST:
        return None
    scale = float(np.hypot(found[0, 0], found[1, 0]))
    turn = float(np.degrees(np.arctan2(found[1, 0], found[0, 0])))
    if abs(turn) > TURN or not SCALES[0] <= scale <= SCALES[1]:
        return None
    chosen = agree.ravel() > 0
    middle = [points[chosen].mean(axis=0) for points in (source, target)]
    apart = [points[chosen] - mean for points, mean in zip((source, target), middle, strict=True)]
    scale = float((apart[0] * apart[1]).sum() / (apart[0] ** 2).sum())
    offset = middle[1] - scale * middle[0]
    return Move(scale, float(offset[0]), float(offset[1]))


def _refined(
    subject: Subject, there: Plane, fields: Sequence[Plane], start: Move
) -> tuple[float, Move]:
    """The movement near `start` under which the grey values correlate best, and how well."""
    move = start
    for (_, at, wanted), field in zip(subject.levels, fields, strict=True):
        move = _stepped(wanted, field, at, move)
    return _likeness(subject, there, move), move


def _likeness(subject: Subject, there: Plane, move: Move) -> float:
    """How alike the object's details are under a movement, in [-1, 1]; -1 if it has left.

    Details, not shades: what is bright above and dark below looks like much that it is not.
    """
    import cv2

    size = subject.here.shape[::-1]
    back = np.array([[move.scale, 0, move.x], [0, move.scale, move.y]])
    way = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    seen = cv2.warpAffine(there, back, size, flags=way, borderMode=cv2.BORDER_REPLICATE)
    held = cv2.warpAffine(np.ones_like(there), back, size, flags=way)
    if held[subject.inside].mean() < _IN_FRAME:
        return -1.0
    blur, core, near, details = subject.details
    shown = core & (held > 0.5)  # noqa: PLR2004
    found = seen - _blurred(seen, core, blur, near)
    return _correlation(details[shown], found[shown])


def without_rim(inside: Mask, margin: float) -> Mask:
    """The object without its rim, where blurs and soft edges mix it with what is around it.

    Args:
        inside: bool (H, W), True on the object; at least one pixel.
        margin: width of the rim, pixels; less where the object is thin, of which a part stays.

    Returns:
        bool (H, W), never empty.
    """
    import cv2

    padded = np.pad(inside.astype(np.uint8), 1)
    depth = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    # Of what is thin a part must stay.
    margin = min(margin, float(np.quantile(depth[inside], _RIM)))
    return np.asarray(inside & (depth >= margin))


def _pixels(inside: Mask) -> tuple[Plane, Plane]:
    """Their x and y, float32 (N,), evenly thinned out where they are many."""
    y, x = (edges.astype(np.float32) for edges in np.nonzero(inside))
    every = -(-len(x) // _SAMPLES)
    return x[::every], y[::every]


def _stepped(wanted: Plane, field: Plane, at: tuple[Plane, Plane], start: Move) -> Move:
    """Gauss-Newton: wanted = gain * field(moved) + offset, solved for the movement as well.

    Args:
        wanted: values of the object's pixels.
        field: as of `_field`.
        at: the pixels, x and y.
        start: a movement.
    """
    x, y = at
    middle = (float(x.mean()), float(y.mean()))
    reach = max(float(np.ptp(x)), float(np.ptp(y)), 1.0)
    aside = x - middle[0], y - middle[1]
    exact, centred = wanted.astype(np.float64), _centred(wanted)
    columns = np.ones((len(x), 5))
    move, best = start, (-1.0, start)
    for _ in range(_ROUNDS):
        u, v = move.scale * x + move.x, move.scale * y + move.y
        seen, gx, gy = _sampled(field, u, v).T
        best = max(best, (_correlated(*centred, seen), move))
        # Growing about the object's middle hardly moves it: the unknowns stay apart.
        columns[:, 0], columns[:, 3], columns[:, 4] = seen, gx, gy
        columns[:, 2] = gx * aside[0] + gy * aside[1]
        found = np.linalg.lstsq(columns.T @ columns, columns.T @ exact, rcond=1e-12)[0]
        if found[0] <= 0:
            break
        step = found[2:] / found[0]
        largest = max(abs(step[0]) * reach, abs(step[1]), abs(step[2]))
        if largest < _STILL:
            break
        # A step beyond what the blurred slopes see is shortened to it.
        grow, dx, dy = step * min(1.0, _STRIDE / largest)
        grow = float(np.clip(move.scale + grow, *SCALES)) - move.scale
        move = Move(
            move.scale + grow,
            float(move.x + dx - grow * middle[0]),
            float(move.y + dy - grow * middle[1]),
        )
    return best[1]


def _field(there: Plane, blur: float) -> Plane:
    """A blurred plane and its slopes to the right and downwards: float32 (H, W, 3)."""
    import cv2

    plane = _blurred(there, None, blur)
    slopes = (cv2.Sobel(plane, cv2.CV_32F, *order, scale=1 / 8) for order in ((1, 0), (0, 1)))
    return np.asarray(cv2.merge([plane, *slopes]), np.float32)


def _blurred(plane: Plane, inside: Mask | None, blur: float, near: Plane | None = None) -> Plane:
    """A plane blurred; of a masked one, from the pixels inside alone, `near` if it is known."""
    import cv2

    if inside is None:
        return np.asarray(cv2.GaussianBlur(plane, (0, 0), blur), np.float32)
    total = cv2.GaussianBlur(plane * inside.astype(np.float32), (0, 0), blur)
    return np.asarray(total / (_near(inside, blur) if near is None else near), np.float32)


def _near(inside: Mask, blur: float) -> Plane:
    """How much of what a blur mixes into each pixel lies inside: float32 (H, W), above 0."""
    import cv2

    mixed = cv2.GaussianBlur(inside.astype(np.float32), (0, 0), blur)
    return np.asarray(np.maximum(mixed, 1e-6), np.float32)


def _sampled(plane: Plane, x: Plane, y: Plane) -> Plane:
    """Values at positions, float32 (N,) or (N, 3); beyond the edge, those of the edge."""
    import cv2

    # OpenCV takes maps of at most 32,767 rows or columns: one row of as many is too long.
    found = cv2.remap(
        plane,
        np.asarray(x, np.float32)[:, None],
        np.asarray(y, np.float32)[:, None],
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(found[:, 0], np.float32)


def _correlation(wanted: Plane, seen: Plane) -> float:
    """Of two lots of grey values, in [-1, 1]; 0 where either is even."""
    return _correlated(*_centred(wanted), seen)


def _correlated(apart: Plane, norm: float, seen: Plane) -> float:
    """The same, of values about their mean and their norm with others."""
    other, size = _centred(seen)
    size *= norm
    return float(apart @ other) / float(size) if size > 1e-6 else 0.0  # noqa: PLR2004


def _centred(values: Plane) -> tuple[Plane, float]:
    """Values about their mean, and their norm."""
    apart = values - values.mean()
    return apart, np.linalg.norm(apart)  # type: ignore[return-value] # float32: rounded as they are
