"""Saved views of the list: one's own, and those that are shared."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client

from durable_host.store import views

pytestmark = [pytest.mark.store, pytest.mark.django_db(transaction=True)]
AsRole = Callable[[str], Client]


def save(client: Client, **fields: str) -> str:
    answer = client.post("/views/save/", {"query": "status=Failed&since=7d", "columns": "status.id", **fields})
    return answer["Location"]


def test_a_view_is_saved_used_and_deleted(as_role: AsRole) -> None:
    client = as_role("viewer")
    address = save(client, name="My failures")
    assert address == "/instances/?status=Failed&since=7d&view=my-failures"
    page = client.get(address)
    assert [one.key for one in page.context["columns"]] == ["status", "id"]
    assert page.context["current_view"].label == "My failures"
    assert not page.context["is_changed"]
    changed = client.get(f"{address}&subs=1")
    assert changed.context["is_changed"]
    client.post("/views/delete/", {"slug": "my-failures", "owner": "viewer"})
    assert client.get(address).context["current_view"] is None
    assert views.list_views("default", "viewer") == ()


def test_sharing_and_deleting_what_others_share_needs_the_right_to_manage(as_role: AsRole) -> None:
    refused = as_role("viewer").post("/views/save/", {"name": "Ours", "is_shared": "on", "query": ""})
    assert refused.status_code == 403
    save(as_role("operator"), name="Ours", is_shared="on")
    page = as_role("viewer").get("/instances/")
    [link] = [one for one in page.context["views"] if one.saved]
    assert link.url == "?status=Failed&since=7d&view=ours&by=operator"
    opened = as_role("viewer").get(f"/instances/{link.url}")
    assert opened.context["current_view"] == opened.context["views"][-1]
    assert not opened.context["may_delete"]
    answer = as_role("viewer").post("/views/delete/", {"slug": "ours", "owner": "operator"})
    assert answer.status_code == 403
    as_role("boss").post("/views/delete/", {"slug": "ours", "owner": "operator"})
    assert views.list_views("default", "operator") == ()


def test_what_is_not_shared_is_seen_by_its_owner_alone(as_role: AsRole) -> None:
    save(as_role("operator"), name="Mine")
    assert all(one.saved is None for one in as_role("boss").get("/instances/").context["views"])
    as_role("boss").post("/views/delete/", {"slug": "mine", "owner": "operator"})
    assert len(views.list_views("default", "operator")) == 1


@pytest.mark.parametrize("name", ["", "   ", "x" * 81])
def test_a_view_needs_a_name(as_role: AsRole, name: str) -> None:
    client = as_role("viewer")
    answer = client.post("/views/save/", {"name": name, "query": "status=Failed"}, follow=True)
    assert "The view was not saved" in answer.content.decode()
    assert views.list_views("default", "viewer") == ()


def test_built_in_views_are_marked_while_they_are_shown(as_role: AsRole) -> None:
    client = as_role("viewer")
    page = client.get("/instances/")
    links = {one.label: one for one in page.context["views"]}
    assert list(links) == ["All", "Failed today", "Running", "Waiting for people", "Stalled"]
    assert links["All"].is_current
    for label, link in links.items():
        shown = client.get(f"/instances/{link.url}").context["views"]
        assert [one.label for one in shown if one.is_current] == [label]
