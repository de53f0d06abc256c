"""The painted scenes by name: who paints each, and what shadow an object casts there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from covar_gen.core.arrays import Image
from covar_gen.editors._scenes.canvas import Canvas, Colour, rgb
from covar_gen.editors._scenes.city import night_city
from covar_gen.editors._scenes.cloud import cloud
from covar_gen.editors._scenes.dry import desert, rocky_terrain, savanna
from covar_gen.editors._scenes.farmyard import farmyard
from covar_gen.editors._scenes.fields import garden, grassland
from covar_gen.editors._scenes.forests import branches, forest_floor, tropical_forest
from covar_gen.editors._scenes.market import market
from covar_gen.editors._scenes.room import living_room
from covar_gen.editors._scenes.snow import snow
from covar_gen.editors._scenes.swamp import swamp
from covar_gen.editors._scenes.tracks import highway, railway
from covar_gen.editors._scenes.water import beach, ocean, rocky_shore


@dataclass(frozen=True)
class Painter:
    """How a scene is made.

    Attributes:
        paint: paints a canvas and returns the height fraction where the ground begins; None
            where there is no ground.
        shadow: opacity of an object's contact shadow, 0 to 1.
        tint: its colour.
    """

    paint: Callable[[Canvas], float | None]
    shadow: float
    tint: Colour


PAINTERS: dict[str, Painter] = {
    "railway": Painter(railway, 0.55, rgb("15120f")),
    "garden": Painter(garden, 0.5, rgb("12200c")),
    "tropical_forest": Painter(tropical_forest, 0.5, rgb("04150a")),
    "farmyard": Painter(farmyard, 0.5, rgb("24170c")),
    "desert": Painter(desert, 0.6, rgb("43200f")),
    "grassland": Painter(grassland, 0.5, rgb("12240a")),
    "swamp": Painter(swamp, 0.5, rgb("0b0f07")),
    "living_room": Painter(living_room, 0.6, rgb("24120a")),
    "savanna": Painter(savanna, 0.55, rgb("38220a")),
    "ocean": Painter(ocean, 0.4, rgb("06324f")),
    "cloud": Painter(cloud, 0.0, rgb("15120f")),
    "highway": Painter(highway, 0.6, rgb("0c0c10")),
    "rocky_shore": Painter(rocky_shore, 0.6, rgb("0a0b0d")),
    "rocky_terrain": Painter(rocky_terrain, 0.6, rgb("1c130d")),
    "snow": Painter(snow, 0.5, rgb("3c557f")),
    "beach": Painter(beach, 0.55, rgb("4a3116")),
    "forest_floor": Painter(forest_floor, 0.6, rgb("160c05")),
    "branches": Painter(branches, 0.0, rgb("15120f")),
    "market": Painter(market, 0.55, rgb("2a1a12")),
    "night_city": Painter(night_city, 0.5, rgb("02040c")),
}


@dataclass(frozen=True)
class Scene:
    """A background, ready for an object.

    Attributes:
        image: uint8 (H, W, 3), RGB.
        ground: height fraction below which an object can stand; None where it cannot.
        shadow: opacity of its contact shadow, 0 to 1.
        tint: the shadow's colour, sRGB in [0, 1].
    """

    image: Image
    ground: float | None = None
    shadow: float = 0.0
    tint: Colour = (0.0, 0.0, 0.0)


def paint(name: str, size: tuple[int, ...], seed: int) -> Scene:
    """Paint a scene.

    Args:
        name: a key of `PAINTERS`.
        size: (height, width) in pixels, each at least 16, as of any photograph that is read.
        seed: all its randomness: the same seed and size give the same pixels.
    """
    painter = PAINTERS[name]
    canvas = Canvas(size, seed)
    ground = painter.paint(canvas)
    return Scene(canvas.finished(), ground, painter.shadow, painter.tint)
