"""Softmax probabilities of the classes that are stored, and the mass of those that are not."""

from __future__ import annotations

import numpy as np

from covar_gen.evaluation.metrics.predictions import omitted_mass, probabilities


def test_stored_probabilities_are_those_of_the_softmax_over_all_classes() -> None:
    from scipy.special import logsumexp, softmax

    logits = np.random.default_rng(0).normal(0, 3, (6, 20))
    best = np.sort(logits, axis=1)[:, ::-1][:, :4]
    found = probabilities(best.astype(np.float32), logsumexp(logits, axis=1).astype(np.float32))
    expected = np.sort(softmax(logits, axis=1), axis=1)[:, ::-1]
    assert np.allclose(found, expected[:, :4], rtol=1e-5)
    assert np.allclose(omitted_mass(found), expected[:, 4:].sum(axis=1), atol=1e-6)


def test_two_equal_logits_share_everything() -> None:
    found = probabilities(np.zeros((1, 2), np.float32), np.log(np.array([2.0], np.float32)))
    assert np.allclose(found, 0.5)
    assert np.allclose(omitted_mass(found), 0, atol=1e-6)


def test_rounding_makes_no_probability_above_one() -> None:
    found = probabilities(np.array([[30.000002]], np.float32), np.array([30.0], np.float32))
    assert found.tolist() == [[1.0]]


def test_where_there_are_no_logits_there_is_no_probability() -> None:
    nothing = np.full((1, 3), np.nan, np.float32)
    assert np.isnan(probabilities(nothing, nothing[:, 0])).all()
