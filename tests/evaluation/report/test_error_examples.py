"""Which errors are shown, what is said of them, and that their maps lie where they belong."""

from __future__ import annotations

import base64
import io
import json
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from covar_gen.core.arrays import Mask
from covar_gen.core.errors import RunFolderError
from covar_gen.evaluation.explained import explained as explanations
from covar_gen.evaluation.preprocessing import Grid
from covar_gen.evaluation.report.error_examples import (
    VERDICTS,
    WANTED,
    ErrorExample,
    Pick,
    choose,
    error_examples,
)
from covar_gen.evaluation.report.thumbnails import EDGE, explained_pair
from covar_gen.evaluation.results import MADE_WITH, Results


def _methods(results: Results) -> dict[str, str]:
    return {found.model: found.method for found in explanations(results)}


def _pixels(uri: str | None) -> np.ndarray[Any, Any]:
    assert uri
    header, _, data = uri.partition(",")
    assert header == "data:image/jpeg;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))), dtype=int)


def _shown(results: Results) -> tuple[dict[str, ErrorExample], list[str]]:
    found, said = error_examples(results, _methods(results))
    return {one.verdict: one for one in found}, said


def test_each_error_is_told_with_its_verdict_and_its_numbers(explained: Results) -> None:
    found, _ = error_examples(explained, _methods(explained))
    assert [one.verdict for one in found] == list(VERDICTS)
    told = [(one.label, one.predicted, one.overlaps, one.why) for one in found]
    close = pytest.approx
    assert told == [
        ("cat", "dog", close((0.1, 0.5)), ""),
        ("cat", "dog", close((0.5, 0.1)), ""),
        ("cat", "owl", close((0.5, 0.1)), ""),
        ("dog", "owl", close((0.5, 0.1)), ""),
        ("dog", "owl", close((0.3, 0.31)), ""),
        ("dog", "owl", None, "no mask"),
    ]
    assert found[0].mass == pytest.approx(0.5 / 0.6)
    assert (found[0].chance, found[5].chance, found[5].mass) == (0.5, None, None)


def test_a_flat_map_says_that_it_says_nothing(explained: Results) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    (part,) = explained.folder("a/x").glob("errors-cci/*.parquet")
    rows = pq.read_table(part)
    place = rows.schema.get_field_index("flat")
    flat = pa.array([True, *[False] * 4, None])
    pq.write_table(rows.set_column(place, rows.schema.field(place), flat), part)
    found, _ = error_examples(explained, _methods(explained))
    undecided = [one for one in found if one.verdict == "undecided"]
    assert sorted(one.why for one in undecided) == ["", "the map says nothing"]


def test_the_map_is_red_where_it_is_largest_and_dark_where_the_model_saw_nothing(
    explained: Results,
) -> None:
    found, _ = _shown(explained)
    one = found["background"]
    plain, drawn = _pixels(one.picture), _pixels(one.drawn)
    assert plain.shape == drawn.shape == (round(EDGE * 24 / 32), EDGE, 3)
    # The crop of a 32 x 24 image to a square leaves about the columns 4 to 28 of 32.
    left, right = EDGE * 4 // 32, EDGE * 28 // 32
    # JPEG blurs colours across the crop's edge by a few pixels.
    warmth = drawn[..., 0] - drawn[..., 2]
    assert (
        warmth[-20:, right - 30 : right - 10].min() > warmth[:20, left + 10 : left + 30].max() + 60
    )
    for columns in (drawn[:, : left - 8], drawn[:, right + 8 :]):
        assert columns.max() < 0.35 * plain.mean(axis=2).max() + 12
    (original,) = np.unique(
        np.asarray(Image.open(Path(explained.about["place"]["place"]) / "cat/0.png")).reshape(
            -1, 3
        ),
        axis=0,
    )
    assert np.abs(plain - original.astype(int)).max() < 12


