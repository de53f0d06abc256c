"""Addresses of servers and the keys for them."""

from __future__ import annotations

import pytest

from covar_gen.core.errors import ProposalError, ToolError
from covar_gen.core.servers import a_server, api_key, server_of, without_credentials


@pytest.mark.parametrize("url", ["ftp://here/v1", "localhost:8000", "http://", "http://a:0/v1"])
def test_what_is_no_address_of_a_server_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="should look like http://localhost:8000/v1"):
        a_server(url)


def test_a_recipe_holds_no_password() -> None:
    with pytest.raises(ValueError, match="must hold no password"):
        a_server("http://me:secret@here/v1")
    assert a_server("http://here:8000/v1") == "http://here:8000/v1"


def test_what_is_stored_of_an_address_is_its_place_only() -> None:
    kept = without_credentials("https://me:secret@here:81/v1?token=secret#part")
    assert kept == "https://here:81/v1"


def test_the_server_is_the_one_named_then_the_variables_then_openais(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://me:secret@there/v1/")
    assert server_of("http://here/v1/") == "http://here/v1"
    assert server_of(None) == "http://there/v1"
    monkeypatch.delenv("OPENAI_BASE_URL")
    assert server_of(None) == "https://api.openai.com/v1"


@pytest.mark.parametrize("held", [None, "", "  ", "schlüssel"])
def test_a_key_that_is_not_there_is_asked_for_by_the_variables_name(
    monkeypatch: pytest.MonkeyPatch, held: str | None
) -> None:
    monkeypatch.delenv("SOME_KEY", raising=False)
    if held is not None:
        monkeypatch.setenv("SOME_KEY", held)
    with pytest.raises(ToolError) as refused:
        api_key("SOME_KEY", "judge openai", ToolError)
    assert refused.value.line() == (
        "ToolError: judge openai: no API key in the environment variable SOME_KEY. "
        "Type: export SOME_KEY=... (a server of your own takes any word)"
    )


def test_a_key_is_taken_without_the_space_around_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", " word\n")
    assert api_key("SOME_KEY", "", ProposalError) == "word"
