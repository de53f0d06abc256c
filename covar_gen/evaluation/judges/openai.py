"""A language model on any server that speaks OpenAI's chat completions: OpenAI, vLLM, ..."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from covar_gen.core.arrays import Json
from covar_gen.core.errors import ToolError
from covar_gen.core.plugins import PluginOptions
from covar_gen.core.servers import a_server, api_key, server_of
from covar_gen.evaluation.judges._prompting import (
    LONGEST,
    SCHEMA,
    Style,
    messages,
    prompt_digest,
    reply_in,
    verdict_in,
)
from covar_gen.evaluation.judges.base import ClassPair, Judge, Verdict

_KEY_REFUSED = (401, 403)
_UNKNOWN = 404


def _none_in_words(value: object) -> object:
    """`none` as it is typed on a command line, which knows no null."""
    return None if isinstance(value, str) and value.strip().lower() == "none" else value


class OpenAI(Judge):
    """A language model behind an address, asked about many pairs at a time.

    What the server refuses or answers too late is tried again by the client, with growing
    pauses or those that the server asks for. A pair without an answer after that is unscored.
    """

    kept = True
    requires = ("openai",)
    extra = "llm"

    class Options(PluginOptions):
        """Which model, where, and how it is asked.

        Attributes:
            model: its name on the server.
            base_url: root of the server, for example http://localhost:8000/v1; left out: OpenAI,
                or what the environment variable OPENAI_BASE_URL names.
            api_key_env: environment variable that holds the key.
            style: paper: the paper's words about truth and prediction, answered by one word;
                structured: two equal classes, answered by JSON that the server checks.
            examples: the paper's four example outputs go before the question.
            temperature: of the sampling, 0 to 2; none: the server's own (some models take no
                other).
            concurrency: calls at the same time.
            timeout_s: seconds to wait for one answer.
            retries: how often a call is tried again after 408, 409, 429, 5xx, a time-out or a
                lost connection.
            give_up: after so many failed calls in a row the rest is not asked.
        """

        model: Annotated[str, Field(min_length=1)] = "gpt-4o"
        base_url: Annotated[str, AfterValidator(a_server)] | None = None
        api_key_env: Annotated[str, Field(min_length=1)] = "OPENAI_API_KEY"
        style: Style = "paper"
        examples: bool = False
        temperature: Annotated[
            Annotated[float, Field(ge=0, le=2)] | None, BeforeValidator(_none_in_words)
        ] = 0.0
        concurrency: Annotated[int, Field(ge=1, le=256)] = 8
        timeout_s: Annotated[float, Field(gt=0)] = 60.0
        retries: Annotated[int, Field(ge=0, le=10)] = 4
        give_up: Annotated[int, Field(ge=1)] = 16

    options: Options

    @property
    def ordered(self) -> bool:
        """True in the paper's style, which tells truth from prediction."""
        return self.options.style == "paper"

    @property
    def label(self) -> str:
        """The name, the model asked for, and the style; with examples, that too."""
        return self._spoken_by(self.options.model)

    def _spoken_by(self, model: str) -> str:
        shown = ", with examples" if self.options.examples else ""
        return f"{self.name()} {model} ({self.options.style}{shown})"

    @property
    def server(self) -> str:
        """Root of the server, without user and password."""
        return server_of(self.options.base_url)

    def identity(self) -> dict[str, Json]:
        """What decides an answer: the server, the model, and every word that is sent."""
        options = self.options
        return {
            "plugin": self.name(),
            "version": self.version,
            "server": self.server,
            "model": options.model,
            "style": options.style,
            "temperature": options.temperature,
            "prompt": prompt_digest(options.style, examples=options.examples),
        }

    def request(self, pair: ClassPair) -> dict[str, Any]:
        """The body of the call about a pair, as it goes to `/v1/chat/completions`."""
        options = self.options
        body: dict[str, Any] = {
            "model": options.model,
            "messages": messages(pair, options.style, examples=options.examples),
        }
        if options.temperature is not None:
            body["temperature"] = options.temperature
        if options.style == "structured":
            body["response_format"] = SCHEMA
        return body

    def read(self, body: object) -> Verdict:
        """The verdict in a chat completion.

        Args:
            body: the server's answer, as JSON gave it, in any shape.
        """
        reply = reply_in(body)
        if reply.reason is not None:
            said = reply.text or json.dumps(body, ensure_ascii=False)
            return self.unscored(reply.reason, said[:LONGEST])
        raw, label = reply.text[:LONGEST], self._spoken_by(reply.model or self.options.model)
        similar = verdict_in(reply.text, self.options.style)
        return Verdict(similar, None, None if similar is not None else "not_understood", raw, label)

    def setup(self) -> None:
        """See that there is a key.

        Raises:
            ToolError: there is none.
        """
        self._key()

    def _key(self) -> str:
        return api_key(self.options.api_key_env, f"judge {self.name()}", ToolError)

    def judge(self, pairs: Sequence[ClassPair]) -> list[Verdict]:
        """Ask about all pairs, several at a time.

        Raises:
            ToolError: no key, a key that is refused, or a model that the server does not know.
        """
        found = dict(self.as_they_come(pairs))
        return [found[place] for place in range(len(pairs))]

    def as_they_come(self, pairs: Sequence[ClassPair]) -> Iterator[tuple[int, Verdict]]:
        """Verdicts in the order in which the server gives them.

        Raises:
            ToolError: no key, a key that is refused, or a model that the server does not know.
        """
        import openai

        options = self.options
        patience = _Patience(options.give_up)
        with (
            openai.OpenAI(
                api_key=self._key(),
                base_url=options.base_url,
                timeout=options.timeout_s,
                max_retries=options.retries,
            ) as client,
            ThreadPoolExecutor(options.concurrency) as pool,
        ):
            places = {
                pool.submit(self._asked, client, pair, patience): place
                for place, pair in enumerate(pairs)
            }
            try:
                for done in as_completed(places):
                    yield places[done], done.result()
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def _asked(self, client: Any, pair: ClassPair, patience: _Patience) -> Verdict:
        import openai

        if patience.is_over():
            return self.unscored("given_up")
        try:
            answer = client.chat.completions.with_raw_response.create(**self.request(pair))
        except (openai.OpenAIError, ValueError) as error:
            patience.lose()
            return self._failed(error, client.api_key)
        patience.regain()
        try:
            body = json.loads(answer.content)
        except ValueError:
            said = answer.content.decode("utf-8", "replace")
            return self.unscored("not_an_answer", said[:LONGEST])
        return self.read(body)

    def _failed(self, error: Exception, key: str) -> Verdict:
        """What the client raised, after its retries."""
        import openai

        said = " ".join(str(error).replace(key, "***").split())[:LONGEST]
        status = getattr(error, "status_code", None)
        where = f"judge {self.name()}, {self.server}"
        if status in _KEY_REFUSED:
            what = f"the key is refused ({said[:160]})"
            mend = f"Check the environment variable {self.options.api_key_env}"
            raise ToolError(what, where=where, mend=mend)
        if status == _UNKNOWN:
            what = f"the server knows no model {self.options.model!r} ({said[:160]})"
            raise ToolError(what, where=where, mend="Check the judge's model and base_url")
        if isinstance(error, openai.APITimeoutError):
            return self.unscored("no_answer_in_time", said)
        if isinstance(error, openai.APIConnectionError):
            return self.unscored("unreachable", said)
        return self.unscored("call_failed", said)


class _Patience:
    """Counts failures in a row, over all threads."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._failures = 0
        self._lock = threading.Lock()

    def is_over(self) -> bool:
        return self._failures >= self._limit

    def lose(self) -> None:
        with self._lock:
            self._failures += 1

    def regain(self) -> None:
        with self._lock:
            # What was given up stays given up: calls under way may still come back.
            if self._failures < self._limit:
                self._failures = 0
