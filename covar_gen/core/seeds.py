"""All randomness of a run: a function of what is made, never of when or by whom."""

from __future__ import annotations

import hashlib

import numpy as np


def seed_of(run_seed: int, table: str, key: str, attempt: int = 0) -> int:
    """63-bit seed of one item: a hash of (run seed, table, key, attempt).

    The fields are joined with NUL bytes, which no key may contain, so that different items
    never hash the same text.

    Returns:
        int in [0, 2**63).
    """
    text = f"{run_seed}\0{table}\0{key}\0{attempt}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 1


def generator(seed: int) -> np.random.Generator:
    """NumPy generator (PCG64) for one item's draws."""
    return np.random.Generator(np.random.PCG64(seed))


def uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """One draw from [low, high), made of 53 random bits only.

    `Generator.uniform` may change between NumPy releases; raw bits do not.
    """
    return low + (high - low) * (int(rng.bit_generator.random_raw()) >> 11) / (1 << 53)


def choose(rng: np.random.Generator, total: int, count: int) -> list[int]:
    """`count` different numbers of range(total), in ascending order, all subsets alike.

    Raises:
        ValueError: more are wanted than there are.
    """
    if not 0 <= count <= total:
        msg = f"cannot choose {count} of {total}"
        raise ValueError(msg)
    pool = list(range(total))
    for place in range(count):
        other = place + int(uniform(rng, 0, total - place))
        pool[place], pool[other] = pool[other], pool[place]
    return sorted(pool[:count])
