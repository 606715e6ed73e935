"""Pages that move: one address answers the page, its live region alone, or "nothing new"."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseNotModified
from django.shortcuts import render
from django.utils.cache import patch_vary_headers

from .access import is_partial

#: names the version of a region that the browser shows
TAG_HEADER = "HX-PTag"


@dataclass(frozen=True, slots=True)
class Live:
    """What ``{% live_region %}`` must know."""

    #: where the region comes from: the address of the page
    url: str
    tag: str
    #: whether something runs now, so that it is worth to look often
    busy: bool


def live_tag(*parts: object) -> str:
    """Return a short tag that changes when one of the parts does: revisions, times, filters."""
    return hashlib.blake2b(repr(parts).encode(errors="surrogatepass"), digest_size=12).hexdigest()


def live_page(
    request: HttpRequest,
    page: str,
    region: str,
    *,
    tag: str,
    busy: bool,
    context: Callable[[], Mapping[str, Any]],
) -> HttpResponse:
    """Answer a page that keeps itself up to date.

    Args:
        request: the request, for the page or for its region.
        page: the template of the whole; it includes the other one.
        region: the template of ``{% live_region live %} … {% endlive_region %}``.
        tag: what :func:`live_tag` says of the data; as long as it stays, nothing is read or drawn again.
        busy: whether something runs now.
        context: reads what the templates show; called only when something must be drawn.
    """
    partial = is_partial(request)
    if partial and request.headers.get(TAG_HEADER) == tag:
        return _marked(HttpResponseNotModified(), tag)
    values = {**context(), "live": Live(request.get_full_path(), tag, busy)}
    return _marked(render(request, region if partial else page, values), tag)


def _marked(response: HttpResponse, tag: str) -> HttpResponse:
    response.headers[TAG_HEADER] = tag
    # Back must not show the region alone, which has the address of the page.
    response.headers["Cache-Control"] = "private, no-store"
    patch_vary_headers(response, ("HX-Request", "Cookie"))
    return response
