"""What somebody has chosen to see: kept in cookies, so that the server can draw the page right at once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.http import HttpRequest
from django.utils import timezone

THEME_COOKIE = "dashboard_theme"
ZONE_COOKIE = "dashboard_zone"
#: the name of the browser's zone, which only a script can find out
BROWSER_ZONE_COOKIE = "dashboard_browser_zone"
THEMES = ("system", "light", "dark")
ZONES = ("local", "utc")
#: cookie → what it may say
CHOICES: dict[str, tuple[str, ...]] = {THEME_COOKIE: THEMES, ZONE_COOKIE: ZONES}


@dataclass(frozen=True, slots=True)
class Preferences:
    """How somebody wants to see the pages."""

    theme: str
    #: "local" or "utc"
    zone: str
    timezone: tzinfo
    #: the zone is the browser's own, by its name
    zone_name: str


def preferences_of(request: HttpRequest) -> Preferences:
    """Return what a browser's cookies say; whatever they say wrongly counts as not said."""
    theme, zone = (
        _choice(request.COOKIES.get(THEME_COOKIE), THEMES),
        _choice(request.COOKIES.get(ZONE_COOKIE), ZONES),
    )
    if zone == "utc":
        return Preferences(theme, zone, ZoneInfo("UTC"), "UTC")
    local = _named(request.COOKIES.get(BROWSER_ZONE_COOKIE, "")) or timezone.get_default_timezone()
    return Preferences(theme, zone, local, str(local))


def _choice(given: str | None, known: tuple[str, ...]) -> str:
    return given if given in known else known[0]


def _named(name: str) -> ZoneInfo | None:
    # Cookies cannot hold the slash of Europe/Berlin in every browser: it comes encoded.
    try:
        return ZoneInfo(name.replace("%2F", "/")) if name else None
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None
