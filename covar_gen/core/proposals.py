"""Asks a language model once for classes or backgrounds, and keeps what it answered.

The messages are the paper's system prompt, its user prompt, and a third one of ours that asks
for a list a program can read. The answer is stored with the messages; where a stored answer is
found, the model is not asked again.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
from pathlib import Path
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from covar_gen.core.answers import read_list
from covar_gen.core.errors import CovarError, MissingExtraError, ProposalError, storage_error
from covar_gen.core.imagenet import ImagenetClass, by_wnid, find
from covar_gen.core.prompts import load_prompt
from covar_gen.core.servers import a_server, api_key, without_credentials

CLASSES = "class_selection"
BACKGROUNDS = "background_selection"
WISHES = {
    CLASSES: (
        "Answer with a JSON array of strings and nothing else: the names of the classes that you"
        " propose, each spelled exactly as in the list."
    ),
    BACKGROUNDS: (
        "Answer with a JSON array of strings and nothing else: one short description for each"
        " background."
    ),
}
"""The message that follows the paper's prompt, by the prompt's name."""

FEWEST_CLASSES = 2
"""A proposal with fewer known classes is no benchmark."""

_log = logging.getLogger(__name__)


class Proposal(BaseModel):
    """Which language model proposes, and where it is.

    Attributes:
        model: its name on the server.
        base_url: root of an OpenAI-compatible server, for example http://localhost:8000/v1; left
            out: OpenAI, or what the environment variable OPENAI_BASE_URL names.
        api_key_env: environment variable that holds the key; the key itself is never stored.
        temperature: of the sampling, 0 to 2; left out: the server's default.
        timeout_s: seconds to wait for the answer to one request.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    model: Annotated[str, Field(min_length=1)] = "gpt-4o"
    base_url: Annotated[str, AfterValidator(a_server)] | None = None
    api_key_env: Annotated[str, Field(min_length=1)] = "OPENAI_API_KEY"
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    timeout_s: Annotated[float, Field(gt=0)] = 120.0


Message: TypeAlias = dict[str, str]
"""One message to the model: its role and its content."""


class Answer(BaseModel):
    """What was asked and answered, as it is stored.

    Attributes:
        task: name of the prompt.
        model: the model asked for.
        answered_by: the model that the server says answered.
        base_url: the server, without user, password and query.
        temperature: of the sampling; None: the server's default.
        messages: all messages, in order.
        text: the answer as it came.
        proposed: the list read from it, each entry once.
        unmatched: entries that name no class, or that two classes bear; left out.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: str
    model: str
    answered_by: str
    base_url: str
    temperature: float | None
    messages: list[Message]
    text: str
    proposed: list[str]
    unmatched: list[str] = []


def propose_classes(proposal: Proposal, store: Path) -> list[ImagenetClass]:
    """Classes of ILSVRC 2012 that a language model proposes for a benchmark.

    Entries that name no class, or one of two of the same name, are left out with a warning and
    stored as unmatched.

    Args:
        proposal: the model to ask.
        store: JSON file of the answer; read if it exists, else written.

    Raises:
        ProposalError: the model cannot be reached, refuses, or proposes fewer than two classes;
            nothing is stored then.
        MissingExtraError: the client is not installed.
        StorageError: the answer cannot be written.
    """
    names = "\n".join(entry.name for entry in by_wnid().values())
    answer = _stored(store, proposal, CLASSES) or _keep(
        store, proposal, _asked(proposal, CLASSES, f"\n\nThe 1,000 classes:\n{names}")
    )
    if answer.unmatched:
        _log.warning(
            "%s: left out of the proposal, no class of ImageNet or one of two of that name: %s",
            store,
            ", ".join(answer.unmatched),
        )
    found = {entry.wnid: entry for name in answer.proposed if (entry := find(name))}
    return list(found.values())


def propose_backgrounds(proposal: Proposal, store: Path) -> list[str]:
    """Descriptions of backgrounds that a language model proposes for any object.

    Args:
        proposal: the model to ask.
        store: JSON file of the answer; read if it exists, else written.

    Raises:
        ProposalError: the model cannot be reached, refuses, or gives no list; nothing is stored
            then.
        MissingExtraError: the client is not installed.
        StorageError: the answer cannot be written.
    """
    answer = _stored(store, proposal, BACKGROUNDS) or _keep(
        store, proposal, _asked(proposal, BACKGROUNDS, "")
    )
    return answer.proposed


def _asked(proposal: Proposal, task: str, appendix: str) -> Answer:
    prompt = load_prompt(task)
    messages: list[Message] = [
        {"role": "system", "content": prompt.system or ""},
        {"role": "user", "content": prompt.user_with() + appendix},
        {"role": "user", "content": WISHES[task]},
    ]
    text, answered_by, server = _request(proposal, messages)
    proposed = read_list(text)
    unmatched = [name for name in proposed if not find(name)] if task == CLASSES else []
    known = len({find(name) for name in proposed} - {None})
    if not proposed or (task == CLASSES and known < FEWEST_CLASSES):
        said = " ".join(text.split())[:80]
        what = f"no list can be read from the answer {said!r}"
        if unmatched:
            named = ", ".join(unmatched[:5])
            what = f"the answer names {known} classes of ImageNet, {len(unmatched)} others: {named}"
        raise ProposalError(what, where=server, mend=_OTHERWISE)
    return Answer(
        task=task,
        model=proposal.model,
        answered_by=answered_by,
        base_url=server,
        temperature=proposal.temperature,
        messages=messages,
        text=text,
        proposed=proposed,
        unmatched=unmatched,
    )


_OTHERWISE = "Try again, name another model, or write the list into the recipe yourself"


def _request(proposal: Proposal, messages: list[Message]) -> tuple[str, str, str]:
    """The answer's text, the model that gave it, and the server."""
    try:
        import openai
    except ImportError as error:
        what = "proposals by a language model need the package openai, not installed here"
        raise MissingExtraError(what, mend="Type: pip install 'covar-gen[llm]'") from error
    from openai.types.chat import ChatCompletion

    key = api_key(proposal.api_key_env, "", ProposalError)
    with openai.OpenAI(
        api_key=key, base_url=proposal.base_url, timeout=proposal.timeout_s
    ) as client:
        server = without_credentials(str(client.base_url))
        try:
            answer: object = client.chat.completions.create(
                model=proposal.model,
                messages=messages,  # type: ignore[arg-type]
                temperature=openai.omit if proposal.temperature is None else proposal.temperature,
            )
        except (openai.OpenAIError, ValueError) as error:
            raise _refusal(error, proposal, server, key) from error
    text, end = None, None
    if isinstance(answer, ChatCompletion) and answer.choices:
        text, end = answer.choices[0].message.content, answer.choices[0].finish_reason
    if not text or not text.strip():
        raise ProposalError("the language model's answer is empty", where=server, mend=_OTHERWISE)
    if end == "length":
        what = "the language model's answer was cut off at the server's length limit"
        raise ProposalError(what, where=server, mend=_OTHERWISE)
    assert isinstance(answer, ChatCompletion)
    return text, str(answer.model), server