def test_the_outline_lies_on_both_sides_of_the_objects_edge() -> None:
    image = np.full((EDGE, EDGE, 3), 128, np.uint8)
    mask = np.zeros((EDGE, EDGE), bool)
    mask[40:80, 60:120] = True
    values = np.zeros((4, 4), np.float32)
    values[0, 0] = 1.0
    grid = Grid(32, 32, "squash")
    for uri in explained_pair(image, mask, values, grid):
        brightness = _pixels(uri).mean(axis=2)
        inside, outside = brightness[40, 70:110], brightness[39, 70:110]
        assert inside.mean() > 200
        assert outside.mean() < 80
        assert brightness[60, 60].mean() > 200
        assert brightness[60, 59].mean() < 80
        assert 90 < brightness[60, 90] < 160
    plain, drawn = explained_pair(image, None, None, grid)
    assert drawn is None
    assert np.abs(_pixels(plain) - 128).max() < 4


def test_a_large_photograph_is_drawn_small_and_a_small_one_large() -> None:
    values = np.ones((2, 2), np.float32)
    for height, width in ((300, 900), (9, 27)):
        image = np.zeros((height, width, 3), np.uint8)
        for uri in explained_pair(image, None, values, Grid(8, 8, "shortest", 8)):
            assert _pixels(uri).shape == (round(EDGE / 3), EDGE, 3)


class _Masks:
    """Masks of an object in the upper left corner, named `here`."""

    digest = "here"

    def of(self, row: int) -> Mask | None:
        mask = np.zeros((24, 32), bool)
        mask[:12, :16] = True
        return mask if row != 2 else None


