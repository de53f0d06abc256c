"""Which images are shown: worked by hand on logits, and read from where the data is."""

from __future__ import annotations

import base64
import io
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from covar_gen.evaluation.report.examples import choose, examples
from covar_gen.evaluation.results import Results


def _logits(rows: list[tuple[float, float]]) -> np.ndarray[Any, Any]:
    return np.array(rows, dtype=np.float64)


def test_the_most_confident_mistake_of_all_models_and_the_most_divisive_image_are_shown(
    writer: ModuleType, tmp_path: Path
) -> None:
    # All images are of class 0; a logit difference d gives the class probability 1 / (1 + e^-d).
    images = [
        {"label": 0, "subset": subset, "source": source}
        for subset, source in (
            *(("crop", "p"), ("crop", "q"), ("crop", "r"), ("crop", "s")),
            *(("scale", "p"), ("scale", "q")),
        )
    ]
    right, little, much = (1.0, 0.0), (0.0, 1.0), (0.0, 4.0)
    models = {
        "a": _logits([little, much, right, right, little, right]),
        "b": _logits([much, much, little, much, little, right]),
    }
    results: Results = writer.write_folder(tmp_path / "e", images, models, names=("x", "y"))
    found = choose(results, ["a", "b"])
    # Of crop, images 0 and 1 are missed by both, and 1 with the larger mean margin; 2 and 3
    # divide the models, 3 with the larger margin. Of scale, image 4 alone is missed.
    missed = [row for kind, row in found if kind == "missed"]
    divided = [row for kind, row in found if kind == "divided"]
    assert missed == [1, 0, 4]
    assert divided == [3, 2]
    assert choose(results, ["a"]) == [("missed", 1), ("missed", 0), ("missed", 4)]


def test_other_photographs_are_shown_before_the_same_one_again(
    writer: ModuleType, tmp_path: Path
) -> None:
    subsets = [f"s{number}" for number in range(4)]
    images = [
        {"label": 0, "subset": subset, "source": source} for subset in subsets for source in "pqr"
    ]
    # Photograph p is the worst mistake of every subset.
    answers = _logits([(0.0, 3.0 if image["source"] == "p" else 1.0) for image in images])
    results = writer.write_folder(tmp_path / "e", images, {"a": answers}, names=("x", "y"))
    rows = [row for _, row in choose(results, ["a"])]
    sources = [images[row]["source"] for row in rows]
    assert len(rows) == 4 * 2
    assert set(sources[:3]) == {"p", "q", "r"}


def test_an_image_that_a_model_rejected_is_not_shown(writer: ModuleType, tmp_path: Path) -> None:
    images = [{"label": 0, "subset": "all"} for _ in range(3)]
    models = {"a": [1, 1, None], "b": [1, None, 1]}
    results = writer.write_folder(tmp_path / "e", images, models)
    assert choose(results, ["a", "b"]) == [("missed", 0)]


def test_answers_and_pictures_are_those_of_the_image(
    pictured: Callable[..., Results],
) -> None:
    # Class folders cat, dog, owl with six images each; one mistake, in the ninth row.
    answers = [0] * 6 + [1] * 6 + [2] * 6
    answers[8] = 0
    results = pictured(["owl", "cat", "dog"], {"a/x": answers, "b/x": [0] * 6 + [1] * 6 + [2] * 6})
    found, why = examples(results, ["a/x", "b/x"])
    assert why == ""
    (one,) = found
    assert (one.kind, one.label, one.subset, one.original) == ("divided", "dog", "all", None)
    assert [(answer.model, answer.predicted, answer.right) for answer in one.answers] == [
        ("a/x", "cat", False),
        ("b/x", "dog", True),
    ]
    # Logits 5, -0.5 and -1, or with the true class at -0.5.
    total = np.exp(5) + np.exp(-0.5) + np.exp(-1)
    assert one.answers[0].probability == pytest.approx(np.exp(5) / total, rel=1e-5)
    assert one.answers[0].true == pytest.approx(np.exp(-0.5) / total, rel=1e-5)
    assert one.picture
    header, _, data = one.picture.partition(",")
    assert header == "data:image/jpeg;base64"
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))), dtype=int)
    root = Path(results.about["place"]["place"])
    origins = results.images(["origin"])["origin"].to_pylist()
    close = [
        row
        for row, origin in enumerate(origins)
        if np.abs(shown - np.asarray(Image.open(root / origin), dtype=int)).max() < 8
    ]
    assert close == [8]


def test_the_photograph_that_an_image_comes_from_stands_beside_it(
    writer: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = [
        {"label": 0, "subset": "original", "source": "p"},
        {"label": 0, "subset": "crop", "source": "p", "background": "sea", "scale_factor": 4.0},
    ]
    for image in images:
        image.setdefault("background", None)
        image.setdefault("scale_factor", None)
    results = writer.write_folder(tmp_path / "e", images, {"a": [0, 1], "b": [1, 1]})

    class Data:
        def read(self, row: int) -> bytes:
            stream = io.BytesIO()
            Image.new("RGB", (400, 200), (200 * row, 0, 0)).save(stream, "PNG")
            return stream.getvalue()

    monkeypatch.setattr("covar_gen.evaluation.report.examples.open_images", lambda _results: Data())
    found, _ = examples(results, ["a", "b"])
    crop = next(one for one in found if one.subset == "crop")
    assert crop.about == ("sea", "1/4 of the side")
    assert crop.original_right == 1
    assert crop.original
    assert crop.original != crop.picture
    original = next(one for one in found if one.subset == "original")
    assert original.original is None


@pytest.mark.parametrize("change", ["gone", "other"])
def test_data_that_is_gone_or_is_other_data_gives_no_pictures_and_says_why(
    pictured: Callable[..., Results], change: str
) -> None:
    results = pictured(["cat", "dog"], {"a/x": [1] * 12})
    root = Path(results.about["place"]["place"])
    if change == "gone":
        shutil.rmtree(root)
    else:
        (root / "cat" / "0.png").unlink()
    found, why = examples(results, ["a/x"])
    assert found == []
    assert "no longer where they were" in why
    assert ("other data" in why) == (change == "other")


def test_images_that_became_unreadable_keep_their_place(
    pictured: Callable[..., Results], monkeypatch: pytest.MonkeyPatch
) -> None:
    results = pictured(["cat", "dog"], {"a/x": [1] * 12})
    monkeypatch.setattr(
        "covar_gen.evaluation.images.decode",
        lambda _data: (_ for _ in ()).throw(OSError("unreadable")),
    )
    found, why = examples(results, ["a/x"])
    assert len(found) == 6
    assert {one.picture for one in found} == {None}
    assert why.startswith("6 of these images")


def test_models_that_are_always_right_leave_nothing_to_show(
    pictured: Callable[..., Results],
) -> None:
    results = pictured(["cat", "dog"], {"a/x": [0] * 6 + [1] * 6})
    assert examples(results, ["a/x"])[0] == []
