"""A real server that answers well, late, wrongly, or not at all: nothing is ever made up."""

from __future__ import annotations

import base64
import io
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow
from skimage import data

from covar_gen.commands.verify import verify
from covar_gen.core.arrays import Image, Mask, Rejected
from covar_gen.core.errors import RecipeError, ToolError
from covar_gen.core.plugins import make
from covar_gen.core.store import Run
from covar_gen.editors.base import Edit, Editor, EditRequest

KEY = "secret-key-of-the-test"


@dataclass(frozen=True, eq=False)
class Asked:
    """A request as it arrived: fields, and the pixels of its files."""

    fields: dict[str, str]
    image: Pillow.Image
    mask: Pillow.Image | None
    key: str | None


class Reply(NamedTuple):
    """What the server sends."""

    status: int
    body: bytes
    headers: Mapping[str, str] = MappingProxyType({})


Answer = Callable[[Asked], Reply]


def png(picture: Pillow.Image | Image) -> bytes:
    stream = io.BytesIO()
    found = picture if isinstance(picture, Pillow.Image) else Pillow.fromarray(picture)
    found.save(stream, "PNG")
    return stream.getvalue()


def holding(image: bytes) -> Reply:
    encoded = base64.b64encode(image).decode()
    return Reply(200, json.dumps({"created": 0, "data": [{"b64_json": encoded}]}).encode())


def failure(status: int, message: str, code: str = "", **headers: str) -> Reply:
    body = {"error": {"message": message, "type": "x", "code": code or None}}
    return Reply(status, json.dumps(body).encode(), headers)


def repainted(asked: Asked) -> Reply:
    """What an obedient server does: green wherever the mask is transparent."""
    picture = np.asarray(asked.image.convert("RGB")).copy()
    if asked.mask is not None:
        picture[np.asarray(asked.mask)[..., 3] == 0] = (10, 160, 40)
    return holding(png(picture))


