"""``manage.py durable_run``: the whole host on one machine, from one command, until Ctrl-C."""

import multiprocessing
import os
import secrets
import shlex
import signal
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connections
from honcho import manager
from honcho.printer import Printer

from durable_host import embedded, gunicorn_local, localdata, tether
from durable_host.conf import host_settings

STOP_MARGIN_SECONDS = 3.0
STOPPED_BY_USER = {128 + signal.SIGINT, 128 + signal.SIGTERM}


class Announcer(Printer):  # type: ignore[misc]
    """Honcho's printer, which shows the banner at the moment when its address can be opened."""

    def __init__(self, banner: str) -> None:
        super().__init__(sys.stdout)
        self._banner = banner

    def write(self, message: Any) -> None:
        """Print one message of one process."""
        data = message.data.decode(errors="replace") if isinstance(message.data, bytes) else message.data
        if message.name == "web" and data.strip() == gunicorn_local.READY:
            print(self._banner, file=self.output, flush=True)
        else:
            super().write(message)


class Supervisor(manager.Manager):  # type: ignore[misc]
    """Honcho's manager, which also ends what an ended process has left behind in its group."""

    def kill_leftovers(self) -> None:
        """Kill every process of every group that was started."""
        for process in self._processes.values():
            if pid := process.get("pid"):
                with suppress(OSError):
                    os.killpg(pid, signal.SIGKILL)


class Command(BaseCommand):
    """Run web server, workers and, if none is named, a Redis; show where to open them; stop together."""

    help = "Run the whole host on this machine: PORT and DURABLE_VAR choose its port and its data directory."

    def handle(self, *args: Any, **options: Any) -> None:
        """Run until something stops, or somebody stops it."""
        if not hasattr(settings, "DURABLE_VAR"):
            raise CommandError("durable_run starts the stand-alone host; this project has settings of its own.")
        signal.signal(signal.SIGTERM, _interrupt)
        with ExitStack() as cleanup:
            try:
                code = _run(cleanup, self)
            except embedded.EmbeddedError as error:
                raise CommandError(str(error)) from None
            except KeyboardInterrupt:
                code = 128 + signal.SIGINT
        if code and code not in STOPPED_BY_USER:
            raise CommandError("A part of the host has stopped, so all of it has; see its last lines above.")


def _interrupt(signum: int, frame: FrameType | None) -> NoReturn:
    """End the preparations as a Ctrl-C would; the supervisor brings handlers of its own."""
    raise KeyboardInterrupt


def _run(cleanup: ExitStack, command: BaseCommand) -> int:
    var: Path = settings.DURABLE_VAR
    embedded.check_port(settings.PORT)
    cleanup.enter_context(embedded.locked(var))
    redis = _start_redis(var, cleanup)
    command.stdout.write("Preparing the database")
    call_command("migrate", interactive=False, verbosity=0)
    _close_databases()

    token = secrets.token_urlsafe(24)
    # Longer than a worker waits for its running activities. Honcho knows no other way to say it.
    manager.KILL_WAIT = host_settings().shutdown_grace.total_seconds() + STOP_MARGIN_SECONDS
    supervisor = Supervisor(Announcer(banner(token)))
    env = _environment()
    web = [sys.executable, "-m", "gunicorn", "-c", gunicorn_local.__file__, "durable_host.wsgi"]
    worker = [sys.executable, str(settings.BASE_DIR / "manage.py"), "durable_worker", "--processes", "2"]
    supervisor.add_process("web", _shell(web), env={**env, "DURABLE_LOGIN_TOKEN": token}, cwd=settings.BASE_DIR)
    supervisor.add_process("worker", _shell(worker), env=env, cwd=settings.BASE_DIR)
    cleanup.callback(supervisor.kill_leftovers)
    _tether_wrappers()
    if redis:
        _watch(redis)
        cleanup.callback(signal.signal, signal.SIGCHLD, signal.SIG_DFL)
    supervisor.loop()
    # At a stop by the user it still runs: the cleanup ends it last.
    return 1 if redis and redis.has_ended() else supervisor.returncode


def _start_redis(var: Path, cleanup: ExitStack) -> embedded.EmbeddedRedis | None:
    """Start a Redis of our own, unless the environment names one."""
    if os.environ.get("REDIS_URL"):
        return None
    path = localdata.choose_redis_socket(var)
    cleanup.callback(localdata.forget_redis_socket, var, path)
    redis = embedded.EmbeddedRedis(path, var)
    cleanup.callback(redis.stop)
    redis.start()
    return redis


def _watch(redis: embedded.EmbeddedRedis) -> None:
    """Stop the host if its Redis dies: it would go on by sweeps alone, and nobody would know why."""
    owner = os.getpid()

    def on_child(signum: int, frame: FrameType | None) -> None:
        if os.getpid() == owner and redis.has_ended():
            print(f"The embedded Redis has stopped; its log is {redis.log}", file=sys.stderr, flush=True)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.kill(owner, signal.SIGTERM)

    signal.signal(signal.SIGCHLD, on_child)


def _tether_wrappers() -> None:
    """Make honcho's helper processes, and so what they started, die with this one, however it dies."""
    if sys.platform == "linux":
        multiprocessing.set_start_method("fork", force=True)
        os.register_at_fork(after_in_child=lambda: tether.die_with_parent(signal.SIGKILL))


def _close_databases() -> None:
    """Leave no connection, and no pool's thread, for the forks to inherit."""
    for connection in connections.all(initialized_only=True):
        connection.close()
        if close_pool := getattr(connection, "close_pool", None):
            close_pool()


def _shell(argv: list[str]) -> str:
    """The shell line for honcho: the shell gives way to the command, which is tethered to honcho's helper."""
    parent = "$PPID"  # of the shell; the one word that it shall expand
    parts = tether.command(parent, argv)
    return "exec " + " ".join(part if part == parent else shlex.quote(part) for part in parts)


def _environment() -> dict[str, str]:
    env = {name: value for name, value in os.environ.items() if name != "DURABLE_LOGIN_TOKEN"}
    return env | {
        "DURABLE_EMBEDDED": "1",
        "DURABLE_VAR": str(settings.DURABLE_VAR),
        "PORT": str(settings.PORT),
        "PYTHONUNBUFFERED": "1",
    }


def _short(path: str | Path) -> str:
    """The path as a person in this directory would type it."""
    relative = os.path.relpath(path)
    return shlex.quote(str(path) if relative.startswith("..") else relative)


def banner(token: str) -> str:
    """What a person needs to know once the host runs."""
    database = settings.DATABASES["default"]
    sqlite = database["ENGINE"].endswith("sqlite3")
    data = database["NAME"] if sqlite else f"PostgreSQL database {database['NAME']}; files in {settings.DURABLE_VAR}"
    prefix = f"{_short(sys.executable)} {_short(settings.BASE_DIR / 'manage.py')} durable"
    if os.environ.get("DURABLE_VAR"):
        prefix = f"DURABLE_VAR={shlex.quote(str(settings.DURABLE_VAR))} {prefix}"
    return f"""
  The durable host is running.

    Open   http://127.0.0.1:{settings.PORT}/login/embedded?token={token}
    Data   {data}
    Stop   Ctrl-C

  In another terminal:

    {prefix} start-new fan_out_fan_in --input '{{"root": "."}}' --wait
    {prefix} list
    {prefix} functions
"""
