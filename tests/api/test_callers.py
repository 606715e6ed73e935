"""Who may do what: nobody, each scope, wrong, expired and revoked keys, tokens, users, this machine."""

from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import Permission, User
from django.core.signing import TimestampSigner
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import Settings

from durable_host import links
from durable_host.core.access import ON_ONE_INSTANCE, PERMISSION_OF, SCOPE_OF, Operation, Scope
from durable_host.models import ApiKey, AuditRecord, Instance
from durable_host.store import clock, keys
from tests.api.conftest import HUB, Api, configure, make_key
from tests.api.test_contract import here, is_problem

pytestmark = pytest.mark.store

#: a request for each operation; the instance "open" waits, "done" has completed, "failed" has failed
REQUESTS: dict[Operation, tuple[str, str, int]] = {
    Operation.STATUS: ("GET", "instances/open", 202),
    Operation.LIST: ("GET", "instances", 200),
    Operation.START: ("POST", "orchestrators/Echo/new", 202),
    Operation.RAISE_EVENT: ("POST", "instances/open/raiseEvent/x", 202),
    Operation.TERMINATE: ("POST", "instances/open/terminate", 202),
    Operation.SUSPEND: ("POST", "instances/open/suspend", 202),
    Operation.RESUME: ("POST", "instances/paused/resume", 202),
    Operation.REWIND: ("POST", "instances/failed/rewind", 202),
    Operation.RESTART: ("POST", "instances/done/restart", 202),
    Operation.RELEASE: ("POST", "instances/stuck/release", 202),
    Operation.PURGE: ("DELETE", "instances/done", 200),
    Operation.PURGE_MANY: ("DELETE", "instances?createdTimeFrom=2020-01-01", 200),
}


@pytest.fixture
def world(api: Api) -> Api:
    """Instances for every request."""
    for instance_id in ("open", "paused", "stuck"):
        api.start("Approval", '"/nowhere"', instance_id)
    for name, instance_id in (("Echo", "done"), ("Fragile", "failed")):
        api.start(name, '"/nowhere"', instance_id)
    api.post("instances/paused/suspend")
    api.work()
    Instance.objects.filter(instance_id="stuck").update(stall_reason="Parked")
    AuditRecord.objects.all().delete()
    return api


def ask(api: Api, operation: Operation, **options: Any) -> Any:
    """Send the request of an operation."""
    method, path, _ = REQUESTS[operation]
    return api.call(method, path, **options)


def outcomes() -> list[tuple[str, str]]:
    """What the audit says, oldest first."""
    return list(AuditRecord.objects.order_by("pk").values_list("operation", "outcome"))


# --- nobody -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", Operation)
def test_nobody_is_turned_away(world: Api, operation: Operation) -> None:
    for secret in ("", "bogus", "dk_", "dk_000000000000_x", "dt_", "dt_:", "dt_1:x", "ümlaut", "x" * 5000):
        response = ask(world, operation, key=secret)
        assert is_problem(response, 401)
        assert response["WWW-Authenticate"] == "Bearer"
    is_write = operation not in (Operation.STATUS, Operation.LIST)
    assert outcomes() == ([(operation.value, "denied")] * 9 if is_write else [])


# --- keys -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", Operation)
def test_each_operation_needs_its_scope(world: Api, operation: Operation) -> None:
    needed = SCOPE_OF[operation]
    others = make_key("others", *(set(Scope) - {needed}))
    response = ask(world, operation, key=others)
    assert is_problem(response, 403, f"Key 'others' has no scope '{needed.value}'")
    response = ask(world, operation, key=make_key("only", needed))
    assert response.status_code == REQUESTS[operation][2], response.content


def test_a_key_is_taken_from_three_places(world: Api) -> None:
    http = Client()
    url = f"{world.root}/instances"
    assert http.get(url, headers={"X-Functions-Key": world.key}).status_code == 200
    assert http.get(url, headers={"Authorization": f"Bearer {world.key}"}).status_code == 200
    assert http.get(url, headers={"Authorization": f"bearer  {world.key} "}).status_code == 200
    assert http.get(url, {"code": world.key}).status_code == 200
    assert http.get(url, {"CODE": world.key}).status_code == 200
    assert http.get(url, headers={"Authorization": "Basic eDp5"}).status_code == 401
    # The header counts, not what stands in the address.
    assert http.get(url, {"code": world.key}, headers={"X-Functions-Key": "bogus"}).status_code == 401


