"""How much of an answer is taken, how long it may take, and when it is a failure; against real servers."""

import base64
import gzip
import json
import socket
import threading
import time
import tracemalloc
import zlib
from datetime import timedelta
from typing import Any

import pytest

from durable_host.core.http_messages import HttpRetryFields
from durable_host.durable_http import activity, body
from durable_host.durable_http.errors import (
    HttpConnectionError,
    HttpContentError,
    HttpStatusError,
    HttpTimeoutError,
)
from tests.durable_http.server import Handler, Server
from tests.services import PATIENCE

from .conftest import Configure, send

pytestmark = pytest.mark.usefixtures("loopback")

# --- the size of the answer -----------------------------------------------------------------------------------------

LIMIT = 10_000


@pytest.fixture
def small(configure: Configure) -> None:
    configure(HTTP_ALLOW_PRIVATE=True, MAX_PAYLOAD_BYTES=LIMIT)


@pytest.mark.usefixtures("small")
def test_an_answer_of_the_limit_is_taken_and_no_larger_one(server: Server) -> None:
    server.answer("/fits", 200, "x" * LIMIT)
    server.answer("/large", 200, "x" * (LIMIT + 1))
    assert len(send("GET", server.url("/fits"))["content"]) == LIMIT
    with pytest.raises(HttpContentError, match="larger than 10,000 bytes"):
        send("GET", server.url("/large"))


@pytest.mark.usefixtures("small")
def test_an_endless_answer_is_cut_off(server: Server) -> None:
    def endless(handler: Handler) -> None:
        handler.send_response(200)
        handler.end_headers()
        try:
            while True:
                handler.wfile.write(b"x" * 1000)
        except OSError:
            handler.close_connection = True

    server.routes["/"] = endless
    with pytest.raises(HttpContentError, match="larger"):
        send("GET", server.url())


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress, lambda data: gzip.compress(data[:1]) * len(data)])
def test_a_compressed_answer_is_unpacked_up_to_the_limit(server: Server, pack: Any) -> None:
    server.answer("/fits", 200, pack(b"xyz"), Content_Encoding="gzip")
    assert len(send("GET", server.url("/fits"))["content"]) == 3
    server.answer("/bomb", 200, gzip.compress(b"x" * 5_000_000), Content_Encoding="gzip")
    with pytest.raises(HttpContentError, match="larger"):
        send("GET", server.url("/bomb"))


def test_a_bomb_is_not_even_unpacked() -> None:
    bomb = gzip.compress(b"x" * 50_000_000, compresslevel=9)
    tracemalloc.start()
    try:
        with pytest.raises(HttpContentError, match="larger"):
            body._unpack(bomb, LIMIT)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("content", "encoding", "words"), [
    (gzip.compress(b"abc", mtime=0)[:-4], "gzip", "ends too early"), (b"nonsense", "gzip", "cannot be decompressed"),
    (b"x", "br", "'br'"), (b"a\0b", "identity", "NUL"),
])  # fmt: skip
def test_an_answer_that_is_no_text_fails(server: Server, content: bytes, encoding: str, words: str) -> None:
    server.answer("/", 200, content, Content_Encoding=encoding)
    with pytest.raises(HttpContentError, match=words):
        send("GET", server.url())


@pytest.mark.parametrize(("body", "type_", "text"), [
    ("ü".encode("latin-1"), "text/plain; charset=iso-8859-1", "ü"), ("ü".encode(), "text/plain", "ü"),
    (b"\xff", "text/plain", "\ufffd"), ("ü".encode(), "text/plain; charset=nonsense", "ü"),
    (b"+2AA-", "text/plain; charset=utf-7", "+2AA-"), (b"YQ==", "text/plain; charset=base64", "YQ=="),
    (rb"\ud800", "text/plain; charset=unicode_escape", r"\ud800"),
])  # fmt: skip
def test_the_charset_is_what_the_answer_says(server: Server, body: bytes, type_: str, text: str) -> None:
    server.answer("/", 200, body, Content_Type=type_)
    assert send("GET", server.url())["content"] == text


def test_the_answer_is_json_that_can_be_stored(server: Server) -> None:
    server.answer("/", 200, base64.b64encode(b"x"))
    json.dumps(send("GET", server.url()), allow_nan=False)


# --- time -----------------------------------------------------------------------------------------------------------


def drip(handler: Handler) -> None:
    """Keep every single read short, and never end."""
    handler.send_response(200)
    handler.end_headers()
    try:
        while True:
            handler.wfile.write(b"x")
            time.sleep(0.05)
    except OSError:
        handler.close_connection = True


def test_the_callers_limit_ends_a_slow_answer(server: Server) -> None:
    server.routes["/"] = drip
    with pytest.raises(TimeoutError, match=r"Reached user specified timeout: 00:00:00\.300000\.") as caught:
        send("GET", server.url(), timeout=timedelta(seconds=0.3))
    assert type(caught.value) is TimeoutError


def test_the_hosts_limit_ends_a_slow_answer(server: Server, configure: Configure) -> None:
    configure(HTTP_ALLOW_PRIVATE=True, HTTP_TIMEOUT=timedelta(seconds=0.3))
    server.routes["/"] = drip
    for timeout in (None, timedelta(hours=1)):
        with pytest.raises(HttpTimeoutError, match="HTTP_TIMEOUT"):
            send("GET", server.url(), timeout=timeout)


def test_a_slow_name_server_counts_too(monkeypatch: pytest.MonkeyPatch) -> None:
    is_over = threading.Event()
    timed_out = activity._timed_out

    def over(*args: Any) -> Exception:
        is_over.set()
        return timed_out(*args)

    # It answers once it has been given up: asyncio ends with the threads in which it asks names.
    monkeypatch.setattr(activity, "_timed_out", over)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **options: is_over.wait(PATIENCE))
    with pytest.raises(TimeoutError, match="user specified"):
        send("GET", "http://slow.test/", timeout=timedelta(seconds=0.2))


# --- failures -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("codes", "status", "fails"), [
    ((), 400, True), ((), 503, True), ((), 399, False), ((503,), 503, True), ((503,), 500, False), ((200,), 200, True),
])  # fmt: skip
def test_statuses_are_failures_as_the_policy_says(
    server: Server, codes: tuple[int, ...], status: int, fails: bool
) -> None:
    server.answer("/", status)
    fields = HttpRetryFields(status_codes_to_retry=codes)
    if fails:
        with pytest.raises(HttpStatusError, match=str(status)):
            send("GET", server.url(), retry_options=fields)
    else:
        assert send("GET", server.url(), retry_options=fields)["statusCode"] == status


def test_nobody_there_is_a_failed_connection() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        with pytest.raises(HttpConnectionError, match=r"No connection to '127\.0\.0\.1'"):
            send("GET", f"http://127.0.0.1:{probe.getsockname()[1]}/")


def test_half_an_answer_is_a_failed_connection(server: Server) -> None:
    def half(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "10")
        handler.end_headers()
        handler.wfile.write(b"half")
        handler.close_connection = True

    server.routes["/"] = half
    with pytest.raises(HttpConnectionError, match="no complete answer"):
        send("GET", server.url())


def test_what_is_not_http_is_a_failed_connection(server: Server) -> None:
    def gibberish(handler: Handler) -> None:
        handler.wfile.write(b"\x15\x03\x01 gibberish\r\n\r\n")
        handler.close_connection = True

    server.routes["/"] = gibberish
    with pytest.raises(HttpConnectionError):
        send("GET", server.url())
