"""Which scene is painted for a description of a background: a table read from top to bottom."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class Rule:
    """A scene and the words by which a description asks for it.

    Attributes:
        scene: name of the scene.
        words: groups of words; the description has to hold one of each group. A group is written
            as one text, its words separated by spaces; an underscore joins words that have to
            follow each other.
        never: words that forbid the scene.
    """

    scene: str
    words: tuple[str, ...]
    never: str = ""


_SHORE = "shore shores shoreline seashore coast coasts coastline seaside beach beaches cliffs"
_ROCKS = "rock rocks rocky boulder boulders pebble pebbles stony cliff cliffs"
_WOODS = "forest forests wood woods woodland woodlands"
_INDOORS = "room indoors indoor inside studio kitchen aquarium painting poster mural toy"

RULES: tuple[Rule, ...] = (
    Rule("living_room", ("living_room sitting_room lounge sofa couch fireplace",)),
    Rule("market", ("market markets marketplace marketplaces bazaar souk stalls",), "super stock"),
    Rule("farmyard", ("farmyard farmyards farm farms barn barns barnyard farmhouse",)),
    Rule("railway", ("railway railways railroad railroads rails train_track train_tracks",)),
    Rule("highway", ("highway highways motorway freeway road roads expressway",), _INDOORS),
    Rule(
        "night_city",
        (
            "city cities cityscape cityscapes skyline downtown skyscrapers urban street",
            "night nighttime night-time nocturnal midnight neon lights",
        ),
        _INDOORS,
    ),
    Rule("snow", ("snow snowy snowfield snowfall snow-covered arctic tundra wintry",), _INDOORS),
    Rule("swamp", ("swamp swampy swamps swampland marsh marshy marshland bog wetland wetlands",)),
    Rule("rocky_shore", (_ROCKS, _SHORE), _INDOORS),
    Rule("beach", ("beach beaches seaside sandy_shore",), _INDOORS),
    Rule(
        "desert",
        ("desert deserts dune dunes sahara",),
        f"{_INDOORS} deserted rocky",
    ),
    Rule("savanna", ("savanna savannah savannas savannahs",), _INDOORS),
    Rule("tropical_forest", ("jungle jungles rainforest rainforests",), _INDOORS),
    Rule("tropical_forest", ("tropical", _WOODS), _INDOORS),
    Rule(
        "branches",
        ("branch branches twigs foliage canopy treetop treetops boughs",),
        _INDOORS,
    ),
    Rule("forest_floor", (_WOODS,), f"{_INDOORS} wooden"),
    Rule("garden", ("garden gardens flowerbed flowerbeds flower_bed flower_beds",), _INDOORS),
    Rule(
        "grassland",
        ("grassland grasslands meadow meadows prairie pasture steppe grass grasses grassy",),
        _INDOORS,
    ),
    Rule(
        "rocky_terrain",
        (_ROCKS, "terrain ground landscape mountain mountains hill hills desert canyon area"),
        _INDOORS,
    ),
    Rule("ocean", ("ocean oceans sea seas",), f"{_INDOORS} underwater floor seabed bottom reef"),
    Rule("cloud", ("cloud clouds",), f"{_INDOORS} storm dark thunder"),
)
"""The first rule that fits wins: what stands higher is what a description is rather about, as in
"rocky shore" (not bare rock), "swampy forest" (a swamp), "grass between railway tracks"."""


def words_of(text: str) -> list[str]:
    """The words of a text in lower case, without punctuation; hyphens within words stay."""
    return re.findall(r"[^\W_]+(?:-[^\W_]+)*", text.casefold())


def scene_for(description: str) -> str | None:
    """Name of the scene for a background's description; None if no rule fits."""
    words = words_of(description)
    present = {*words, *(f"{a}_{b}" for a, b in pairwise(words))}
    for rule in RULES:
        if present.isdisjoint(rule.never.split()) and not any(
            present.isdisjoint(group.split()) for group in rule.words
        ):
            return rule.scene
    return None