def test_a_pattern_bounds_a_key(world: Api) -> None:
    key = make_key("approvals", *Scope, name_pattern="App*l")
    listed = world.get("instances?order=oldest", key=key).json()
    assert [one["instanceId"] for one in listed] == ["open", "paused", "stuck"]
    assert world.get("instances/open", key=key).status_code == 202
    assert world.post("orchestrators/Approval", key=key).status_code == 202
    for path in (
        "orchestrators/Echo",
        "orchestrators/Approval/done",
        "instances/done/restart",
        "instances/done/terminate",
        "instances/done/rewind",
    ):
        assert is_problem(world.post(path, key=key), 403, "good for orchestrators 'App*l' only")
    assert is_problem(world.get("instances/done", key=key), 403)
    assert is_problem(world.delete("instances/done", key=key), 403)
    assert is_problem(world.get("instances/nobody", key=key), 404)
    assert is_problem(world.delete("instances?createdTimeFrom=2020-01-01", key=key), 404)
    assert world.get("instances/done").status_code == 200
    assert [one["instanceId"] for one in world.get("instances?name=Echo", key=key).json()] == []


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        ("*", "anything", True),
        ("a?c", "abc", True),
        ("a?c", "ac", False),
        ("a.c", "abc", False),
        ("A*", "abc", False),
        ("[ab]*", "abc", False),
        ("(a|b)", "a", False),
        ("a b+\\d", "a b+\\d", True),
    ],
)
def test_patterns_mean_the_same_here_and_in_the_database(world: Api, pattern: str, name: str, fits: bool) -> None:
    Instance.objects.filter(instance_id="done").update(name=name)
    key = make_key("patterned", *Scope, name_pattern=pattern)
    assert (world.get("instances/done", key=key).status_code == 200) == fits
    assert ("done" in [one["instanceId"] for one in world.get("instances", key=key).json()]) == fits