@pytest.fixture
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures as pixels, before JPEG blurs them."""
    module = "covar_gen.evaluation.report.thumbnails.as_uri"
    monkeypatch.setattr(module, lambda picture, **_sharp: np.asarray(picture).astype(int))


@pytest.mark.usefixtures("exact")
def test_a_map_does_not_fade_beside_what_the_model_did_not_see() -> None:
    values = np.array([[0, 1], [0, 1]], np.float32)
    image = np.full((16, 32, 3), 128, np.uint8)
    _, drawn = explained_pair(image, None, values, Grid(16, 16, "shortest", 16))
    pixels = np.asarray(drawn)
    # The middle square.
    left, right = EDGE // 4, EDGE * 3 // 4
    assert np.abs(pixels[:, right - 15 : right] - pixels[0, right - 15]).max() <= 1
    assert np.abs(pixels[:, left : left + 15] - pixels[0, left + 15]).max() <= 1
    assert (pixels[:, right:] == round(0.35 * 128)).all()
    assert (pixels[:, :left] == round(0.35 * 128)).all()


@pytest.mark.usefixtures("exact")
def test_a_map_that_is_the_same_everywhere_is_the_grey_image() -> None:
    image = np.zeros((31, 47, 3), np.uint8)
    image[..., 0] = 90
    values = np.full((7, 7), 0.1, np.float32)
    _, drawn = explained_pair(image, None, values, Grid(16, 16, "shortest", 16))
    assert set(np.unique(np.asarray(drawn))) == {30, round(0.35 * 30)}


@pytest.mark.parametrize("place", ["with the images", "elsewhere"])
def test_outlines_are_of_the_masks_that_the_errors_were_explained_with(
    explained: Results, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    (folder,) = explained.folder("a/x").glob("errors-cci")
    about = json.loads((folder / MADE_WITH).read_text())
    (folder / MADE_WITH).write_text(json.dumps({**about, "masks": "here"}))
    if place == "elsewhere":
        (folder / "made_with-1.json").write_text(json.dumps({"masks": "elsewhere"}))

    def masks_of(asked: str, *_others: object) -> _Masks:
        found = "elsewhere" if asked == "elsewhere" else "with the images"
        if found != place:
            raise RunFolderError("not a run", where=asked, mend="")
        return _Masks()

    monkeypatch.setattr("covar_gen.evaluation.masks.masks_of", masks_of)
    found, said = _shown(explained)
    assert said == []
    edge = EDGE * 16 // 32
    for verdict, one in found.items():
        for uri in (one.picture, one.drawn):
            line = _pixels(uri)[20:40, edge - 1].mean(), _pixels(uri)[20:40, edge].mean()
            if verdict == "other":
                # The third image has no mask.
                assert abs(line[0] - line[1]) < 30
            else:
                assert line[0] > line[1] + 60


def test_other_masks_with_the_images_are_not_drawn(
    explained: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder,) = explained.folder("a/x").glob("errors-cci")
    about = json.loads((folder / MADE_WITH).read_text())
    (folder / MADE_WITH).write_text(json.dumps({**about, "masks": "gone"}))
    monkeypatch.setattr("covar_gen.evaluation.masks.masks_of", lambda *_: _Masks())
    _, said = _shown(explained)
    (sentence,) = said
    assert sentence.startswith("Outlines are not drawn")


def test_without_these_masks_it_is_said_that_there_are_no_outlines(explained: Results) -> None:
    found, said = _shown(explained)
    assert all(one.picture and one.drawn for one in found.values())
    (sentence,) = said
    assert sentence.startswith("Outlines are not drawn")


def test_errors_whose_images_are_gone_are_told_without_pictures(explained: Results) -> None:
    shutil.rmtree(Path(explained.about["place"]["place"]))
    found, said = _shown(explained)
    assert len(found) == 6
    assert {(one.picture, one.drawn) for one in found.values()} == {(None, None)}
    (sentence,) = said
    assert "no longer where they were evaluated from" in sentence


def test_an_image_that_cannot_be_read_any_more_keeps_its_words(
    explained: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    from covar_gen.evaluation.report import error_examples as module

    real = module.read
    monkeypatch.setattr(module, "read", lambda data, row: None if row == 0 else real(data, row))
    found, said = _shown(explained)
    assert found["background"].picture is None
    assert found["fine"].picture
    assert "Some of these images cannot be read any more." in said


def test_models_then_subsets_then_photographs_take_turns(
    writer: ModuleType, tmp_path: Path
) -> None:
    # Rows 0-3 are of subset s, 4-7 of subset t; photographs p and q alternate.
    images = [
        {"label": 0, "subset": "s" if row < 4 else "t", "source": "pq"[row % 2]} for row in range(8)
    ]
    results = writer.write_folder(tmp_path / "e", images, {"a": [1] * 8, "b": [1] * 8})
    candidates = [
        Pick("background", model, row, row, draw)
        for draw, (model, row) in enumerate(
            [("a", 0), ("a", 2), ("a", 4), ("b", 0), ("b", 4), ("b", 5), ("b", 6)]
        )
    ]
    taken = choose(results, candidates)
    # a first by the draw; b in the other subset, another photograph; a in either subset, of equals
    # the photograph decides and then the draw; and so on.
    assert [(pick.model, pick.row) for pick in taken] == [
        ("a", 0),
        ("b", 5),
        ("a", 2),
        ("b", 4),
        ("a", 4),
        ("b", 0),
    ]
    assert len(taken) == WANTED
    assert choose(results, candidates[::-1]) == taken


def test_the_draw_is_the_same_each_time_and_does_not_favour_the_first_rows(
    writer: ModuleType, tmp_path: Path
) -> None:
    images = [{"label": 0} for _ in range(200)]
    results = writer.write_folder(tmp_path / "e", images, {"a/x": [1] * 200}, block=200)
    results = writer.write_errors(results, "a/x", ["background"] * 200)
    first, _ = error_examples(results, _methods(results))
    again, _ = error_examples(results, _methods(results))
    assert first == again
    rows = [int(one.key) for one in first]
    assert len(set(rows)) == WANTED
    assert max(rows) > 50
