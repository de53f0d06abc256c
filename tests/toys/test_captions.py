"""Captions are true of their picture, and of exactly the others that share what they say."""

from __future__ import annotations

import numpy as np

from covar_gen.core.seeds import generator
from covar_gen.toys.batches import EDGE, draw
from covar_gen.toys.captions import Caption, caption, true_of, words
from covar_gen.toys.world import BACKGROUNDS, CLASSES, TYPICAL


def test_what_a_caption_says_decides_of_which_pictures_it_is_true() -> None:
    pictures = [
        ("ring", "red", "green grass"),
        ("ring", "blue", "red bricks"),
        ("star", "red", "red bricks"),
    ]
    captions = [
        Caption("a ring", "ring", None, None),
        Caption("a red ring", "ring", "red", None),
        Caption("red bricks", None, None, "red bricks"),
        Caption("a ring on red bricks", "ring", None, "red bricks"),
    ]
    assert true_of(captions, pictures).tolist() == [
        [True, True, False, False],
        [True, False, True, True],
        [False, False, True, False],
    ]


def test_a_caption_names_what_it_says_and_nothing_that_is_not_there() -> None:
    rng = generator(0)
    kinds = set()
    for _ in range(300):
        found = caption("fish", "pink", "grey pebbles", rng)
        text = found.text
        assert ("fish" in text) == (found.class_name == "fish")
        assert ("pink" in text) == (found.colour == "pink")
        assert ("pebbles" in text) == (found.background == "grey pebbles")
        assert "{" not in text
        kinds.add((found.class_name is None, found.colour is None, found.background is None))
    assert kinds == {
        (True, True, False), (False, True, True), (False, True, False), (False, False, True),
        (False, False, False),
    }  # fmt: skip


def test_the_words_hold_every_word_of_any_caption() -> None:
    known = set(words())
    rng = generator(1)
    for name in CLASSES:
        for _ in range(40):
            text = caption(name, "white", TYPICAL[name], rng).text.lower()
            marks = "".join(sign if sign.isalnum() else " " for sign in text)
            assert set(marks.split()) <= known


def test_a_batch_is_the_same_each_time_and_another_purpose_shows_other_pictures() -> None:
    first, again = (draw("training", range(4, 10), typical=False) for _ in range(2))
    assert np.array_equal(first.images, again.images)
    assert first.facts == again.facts
    assert first.captions == again.captions
    assert np.array_equal(draw("training", range(4, 5), typical=False).images, first.images[:1])
    other = draw("another", range(4, 10), typical=False)
    assert not (first.images == other.images).all(axis=(1, 2, 3)).any()


def test_backgrounds_are_typical_or_have_nothing_to_do_with_the_class() -> None:
    tied = draw("test", range(40), typical=True)
    assert all(TYPICAL[name] == background for name, _, background in tied.facts)
    free = draw("test", range(200), typical=False)
    assert {background for name, _, background in free.facts if name == "ring"} == set(BACKGROUNDS)
    assert free.images.shape == (200, EDGE, EDGE, 3)
    assert free.objects.shape == (200, EDGE, EDGE)
    assert [CLASSES[number] for number in free.classes] == [fact[0] for fact in free.facts]
    assert bool(true_of(free.captions, free.facts).diagonal().all())
