"""Addresses that no route has, and those that belong to others."""

import pytest

from tests.api.conftest import Api
from tests.api.test_contract import is_problem

pytestmark = pytest.mark.store


@pytest.mark.parametrize(
    "mount", ["/runtime/webhooks/durabletask", "/admin/extensions/DurableTaskExtension", "/durabletask"]
)
def test_unknown_routes_and_methods_are_json(api: Api, mount: str) -> None:
    for path in ("", "/", "/nothing/at/all", "/entities/Counter/k1", "/instances/x/dance"):
        assert is_problem(api.get(f"{mount}{path}"), 404) if path else True
    response = api.call("PUT", f"{mount}/instances/x")
    assert is_problem(response, 405, "DELETE, GET")
    assert response["Allow"] == "DELETE, GET"
    assert is_problem(api.get(f"{mount}/orchestrators/Echo"), 405)


def test_the_django_admin_is_still_there(api: Api) -> None:
    assert api.get("/admin/").status_code == 302
    assert "/admin/login/" in api.get("/admin/extensions/")["Location"]


def test_another_task_hub_is_refused(api: Api) -> None:
    instance_id = api.start("Approval")
    assert api.get(f"instances/{instance_id}?taskHub=Default").status_code == 202
    assert is_problem(api.get(f"instances/{instance_id}?TASKHUB=Other"), 400, "serves the task hub 'default'")
