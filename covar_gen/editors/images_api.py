"""Asks any server with OpenAI's images/edits endpoint for the photograph before a new background.

OpenAI, or a server of one's own (vLLM-Omni, SGLang, LocalAI, ...). The photograph is scaled onto
a canvas of a size that the server knows, its outermost pixels continued beyond it, so that nothing
is cut off or stretched; of the answer the photograph's part is taken and scaled back (Lanczos).
With `mask` the server is told which pixels to keep. It promises nothing: what it drew is measured
(see `editors.base.aligned`), and `paste_back` puts the object's own pixels into the answer.

A service's images cannot be made again: neither its weights nor its seeds are ours. What was asked
for and of whom is in the rows. Photographs leave this machine.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, Field

from covar_gen.core.arrays import Image, Json, Rejected, check_image, check_mask
from covar_gen.core.errors import ToolError
from covar_gen.core.plugins import PluginOptions
from covar_gen.core.servers import a_server, api_key, server_of
from covar_gen.editors._images_api_answers import Found, image_in
from covar_gen.editors._images_api_pictures import canvas_for, edges_of, png_of, read_answer
from covar_gen.editors.base import (
    AlignmentOptions,
    Edit,
    Editor,
    EditRequest,
    aligned,
    pasted_back,
)

_Value: TypeAlias = str | int | float | bool
_KEY_REFUSED, _UNPAID, _UNKNOWN = (401, 403), 402, (404, 405)
_LONGEST = 160
_POLICY = re.compile(
    r"moderation|content[_ ]?policy|content[_ ]?filter|content management policy|safety system"
    r"|safety_violation|responsibleaipolicy|sensitive content|flagged",
    re.IGNORECASE,
)
"""What servers call a refusal for what the photograph or the prompt shows."""
_OURS = ("image", "mask", "prompt", "model", "size", "n", "stream")
_ANSWERED = ("content_policy", "bad_output", "object_moved", "object_not_found", "empty_mask")
"""Rejections that show that the server works."""
_NO_IMAGE = ("not_an_image", "truncated", "empty_file")
_MENDS = {
    "unreachable": "Check that the server runs, and base_url",
    "too_late": "Raise timeout_s, or lower concurrency",
    "failed": "Try again later",
    "request_refused": "Correct the editor's options: model, size, quality, extra",
    "wrong_size": "Name a size that the server answers in, as size or in sizes",
    "not_an_image": "Look into the server's log for why it answers with no PNG, JPEG or WebP in "
    "data[0]; try response_format",
}
_CURED_LIKE = {
    "too_small": "wrong_size",
    "too_large": "wrong_size",
    "truncated": "not_an_image",
    "empty_file": "not_an_image",
}
_OTHERWISE = "Check that base_url is the root of a server with /images/edits"


def _a_size(text: str) -> str:
    if text not in ("auto", "photograph"):
        edges_of(text)
    return text


def _a_listed_size(text: str) -> str:
    edges_of(text)
    return text


def _not_ours(extra: dict[str, _Value]) -> dict[str, _Value]:
    taken = sorted(set(extra) & set(_OURS))
    if taken:
        raise ValueError(f"must not hold {', '.join(taken)}, which the editor sends itself")
    return extra


class ImagesApi(Editor):
    """The object before a background that a server paints."""

    class Options(AlignmentOptions):
        """Which model, where, and how it is asked.

        Attributes:
            model: its name on the server.
            base_url: root of the server, for example http://localhost:8000/v1; left out: OpenAI,
                or what the environment variable OPENAI_BASE_URL names.
            api_key_env: environment variable that holds the key.
            size: WIDTHxHEIGHT of the canvas that is sent and asked for; auto: that of `sizes`
                whose aspect is nearest the photograph's; photograph: the photograph's own, its
                edges rounded up to multiples of 16.
            sizes: what `auto` chooses from.
            mask: the object's mask is sent as the region to keep.
            paste_back: the photograph's own object is put into the answer, pixel by pixel; its
                mask is known then, and no segmenter runs.
            quality: as the server names it, for example high; left out: the server's own.
            input_fidelity: high or low, for models that know it.
            response_format: b64_json or url, for servers that need it said.
            send_seed: the item's seed (31 bits of it) is sent as `seed`, for servers that know it.
            extra: further fields of the request.
            attempts: how often an image is asked for at most, where the result cannot be used.
            concurrency: calls at the same time.
            timeout_s: seconds to wait for one answer.
            tries: how often a call is made at most, after 408, 409, 429, 5xx, a time-out or a
                lost connection.
            give_up: after so many failed calls in a row the stage stops.
        """

        model: Annotated[str, Field(min_length=1)] = "gpt-image-2-2026-04-21"
        base_url: Annotated[str, AfterValidator(a_server)] | None = None
        api_key_env: Annotated[str, Field(min_length=1)] = "OPENAI_API_KEY"
        size: Annotated[str, AfterValidator(_a_size)] = "auto"
        sizes: Annotated[
            tuple[Annotated[str, AfterValidator(_a_listed_size)], ...], Field(min_length=1)
        ] = ("1024x1024", "1536x1024", "1024x1536")
        mask: bool = True
        paste_back: bool = False
        quality: str | None = None
        input_fidelity: Literal["high", "low"] | None = None
        response_format: Literal["b64_json", "url"] | None = None
        send_seed: bool = False
        extra: Annotated[dict[str, _Value], AfterValidator(_not_ours)] = Field(default_factory=dict)
        attempts: int = Field(default=2, ge=1, le=100)
        concurrency: int = Field(default=4, ge=1, le=256)
        timeout_s: float = Field(default=180.0, gt=0)
        tries: int = Field(default=5, ge=1, le=11)
        give_up: int = Field(default=16, ge=1)

    options: Options
    requires = ("openai", "cv2")
    extra = "llm"
    repeatable = False

    def __init__(self, options: PluginOptions | None = None) -> None:
        super().__init__(options)
        self.knows_masks = self.options.paste_back
        self.model = self.options.model
        self._patience = _Patience(self.options.give_up)

    @property
    def server(self) -> str:
        """Root of the server, without user and password."""
        return server_of(self.options.base_url)

    def identity(self) -> dict[str, Json]:
        """Name, version, server, and every option that is not about when it answers."""
        ways = {"base_url", "api_key_env", "concurrency", "timeout_s", "tries", "give_up"}
        options = self.options.model_dump(mode="json", exclude=ways)
        return {**super().identity(), "options": {**options, "server": self.server}}

    def setup(self) -> None:
        """See that there is a key.

        Raises:
            ToolError: there is none.
        """
        self._key()

    def _key(self) -> str:
        return api_key(self.options.api_key_env, self._where, ToolError)

    @property
    def _where(self) -> str:
        return f"editor {self.name()}, {self.server}"

    def edit(self, batch: Sequence[EditRequest]) -> list[Edit | Rejected]:
        """Ask for all, several at a time.

        Args:
            batch: requests; each is answered by itself.

        Returns:
            Edits with the params model, server, size, answered (its size), box (left, top, width
            and height of the photograph on the canvas) and mask, and those of
            `editors.base.aligned`; or empty_mask, content_policy, no_answer, request_refused,
            wrong_size, not_an_image and its like, bad_output, object_moved, object_not_found.

        Raises:
            ToolError: no key, one that is refused or has no credit, a model that the server does
                not know; or nothing but failures.
        """
        import openai

        options = self.options
        with (
            openai.OpenAI(
                api_key=self._key(),
                base_url=options.base_url,
                timeout=options.timeout_s,
                max_retries=options.tries - 1,
            ) as client,
            ThreadPoolExecutor(options.concurrency, thread_name_prefix="asking") as pool,
        ):
            waiting = [pool.submit(self._edited, client, request) for request in batch]
            try:
                found = [future.result() for future in waiting]
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
        self._check(found)
        return found

    def _check(self, found: Sequence[Edit | Rejected]) -> None:
        """Stop where the server is at fault, not the items.

        Raises:
            ToolError: nothing has ever been answered, or nothing any more.
        """
        failed = [each for each in found if _is_failure(each)]
        if not failed or not (self._patience.is_over() or self._patience.never_answered):
            return
        first = failed[0]
        assert isinstance(first, Rejected)
        # Several causes may have one reason: only their cures differ.
        cause = str(first.params.get("cause", first.reason))
        said = first.params.get("said") or ", ".join(f"{k} {v}" for k, v in first.params.items())
        what = f"every call failed, this one: {cause} ({said})"
        cure = _CURED_LIKE.get(cause, cause)
        raise ToolError(what, where=self._where, mend=_MENDS.get(cure, _OTHERWISE))

    def _edited(self, client: Any, request: EditRequest) -> Edit | Rejected:
        image = check_image(request.image, request.key)
        mask = check_mask(request.mask, image.shape, request.key)
        if not mask.any():
            return Rejected("empty_mask")
        if self._patience.is_over():
            return Rejected("no_answer", {"cause": "failed", "said": "given up"})
        answer = self._asked(client, request)
        self._patience.note(failed=_is_failure(answer))
        if isinstance(answer, Edit):
            found = aligned(request, answer.image, self.options, answer.params)
            if isinstance(found, Edit) and self.options.paste_back:
                return pasted_back(request, found)
            return found
        return answer

    def fields(self, request: EditRequest, size: str) -> dict[str, Json]:
        """What is sent besides image and mask.

        Args:
            request: of one image.
            size: of its canvas, WIDTHxHEIGHT.
        """
        options = self.options
        chosen: dict[str, Json] = {
            name: value
            for name in ("quality", "input_fidelity", "response_format")
            if (value := getattr(options, name)) is not None
        }
        if options.send_seed:
            chosen["seed"] = request.seed % 2**31
        asked: dict[str, Json] = {"prompt": request.prompt, "model": options.model}
        return {**asked, "size": size, "n": 1, **chosen, **options.extra}

    def _asked(self, client: Any, request: EditRequest) -> Edit | Rejected:
        """The server's picture at the photograph's size."""
        import openai

        options, size = self.options, request.image.shape
        canvas = canvas_for(size, options.size, options.sizes)
        picture = canvas.picture(request.image)
        files: dict[str, Any] = {"image": ("image.png", png_of(picture), "image/png")}
        if options.mask:
            kept = canvas.kept(request.mask)
            files["mask"] = ("mask.png", png_of(picture, kept), "image/png")
        fields = self.fields(request, canvas.text)
        prompt = fields.pop("prompt")
        try:
            answer = client.images.with_raw_response.edit(prompt=prompt, **files, extra_body=fields)
        except (openai.OpenAIError, ValueError) as error:
            return self._failed(error, client.api_key)
        given = image_in(answer.content, self.server, options.timeout_s, options.tries)
        levels = given if isinstance(given, Rejected) else _levels(given, client.api_key)
        found = levels if isinstance(levels, Rejected) else canvas.back(levels, size)
        params: dict[str, Json] = {
            "server": self.server,
            "size": canvas.text,
            "box": list(canvas.box),
            "mask_sent": options.mask,
        }
        if isinstance(found, Rejected):
            about = {**params, **found.params}
            if "said" in about:
                about["said"] = str(about["said"]).replace(client.api_key, "***")
            return Rejected(found.reason, about, again=found.again)
        assert not isinstance(levels, Rejected)
        params["answered"] = f"{levels.shape[1]}x{levels.shape[0]}"
        return Edit(found, params=params)

    def _failed(self, error: Exception, key: str) -> Rejected:
        """What the client raised, after its tries."""
        import openai

        said = " ".join(str(error).replace(key, "***").split())[:_LONGEST]
        status, code = getattr(error, "status_code", None), str(getattr(error, "code", None) or "")
        if isinstance(error, openai.APITimeoutError):
            said = f"no answer within {self.options.timeout_s:g} s"
            return Rejected("no_answer", {"cause": "too_late", "said": said})
        if isinstance(error, openai.APIConnectionError):
            return Rejected("no_answer", {"cause": "unreachable", "said": said})
        # Some servers refuse with 403 what is no question of the key.
        if status in (400, 403, 422) and _POLICY.search(f"{code} {error}"):
            return Rejected("content_policy", {"said": said})
        if status in _KEY_REFUSED:
            mend = f"Check the environment variable {self.options.api_key_env}"
            raise ToolError(f"the key is refused ({said})", where=self._where, mend=mend)
        if status == _UNPAID or "insufficient_quota" in code:
            mend = "Check the account of the key"
            raise ToolError(f"no credit is left ({said})", where=self._where, mend=mend)
        if status in _UNKNOWN:
            what = f"the server edits no images, or knows no model {self.options.model!r} ({said})"
            raise ToolError(what, where=self._where, mend="Check the editor's model and base_url")
        if isinstance(error, openai.APIStatusError) and error.status_code < 500:  # noqa: PLR2004
            if error.status_code in (408, 409, 429):
                return Rejected("no_answer", {"cause": "failed", "said": said})
            return Rejected("request_refused", {"said": said})
        return Rejected("no_answer", {"cause": "failed", "said": said})


def _levels(given: Found, key: str) -> Image | Rejected:
    """The pixels of what the server gave; what is wrong with it says what it is instead."""
    levels = read_answer(given.data)
    if isinstance(levels, Rejected) and levels.reason in _NO_IMAGE:
        return Rejected(levels.reason, {"said": given.said(key)})
    return levels


def _is_failure(answer: Edit | Rejected) -> bool:
    return isinstance(answer, Rejected) and answer.reason not in _ANSWERED


class _Patience:
    """Counts failures in a row, over all threads."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._failures = 0
        self._lock = threading.Lock()
        self.never_answered = True

    def is_over(self) -> bool:
        return self._failures >= self._limit

    def note(self, *, failed: bool) -> None:
        with self._lock:
            self.never_answered &= failed
            # What was given up stays given up: calls under way may still come back.
            if not self.is_over():
                self._failures = self._failures + 1 if failed else 0
