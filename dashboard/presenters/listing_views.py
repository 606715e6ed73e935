"""The views of the list: those that everybody has, and those that somebody has saved."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import tzinfo
from urllib.parse import parse_qs

from durable_host.core.status import RuntimeStatus
from durable_host.store.views import View

from .listing import ListQuery, read

#: name → filters
BUILT_IN: dict[str, ListQuery] = {
    "All": ListQuery(),
    "Failed today": ListQuery(statuses=(RuntimeStatus.FAILED,), since="today"),
    "Running": ListQuery(statuses=(RuntimeStatus.RUNNING,), since="all"),
    "Waiting for people": ListQuery(is_waiting=True, has_subs=True, since="all"),
    "Stalled": ListQuery(is_stalled=True, has_subs=True, since="all"),
}


_MOST_PARAMETERS = 100


@dataclass(frozen=True, slots=True)
class ViewLink:
    """A view as the page offers it."""

    label: str
    query: ListQuery
    is_current: bool
    #: the saved one behind it; None for those that everybody has
    saved: View | None = None

    @property
    def url(self) -> str:
        """The list with its filters."""
        return self.query.address()


def links(query: ListQuery, saved: Iterable[View], user: str, zone: tzinfo) -> list[ViewLink]:
    """Return all views, marked where the page shows one.

    Args:
        query: what the page shows.
        saved: the views that the user sees.
        user: the user's name.
        zone: of times in saved views that name none.
    """
    now = query.filters()
    found = [ViewLink(label, one, not query.view and one == now) for label, one in BUILT_IN.items()]
    for view in saved:
        by = "" if view.owner == user else view.owner
        is_current = (query.view, query.by) == (view.slug, by)
        found.append(ViewLink(view.name, opened(view, user, zone), is_current, view))
    return found


def opened(view: View, user: str, zone: tzinfo) -> ListQuery:
    """Return the filters of a saved view, with its name in the address."""
    by = "" if view.owner == user else view.owner
    return replace(read(parameters(view.query), zone), view=view.slug, by=by, problems=())


def parameters(query: str) -> dict[str, list[str]]:
    """Return the parameters of a query string; none of one that has too many."""
    try:
        return parse_qs(query, keep_blank_values=True, max_num_fields=_MOST_PARAMETERS)
    except ValueError:
        return {}