def _refusal(error: Exception, proposal: Proposal, server: str, key: str) -> ProposalError:
    """What the client raised, after its retries, as one line."""
    import openai

    status = getattr(error, "status_code", None)
    said = " ".join(str(error).replace(key, "***").split())[:160]
    if isinstance(error, openai.APITimeoutError):
        what = f"no answer from the language model within {proposal.timeout_s:g} s"
        mend = "Raise timeout_s, or try again later"
    elif isinstance(error, openai.APIConnectionError):
        what = "the language model cannot be reached"
        mend = "Check the network and base_url, or write the list into the recipe yourself"
    elif status in (401, 403):
        what = f"the key is refused ({said})"
        mend = f"Check the environment variable {proposal.api_key_env}"
    elif status == 404:  # noqa: PLR2004
        what = f"the server knows no model {proposal.model!r} ({said})"
        mend = "Check model and base_url"
    elif status == 429:  # noqa: PLR2004
        what = f"too many requests, or no quota left ({said})"
        mend = "Try again later, or check the account of the key"
    else:
        what, mend = f"the language model's server fails ({said})", _OTHERWISE
    return ProposalError(what, where=server, mend=mend)


def _stored(store: Path, proposal: Proposal, task: str) -> Answer | None:
    """The answer kept in a file; None if there is no such file."""
    mend = "Remove this file to ask again"
    try:
        answer = Answer.model_validate_json(store.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _disk(error, store) from error
    except ValidationError as error:
        raise ProposalError("not a stored proposal", where=store, mend=mend) from error
    asked = (task, proposal.model, proposal.temperature)
    kept = (answer.task, answer.model, answer.temperature)
    if asked != kept:
        what = f"holds the answer to (task, model, temperature) {kept}, asked now is {asked}"
        raise ProposalError(what, where=store, mend=mend)
    return answer


def _disk(error: OSError, store: Path) -> CovarError:
    what = f"the proposal cannot be kept there: {error.strerror}"
    mend = "Choose another folder with --run"
    return storage_error(error, store) or ProposalError(what, where=store, mend=mend)


def _keep(store: Path, proposal: Proposal, answer: Answer) -> Answer:
    """Store an answer whole or not at all; of two writers the first one's stays."""
    temporary = store.with_name(f".{store.name}.{secrets.token_hex(6)}")
    try:
        store.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("x", encoding="utf-8") as stream:
            stream.write(json.dumps(answer.model_dump(), ensure_ascii=False, indent=1) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        store.hardlink_to(temporary)
    except FileExistsError:
        return _stored(store, proposal, answer.task) or answer
    except OSError as error:
        raise _disk(error, store) from error
    finally:
        temporary.unlink(missing_ok=True)
    return answer
