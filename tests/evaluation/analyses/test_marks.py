"""The images as numbers, and what is kept between tables."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pytest

from covar_gen.core.errors import EvaluationFolderError
from covar_gen.evaluation.analyses.marks import coded, images_of, marks_of
from covar_gen.evaluation.results import Results, open_results

Writer = Callable[..., Results]


def test_sources_are_numbered_by_name_and_subsets_in_the_papers_order(evaluation: Writer) -> None:
    images = [
        {"label": 2, "subset": "scale", "source": "b"},
        {"label": 0, "subset": "original", "source": "a"},
        {"label": 1, "subset": "hflip", "source": "b"},
    ]
    found = images_of(evaluation(images, {}))
    assert found.subsets == ("original", "hflip", "scale")
    assert found.subset.tolist() == [2, 0, 1]
    assert found.sources.tolist() == [1, 0, 1]
    assert found.labels.tolist() == [2, 0, 1]
    assert found.source_count == 2
    assert [found.subsets[place] for place in found.eight] == ["hflip", "scale"]
    assert (found.place("hflip"), found.place("crop")) == (1, None)


def test_marks_are_false_where_the_image_was_rejected(evaluation: Writer) -> None:
    results = evaluation([{"label": 0}] * 3, {"m": [0, None, 1]})
    found = marks_of(results, "m")
    assert found.ok.tolist() == [True, False, True]
    assert found.top1.tolist() == found.merged.tolist() == [True, False, False]
    assert found.top5.tolist() == [True, False, True]


def test_marks_are_read_once_per_opened_folder(evaluation: Writer) -> None:
    results = evaluation([{"label": 0}] * 3, {"m": [0, 0, 1]})
    assert marks_of(results, "m") is marks_of(results, "m")
    assert images_of(results) is images_of(results)
    again = open_results(results.root)
    assert marks_of(again, "m") is not marks_of(results, "m")


def test_a_model_that_was_not_evaluated_is_an_error(evaluation: Writer) -> None:
    with pytest.raises(EvaluationFolderError, match="was not evaluated here"):
        marks_of(evaluation([{"label": 0}], {"m": [0]}), "n")


def test_values_are_coded_by_appearance_over_chunks_and_null_is_minus_one() -> None:
    column = pa.chunked_array([["x", None], ["y", "x"], []], pa.string())
    values, codes = coded(column)
    assert values == ["x", "y"]
    assert codes.tolist() == [0, -1, 1, 0]
    assert coded(pa.chunked_array([], pa.string()))[0] == []
