"""Keys and the audit in the Django admin."""

import re

import pytest
from django.contrib.auth.models import User
from django.test import Client

from durable_host.core.access import Scope
from durable_host.models import ApiKey
from durable_host.store import keys
from tests.api.conftest import HUB, Api

pytestmark = pytest.mark.store

KEYS = "/admin/durable_host/apikey/"
NEW = {"name": "ci", "scopes": ["start", "read"], "name_pattern": "Ec*", "expires_at_0": "", "expires_at_1": ""}


@pytest.fixture
def boss(api: Api) -> Client:
    """A superuser in the admin."""
    client = Client()
    client.force_login(User.objects.create_superuser("boss"))
    return client


def test_a_key_is_made_and_shown_once(boss: Client, api: Api) -> None:
    page = boss.post(f"{KEYS}add/", NEW)
    found = re.search(r"<code>(dk_\w+[\w-]+)</code>", page.content.decode())
    assert found, page.content
    assert "no-store" in page["Cache-Control"]
    assert "messages" not in boss.cookies
    assert api.post("orchestrators/Echo", key=found[1]).status_code == 202
    assert api.post("orchestrators/Approval", key=found[1]).status_code == 403
    row = ApiKey.objects.get(name="ci")
    assert ApiKey.objects.count() == 2
    for path in ("", f"{row.pk}/change/"):
        shown = boss.get(f"{KEYS}{path}").content.decode()
        assert "Ec*" in shown
        assert found[1] not in shown
        assert found[1].split("_", 2)[2] not in shown
    logged = boss.get(f"{KEYS}{row.pk}/history/").content.decode()
    assert found[1] not in logged


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "everything"}, "There is a key"),
        ({"scopes": []}, "required"),
        ({"expires_at_0": "2020-01-01", "expires_at_1": "00:00"}, "has passed"),
    ],
)
def test_a_bad_key_is_refused_at_the_form(boss: Client, changes: dict[str, object], words: str) -> None:
    page = boss.post(f"{KEYS}add/", {**NEW, **changes})
    assert page.status_code == 200
    assert words in page.content.decode()
    assert ApiKey.objects.count() == 1


def test_keys_are_revoked_and_neither_changed_nor_deleted(boss: Client, api: Api) -> None:
    text = keys.create(HUB, "ci", [Scope.READ])[1]
    pk = ApiKey.objects.get(name="ci").pk
    assert boss.post(f"{KEYS}{pk}/change/", {**NEW, "name": "other"}).status_code == 403
    assert boss.post(f"{KEYS}{pk}/delete/", {"post": "yes"}).status_code == 403
    boss.post(KEYS, {"action": "revoke", "_selected_action": [pk]})
    assert api.get("instances", key=text).status_code == 401
    assert api.get("instances").status_code == 200


def test_the_audit_is_read_only(boss: Client, api: Api) -> None:
    api.post("orchestrators/Echo/one")
    page = boss.get("/admin/durable_host/auditrecord/").content.decode()
    assert "one" in page
    assert "everything" in page
    assert boss.get("/admin/durable_host/auditrecord/add/").status_code == 403
