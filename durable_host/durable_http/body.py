"""The body of an answer, as text, and never more of it than the host can store."""

from __future__ import annotations

import codecs
import zlib

import httpx

from .errors import HttpContentError

#: both gzip and zlib headers
_ANY_HEADER = zlib.MAX_WBITS | 32
#: what Python calls an encoding and HTTP does not
_NO_CHARSETS = frozenset({"idna", "punycode", "raw_unicode_escape", "raw-unicode-escape", "unicode_escape",
                          "unicode-escape", "utf-7", "undefined"})  # fmt: skip


async def read_text(response: httpx.Response, max_bytes: int) -> str:
    """Read a body and decode it.

    Raises:
        HttpContentError: it has more than ``max_bytes`` bytes (unpacked, too), or cannot be decoded.
    """
    packed = await _read(response, max_bytes)
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding in ("gzip", "x-gzip", "deflate"):
        packed = _unpack(packed, max_bytes)
    elif encoding not in ("", "identity"):
        raise HttpContentError(f"The answer has the encoding {encoding!r}, which was not asked for.")
    text = _decode(packed, response.charset_encoding)
    if "\x00" in text:
        raise HttpContentError("The answer is not text: it holds NUL. Fetch binary data in an activity.")
    return text


async def _read(response: httpx.Response, max_bytes: int) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > max_bytes:
            raise _too_large(max_bytes)
    return bytes(body)


def _unpack(packed: bytes, max_bytes: int) -> bytes:
    """Decompress, but no further than the limit: a few bytes may stand for gigabytes."""
    body = b""
    while packed:
        unpacker = zlib.decompressobj(_ANY_HEADER)
        try:
            body += unpacker.decompress(packed, max_bytes + 1 - len(body))
        except zlib.error as error:
            raise HttpContentError(f"The answer cannot be decompressed: {error}.") from None
        if len(body) > max_bytes:
            raise _too_large(max_bytes)
        if not unpacker.eof:
            raise HttpContentError("The answer cannot be decompressed: it ends too early.")
        packed = unpacker.unused_data
    return body


def _decode(body: bytes, charset: str | None) -> str:
    try:
        name = codecs.lookup(charset or "utf-8").name
        return body.decode("utf-8" if name in _NO_CHARSETS else name, "replace")
    except (LookupError, ValueError):
        return body.decode("utf-8", "replace")


def _too_large(max_bytes: int) -> HttpContentError:
    return HttpContentError(
        f"The answer is larger than {max_bytes:,} bytes. Fetch it in an activity and pass a reference, or raise "
        f"DURABLE_HOST['MAX_PAYLOAD_BYTES']."
    )