class Server(ThreadingHTTPServer):
    """Speaks /v1/images/edits; `answer` gives the reply to a request, `files` what GET finds."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer: Answer = repainted
        self.files: dict[str, list[Reply]] = {}
        self.requests: list[Asked] = []
        self.times: list[float] = []
        self.at_once = self.most_at_once = 0
        self.lock = threading.Lock()
        self.ended = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def handle_error(self, *_: object) -> None:
        """A client that hung up is no failure of the test."""


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path != "/v1/images/edits":
            self.reply(failure(404, "no such path"))
            return
        asked = parsed(self.headers["Content-Type"], body, self.headers["Authorization"])
        with self.server.lock:
            self.server.requests.append(asked)
            self.server.times.append(time.monotonic())
            self.server.at_once += 1
            self.server.most_at_once = max(self.server.most_at_once, self.server.at_once)
        reply = self.server.answer(asked)
        with self.server.lock:
            self.server.at_once -= 1
        self.reply(reply)

    def do_GET(self) -> None:
        waiting = self.server.files.get(self.path.partition("?")[0], [])
        self.reply(waiting.pop(0) if waiting else Reply(404, b""))

    def reply(self, reply: Reply) -> None:
        self.send_response(reply.status)
        for name, value in {"retry-after-ms": "1", **reply.headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


def parsed(kind: str, body: bytes, key: str | None) -> Asked:
    """A multipart body's fields and files."""
    found = re.fullmatch(r"multipart/form-data; boundary=(.+)", kind)
    assert found
    fields: dict[str, str] = {}
    files: dict[str, Pillow.Image] = {}
    for part in body.split(b"--" + found[1].encode())[1:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        name = re.search(rb'name="([^"]+)"', head)
        assert name
        if b"filename=" in head:
            assert b"Content-Type: image/png" in head
            files[name[1].decode()] = Pillow.open(io.BytesIO(content[:-2]))
        else:
            fields[name[1].decode()] = content[:-2].decode()
    return Asked(fields, files["image"], files.get("mask"), key)


@pytest.fixture
def server(
    serve: Callable[[Server], Server], no_accounts: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Server]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    running = serve(Server())
    yield running
    running.ended.set()


def editor(server: Server, **options: Any) -> Editor:
    given = {"base_url": server.url, "sizes": ["96x96", "144x96", "96x144"], **options}
    return make("editors", "images_api", Editor, given, "backgrounds.editor")


def cup() -> tuple[Image, Mask]:
    """A photograph of 90 x 60 pixels and its object."""
    image = cv2.resize(data.coffee(), (90, 60), interpolation=cv2.INTER_AREA)
    mask = np.zeros((60, 90), np.uint8)
    cv2.ellipse(mask, (45, 28), (22, 20), 0, 0, 360, 1, -1)
    return image, mask > 0


def request(number: int = 1, **changes: Any) -> EditRequest:
    image, mask = cup()
    given: dict[str, Any] = {
        "key": f"cup/1/{number:02d}",
        "image": image,
        "mask": mask,
        "class_name": "cup",
        "background_id": number,
        "background": "beach",
        "prompt": f"Put the cup on beach {number}",
        "seed": 2**40 + number,
    }
    return EditRequest(**{**given, **changes})


def one(server: Server, asked: EditRequest | None = None, **options: Any) -> Edit | Rejected:
    """The answer to one request, beside another one that is answered well and forgotten."""
    answer = server.answer

    def answered(asked: Asked) -> Reply:
        if not asked.fields["prompt"].endswith(" 99"):
            return answer(asked)
        with server.lock:
            place = server.requests.index(asked)
            del server.requests[place], server.times[place]
        return repainted(asked)

    server.answer = answered
    try:
        first, found = editor(server, **options).edit([request(99), asked or request()])
    finally:
        server.answer = answer
    assert isinstance(first, Edit)
    return found


def test_the_background_is_the_server_s_and_the_object_where_the_mask_keeps_it(
    server: Server,
) -> None:
    image, mask = cup()
    found = one(server)
    assert isinstance(found, Edit)
    assert found.image.shape == image.shape
    inner = cv2.erode(mask.astype(np.uint8), np.ones((7, 7))) > 0
    outer = cv2.dilate(mask.astype(np.uint8), np.ones((9, 9))) == 0
    assert np.abs(found.image[inner].astype(int) - image[inner]).mean() < 4
    assert np.abs(found.image[outer].astype(int) - (10, 160, 40)).max() < 12
    # A service promises nothing.
    assert found.known_pixel_max_diff is None
    assert found.mask is None
    assert found.transform is None
    assert found.columns["object_scale"] == pytest.approx(1, abs=0.02)
    assert found.columns["object_shift_x"] == pytest.approx(0, abs=0.01)
    assert found.params == {
        "server": server.url,
        "size": "144x96",
        "box": [0, 0, 144, 96],
        "mask_sent": True,
        "answered": "144x96",
    }


def test_the_request_says_what_the_endpoint_asks_for(server: Server) -> None:
    one(server, quality="high", extra={"steps": 4}, send_seed=True, response_format="b64_json")
    (asked,) = server.requests
    assert asked.fields == {
        "prompt": "Put the cup on beach 1",
        "model": "gpt-image-2-2026-04-21",
        "size": "144x96",
        "n": "1",
        "quality": "high",
        "steps": "4",
        "seed": str((2**40 + 1) % 2**31),
        "response_format": "b64_json",
    }
    assert asked.key == f"Bearer {KEY}"
    assert asked.image.mode == "RGB"
    assert asked.mask is not None
    assert asked.mask.size == asked.image.size == (144, 96)
    alpha = np.asarray(asked.mask)[..., 3]
    assert set(np.unique(alpha)) == {0, 255}
    _, mask = cup()
    assert (alpha > 0).mean() == pytest.approx(mask.mean(), abs=0.03)
    assert alpha[48, 72] == 255
    assert alpha[0, 0] == 0


def test_only_what_is_chosen_is_sent(server: Server) -> None:
    server.answer = lambda asked: holding(png(asked.image))
    one(server, mask=False)
    (asked,) = server.requests
    assert asked.mask is None
    assert set(asked.fields) == {"prompt", "model", "size", "n"}


def test_a_photograph_of_another_aspect_is_neither_cut_nor_stretched(server: Server) -> None:
    image, _ = cup()
    server.answer = lambda asked: holding(png(asked.image))
    found = one(server, size="128x160")
    assert isinstance(found, Edit)
    assert found.params["box"] == [0, 37, 128, 85]
    sent = np.asarray(server.requests[0].image)
    assert sent.shape == (160, 128, 3)
    # Beyond the photograph its outermost rows are continued.
    assert np.array_equal(sent[0], sent[37])
    assert np.array_equal(sent[-1], sent[121])
    assert np.abs(found.image.astype(int) - image).mean() < 3


def test_the_photograph_s_own_size_is_sent_in_multiples_of_16_and_comes_back_exactly(
    server: Server,
) -> None:
    image, _ = cup()
    server.answer = lambda asked: holding(png(asked.image))
    found = one(server, size="photograph")
    assert isinstance(found, Edit)
    assert server.requests[0].fields["size"] == "96x64"
    assert np.array_equal(found.image, image)


@pytest.mark.parametrize(
    ("size", "wanted"),
    [((60, 90), "144x96"), ((90, 60), "96x144"), ((60, 60), "96x96"), ((50, 60), "96x96")],
)
def test_auto_takes_the_size_whose_aspect_is_nearest(
    server: Server, size: tuple[int, int], wanted: str
) -> None:
    image, mask = cup()
    image = cv2.resize(image, size[::-1])
    mask = cv2.resize(mask.astype(np.uint8), size[::-1]) > 0
    one(server, request(image=image, mask=mask))
    assert server.requests[0].fields["size"] == wanted


def test_a_canvas_that_comes_back_larger_is_scaled_back(server: Server) -> None:
    image, _ = cup()
    server.answer = lambda asked: holding(png(asked.image.resize((288, 192))))
    found = one(server)
    assert isinstance(found, Edit)
    assert found.params["answered"] == "288x192"
    assert np.abs(found.image.astype(int) - image).mean() < 3


def test_an_answer_of_another_aspect_is_refused_instead_of_stretched(server: Server) -> None:
    server.answer = lambda asked: holding(png(asked.image.resize((100, 100))))
    found = one(server)
    assert isinstance(found, Rejected)
    assert found.reason == "wrong_size"
    assert found.params["asked"] == "144x96"
    assert found.params["answered"] == "100x100"


def test_the_object_s_own_pixels_are_pasted_back_exactly(server: Server) -> None:
    image, mask = cup()
    found = one(server, paste_back=True)
    assert isinstance(found, Edit)
    assert np.array_equal(found.image[mask], image[mask])
    assert found.known_pixel_max_diff == 0
    assert found.mask is not None
    assert np.array_equal(found.mask, mask)
    assert found.transform is not None
    assert np.array_equal(found.transform, np.eye(3))
    assert found.params["pasted_back"] is True


def test_the_answer_follows_image_mask_prompt_and_seed(server: Server) -> None:
    def painted(asked: Asked) -> Reply:
        """Like a model: all that is sent decides the background."""
        said = json.dumps(asked.fields, sort_keys=True)
        colours = np.random.default_rng(list(said.encode())).integers(0, 255, (96, 144, 3))
        picture = np.asarray(asked.image).copy()
        assert asked.mask is not None
        free = np.asarray(asked.mask)[..., 3] == 0
        picture[free] = colours[free]
        return holding(png(picture))

    server.answer = painted
    image, mask = cup()
    other = request(1, prompt="Put the cup on ice")
    asked = [
        request(),
        request(1, image=image[:, ::-1].copy()),
        request(1, mask=mask[::-1].copy()),
        other,
        request(1, seed=5),
        request(),
    ]
    found = editor(server, send_seed=True).edit(asked)
    pictures = [each.image.tobytes() for each in found if isinstance(each, Edit)]
    assert len(set(pictures)) == 5
    assert pictures[0] == pictures[-1]


def test_answers_keep_their_order_and_calls_are_made_several_at_a_time(server: Server) -> None:
    def slowly(asked: Asked) -> Reply:
        number = int(asked.fields["prompt"].rpartition(" ")[2])
        time.sleep(0.02 * (8 - number))
        picture = np.asarray(asked.image).copy()
        picture[:4] = number * 20
        return holding(png(picture))

    server.answer = slowly
    found = editor(server, concurrency=4).edit([request(number) for number in range(8)])
    assert [round(float(e.image[0].mean()) / 20) for e in found if isinstance(e, Edit)] == list(
        range(8)
    )
    assert server.most_at_once == 4


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_is_busy_is_asked_again_until_it_answers(server: Server, status: int) -> None:
    replies = [failure(status, "busy")] * 2
    server.answer = lambda asked: replies.pop() if replies else repainted(asked)
    assert isinstance(one(server, tries=3), Edit)
    assert len(server.requests) == 3


def test_the_pause_that_the_server_asks_for_is_kept(server: Server) -> None:
    pause = {"retry-after-ms": "400"}
    replies = [failure(429, "slow down", **pause)]
    server.answer = lambda asked: replies.pop() if replies else repainted(asked)
    assert isinstance(one(server, tries=2), Edit)
    assert 0.35 < server.times[1] - server.times[0] < 3


def test_an_item_without_an_answer_is_rejected_and_says_why(server: Server) -> None:
    server.answer = lambda _: failure(500, f"broken, key {KEY}")
    found = one(server, tries=2)
    assert isinstance(found, Rejected)
    assert found.reason == "no_answer"
    assert "broken" in str(found.params["said"])
    assert KEY not in str(found.params)
    assert len(server.requests) == 2


def test_an_answer_that_comes_too_late_is_none(server: Server) -> None:
    def hang(_: Asked) -> Reply:
        server.ended.wait(30)
        return Reply(200, b"")

    server.answer = hang
    found = one(server, tries=1, timeout_s=0.3)
    assert found == Rejected("no_answer", {"cause": "too_late", "said": "no answer within 0.3 s"})


@pytest.mark.parametrize(
    "body",
    [b"<html>welcome</html>", b"", b"[]", b"null", b'{"data": []}', b'{"data": [{}]}',
     b'{"data": [{"b64_json": "***"}]}', b'{"data": [{"url": "file:///etc/passwd"}]}'],
)  # fmt: skip
def test_an_answer_without_an_image_is_rejected(server: Server, body: bytes) -> None:
    server.answer = lambda _: Reply(200, body, {"Content-Type": "application/json"})
    found = one(server)
    assert isinstance(found, Rejected)
    assert found.reason == "not_an_image"
    assert not found.again


def test_a_server_cannot_make_the_editor_read_a_file_of_this_machine(
    server: Server, tmp_path: Path
) -> None:
    image, _ = cup()
    place = tmp_path / "private.png"
    place.write_bytes(png(cv2.resize(image, (144, 96))))
    server.answer = lambda _: Reply(200, json.dumps({"data": [{"url": place.as_uri()}]}).encode())
    found = one(server)
    assert isinstance(found, Rejected)
    assert found.reason == "not_an_image"


def test_bytes_that_are_no_image_are_rejected(server: Server) -> None:
    server.answer = lambda _: holding(b"these are words")
    found = one(server)
    assert isinstance(found, Rejected)
    assert found.reason == "not_an_image"
    server.answer = lambda asked: holding(png(asked.image)[:900])
    cut = one(server)
    assert isinstance(cut, Rejected)
    assert cut.reason == "truncated"


def test_base64_that_is_no_image_ends_the_stage_with_what_came_from_where_and_what_to_do(
    server: Server,
) -> None:
    server.answer = lambda _: holding(b"these are words")
    with pytest.raises(ToolError) as caught:
        editor(server).edit([request()])
    assert caught.value.line() == (
        f"ToolError: editor images_api, {server.url}: every call failed, this one: not_an_image "
        "(15 bytes in b64_json of the answer: text that begins 'these are words'). Look into the "
        "server's log for why it answers with no PNG, JPEG or WebP in data[0]; try response_format"
    )


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"<!DOCTYPE html><title>Log in</title>", "a page of HTML that begins '<!DOCTYPE html><t"),
        (b'{"detail": "CUDA error"}', 'JSON that begins \'{"detail": "CUDA error'),
        (b"%PDF-1.7 ...", "a PDF"),
        (b"<?xml version='1.0'?>\n<svg xmlns='x'/>", "an SVG drawing"),
        (b"\0\0\0\x20ftypisom....", "a video"),
        (b"\x89PNG\r\n\x1a\nrubbish", "a PNG"),
        (bytes(range(64)), "no known kind of file, it begins with the bytes 00 01 02 03 04 05"),
        (b"\xff\xfe\xfd" * 9, "no known kind of file, it begins with the bytes ff fe fd"),
        (b"x" + "\u00e9".encode() * 200, "text that begins 'x\u00e9\u00e9"),
    ],
    ids=["html", "json", "pdf", "svg", "video", "png", "binary", "no utf-8", "text"],
)
def test_what_came_instead_of_an_image_is_told_from_its_first_bytes(
    server: Server, data: bytes, said: str
) -> None:
    server.answer = lambda _: holding(data)
    found = one(server)
    assert isinstance(found, Rejected)
    assert found.reason == "not_an_image"
    told = str(found.params["said"])
    assert told.startswith(f"{len(data)} bytes in b64_json of the answer: {said}")
    assert len(told) < 120


