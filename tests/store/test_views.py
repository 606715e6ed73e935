"""Saved views: own ones and shared ones."""

from __future__ import annotations

import pytest

from durable_host import BadRequestError
from durable_host.store import views
from tests.store.workbench import STORE

pytestmark = STORE


def test_a_view_is_seen_by_its_owner_and_by_others_once_it_is_shared() -> None:
    views.save_view("default", "ann", "My failures", "?status=Failed", ["name", "status"])
    views.save_view("default", "bob", "Ours", "name=x", is_shared=True)
    views.save_view("default", "bob", "His", "name=y")
    assert [one.name for one in views.list_views("default", "ann")] == ["My failures", "Ours"]
    assert [one.name for one in views.list_views("default", "")] == ["Ours"]
    assert views.list_views("other", "ann") == ()
    mine = views.get_view("default", "ann", "my-failures")
    assert mine is not None
    assert (mine.query, mine.columns) == ("status=Failed", ("name", "status"))
    assert views.get_view("default", "ann", "his") is None


def test_the_same_name_replaces_and_ones_own_comes_first() -> None:
    views.save_view("default", "bob", "Café", "a=1", is_shared=True)
    views.save_view("default", "ann", "Café", "a=2")
    views.save_view("default", "ann", "café", "a=3")
    found = views.get_view("default", "ann", "café")
    assert found is not None
    assert (found.query, found.name) == ("a=3", "café")
    assert len(views.list_views("default", "ann")) == 2


def test_views_are_deleted_by_their_owner() -> None:
    views.save_view("default", "ann", "Mine", "a=1")
    assert not views.delete_view("default", "bob", "mine")
    assert not views.delete_view("default", "bob", "mine", owner="ann")
    assert views.delete_view("default", "ann", "mine")
    assert not views.delete_view("default", "ann", "mine")
    views.save_view("default", "ann", "Mine", "a=1", is_shared=True)
    assert views.delete_view("default", "bob", "mine", owner="ann")


@pytest.mark.parametrize("name", ["", "   ", "x" * 81])
def test_a_name_must_say_something(name: str) -> None:
    with pytest.raises(BadRequestError):
        views.save_view("default", "ann", name, "")
