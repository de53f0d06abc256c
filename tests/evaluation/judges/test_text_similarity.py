"""Cosines by hand, their mean over models, and where the threshold comes from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from covar_gen.core.errors import PluginError
from covar_gen.evaluation.judges import Judge, class_pair, get_judge
from covar_gen.evaluation.labels import ClassList


def rows(*degrees: float) -> NDArray[np.float32]:
    """Unit vectors in the plane at these angles; the last class twice, as its name."""
    angles = np.deg2rad([*degrees, degrees[-1]])
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


FIRST = rows(0, 10, 90, 30, 120)
SECOND = rows(0, 40, 90, 0, 180)


def cosine(degrees: float) -> float:
    return float(np.cos(np.deg2rad(degrees)))


def judge(classes: ClassList, *models: NDArray[np.float32], **options: Any) -> Judge:
    made = get_judge("text_similarity", **options)
    made.given(classes, {f"model {place}": model for place, model in enumerate(models)})
    return made


def test_the_score_is_the_mean_cosine_over_the_models(classes: ClassList) -> None:
    found = judge(classes, FIRST, SECOND, threshold=0.5)
    one, other = found.judge([class_pair(classes, 0, 1), class_pair(classes, 2, 0)])
    assert one.score == pytest.approx((cosine(10) + cosine(40)) / 2, abs=1e-6)
    assert one.similar is True
    assert one.judge == "text_similarity 1 (>= 0.5000, given, 2 models)"
    assert other.score == pytest.approx(0, abs=1e-6)
    assert other.similar is False


def test_the_default_threshold_is_a_quantile_of_all_pairs_of_different_names(
    classes: ClassList,
) -> None:
    # Angles between the five names: 10 90 30 120, 80 20 110, 60 30, 90.
    cosines = sorted(cosine(angle) for angle in (10, 90, 30, 120, 80, 20, 110, 60, 30, 90))
    found = judge(classes, FIRST, quantile=0.6)
    # Position 0.6 x 9 = 5.4 among the ten: between 60 and 30 degrees.
    expected = cosines[5] + 0.4 * (cosines[6] - cosines[5])
    (verdict,) = found.judge([class_pair(classes, 0, 1)])
    assert f">= {expected:.4f}, quantile 0.6, 1 model)" in verdict.judge
    pairs = [class_pair(classes, a, b) for a in range(5) for b in range(a)]
    assert sum(bool(one.similar) for one in found.judge(pairs)) == 4


def test_the_default_takes_one_pair_of_a_hundred() -> None:
    rng = np.random.default_rng(5)
    many = rng.normal(size=(200, 16)).astype(np.float32)
    many /= np.linalg.norm(many, axis=1, keepdims=True)
    names = tuple(f"class {number}" for number in range(200))
    nothing = (None,) * 200
    wide = ClassList(names, nothing, nothing, ("{}",), "test", "test")
    found = judge(wide, many)
    pairs = [class_pair(wide, a, b) for a in range(200) for b in range(a)]
    share = np.mean([one.similar for one in found.judge(pairs)])
    assert share == pytest.approx(0.01, abs=1e-4)


def test_a_long_class_list_is_calibrated_on_an_even_part_of_it(
    classes: ClassList, monkeypatch: pytest.MonkeyPatch
) -> None:
    from covar_gen.evaluation.judges import text_similarity

    monkeypatch.setattr(text_similarity, "MOST_CLASSES", 3)
    # Classes 0, 2 and 4 are at 0, 90 and 120 degrees.
    found = judge(classes, FIRST, quantile=0.5)
    assert f">= {cosine(90):.4f}" in found.label.replace("-0.0000", "0.0000")


def test_the_threshold_can_agree_with_judged_pairs(classes: ClassList, tmp_path: Path) -> None:
    path = tmp_path / "judged.csv"
    # 10 and 30 degrees similar, 60 and 90 not; the two missiles bear one name and do not count.
    text = "truth,predicted,similar\ndog,cat,1\nwolf,0,1\nplane,wolf,no\ndog,plane,0\n4,5,0\n"
    path.write_text(text + "elephant,mouse,1\n", encoding="utf-8")
    found = judge(classes, FIRST, pairs=str(path))
    threshold = (cosine(30) + cosine(60)) / 2
    expected = (
        f"text_similarity 1 (>= {threshold:.4f}, kappa 1.00 with 4 pairs of judged.csv, 1 model)"
    )
    assert found.label == expected


@pytest.mark.parametrize(
    "text", ["", "dog,cat,1\n", "elephant,mouse,1\nbee,ant,0\n", "dog,cat,1\ncat,dog,0\n"]
)
def test_judged_pairs_that_give_no_threshold_are_refused(
    classes: ClassList, tmp_path: Path, text: str
) -> None:
    path = tmp_path / "judged.csv"
    path.write_text("truth,predicted,similar\n" + text, encoding="utf-8")
    with pytest.raises(PluginError, match="of its pairs are of this class list: a threshold needs"):
        judge(classes, FIRST, pairs=str(path))


def test_without_classifiers_or_with_those_of_another_list_nothing_is_judged(
    classes: ClassList,
) -> None:
    with pytest.raises(PluginError, match="there is no text classifier"):
        get_judge("text_similarity").judge([class_pair(classes, 0, 1)])
    with pytest.raises(PluginError, match="there is no text classifier"):
        judge(classes)
    with pytest.raises(PluginError, match="model 0 has 3 classes, the class list 6"):
        judge(classes, FIRST[:3])
    alone = ClassList(("a", "a"), (None,) * 2, (None,) * 2, ("{}",), "test", "test")
    with pytest.raises(PluginError, match="a class list of one name has no pairs"):
        judge(alone, FIRST[-2:])


def test_it_says_that_it_wants_classifiers() -> None:
    wanting = {name for name in ("openai", "wordnet") if get_judge(name).wants_classifiers}
    assert not wanting
    assert get_judge("text_similarity").wants_classifiers
