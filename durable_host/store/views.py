"""Saved views of the list: a name for filters and columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Q
from django.utils.text import slugify

from durable_host.core.errors import BadRequestError
from durable_host.core.failure import storable_text
from durable_host.models import SavedView

_LONGEST_NAME = 80
_LONGEST_QUERY = 4_000
_MOST_COLUMNS = 30
_MOST_VIEWS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A saved view, for reading."""

    id: int
    name: str
    #: its name in addresses; unique among the views of its owner
    slug: str
    #: query string of the list's address
    query: str
    columns: tuple[str, ...]
    #: user name; empty where nobody owns it
    owner: str
    is_shared: bool


def list_views(hub: str, user: str) -> tuple[View, ...]:
    """Return the views that a user sees: the user's own, then those that others share; each by name."""
    rows = SavedView.objects.filter(_seen_by(user), hub=hub).order_by("name", "pk")[:_MOST_VIEWS]
    return tuple(sorted(map(_view, rows), key=lambda one: one.owner != user))


def get_view(hub: str, user: str, slug: str, *, owner: str | None = None) -> View | None:
    """Return one view that a user sees, the user's own before others'; None where there is none."""
    rows = SavedView.objects.filter(_seen_by(user), hub=hub, slug=slug)
    found = [_view(row) for row in (rows if owner is None else rows.filter(owner=owner)).order_by("pk")]
    return min(found, key=lambda one: one.owner != user, default=None)


def save_view(
    hub: str, owner: str, name: str, query: str, columns: Sequence[str] = (), *, is_shared: bool = False
) -> View:
    """Save a view; one of the same owner and name is replaced.

    Raises:
        BadRequestError: the name says nothing or is too long, or there are too many columns.
    """
    clean = storable_text(" ".join(name.split()), 2 * _LONGEST_NAME)
    if not clean or len(clean) > _LONGEST_NAME:
        raise BadRequestError(f"The name of a view has 1 to {_LONGEST_NAME} characters; this one has {len(clean)}.")
    if len(query) > _LONGEST_QUERY or len(columns) > _MOST_COLUMNS:
        raise BadRequestError(f"A view has at most {_LONGEST_QUERY:,} characters and {_MOST_COLUMNS} columns.")
    slug = slugify(clean, allow_unicode=True)[:_LONGEST_NAME] or "view"
    row, _ = SavedView.objects.update_or_create(
        hub=hub,
        owner=owner,
        slug=slug,
        defaults={
            "name": clean,
            "query": storable_text(query.lstrip("?"), _LONGEST_QUERY),
            "columns": [storable_text(column, _LONGEST_NAME) for column in columns],
            "is_shared": is_shared,
        },
    )
    return _view(row)


def delete_view(hub: str, user: str, slug: str, *, owner: str | None = None) -> bool:
    """Remove a user's own view, or with ``owner`` somebody else's shared one; return whether it was there.

    Whether the user may remove what others share is the caller's to check.
    """
    rows = SavedView.objects.filter(hub=hub, slug=slug, owner=user if owner is None else owner)
    if owner not in (None, user):
        rows = rows.filter(is_shared=True)
    removed, _ = rows.delete()
    return removed > 0


def _seen_by(user: str) -> Q:
    return Q(owner=user) | Q(is_shared=True) if user else Q(is_shared=True)


def _view(row: SavedView) -> View:
    return View(
        id=row.pk,
        name=row.name,
        slug=row.slug,
        query=row.query,
        columns=tuple(row.columns),
        owner=row.owner,
        is_shared=row.is_shared,
    )