def test_what_is_no_image_behind_an_address_is_told_with_the_address(server: Server) -> None:
    server.files["/made/1.png"] = [Reply(200, b"<html>please log in")]
    link = f"http://127.0.0.1:{server.server_port}/made/1.png"
    body = json.dumps({"data": [{"url": f"{link}?signature=secret"}]}).encode()
    server.answer = lambda _: Reply(200, body)
    found = one(server)
    assert isinstance(found, Rejected)
    assert found.params["said"] == (
        f"19 bytes in the file at {link}: a page of HTML that begins '<html>please log in'"
    )


def test_a_field_that_is_no_base64_or_empties_or_ends_too_early_is_told(server: Server) -> None:
    def said(b64: str) -> tuple[str, str]:
        body = json.dumps({"data": [{"b64_json": b64}]}).encode()
        server.answer = lambda _: Reply(200, body)
        found = one(server)
        assert isinstance(found, Rejected)
        return found.reason, str(found.params["said"])

    assert said("*** no ***") == (
        "not_an_image",
        "b64_json of the answer is no base64, it begins '*** no ***'",
    )
    assert said("data:image/png;base64,") == (
        "empty_file",
        "0 bytes in b64_json of the answer: nothing",
    )
    cut = png(cv2.resize(cup()[0], (144, 96)))[:900]
    assert said(base64.b64encode(cut).decode()) == (
        "truncated",
        "900 bytes in b64_json of the answer: a PNG",
    )


