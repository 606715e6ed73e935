"""The pages as an operator meets them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client

from tests.dashboard.conftest import Start

pytestmark = [pytest.mark.once, pytest.mark.django_db(transaction=True)]

HOSTILE = "<script>alert(1)</script>"
AsRole = Callable[[str], Client]


@pytest.fixture
def operator(as_role: AsRole) -> Client:
    return as_role("boss")


def test_it_says_how_to_begin_while_nothing_has_been_started(operator: Client) -> None:
    page = operator.get("/instances/").content.decode()
    assert "No instance has been started yet" in page
    assert "Start one" in page


def test_it_lists_instances_and_filters_them_by_status(operator: Client, start: Start) -> None:
    start("page_echo", "hello", "good-1")
    start("page_failure", "no tea", "bad-1")
    everything = operator.get("/instances/").content.decode()
    assert "good-1" in everything
    assert "bad-1" in everything
    failed = operator.get("/instances/", {"status": "Failed"}).content.decode()
    assert "bad-1" in failed
    assert "good-1" not in failed


def test_it_shows_one_row_an_activity_and_counts_the_markers_it_filters_out(operator: Client, start: Start) -> None:
    start("page_echo", "hello", "good-1")
    page = operator.get("/instances/good-1/history/").content.decode()
    assert "4 replay markers hidden" in page
    assert "shout" in page
    assert "OrchestratorStarted" not in page
    assert "&quot;HELLO&quot;" in operator.get("/instances/good-1/data/").content.decode()


def test_it_shows_why_an_instance_failed(operator: Client, start: Start) -> None:
    start("page_failure", "no tea", "bad-1")
    assert "ValueError: no tea" in operator.get("/instances/bad-1/").content.decode()
    page = operator.get("/instances/bad-1/data/").content.decode()
    assert "no tea" in page
    assert "functions.py" in page


def test_it_shows_hostile_content_harmless(operator: Client, start: Start) -> None:
    start("page_echo", HOSTILE, "x-1")
    start("page_failure", HOSTILE, "x-2")
    for address in ("/instances/", "/instances/x-1/", "/instances/x-2/"):
        page = operator.get(address).content.decode()
        assert HOSTILE not in page, address
        assert "&lt;script&gt;" in page, address


def test_it_answers_404_for_an_unknown_instance(operator: Client) -> None:
    assert operator.get("/instances/nobody/").status_code == 404


def test_an_address_without_its_last_slash_still_leads_there(operator: Client, start: Start) -> None:
    start("page_echo", "hello", "good-1")
    assert operator.get("/instances/good-1", follow=True).status_code == 200


def test_it_begins_at_the_first_page_when_the_address_is_damaged(operator: Client, start: Start) -> None:
    start("page_echo", "hello", "good-1")
    assert "good-1" in operator.get("/instances/", {"page": "nonsense", "status": "Odd"}).content.decode()


def test_it_is_closed_to_strangers_and_to_users_without_the_right(client: Client, as_role: AsRole) -> None:
    guest = as_role("nobody")
    for address in ("/", "/instances/", "/instances/any/"):
        assert client.get(address).status_code == 302, address
        assert guest.get(address).status_code == 403, address
