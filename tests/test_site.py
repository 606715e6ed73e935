"""The stand-alone site as a visitor meets it, without any host running."""

import json
import os
import subprocess
import sys

import pytest
from django.contrib.auth.models import User
from django.test import Client

from durable_host.embedded import EmbeddedRedis
from tests.services import PROJECT

PROBE = "import logging; logging.getLogger('durable_host.probe').warning('said', extra={'instance_id': 'a1'})"


@pytest.fixture
def operator(client: Client, django_user_model: type[User]) -> Client:
    user = django_user_model.objects.create_superuser("boss", password=None)
    client.force_login(user)
    return client


@pytest.mark.store
def test_the_index_wants_a_login(client: Client, db: None) -> None:
    response = client.get("/")
    assert response.status_code == 302
    assert response["Location"].startswith("/login/?next=")


@pytest.mark.store
def test_pages_refuse_frames_and_sniffing(operator: Client) -> None:
    response = operator.get("/instances/")
    assert response.status_code == 200
    assert response["X-Frame-Options"] == "DENY"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Referrer-Policy"] == "same-origin"


@pytest.mark.store
def test_the_token_login_is_closed_where_no_token_was_made(client: Client, db: None) -> None:
    assert client.get("/login/embedded", {"token": ""}).status_code == 404


@pytest.mark.store
def test_queue_pages_are_for_staff(operator: Client, redis_server: EmbeddedRedis) -> None:
    page = operator.get("/admin/django_rq/dashboard/")
    assert page.status_code == 200
    assert b"default" in page.content
    assert Client().get("/admin/django_rq/dashboard/").status_code == 302


@pytest.mark.store
def test_queue_figures_are_not_for_strangers(db: None, redis_server: EmbeddedRedis) -> None:
    for path in ("stats.json", "stats.json/", "stats.json/x"):
        response = Client().get(f"/admin/django_rq/dashboard/{path}")
        assert b"default" not in response.content, path


def test_json_logs_carry_every_field() -> None:
    env = {**os.environ, "LOG_FORMAT": "json"}
    argv = [sys.executable, str(PROJECT / "manage.py"), "shell", "--no-imports", "-c", PROBE]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=True, cwd=PROJECT)
    record = json.loads(done.stderr)
    assert record["instance_id"] == "a1"
    assert record["level"] == "WARNING"
    assert record["logger"] == "durable_host.probe"
