"""Masks are measured and judged in one place, and what was detected is never lost."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from covar_gen.core.arrays import Mask, Rejected
from covar_gen.core.errors import MixtureError, RecipeError
from covar_gen.core.files import Staging
from covar_gen.core.journal import Journal
from covar_gen.core.outlines import Outline
from covar_gen.core.pipeline import run_stage
from covar_gen.core.ranks import Ranks
from covar_gen.core.recipe import Accept, read_recipe
from covar_gen.core.stage import Made
from covar_gen.core.store import Run
from covar_gen.segmenters.base import Segmentation, Segmenter, SegmentRequest
from covar_gen.stage_masks import Masks, judged, widest

Steps = Callable[..., Run]

SEEN = {
    "scores": [0.9, 0.35],
    "boxes": [[4.0, 4.0, 40.0, 40.5], [1.0, 2.0, 3.0, 4.0]],
    "phrases": ["disc", "disc foreground"],
}


def drawn(rows: slice, columns: slice) -> Mask:
    mask = np.zeros((48, 64), np.bool_)
    mask[rows, columns] = True
    return mask


class Detecting(Segmenter):
    """Answers each photograph in another way; all with what it detected."""

    model = "me/weights@1234"

    def segment(self, batch: Sequence[SegmentRequest]) -> list[Segmentation | Rejected]:
        return [self.answer(request.key) for request in batch]

    def answer(self, key: str) -> Segmentation | Rejected:
        square = drawn(slice(10, 22), slice(0, 32))
        wide = {**SEEN, "boxes": [*SEEN["boxes"], [-3.0, 0.0, 64.0, 48.0]]}
        return {
            "disc/p0/original": Segmentation(square, {**SEEN, "iou": 0.75}),
            "disc/p1/original": Rejected("no_detection", {**SEEN, "tried": 3}),
            "disc/p2/original": Segmentation(square, wide),
            "n02391049/p0/original": Segmentation(drawn(slice(3, 4), slice(3, 5)), SEEN),
            "n02391049/p1/original": Segmentation(~drawn(slice(9, 10), slice(0, 64)), SEEN),
            "n02391049/p2/original": Segmentation(~drawn(slice(5, 43), slice(5, 59)), SEEN),
        }[key]


def outlined(run: Run) -> dict[str, dict[str, object]]:
    stage = Masks(run)
    stage.segmenter = Detecting()
    staging = Staging(run.root)
    try:
        run_stage(stage, staging, Ranks(), threads=2)
    finally:
        staging.close()
    return {str(row["key"]): row for row in run.table("masks_sources").to_pylist()}


def test_what_was_detected_and_measured_stands_on_every_row(steps: Steps) -> None:
    rows = outlined(steps("run", only=["sources"]))
    assert {key: row["reason"] for key, row in rows.items()} == {
        "disc/p0/original": None,
        "disc/p1/original": "no_detection",
        "disc/p2/original": "box_covers_image",
        "n02391049/p0/original": "object_too_small",
        "n02391049/p1/original": "object_covers_image",
        "n02391049/p2/original": "object_touches_border",
    }
    for key, row in rows.items():
        assert row["scores"] == SEEN["scores"], key
        assert row["phrases"] == SEEN["phrases"], key
        assert row["boxes"][:2] == SEEN["boxes"], key
        assert (row["mask"] is None) == (row["status"] == "rejected"), key
    kept = rows["disc/p0/original"]
    assert (kept["object_coverage"], kept["border"], kept["components"]) == (0.125, 12 / 220, 1)
    assert json.loads(kept["params"]) == {"iou": 0.75}
    assert kept["model"] == "me/weights@1234"
    nothing = rows["disc/p1/original"]
    assert json.loads(nothing["params"]) == {"tried": 3}
    assert nothing["object_coverage"] is nothing["border"] is nothing["components"] is None
    assert rows["disc/p2/original"]["object_coverage"] == 0.125
    assert rows["n02391049/p0/original"]["object_coverage"] == 2 / 3072
    assert rows["n02391049/p1/original"]["components"] == 2
    assert rows["n02391049/p2/original"]["border"] == 1
    assert rows["n02391049/p2/original"]["params"] is None


def test_a_recipe_that_accepts_more_keeps_more(steps: Steps) -> None:
    accept = {"max_box": 1, "min_area": 0, "max_area": 1.0, "max_border": 1.0}
    rows = outlined(steps("run", only=["sources"], **{"masks.accept": accept}))
    assert [row["reason"] for row in rows.values()] == [
        None,
        "no_detection",
        None,
        None,
        None,
        None,
    ]


def test_what_is_accepted_is_a_part_of_the_table_s_identity(steps: Steps) -> None:
    run = steps("run", only=["sources", "masks_sources"])
    assert Masks(run).identity()["accept"] == Accept().model_dump()
    changed = Run(
        run.root,
        run.recipe.model_copy(
            update={"masks": run.recipe.masks.model_copy(update={"accept": Accept(max_area=0.5)})}
        ),
    )
    with pytest.raises(MixtureError, match=r"accept.max_area: 0.95 there, 0.5 here"):
        run.compare("masks_sources", Masks(changed).identity())


def test_an_image_whose_mask_is_known_is_neither_measured_nor_judged(steps: Steps) -> None:
    toys = {"classes.source": "toy_world", "classes.path": None, "masks.options": {}}
    toys |= {"classes.options": {"toy_world": {"photographs": 1, "edge": 32}}}
    accept = {"min_area": 0.98, "max_area": 0.99}
    run = steps("run", only=["sources", "masks_sources"], **toys, **{"masks.accept": accept})
    for row in run.table("masks_sources").to_pylist():
        assert (row["status"], row["tool"]) == ("ok", "by_construction")
        assert row["object_coverage"] < 0.98
        assert row["border"] is row["components"] is row["scores"] is None


@pytest.mark.parametrize(
    ("outline", "box", "reason"),
    [
        (Outline(0.0, 0.0, 0), 1.0, "empty_mask"),
        (Outline(0.3, 0.5, 2), 0.981, "box_covers_image"),
        (Outline(0.3, 0.5, 2), 0.98, None),
        (Outline(0.0009, 0.0, 1), 0.5, "object_too_small"),
        (Outline(0.001, 0.0, 1), 0.5, None),
        (Outline(0.951, 0.9, 1), 0.5, "object_covers_image"),
        (Outline(0.95, 0.95, 1), 0.98, None),
        (Outline(0.3, 0.951, 1), 0.5, "object_touches_border"),
    ],
)
def test_at_each_bound_a_mask_is_still_accepted(
    outline: Outline, box: float, reason: str | None
) -> None:
    made = Made(None, np.ones((2, 2), np.bool_), "x", columns={"border": 0.25}, params={"a": 1})
    found = judged(made, Accept(), outline, box)
    if reason is None:
        assert found is made
    else:
        assert found == Rejected(reason, {"a": 1}, {"border": 0.25})


def test_a_box_counts_as_far_as_it_lies_in_the_image() -> None:
    assert widest(None, (10, 20)) == widest([], (10, 20)) == 0
    assert widest([[0, 0, 20, 10]], (10, 20)) == 1
    # The second covers 10 x 5 of 200 pixels inside; the third lies outside.
    assert widest([[0, 0, 2, 2], [-5, 5, 10, 99], [30, 30, 60, 60]], (10, 20)) == 0.25
    assert widest([[10, -5, 99, 5]], (10, 20)) == 0.25
    assert widest([[5, 5, 3, 3]], (10, 20)) == 0


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("max_box = 1.5", "masks.accept.max_box"),
        ("min_area = 0.95", "min_area must be smaller than max_area"),
        ("max_are = 0.9", "Did you mean 'max_area'"),
        ("max_border = 'all'", "masks.accept.max_border"),
    ],
)
def test_a_bound_that_is_none_is_refused(recipe: Path, line: str, said: str) -> None:
    text = recipe.read_text(encoding="utf-8")
    text = text.replace("[backgrounds]", f"[masks.accept]\n{line}\n[backgrounds]")
    recipe.write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError) as error:
        read_recipe(recipe)
    assert said in error.value.line()


class Together(Segmenter):
    """Its answers show who was computed together."""

    asked: ClassVar[list[list[str]]] = []

    @property
    def batch(self) -> int:
        return 3

    def segment(self, batch: Sequence[SegmentRequest]) -> list[Segmentation]:
        self.asked.append([request.key for request in batch])
        return [Segmentation(drawn(slice(0, 10 * len(batch)), slice(9, 20))) for _ in batch]


def test_a_batch_of_a_segmenter_that_was_begun_is_computed_whole_again(
    steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Together, "asked", [])
    run = steps("run", only=["sources"], block=8)
    monkeypatch.setattr("covar_gen.stage_masks.plugins.make", lambda *_given: Together())
    keys = run.table("sources", ["key"])["key"].to_pylist()
    staging = Staging(run.root)
    journal = Journal(run.folder("masks_sources"), "masks_sources", staging)
    journal.append([{"key": key, "status": "rejected", "reason": "x"} for key in keys[:4]])
    journal.close()
    staging.close()
    staging = Staging(run.root)
    try:
        run_stage(Masks(run), staging, Ranks(), threads=2)
    finally:
        staging.close()
    assert Together.asked == [keys[3:]]
    rows = run.table("masks_sources").to_pylist()
    assert [row["reason"] for row in rows] == ["x"] * 4 + [None] * 2
    assert rows[-1]["object_coverage"] == 30 * 11 / 3072


def test_the_gallery_is_told_what_was_detected(steps: Steps) -> None:
    from covar_gen.commands.gallery import with_masks

    run = steps("run", only=["sources"])
    outlined(run)
    run = steps("run", only=["backgrounds", "masks_backgrounds", "viewpoints", "masks_viewpoints"])
    run = steps("run", only=["scale", "geometry", "manifest"])
    rows = {row["key"]: row for row in with_masks(run).to_pylist()}
    assert rows["disc/p1/original"]["mask_scores"] == SEEN["scores"]
    assert rows["disc/p0/original"]["mask_components"] == 1
    assert rows["disc/p0/05/hflip"]["mask_scores"] is None
    assert len(rows) == len(run.manifest(["key"]))
