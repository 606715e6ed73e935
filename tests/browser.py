"""A real browser for the tests: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.services import PATIENCE, PROJECT, ServiceMissingError

#: milliseconds, as Playwright wants them, for whatever a page is expected to show or to do
PAGE_PATIENCE = PATIENCE * 1000
expect.set_options(timeout=PAGE_PATIENCE)

_AXE = PROJECT / "tests/vendor/axe/4.14.1/axe.min.js"
_NAMES = ("chromium", "chromium-browser", "google-chrome")
#: no sandbox: tests may run as root in a container. The rest keeps the browser from calling home.
_ARGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")


def chromium_path() -> Path:
    """The browser of this machine; ``TEST_CHROMIUM`` names another.

    Raises:
        ServiceMissingError: there is none.
    """
    named = os.environ.get("TEST_CHROMIUM")
    found = named or next((path for name in _NAMES if (path := shutil.which(name))), None)
    if found is None:
        raise ServiceMissingError("no Chromium on this machine (Debian: apt install chromium)")
    return Path(found)


@contextmanager
def browser() -> Iterator[Browser]:
    """Start a browser, and end it."""
    path = chromium_path()
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=list(_ARGS))
        yield started
        started.close()


def accessibility_problems(page: Page) -> list[str]:
    """Return what axe-core finds on a page by WCAG 2.2 AA and its best practices, a line for each place."""
    # By the debugger, which the page's own policy does not bind.
    page.evaluate(_AXE.read_text())
    found: dict[str, Any] = page.evaluate(
        "rules => axe.run(document, {runOnly: {type: 'tag', values: rules}, resultTypes: ['violations']})", list(_RULES)
    )
    return [
        f"{one['id']} ({one['impact']}): {one['help']}: {node['html'][:300]} {json.dumps(node['any'][:1])[:300]}"
        for one in found["violations"]
        for node in one["nodes"]
    ]


def assert_accessible(page: Page) -> None:
    """Fail with everything that axe-core finds on a page as it is now."""
    problems = accessibility_problems(page)
    assert not problems, f"{page.url}\n" + "\n".join(problems)


def assert_no_sideways_scroll(page: Page) -> None:
    """Fail where the page is wider than its window."""
    wide, window = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert wide <= window, f"{page.url} is {wide} px wide in a window of {window} px"
