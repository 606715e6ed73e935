"""How results look on a terminal."""

import io

import pytest
from django.core.management import call_command

from durable_host.core.status import RuntimeStatus
from durable_host.models import Instance
from tests.cli.conftest import bare, durable, finish, start

pytestmark = [pytest.mark.store, pytest.mark.django_db]


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


@pytest.fixture(autouse=True)
def looks(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")


def on_terminal(*args: str) -> str:
    screen = Terminal()
    call_command("durable", *args, stdout=screen, stderr=screen)
    return screen.getvalue()


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_tables_fit_and_keep_ids_whole(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    usual = durable("start-new", "cli_shout").out.strip()
    alone = bare(on_terminal("list"))
    start("y" * 150)
    both = bare(on_terminal("list"))

    assert usual in alone or columns < 80  # there it is folded
    assert "○ Pending" in alone
    assert both.count("y") == 150 + both.count("day")
    for text in (alone, both, bare(on_terminal("functions")), bare(on_terminal("get-status", usual))):
        assert max(len(line) for line in text.splitlines()) <= columns


def test_colours_and_their_absence(monkeypatch: pytest.MonkeyPatch) -> None:
    start("s1")
    assert "\x1b[" in on_terminal("get-status", "s1")
    assert "\x1b[" not in on_terminal("get-status", "s1", "--no-color")
    assert "\x1b[" not in durable("list").out
    assert "\x1b[" in durable("list", "--force-color").out
    assert bare(durable("list", "--force-color").out) == durable("list").out
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in on_terminal("get-status", "s1")


def test_a_dumb_terminal_is_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    start("s1")
    monkeypatch.setenv("TERM", "dumb")
    assert on_terminal("list") == durable("list").out


def test_users_texts_cannot_steer_the_terminal() -> None:
    start("s1", "--input", '"\\u001b[2J"', "--tag", "a=\x1b[31m")
    Instance.objects.filter(instance_id="s1").update(custom_status='"\u202e\x9b"', stall_reason="\x1b]0;title\x07")
    finish("s1", RuntimeStatus.TERMINATED, output='"[red]no markup[/red] :smile:"')
    for text in (on_terminal("get-status", "s1", "--no-color"), durable("get-status", "s1").out):
        assert not set("\x1b\x9b\x07\u202e") & set(text)
        assert "\\u001b[2J" in text
        assert "[red]no markup[/red] :smile:" in text


def test_long_values_are_cut_for_people_only() -> None:
    start("s1", "--input", '"' + "x" * 50_000 + '"')
    assert "more characters; --json shows all" in bare(on_terminal("get-status", "s1"))
    assert "x" * 50_000 in durable("get-status", "s1").out
    finish("s1", output="[" + ",".join(["1"] * 500) + "]")
    assert "462 more lines; --json shows all" in bare(on_terminal("get-status", "s1", "--no-input"))
