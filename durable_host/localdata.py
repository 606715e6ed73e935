"""Where a local installation keeps its data: the database file, the secret key and the address of its Redis.

Read by the settings module and by the one-command run, so that a command typed in another terminal finds the
same files. Imports nothing of Django: settings import it.
"""

import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path

SOCKET_NAME = "redis.sock"
REDIS_URL_FILE = "redis.url"
# sun_path holds 108 bytes on Linux and 104 on macOS, the closing NUL included.
MAX_SOCKET_PATH = 103


def redis_socket_url(socket: Path) -> str:
    """The URL by which clients reach a Redis on this Unix socket."""
    return f"unix://{socket}?db=0"


def redis_url(var: Path) -> str:
    """The address of the Redis of this data directory, whether or not it is running now.

    A directory too deep for a Unix socket has its socket elsewhere; the file then says where.
    """
    recorded = var / REDIS_URL_FILE
    with suppress(FileNotFoundError):
        return recorded.read_text().strip()
    return redis_socket_url(var / SOCKET_NAME)


def choose_redis_socket(var: Path) -> Path:
    """Decide where this data directory's Redis listens; record it if not in the directory itself."""
    socket = var / SOCKET_NAME
    forget_redis_socket(var, Path(redis_url(var).removeprefix("unix://").partition("?")[0]))
    if len(os.fsencode(socket)) <= MAX_SOCKET_PATH:
        return socket
    # mkdtemp makes the directory 0700: nobody else may talk to this Redis.
    socket = Path(tempfile.mkdtemp(prefix="durable-")) / SOCKET_NAME
    (var / REDIS_URL_FILE).write_text(redis_socket_url(socket) + "\n")
    return socket


def forget_redis_socket(var: Path, socket: Path) -> None:
    """Undo :func:`choose_redis_socket`, also for a run that was killed."""
    socket.unlink(missing_ok=True)
    if socket.parent != var:
        (var / REDIS_URL_FILE).unlink(missing_ok=True)
        with suppress(OSError):
            socket.parent.rmdir()


def secret_key(var: Path) -> str:
    """The secret key of a local installation, made once and readable by its owner only."""
    path = var / "secret_key"
    with suppress(FileNotFoundError):
        return path.read_text().strip()
    var.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(prefix="secret_key.", dir=var)  # made with mode 0600
    with os.fdopen(handle, "w") as file:
        file.write(secrets.token_urlsafe(50) + "\n")
    try:
        # Linking, unlike renaming, lets the first of two processes win, and both read its key.
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        Path(draft).unlink()
    return path.read_text().strip()
