"""RANK, WORLD_SIZE and LOCAL_RANK say which process of how many this is."""

import pytest

from covar_gen.core.errors import LaunchError
from covar_gen.core.ranks import Ranks


def test_without_a_launcher_it_is_process_0_of_1() -> None:
    assert Ranks.from_environment({}) == Ranks(0, 1, 0)
    assert Ranks.from_environment({}).first


def test_the_launchers_variables_are_read() -> None:
    ranks = Ranks.from_environment({"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1"})
    assert (ranks.rank, ranks.world, ranks.local) == (5, 8, 1)
    assert not ranks.first


def test_the_first_of_many_is_the_first() -> None:
    assert Ranks.from_environment({"RANK": "0", "WORLD_SIZE": "8"}).first


def test_the_process_environment_is_read_when_none_is_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "3")
    monkeypatch.setenv("LOCAL_RANK", "0")
    assert Ranks.from_environment() == Ranks(2, 3, 0)


@pytest.mark.parametrize(
    "given",
    [
        {"RANK": "3", "WORLD_SIZE": "2"},
        {"RANK": "2", "WORLD_SIZE": "2"},
        {"RANK": "1"},
        {"RANK": "-1", "WORLD_SIZE": "2"},
        {"RANK": "0", "WORLD_SIZE": "0"},
        {"RANK": "one", "WORLD_SIZE": "2"},
        {"RANK": "", "WORLD_SIZE": "2"},
        {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "-1"},
        {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "x"},
    ],
)
def test_variables_that_do_not_fit_are_refused_and_named(given: dict[str, str]) -> None:
    with pytest.raises(LaunchError) as error:
        Ranks.from_environment(given)
    assert all(f"{name}={value}" in error.value.line() for name, value in given.items())
    assert "accelerate launch" in error.value.line()