def test_expired_and_revoked_keys_open_nothing(world: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    key = make_key("short", *Scope, expires_at=timezone.now() + timedelta(hours=1))
    other = make_key("taken back", *Scope)
    assert world.get("instances", key=key).status_code == world.get("instances", key=other).status_code == 200
    keys.revoke(HUB, "taken back")
    assert is_problem(world.post("orchestrators/Echo", key=other), 401, "'taken back' was revoked")
    later = timezone.now() + timedelta(hours=1, seconds=1)
    monkeypatch.setattr(clock, "now", lambda: later)
    assert is_problem(world.post("orchestrators/Echo", key=key), 401, "'short' has expired")
    assert outcomes() == [("start", "denied")] * 2


def test_only_a_hash_of_a_key_is_stored_and_its_use_is_noted_once_a_minute(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = ApiKey.objects.get()
    assert row.last_used_at is None
    assert api.key.split("_", 2)[2] not in " ".join(str(value) for value in vars(row).values())
    now = timezone.now()
    used = []
    for seconds in (0, 30, 59, 61):
        monkeypatch.setattr(clock, "now", lambda seconds=seconds: now + timedelta(seconds=seconds))
        api.get("instances")
        used.append(ApiKey.objects.get().last_used_at)
    assert used == [now, now, now, now + timedelta(seconds=61)]


def test_a_key_of_another_hub_opens_nothing(api: Api) -> None:
    other = keys.create("elsewhere", "everything", list(Scope))[1]
    assert api.get("instances", key=other).status_code == 401


# --- tokens -----------------------------------------------------------------------------------------------------------

URIS = {
    Operation.STATUS: ("GET", "statusQueryGetUri", "open"),
    Operation.RAISE_EVENT: ("POST", "sendEventPostUri", "open"),
    Operation.SUSPEND: ("POST", "suspendPostUri", "open"),
    Operation.TERMINATE: ("POST", "terminatePostUri", "open"),
    Operation.RESUME: ("POST", "resumePostUri", "paused"),
    Operation.REWIND: ("POST", "rewindPostUri", "failed"),
    Operation.RESTART: ("POST", "restartPostUri", "done"),
    Operation.PURGE: ("DELETE", "purgeHistoryDeleteUri", "done"),
}


def payload_of(instance_id: str) -> dict[str, str]:
    """The check-status payload of an instance."""
    return links.management_payload(HUB, "http://testserver/", instance_id)


def test_every_operation_on_one_instance_has_an_address() -> None:
    assert set(URIS) == ON_ONE_INSTANCE


@pytest.mark.parametrize("operation", URIS)
def test_each_address_opens_its_operation_on_its_instance_alone(world: Api, operation: Operation) -> None:
    method, name, instance_id = URIS[operation]
    uri = here(payload_of(instance_id)[name]).replace("{eventName}", "x").replace("{text}", "why")
    token = uri.partition("code=")[2]
    for other, (other_method, other_name, other_id) in URIS.items():
        if other is not operation:
            path = urlsplit(payload_of(other_id)[other_name].replace("{eventName}", "x")).path
            assert is_problem(world.call(other_method, f"{path}?code={token}", key=""), 401, "does not belong")
    for other_id in ("open2", "Open", f"{instance_id}x"):
        path = urlsplit(uri).path.replace(f"/{instance_id}", f"/{other_id}")
        assert is_problem(world.call(method, f"{path}?code={token}", key=""), 401, "does not belong")
    assert is_problem(world.call("GET", f"{world.root}/instances?code={token}", key=""), 401)
    assert is_problem(world.call("POST", f"{world.root}/orchestrators/Echo?code={token}", key=""), 401)
    assert world.call(method, uri, key="").status_code == REQUESTS[operation][2]


def test_a_token_is_no_part_of_another_id(world: Api) -> None:
    token = links.sign(HUB, "open:x", Operation.TERMINATE).removeprefix("dt_")
    assert world.post(f"instances/open/terminate?code=dt_x:{token}", key="").status_code == 401


def test_a_token_expires(world: Api, monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    configure(settings, TOKEN_LIFETIME=timedelta(minutes=5))
    uri = here(payload_of("open")["terminatePostUri"])
    assert world.post(uri, key="").status_code == 202
    monkeypatch.setattr(TimestampSigner, "timestamp", lambda self: "1")
    old = here(payload_of("open")["terminatePostUri"])
    monkeypatch.undo()
    assert is_problem(world.post(old, key=""), 401, "has expired")


def test_a_token_of_another_secret_key_opens_nothing(world: Api, settings: Settings) -> None:
    uri = here(payload_of("open")["terminatePostUri"])
    settings.SECRET_KEY = "another"
    assert world.post(uri, key="").status_code == 401


def test_a_restart_by_token_gains_no_other_rights(world: Api) -> None:
    response = world.post(here(payload_of("done")["restartPostUri"]) + "&restartWithNewInstanceId=false", key="")
    payload = response.json()
    assert [name for name, uri in payload.items() if "code=" in uri] == ["statusQueryGetUri", "restartPostUri"]


# --- users ------------------------------------------------------------------------------------------------------------


def log_in(api: Api, *permissions: str, **flags: Any) -> None:
    """Log a user with these permissions in."""
    user = User.objects.create_user("ann", **flags)
    codenames = [one.partition(".")[2] for one in permissions]
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    assert user.user_permissions.count() == len(permissions)
    api.http = Client()
    api.http.force_login(user)


@pytest.mark.parametrize("operation", Operation)
def test_a_user_needs_the_permission(world: Api, operation: Operation) -> None:
    needed = PERMISSION_OF[SCOPE_OF[operation]]
    log_in(world, *(set(PERMISSION_OF.values()) - {needed}))
    assert is_problem(ask(world, operation, key=""), 403, f"User 'ann' has no permission '{needed}'")
    User.objects.all().delete()
    log_in(world, needed)
    assert ask(world, operation, key="").status_code == REQUESTS[operation][2]


def test_a_session_must_prove_that_a_page_of_this_site_asks(world: Api) -> None:
    log_in(world, is_superuser=True)
    http = Client(enforce_csrf_checks=True)
    http.cookies = world.http.cookies
    http.get("/admin/logout/")
    start = f"{world.root}/orchestrators/Echo"
    assert http.get(f"{world.root}/instances").status_code == 200
    assert is_problem(http.post(start, b"1", "application/json"), 403, "X-CSRFToken")
    assert outcomes() == [("start", "denied")]
    token = "a" * 32
    http.cookies["csrftoken"] = http.cookies["csrftoken_8000"] = token
    assert http.post(start, b"1", "application/json", headers={"X-CSRFToken": token}).status_code == 202
    foreign = {"X-CSRFToken": token, "Origin": "https://evil.example"}
    assert is_problem(http.post(start, b"1", "application/json", headers=foreign), 403, "X-CSRFToken")
    # A key is never sent by a browser of itself: it needs no such proof.
    assert http.post(start, b"1", "application/json", headers={"x-functions-key": world.key}).status_code == 202


def test_who_may_not_log_in_any_more_may_nothing(world: Api) -> None:
    log_in(world, is_superuser=True)
    User.objects.update(is_active=False)
    assert world.get("instances", key="").status_code == 401


# --- this machine -----------------------------------------------------------------------------------------------------

LOCAL = {"Host": "localhost:8000"}


@pytest.fixture
def keyless(world: Api, settings: Settings) -> Client:
    """A client without a key, on a host that needs none from its own machine."""
    settings.ALLOWED_HOSTS = ["*"]
    configure(settings, KEYLESS_LOOPBACK=True)
    return Client()


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1:8000", "[::1]:8000", "LOCALHOST"])
@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.9", "::1", "::ffff:127.0.0.1"])
def test_this_machine_needs_no_key(keyless: Client, world: Api, host: str, address: str) -> None:
    url = f"{world.root}/orchestrators/Echo"
    response = keyless.post(url, b"", "application/json", headers={"Host": host}, REMOTE_ADDR=address)
    assert response.status_code == 202


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:9000"},
        {"Origin": "https://localhost:8000"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Host": "evil.example"},
        {"Host": "localhost.evil.example:8000"},
        {"X-Forwarded-For": "203.0.113.9"},
        {"Forwarded": "for=203.0.113.9"},
        {"X-Real-IP": "127.0.0.1"},
    ],
)
def test_no_other_site_borrows_this_machines_browser(keyless: Client, world: Api, headers: dict[str, str]) -> None:
    for method in ("get", "post", "delete"):
        path = "orchestrators/Echo" if method == "post" else "instances/open"
        response = getattr(keyless, method)(f"{world.root}/{path}", headers={**LOCAL, **headers})
        assert is_problem(response, 403, "Without a key this host")
    assert outcomes() == [("start", "denied"), ("purge", "denied")]


def test_a_page_of_this_site_needs_no_key_here(keyless: Client, world: Api) -> None:
    headers = {**LOCAL, "Origin": "http://localhost:8000", "Sec-Fetch-Site": "same-origin"}
    assert keyless.post(f"{world.root}/orchestrators/Echo", b"", "application/json", headers=headers).status_code == 202


@pytest.mark.parametrize("address", ["203.0.113.9", "10.0.0.1", "", "unix", "::ffff:10.0.0.1"])
def test_other_machines_need_a_key(keyless: Client, world: Api, address: str) -> None:
    url = f"{world.root}/instances"
    assert is_problem(keyless.get(url, headers=LOCAL, REMOTE_ADDR=address), 403, "its own machine only")
    assert keyless.get(url, headers={"x-functions-key": world.key}, REMOTE_ADDR=address).status_code == 200


def test_a_wrong_key_does_not_fall_back(keyless: Client, world: Api) -> None:
    assert keyless.get(f"{world.root}/instances", {"code": "bogus"}, headers=LOCAL).status_code == 401


def test_a_host_that_is_not_allowed_is_told_so_in_json(api: Api, settings: Settings) -> None:
    settings.ALLOWED_HOSTS = ["localhost"]
    response = Client().get(f"{api.root}/instances", headers={"Host": "evil.example"})
    assert is_problem(response, 400, "evil.example")
    page = Client().get("/", headers={"Host": "evil.example"})
    assert page.status_code == 400
    assert page["Content-Type"].startswith("text/html")
