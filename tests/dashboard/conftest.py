"""Fixtures: people with roles, instances that have gone as far as they can, and a browser that looks at them.

``dash`` is for pages without a browser, ``visit`` opens the site in a real one::

    def test_…(visit: Visit, start: Start) -> None:
        start("page_echo", "hello", "a-1")
        page = visit("/instances/", theme="dark", width=360)
        assert_accessible(page)
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, Page
from pytest_django.fixtures import Settings
from pytest_django.live_server_helper import LiveServer

from durable_host.client import DurableClient
from durable_host.core.access import ROLES
from durable_host.core.registry import default_registry
from durable_host.dispatch import redis_state
from durable_host.dispatch.host import Host
from tests import browser as browsers
from tests.bells import hear_bells
from tests.conftest import missing
from tests.dashboard import functions, gallery
from tests.services import ServiceMissingError

#: role → name of its group; "nobody" has no group, "boss" is a superuser
ROLE_GROUPS = {name.removeprefix("Durable "): name for name in ROLES}
Start = Callable[..., str]


@pytest.fixture(autouse=True)
def redis_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """What pages say while it is away is a test's own matter."""
    monkeypatch.setattr(redis_state, "is_there", lambda: True)


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The orchestrators of ``tests/dashboard/functions.py``, for this test; and nobody listens to the bells."""
    hear_bells(monkeypatch)
    monkeypatch.setattr(default_registry, "activities", dict(default_registry.activities))
    monkeypatch.setattr(default_registry, "orchestrators", dict(default_registry.orchestrators))
    functions.register(default_registry)


@pytest.fixture
def work() -> Callable[[], None]:
    """Run turns and activities until nothing is ready."""
    return lambda: Host("worker", "default").run_until_idle()


@pytest.fixture
def start(registered: None, work: Callable[[], None]) -> Start:
    """Start an instance and let it go as far as it can: ``start(name, input, instance_id, **options)``."""

    def start(name: str, input_: Any = None, instance_id: str | None = None, **options: Any) -> str:
        started = DurableClient().start_new(name, input_, instance_id=instance_id, **options)
        work()
        return started

    return start


def make_user(role: str) -> User:
    """Make somebody with a role (see ``ROLE_GROUPS``), a superuser ("boss"), or somebody without rights ("nobody")."""
    if role == "boss":
        return User.objects.create_superuser(role, password="secret")
    user = User.objects.create_user(role, password="secret")
    if role in ROLE_GROUPS:
        user.groups.add(Group.objects.get(name=ROLE_GROUPS[role]))
    return user


@pytest.fixture
def person(db: None) -> Callable[[str], User]:
    """Return somebody with a role: ``person("viewer")``; made at the first call."""
    return lambda role: User.objects.filter(username=role).first() or make_user(role)


@pytest.fixture
def as_role(person: Callable[[str], User]) -> Callable[[str], Client]:
    """A client that is logged in as somebody with a role: ``as_role("viewer").get("/instances/")``."""

    def client(role: str) -> Client:
        made = Client()
        made.force_login(person(role))
        return made

    return client


@pytest.fixture
def demo(settings: Settings) -> None:
    """The pages of ``tests/dashboard/gallery.py``, beside those of the site."""
    settings.ROOT_URLCONF = gallery.__name__
    [engine] = settings.TEMPLATES
    loaders = ["filesystem.Loader", "app_directories.Loader"]
    options = {
        **engine["OPTIONS"],
        "loaders": [
            *(f"django.template.loaders.{name}" for name in loaders),
            ("django.template.loaders.locmem.Loader", gallery.PAGES),
        ],
    }
    settings.TEMPLATES = [{**engine, "APP_DIRS": False, "OPTIONS": options}]


# ---- the browser ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The browser, started once for all tests of a process."""
    try:
        browsers.chromium_path()
    except ServiceMissingError as error:
        missing(str(error))
    # Playwright keeps an event loop in this thread, and Django would refuse its queries beside one.
    before = os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE")
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    with browsers.browser() as started:
        yield started
    if before is None:
        del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


class Visit(Protocol):
    """Open an address of the site in a new window."""

    def __call__(
        self,
        path: str,
        *,
        role: str | None = "boss",
        theme: str = "light",
        width: int = 1280,
        height: int = 900,
        scripts: bool = True,
        zone: str = "Europe/Berlin",
    ) -> Page:
        """Return the page, loaded.

        Args:
            path: the address, below the site.
            role: who visits (see ``make_user``); None for a stranger.
            theme: "light" or "dark", by the system's preference.
            width, height: of the window, in pixels.
            scripts: whether JavaScript runs.
            zone: the browser's time zone.
        """


@pytest.fixture
def visit(
    chromium: Browser, live_server: LiveServer, person: Callable[[str], User], redis_server: Any
) -> Iterator[Visit]:
    """Open pages of this test's own site; whatever a page reports as an error fails the test at its end."""
    contexts: list[BrowserContext] = []
    problems: list[str] = []

    def visit(
        path: str,
        *,
        role: str | None = "boss",
        theme: str = "light",
        width: int = 1280,
        height: int = 900,
        scripts: bool = True,
        zone: str = "Europe/Berlin",
    ) -> Page:
        context = chromium.new_context(
            base_url=live_server.url,
            color_scheme="dark" if theme == "dark" else "light",
            viewport={"width": width, "height": height},
            java_script_enabled=scripts,
            timezone_id=zone,
            reduced_motion="reduce",
        )
        contexts.append(context)
        context.set_default_timeout(browsers.PAGE_PATIENCE)
        if role is not None:
            context.add_cookies([_session_cookie(person(role), live_server.url)])
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(f"{page.url}: {error}"))
        page.on("console", lambda said: _note(problems, page, said.type, said.text))
        page.goto(path)
        return page

    yield visit
    for context in contexts:
        context.close()
    assert not problems, "\n".join(problems)


def _note(problems: list[str], page: Page, kind: str, text: str) -> None:
    """Keep what is wrong: script errors and breaches of the content policy; not the status of a page that is wanted."""
    if kind == "error" and "Failed to load resource" not in text:
        problems.append(f"{page.url}: {text}")


def _session_cookie(user: User, url: str) -> Any:
    client = Client()
    client.force_login(user)
    name, morsel = next((name, one) for name, one in client.cookies.items() if name.startswith("sessionid"))
    return {"name": name, "value": morsel.value, "domain": urlsplit(url).hostname, "path": "/"}


@pytest.fixture
def shoot(tmp_path: Path) -> Callable[[Page, str], Path]:
    """Take a picture of a whole page into the folder ``TEST_SCREENSHOTS``, where it is named; return its path."""
    folder = os.environ.get("TEST_SCREENSHOTS", "")

    def shoot(page: Page, name: str) -> Path:
        path = Path(folder or tmp_path) / f"{name}.png"
        if folder:
            page.screenshot(path=path, full_page=True)
        return path

    return shoot


__all__ = ["ROLE_GROUPS", "Start", "Visit", "make_user"]