def test_a_key_that_the_server_sends_back_is_not_kept(server: Server) -> None:
    server.answer = lambda _: holding(f"{KEY} it was".encode())
    found = one(server)
    assert isinstance(found, Rejected)
    assert KEY not in str(found.params)
    assert "'*** it" in str(found.params["said"])
    server.answer = lambda _: Reply(200, f"<html>{KEY} is your key".encode())
    found = one(server)
    assert isinstance(found, Rejected)
    assert found.params["said"] == "<html>*** is your key"


def test_an_answer_of_another_kind_says_to_check_the_address(server: Server) -> None:
    server.answer = lambda _: Reply(200, b"<html>welcome</html>")
    with pytest.raises(ToolError, match="welcome") as caught:
        editor(server).edit([request()])
    assert "Check that base_url is the root of a server with /images/edits" in caught.value.line()
    server.answer = lambda _: Reply(200, b"")
    with pytest.raises(ToolError, match=r"this one: no_image \(an empty answer\)"):
        editor(server).edit([request()])


@pytest.mark.parametrize(
    ("colour", "output"),
    [
        ((0, 0, 0, 255), "black"),
        ((250, 250, 250, 255), "one_colour"),
        ((9, 99, 0, 99), "transparent"),
    ],
)
def test_an_empty_picture_is_rejected_and_asked_for_again(
    server: Server, colour: tuple[int, int, int, int], output: str
) -> None:
    server.answer = lambda asked: holding(png(Pillow.new("RGBA", asked.image.size, colour)))
    found = one(server)
    assert isinstance(found, Rejected)
    assert found.reason == "bad_output"
    assert found.params["output"] == output
    assert found.again
    assert editor(server, attempts=3).attempts == 3


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("Your request was rejected by the safety system.", "moderation_blocked"),
        ("Your request was rejected", "content_policy_violation"),
        ("The response was filtered by Azure's content management policy.", "contentFilter"),
    ],
)
def test_a_refusal_for_what_is_shown_has_a_reason_of_its_own(
    server: Server, message: str, code: str
) -> None:
    server.answer = lambda _: failure(400, message, code)
    found = one(server)
    assert isinstance(found, Rejected)
    assert found.reason == "content_policy"
    assert message[:20] in str(found.params["said"])
    assert len(server.requests) == 1


