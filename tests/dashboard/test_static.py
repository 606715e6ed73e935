"""The files that a browser gets: small, whole, and nothing inline."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from pathlib import Path

import pytest

from tests.services import PROJECT

STATIC = PROJECT / "static/dashboard"
TEMPLATES = PROJECT / "templates/dashboard"
LIMIT_BYTES = 60_000


def test_scripts_and_styles_stay_small() -> None:
    files = [one for kind in ("*.js", "*.css") for one in STATIC.rglob(kind)]
    assert len(files) > 5
    assert sum(len(gzip.compress(one.read_bytes())) for one in files) < LIMIT_BYTES


@pytest.mark.parametrize("manifest", sorted(PROJECT.glob("**/vendor/*/*/vendor.json")), ids=lambda path: path.parts[-3])
def test_what_others_wrote_is_as_they_published_it(manifest: Path) -> None:
    said = json.loads(manifest.read_text())
    found = {one.name for one in manifest.parent.iterdir()} - {manifest.name}
    assert set(said["files"]) == found
    assert "LICENSE" in found
    for name, integrity in said["files"].items():
        digest = hashlib.sha384((manifest.parent / name).read_bytes()).digest()
        assert integrity == f"sha384-{base64.b64encode(digest).decode()}", name


def test_nothing_stands_in_the_html_that_the_policy_forbids() -> None:
    forbidden = re.compile(r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]*\ssrc=)|javascript:|hx-on|\|safe\b")
    offending = [
        f"{page.relative_to(PROJECT)}: {found.group()}"
        for page in TEMPLATES.rglob("*.html")
        if (found := forbidden.search(page.read_text()))
    ]
    assert offending == []


def test_colours_stand_in_the_tokens_alone() -> None:
    colour = re.compile(r"#[0-9a-fA-F]{3,8}\b|\brgb\(|\bhsl\(")
    allowed = {"tokens.css", "print.css"}
    offending = [
        f"{sheet.name}: {line.strip()}"
        for sheet in (STATIC / "css").glob("*.css")
        if sheet.name not in allowed
        for line in sheet.read_text().splitlines()
        if colour.search(line)
    ]
    assert offending == []
