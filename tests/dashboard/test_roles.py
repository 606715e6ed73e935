"""Every address of the dashboard, for every role."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.contrib.auth.models import Permission as PermissionRow
from django.core.management import call_command
from django.test import Client
from django.urls import URLPattern, URLResolver, reverse
from django.utils import timezone

from dashboard import urls
from durable_host.core.access import ROLES, Permission
from durable_host.models import BatchOperation
from tests.dashboard.conftest import ROLE_GROUPS, Start

pytestmark = [pytest.mark.once, pytest.mark.django_db(transaction=True)]

#: address name → the permission that it needs; None for whoever is logged in
NEEDED: dict[str, Permission | None] = {
    "overview": Permission.VIEW,
    "overview-activity": Permission.VIEW,
    "workers": Permission.VIEW,
    "queue": Permission.VIEW,
    "telemetry": Permission.VIEW,
    "audit": Permission.VIEW_AUDIT,
    "audit-export": Permission.VIEW_AUDIT,
    "jump": Permission.VIEW,
    "instances": Permission.VIEW,
    "instance": Permission.VIEW,
    "instance-history": Permission.VIEW,
    "instance-history-json": Permission.VIEW,
    "instance-history-ndjson": Permission.VIEW,
    "instance-event": Permission.VIEW,
    "instance-sequence": Permission.VIEW,
    "instance-data": Permission.VIEW,
    "instance-raw": Permission.VIEW_PAYLOAD,
    "instance-audit": Permission.VIEW_AUDIT,
    "instances-export": Permission.VIEW,
    "instances-columns": Permission.VIEW,
    "view-save": Permission.VIEW,
    "view-delete": Permission.VIEW,
    "operations": Permission.VIEW,
    "operation-new": Permission.VIEW,
    "operation": Permission.VIEW,
    "operation-cancel": Permission.VIEW,
    # What an action needs besides, and that only those who are asked may answer: test_actions.py, test_approvals.py.
    "action": Permission.VIEW,
    "approvals": Permission.VIEW,
    "approval": Permission.VIEW,
    "start": Permission.START,
    "start-form": Permission.START,
}
#: address names for everybody
PUBLIC = {"login", "embedded-login", "logout", "preferences"}
#: an address's part → what stands there in these tests
PARTS: dict[str, Any] = {
    "queue": "default",
    "instance_id": "known-1",
    "sequence": 1,
    "what": "input",
    "name": "page_echo",
    "kind": "csv",
    "batch_id": "batch-1",
    "verb": "restart-edited",
    "event_name": "Answer",
}
#: what the roles may
RIGHTS = {"nobody": frozenset(), **{role: ROLES[group] for role, group in ROLE_GROUPS.items()}, "boss": set(Permission)}


def patterns(found: list[Any] | None = None) -> Iterator[URLPattern]:
    """Return every address of the dashboard."""
    for one in urls.urlpatterns if found is None else found:
        if isinstance(one, URLResolver):
            yield from patterns(one.url_patterns)
        else:
            yield one


def address(pattern: URLPattern) -> str:
    return reverse(f"dashboard:{pattern.name}", kwargs={name: PARTS[name] for name in pattern.pattern.converters})


def test_every_address_says_which_permission_it_needs_and_this_table_says_the_same() -> None:
    declared = {one.name: getattr(one.callback, "needs", "nothing said") for one in patterns() if one.name}
    assert {name: needs for name, needs in declared.items() if name not in PUBLIC} == NEEDED


@pytest.mark.parametrize("role", RIGHTS)
def test_a_role_reaches_what_it_may_and_nothing_else(role: str, as_role: Callable[[str], Client], start: Start) -> None:
    start("page_echo", "hello", "known-1")
    BatchOperation.objects.create(
        hub="default", public_id="batch-1", operation="suspend", actor_kind="user", created_at=timezone.now()
    )
    client = as_role(role)
    for pattern in patterns():
        if pattern.name in PUBLIC:
            continue
        needed = NEEDED[str(pattern.name)]
        status = client.get(address(pattern)).status_code
        if needed is None or needed in RIGHTS[role]:
            assert status in (200, 302, 405), (pattern.name, status)
        else:
            assert status in (403, 405), (pattern.name, status)


def test_a_stranger_reaches_nothing(client: Client) -> None:
    for pattern in patterns():
        if pattern.name in PUBLIC:
            continue
        response = client.get(address(pattern))
        assert response.status_code in (302, 405), pattern.name
        if response.status_code == 302:
            assert response["Location"].startswith("/login/?next=/"), pattern.name


def test_a_region_that_refreshes_itself_gets_the_bare_status(client: Client, as_role: Callable[[str], Client]) -> None:
    partial = {"HX-Request": "true"}
    assert client.get("/instances/", headers=partial).status_code == 401
    response = as_role("nobody").get("/instances/", headers=partial)
    assert (response.status_code, response.content) == (403, b"")


def test_the_refusal_says_what_is_missing_and_who_can_help(
    as_role: Callable[[str], Client], person: Callable[[str], User]
) -> None:
    person("boss")
    page = as_role("nobody").get("/instances/").content.decode()
    assert "durable_host.view_instance" in page
    assert "Durable viewer" in page
    assert "boss" in page


def test_the_groups_are_made_once_and_then_left_as_their_administrators_have_them() -> None:
    assert set(Group.objects.values_list("name", flat=True)) >= set(ROLES)
    operator = Group.objects.get(name="Durable operator")
    held = {f"durable_host.{one.codename}" for one in operator.permissions.all()}
    assert held == {one.value for one in ROLES["Durable operator"]}
    operator.permissions.remove(PermissionRow.objects.get(codename="change_instance"))
    Group.objects.get(name="Durable viewer").delete()
    call_command("migrate", verbosity=0)
    assert not operator.permissions.filter(codename="change_instance").exists()
    assert Group.objects.filter(name="Durable viewer").exists()