def test_any_other_refusal_is_not_taken_for_one_of_the_content(server: Server) -> None:
    server.answer = lambda _: failure(400, "Invalid size", "invalid_value")
    found = one(server)
    assert isinstance(found, Rejected)
    assert found.reason == "request_refused"
    assert "Invalid size" in str(found.params["said"])


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (failure(401, "Incorrect API key"), "the key is refused"),
        (failure(403, "not for you"), "the key is refused"),
        (failure(402, "pay first"), "no credit is left"),
        (failure(429, "You exceeded your quota", "insufficient_quota"), "no credit is left"),
        (failure(404, "no such model"), "knows no model 'gpt-image-2-2026-04-21'"),
    ],
)
def test_what_holds_for_every_item_ends_the_stage(server: Server, reply: Reply, said: str) -> None:
    server.answer = lambda _: reply
    with pytest.raises(ToolError, match=said) as caught:
        one(server, tries=1)
    assert KEY not in caught.value.line()
    assert server.url in caught.value.line()


def test_a_server_that_is_not_there_ends_the_stage_in_one_line(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    plugin = editor(server, base_url=f"http://127.0.0.1:{port}/v1", tries=1)
    with pytest.raises(ToolError, match="unreachable") as caught:
        plugin.edit([request(number) for number in range(3)])
    assert "Check that the server runs, and base_url" in caught.value.line()


def test_a_server_that_fails_on_the_very_first_items_ends_the_stage(server: Server) -> None:
    server.answer = lambda _: holding(b"these are words")
    with pytest.raises(ToolError, match="not_an_image"):
        editor(server).edit([request()])
    server.answer = lambda _: failure(400, "Invalid value: 'size'")
    with pytest.raises(ToolError, match="Invalid value"):
        editor(server).edit([request(number) for number in range(2)])


def test_one_failure_beside_answers_is_a_row(server: Server) -> None:
    def mostly(asked: Asked) -> Reply:
        bad = asked.fields["prompt"].endswith(" 1")
        return failure(500, "broken") if bad else repainted(asked)

    server.answer = mostly
    found = editor(server, tries=1).edit([request(number) for number in range(4)])
    assert [isinstance(each, Edit) for each in found] == [True, False, True, True]


def test_after_many_failures_in_a_row_nothing_more_is_asked(server: Server) -> None:
    plugin = editor(server, tries=1, give_up=3, concurrency=1)
    plugin.edit([request()])
    server.requests.clear()
    server.answer = lambda _: failure(503, "gone")
    with pytest.raises(ToolError, match="gone"):
        plugin.edit([request(number) for number in range(10)])
    assert len(server.requests) == 3


def test_a_policy_that_refuses_everything_is_not_a_server_that_fails(server: Server) -> None:
    server.answer = lambda _: failure(400, "rejected by the safety system", "moderation_blocked")
    found = editor(server, give_up=2).edit([request(number) for number in range(4)])
    assert [each.reason for each in found if isinstance(each, Rejected)] == ["content_policy"] * 4


def test_an_image_behind_an_address_is_fetched_and_tried_again(server: Server) -> None:
    image, _ = cup()
    picture = png(cv2.resize(image, (144, 96)))
    server.files["/made/1.png"] = [Reply(503, b""), Reply(200, picture)]
    link = f"http://127.0.0.1:{server.server_port}/made/1.png?signature=secret"
    server.answer = lambda _: Reply(200, json.dumps({"data": [{"url": link}]}).encode())
    assert isinstance(one(server, response_format="url", tries=2), Edit)
    relative = json.dumps({"data": [{"url": "/made/2.png"}]}).encode()
    server.files["/made/2.png"] = [Reply(200, picture)]
    server.answer = lambda _: Reply(200, relative)
    assert isinstance(one(server), Edit)
    server.answer = lambda _: Reply(200, json.dumps({"data": [{"url": link}]}).encode())
    gone = one(server, tries=1)
    assert isinstance(gone, Rejected)
    assert gone.reason == "no_answer"
    assert "secret" not in str(gone.params)


@pytest.mark.parametrize(("size", "of"), [("big", "size"), ("0x96", "size"), ("96", "size")])
def test_a_size_that_is_none_is_refused(server: Server, size: str, of: str) -> None:
    with pytest.raises(RecipeError, match="1024x1024"):
        editor(server, **{of: size})


def test_what_the_editor_sends_itself_cannot_be_sent_twice(server: Server) -> None:
    with pytest.raises(RecipeError, match="must not hold n, prompt"):
        editor(server, extra={"prompt": "x", "n": 2})


def test_an_address_with_a_password_is_refused(server: Server) -> None:
    with pytest.raises(RecipeError, match="OPENAI_BASE_URL"):
        editor(server, base_url="https://me:secret@server/v1")


def test_without_a_key_nothing_begins(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(ToolError, match="export OPENAI_API_KEY"):
        editor(server).setup()


def test_without_an_object_nothing_is_asked(server: Server) -> None:
    _, mask = cup()
    assert one(server, request(mask=np.zeros_like(mask))) == Rejected("empty_mask")
    assert not server.requests


def test_the_identity_says_of_whom_and_what_is_asked_and_not_how_fast(server: Server) -> None:
    plain = editor(server).identity()
    assert editor(server, concurrency=9, timeout_s=1, tries=2, give_up=3).identity() == plain
    assert editor(server, quality="low").identity() != plain
    assert editor(server, alignment="refuse").identity() != plain
    assert editor(server, base_url="http://other/v1").identity() != plain
    assert KEY not in json.dumps(plain)
    assert editor(server, model="m").model == "m"


RECIPE = """
name = "asked"
[classes]
source = "folder"
path = "photographs"
size = 96
[masks]
segmenter = "grabcut"
[masks.options.grabcut]
working_edge = 48
[backgrounds]
editor = "images_api"
backgrounds = [
    {{background_id = 1, description = "beach"}},
    {{background_id = 2, description = "river"}},
    {{background_id = 3, description = "battlefield"}},
]
[backgrounds.options.images_api]
base_url = "{url}"
sizes = ["96x96", "144x96"]
tries = 1
alignment = "refuse"
"""


TABLES = ["sources", "masks_sources", "backgrounds"]


@pytest.fixture
def recipe(server: Server, tmp_path: Path) -> Path:
    """Two photographs before three backgrounds of the server's."""
    for name, picture in (("thing", data.coffee()), ("pet", data.chelsea())):
        (tmp_path / "photographs" / name).mkdir(parents=True)
        Pillow.fromarray(picture).save(tmp_path / "photographs" / name / "1.png")
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE.format(url=server.url))
    return path


def test_a_run_whose_server_is_not_there_ends_and_goes_on_when_it_is(
    server: Server, recipe: Path, steps: Callable[..., Run]
) -> None:
    server.answer = lambda _: failure(503, "still loading")
    with pytest.raises(ToolError, match="still loading"):
        steps("run", TABLES)
    server.answer = repainted
    run = steps("run", TABLES)
    rows = run.table("backgrounds", ["reason", "attempt"]).to_pylist()
    assert [row["reason"] for row in rows] == [None] * 6


def test_verify_asks_no_server_again(
    server: Server, steps: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    paste = {"backgrounds.options.images_api.paste_back": True}
    run = steps("run", [*TABLES, "masks_backgrounds", "manifest"], **paste)
    asked = len(server.requests)
    monkeypatch.delenv("OPENAI_API_KEY")
    found = verify(run, sample=2)
    assert not found.problems
    assert found.left_out == ["backgrounds: nobody can make the images of images_api again"]
    assert found.remade == 2
    assert len(server.requests) == asked
    masks = run.table("masks_backgrounds", ["tool"])["tool"].to_pylist()
    assert masks == ["by_construction"] * 6


def test_a_run_keeps_what_was_measured_and_a_row_for_what_was_refused(
    server: Server, steps: Callable[..., Run], tmp_path: Path
) -> None:
    def drawn(asked: Asked) -> Reply:
        if "battlefield" in asked.fields["prompt"]:
            return failure(400, "rejected by the safety system", "moderation_blocked")
        picture = np.asarray(asked.image)
        # A seventh of the picture's width to the right.
        shift = picture.shape[1] // 7 if "river" in asked.fields["prompt"] else 0
        matrix = np.array([[1.0, 0, shift], [0, 1, 0]])
        size = (picture.shape[1], picture.shape[0])
        moved = cv2.warpAffine(picture, matrix, size, borderMode=cv2.BORDER_REFLECT)
        return holding(png(moved))

    server.answer = drawn
    run = steps("run", TABLES)
    rows = {row["key"]: row for row in run.table("backgrounds").to_pylist()}
    assert len(rows) == 6
    for source in ("thing/1", "pet/1"):
        kept, shifted, refused = (rows[f"{source}/{number:02d}"] for number in (1, 2, 3))
        assert kept["status"] == "ok"
        assert kept["model"] == "gpt-image-2-2026-04-21"
        assert kept["object_scale"] == pytest.approx(1, abs=0.02)
        assert kept["object_shift_x"] == pytest.approx(0, abs=0.01)
        assert kept["object_match"] > 0.8
        assert shifted["reason"] == "object_moved"
        assert shifted["object_shift_x"] == pytest.approx(1 / 7, abs=0.02)
        # It was asked for again, with the next seed.
        assert shifted["attempt"] == 1
        assert refused["reason"] == "content_policy"
        assert refused["object_scale"] is None
    assert sum("river" in asked.fields["prompt"] for asked in server.requests) == 4
    stored = (tmp_path / "run" / "recipe.toml").read_text()
    made_with = (tmp_path / "run" / "tables" / "backgrounds" / "made_with.json").read_text()
    assert KEY not in stored + made_with
