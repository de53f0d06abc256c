"""Images, masks and options that errors cannot be explained with, or only just."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from covar_gen.core.arrays import Mask
from covar_gen.core.errors import IncompleteInputError, MixtureError, PluginError
from covar_gen.core.seeds import generator
from covar_gen.core.store import Run
from covar_gen.evaluation import error_sources as stage
from covar_gen.evaluation import explaining
from covar_gen.evaluation.analyses.error_sources import drivers
from covar_gen.evaluation.analyses.error_sources import error_sources as shares
from covar_gen.evaluation.error_sources import error_sources
from covar_gen.evaluation.explained import Explained, explained, stored_maps
from covar_gen.evaluation.masks import Masks, RunFiles
from covar_gen.evaluation.preparing import Place
from covar_gen.evaluation.results import Results, open_results
from covar_gen.evaluation.zero_shot import Settings, evaluate

SIZES = {"tiny": (2, 3), "grey": (40, 30), "photo": (64, 48)}
"""Width and height of the images; `tiny` is smaller than a patch of any model."""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Three images, each in both class folders: one of the two is misclassified."""
    rng = generator(3)
    for name, (width, height) in SIZES.items():
        pixels = rng.integers(0, 256, (height, width, 3)).astype(np.uint8)
        if name == "grey":
            pixels[:] = 127
        for label in ("disc", "square"):
            (tmp_path / "images" / label).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(
                tmp_path / "images" / label / f"{name}.png", compress_level=0
            )
    return tmp_path / "images"


@pytest.fixture
def results(place: Path, tiny_clip: Path, tmp_path: Path) -> Results:
    settings = Settings()
    models = [f"local:{tiny_clip}"]
    made = evaluate(
        Place(str(place)), models, tmp_path / "out", classes="labels", settings=settings
    )
    return made.results


@pytest.fixture
def left_half(monkeypatch: pytest.MonkeyPatch) -> None:
    """Masks of all images: the left half is object."""

    class Halves(Masks):
        def of(self, row: int) -> Mask | None:
            width, height = SIZES[Path(str(self._places[row].as_py())).stem]
            mask = np.zeros((height, width), bool)
            mask[:, : width // 2] = True
            return mask

    def masks_of(_place: str, keys: Any, _content: Any) -> Masks:
        return Halves(RunFiles(Path()), keys.combine_chunks(), keys.combine_chunks())

    monkeypatch.setattr(stage, "masks_of", masks_of)


def by_name(results: Results) -> tuple[Explained, dict[str, int]]:
    """The only explanation, and the place of each image's error in it."""
    (found,) = explained(open_results(results.root))
    keys = results.images(["key"])["key"].take(found.rows).to_pylist()
    return found, {Path(key).stem: place for place, key in enumerate(keys)}


@pytest.mark.usefixtures("left_half")
def test_an_image_smaller_than_a_patch_is_explained(results: Results) -> None:
    error_sources(results.root)
    found, place = by_name(results)
    assert set(place) == set(SIZES)
    at = place["tiny"]
    assert found.ok[at]
    (drawn,) = stored_maps(found, [at])
    assert drawn is not None
    assert drawn.shape == (4, 4)
    assert found.coverage[at] == pytest.approx(0.5)


@pytest.mark.usefixtures("left_half")
def test_an_image_of_one_colour_is_flat_undecided_and_in_the_denominator(results: Results) -> None:
    error_sources(results.root)
    found, place = by_name(results)
    assert found.flat.tolist() == [name == "grey" for name in place]
    at = place["grey"]
    assert [bool(each[at]) for each in drivers(found)] == [False, False, True]
    assert not found.excess[at]
    (row,) = shares(open_results(results.root), replicates=2).to_pylist()
    assert row["n_errors"] == 3
    assert row["undecided"] >= 100 / 3 - 1e-9
    parts = ("background", "fine", "other", "unscored", "undecided", "unexplained")
    assert sum(row[name] for name in parts) == pytest.approx(100)


@pytest.mark.usefixtures("left_half")
def test_random_maps_have_the_same_values_on_other_patches(
    results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[np.ndarray] = []
    real = explaining.pixel_map

    def watched(maps: np.ndarray, *rest: Any) -> Any:
        seen.append(np.array(maps))
        return real(maps, *rest)

    monkeypatch.setattr(explaining, "pixel_map", watched)
    error_sources(results.root)
    assert len(seen) == 3
    for maps in seen:
        whole, random = maps[0].ravel(), maps[1:].reshape(explaining.CHANCE, -1)
        # As many patches of each value, so regions of as many patches at every threshold.
        assert (np.sort(random, axis=1) == np.sort(whole)).all()
    moved = [(maps[1:] != maps[0]).any() for maps in seen]
    assert moved.count(True) == 2, "all but the map of one colour"
    first = {maps.round(4).tobytes() for maps in seen}
    seen.clear()
    error_sources(results.root, options={"seed": 0, "packed": 20})
    assert {maps.round(4).tobytes() for maps in seen} == first, "drawn by the image's key alone"


@pytest.mark.usefixtures("left_half")
def test_more_clusters_than_patches_are_refused(results: Results) -> None:
    with pytest.raises(PluginError, match="20 clusters of 16 patches") as refused:
        error_sources(results.root, options={"clusters": 20})
    assert "at most 16" in refused.value.mend
    assert explained(open_results(results.root)) == []
    assert not list(results.root.glob("*/errors-*/*.parquet"))


@pytest.mark.usefixtures("left_half")
def test_a_file_that_is_not_the_one_evaluated_is_not_explained(
    results: Results, place: Path
) -> None:
    photos = [place / label / "photo.png" for label in ("disc", "square")]
    for path in photos:
        size = path.stat().st_size
        with Image.open(path) as image:
            other = 255 - np.asarray(image)
        # Uncompressed, so of the same size: only its content tells it from the other.
        Image.fromarray(other).save(path, compress_level=0)
        assert path.stat().st_size == size
    error_sources(results.root)
    found, at = by_name(results)
    assert found.reasons[at["photo"]] == "not_the_file_of_its_row"
    assert found.ok.sum() == 2
    assert stored_maps(found, [at["photo"]]) == [None]


def test_the_store_of_another_data_set_is_refused(
    results: Results, place: Path, steps: Callable[..., Run]
) -> None:
    other = steps("other")
    with pytest.raises(IncompleteInputError, match="none of the"):
        error_sources(results.root, masks=str(other.root))
    (place / "disc" / "tiny.png").unlink()
    with pytest.raises(MixtureError, match="not those evaluated"):
        error_sources(results.root, masks=str(other.root))
    assert not list(results.root.glob("*/errors-*"))
