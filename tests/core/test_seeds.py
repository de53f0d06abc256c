"""All randomness is a function of what is made, and all draws are fair."""

from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from covar_gen.core.seeds import choose, generator, seed_of, uniform


class Raw:
    """A generator whose raw draws are all one number."""

    def __init__(self, value: int) -> None:
        self.value = value
        self.bit_generator = self

    def random_raw(self) -> int:
        return self.value


LEAST, MOST = Raw(0), Raw(2**64 - 1)

keys = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=8)


def test_a_seed_is_the_hash_that_is_documented() -> None:
    import hashlib

    digest = hashlib.blake2b(b"3\0masks_sources\0disc/p0/original\x000", digest_size=8).digest()
    wanted = int.from_bytes(digest, "big") // 2
    assert seed_of(3, "masks_sources", "disc/p0/original") == wanted


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**63 - 1), keys, keys, st.integers(0, 9))
def test_a_seed_has_63_bits_and_is_always_the_same(
    run: int, table: str, key: str, attempt: int
) -> None:
    seed = seed_of(run, table, key, attempt)
    assert 0 <= seed < 2**63
    assert seed == seed_of(run, table, key, attempt)


def test_the_seeds_fill_their_63_bits() -> None:
    seeds = [seed_of(0, "t", f"k{n}") for n in range(400)]
    assert len(set(seeds)) == 400
    for bit in range(63):
        assert 120 < sum(seed >> bit & 1 for seed in seeds) < 280


def test_each_field_changes_the_seed() -> None:
    same = seed_of(1, "scale", "a/b/07", 0)
    others = [
        seed_of(2, "scale", "a/b/07", 0),
        seed_of(1, "geometry", "a/b/07", 0),
        seed_of(1, "scale", "a/b/08", 0),
        seed_of(1, "scale", "a/b/07", 1),
    ]
    assert len({same, *others}) == 5


@settings(max_examples=60, deadline=None)
@given(st.tuples(keys, keys), st.tuples(keys, keys))
def test_fields_never_run_into_each_other(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert (seed_of(1, *one) == seed_of(1, *other)) == (one == other)


def test_fields_that_join_to_the_same_text_differ() -> None:
    assert seed_of(1, "a", "bc") != seed_of(1, "ab", "c")
    assert seed_of(1, "1", "k") != seed_of(11, "", "k")
    assert seed_of(1, "a", "k1", 1) != seed_of(1, "a", "k", 11)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**63 - 1),
    st.floats(-1e6, 1e6),
    st.floats(1e-3, 1e6),
)
def test_a_uniform_draw_stays_in_its_range(seed: int, low: float, width: float) -> None:
    rng = generator(seed)
    for _ in range(20):
        assert low <= uniform(rng, low, low + width) <= low + width


@pytest.mark.parametrize(
    ("low", "high"), [(0.0, 1.0), (-45.0, 45.0), (-0.2, 0.2), (0.0, 7.0), (0.0, 1e6 + 1)]
)
def test_the_ends_of_a_range_are_its_low_end_and_just_below_its_high_end(
    low: float, high: float
) -> None:
    assert uniform(LEAST, low, high) == low  # type: ignore[arg-type]
    top = uniform(MOST, low, high)  # type: ignore[arg-type]
    assert np.nextafter(high, low) >= top > high - 1e-9 * (high - low)


def test_half_of_the_raw_range_is_the_middle() -> None:
    assert uniform(Raw(1 << 63), -45, 45) == 0  # type: ignore[arg-type]
    assert uniform(Raw(3 << 62), 0, 8) == 6  # type: ignore[arg-type]


def test_uniform_draws_are_even() -> None:
    rng = generator(5)
    counts = Counter(int(uniform(rng, 0, 10)) for _ in range(5000))
    assert sorted(counts) == list(range(10))
    assert all(400 < count < 600 for count in counts.values())


def test_the_generator_is_the_one_of_the_seed_alone() -> None:
    first, second = generator(7), generator(7)
    assert [uniform(first, 0, 1) for _ in range(5)] == [uniform(second, 0, 1) for _ in range(5)]
    assert uniform(generator(7), 0, 1) != uniform(generator(8), 0, 1)


def test_every_subset_is_chosen_about_equally_often() -> None:
    # 6 choose 2 = 15 subsets, 6000 draws: 400 each, standard deviation 19.
    counts = Counter(tuple(choose(generator(seed), 6, 2)) for seed in range(6000))
    assert sorted(counts) == list(combinations(range(6), 2))
    assert all(320 < count < 480 for count in counts.values())


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**63 - 1), st.integers(0, 40), st.data())
def test_a_choice_is_of_different_numbers_in_order(
    seed: int, total: int, data: st.DataObject
) -> None:
    count = data.draw(st.integers(0, total))
    chosen = choose(generator(seed), total, count)
    assert chosen == sorted(set(chosen))
    assert len(chosen) == count
    assert set(chosen) <= set(range(total))


@pytest.mark.parametrize("total", [1, 2, 3, 5, 9, 17, 2**12 + 1])
def test_the_largest_draw_still_chooses_a_number_that_is_there(total: int) -> None:
    chosen = choose(MOST, total, min(total, 3))  # type: ignore[arg-type]
    assert max(chosen) == total - 1


@pytest.mark.parametrize("count", [-1, 4])
def test_more_than_there_are_cannot_be_chosen(count: int) -> None:
    with pytest.raises(ValueError, match="of 3"):
        choose(generator(0), 3, count)
