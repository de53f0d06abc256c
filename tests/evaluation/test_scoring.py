"""What is stored of a prediction, against answers worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from covar_gen.evaluation.rows import PREDICTIONS
from covar_gen.evaluation.scoring import logits, part, scores

FOUND = torch.tensor([[1.0, 3.0, 2.0, 3.0], [0.0, 0.0, 0.0, 0.0]])


def test_a_logit_is_scale_times_cosine_plus_bias() -> None:
    image = torch.tensor([[0.6, 0.8]])
    classes = torch.tensor([[1.0, 0.0], [0.0, -1.0]])
    assert torch.allclose(logits(image, classes, 10.0, -2.0), torch.tensor([[4.0, -10.0]]))


def test_the_best_classes_come_first_and_of_equals_the_lower_index() -> None:
    found = scores(FOUND, torch.tensor([3, 2]), top=3)
    assert found.top_ids.tolist() == [[1, 3, 2], [0, 1, 2]]
    assert found.top_logits.tolist() == [[3.0, 3.0, 2.0], [0.0, 0.0, 0.0]]


def test_the_rank_of_the_true_class_counts_better_ones_and_equals_before_it() -> None:
    assert scores(FOUND, torch.tensor([3, 2])).true_rank.tolist() == [2, 3]
    assert scores(FOUND, torch.tensor([1, 0])).true_rank.tolist() == [1, 1]
    assert scores(FOUND, torch.tensor([0, 3])).true_rank.tolist() == [4, 4]


def test_the_true_logit_and_the_logsumexp_are_of_all_classes() -> None:
    found = scores(FOUND, torch.tensor([2, 0]), top=1)
    assert found.true_logit.tolist() == [2.0, 0.0]
    total = math.log(math.e + 2 * math.e**3 + math.e**2)
    assert torch.allclose(found.logsumexp, torch.tensor([total, math.log(4)]))


def test_fewer_classes_than_are_kept_are_all_kept() -> None:
    assert scores(FOUND, torch.tensor([0, 0]), top=10).top_ids.shape == (2, 4)


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_the_rank_is_the_place_in_the_full_order(seed: int) -> None:
    rng = np.random.default_rng(seed)
    found = torch.tensor(rng.integers(0, 5, (4, 7)).astype(np.float32))
    labels = torch.tensor(rng.integers(0, 7, 4))
    ranked = scores(found, labels, top=7)
    for row, label in enumerate(labels.tolist()):
        assert ranked.top_ids[row].tolist().index(label) + 1 == ranked.true_rank[row]
        assert ranked.top_logits[row].tolist() == sorted(found[row].tolist(), reverse=True)


def test_a_rejected_image_keeps_its_row_and_nothing_else() -> None:
    columns = {
        "top_ids": np.array([[1, 0], [0, 1]], np.int32),
        "top_logits": np.array([[2.0, 1.0], [5.0, 4.0]], np.float32),
        "true_logit": np.array([2.0, 5.0], np.float32),
        "true_rank": np.array([1, 1], np.int32),
        "logsumexp": np.array([2.3, 5.3], np.float32),
        "content": np.array([7, 9]),
        "batch": np.array([2, 2], np.int32),
        "embedding": np.array([[1, 0, 0], [0, 1, 0]], np.float16),
    }
    labels = np.array([1, 0], np.int32)
    rows = part(pa.array(["a", "b"]), labels, [None, "truncated"], columns)
    assert rows.schema == PREDICTIONS
    good, bad = rows.to_pylist()
    assert good["top_ids"] == [1, 0]
    assert good["embedding"] == [1, 0, 0]
    assert good["status"] == "ok"
    assert bad == {
        "key": "b", "label": 0, "status": "rejected", "reason": "truncated", "top_ids": None,
        "top_logits": None, "true_logit": None, "true_rank": None, "logsumexp": None,
        "content": 9, "batch": 2, "embedding": None,
    }  # fmt: skip
