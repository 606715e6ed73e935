"""Reading a request's JSON body."""

from __future__ import annotations

from typing import Any, BinaryIO, cast

from django.http import HttpRequest
from pydantic_core import from_json

from durable_host.conf import host_settings
from durable_host.core.errors import PayloadError
from durable_host.core.payload import PayloadCodec

from .errors import ApiError
from .mounts import Mount, mount_of

ONLY_JSON = "Only application/json request content is supported"


def read_json(request: HttpRequest, what: str) -> Any:
    """Return the value in the body; None where it is empty.

    The client libraries send JSON text as a JSON string: on their mount, and nowhere else, it is unwrapped once.

    Args:
        request: the request.
        what: name of the value, for messages.

    Raises:
        ApiError: it has no length, is too large, is not declared as JSON, or is not JSON that can be stored.
    """
    is_rpc = mount_of(request) is Mount.RPC
    limit = host_settings().max_payload_bytes
    # Text within text is longer: every quote in it has a backslash.
    raw = _stream(request).read((2 * limit if is_rpc else limit) + 1)
    if not raw.strip():
        return None
    if not _is_json(request.content_type):
        text = f"{ONLY_JSON}; this is {request.content_type!r}."
        raise ApiError(400 if is_rpc else 415, text, kind="UnsupportedMediaType")
    if not is_rpc:
        return _parse(raw, what, limit)
    value = _parse(raw, what, 2 * limit)
    return _parse(value.encode("utf-8", "surrogatepass"), what, limit) if isinstance(value, str) else value


def _parse(raw: bytes, what: str, limit: int) -> Any:
    if len(raw) > limit:
        text = f"{what} is larger than {limit:,} bytes. Store it elsewhere and pass a reference, or raise "
        raise ApiError(413, f"{text}DURABLE_HOST['MAX_PAYLOAD_BYTES'].", kind="PayloadTooLarge")
    try:
        return from_json(PayloadCodec(limit).check_json(raw, what))
    except PayloadError as error:
        raise ApiError(400, f"Invalid JSON content. {error}", kind="PayloadError") from error


def _is_json(content_type: str | None) -> bool:
    subtype = (content_type or "application/json").partition("/")[2]
    return subtype == "json" or subtype.endswith("+json")


def _stream(request: HttpRequest) -> BinaryIO:
    """Return where the body is read from. Django takes a body without a declared length for an empty one."""
    if "chunked" not in request.META.get("HTTP_TRANSFER_ENCODING", "").lower() or request.META.get("CONTENT_LENGTH"):
        return cast("BinaryIO", request)
    if not request.META.get("wsgi.input_terminated"):
        raise ApiError(411, "Send a Content-Length: this server cannot read a body without one.", kind="LengthRequired")
    return cast("BinaryIO", request.META["wsgi.input"])
