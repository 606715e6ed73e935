"""The host's settings, on a directory, a database and a Redis that only this test process uses."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

# Must be set before the settings are read; a developer's own environment must not leak into the tests.
for _name in ("DATABASE_URL", "REDIS_URL", "SECRET_KEY", "DURABLE_LOGIN_TOKEN", "DEBUG", "PORT"):
    os.environ.pop(_name, None)
for _name in [name for name in os.environ if name.startswith(("OTEL_", "APPLICATIONINSIGHTS_"))]:
    del os.environ[_name]
TEST_ROOT = Path(tempfile.mkdtemp(prefix="durable-test-"))
atexit.register(shutil.rmtree, TEST_ROOT, ignore_errors=True)
os.environ["DURABLE_VAR"] = str(TEST_ROOT / "var")

from durable_host.settings import *  # noqa: E402, F403
from durable_host.settings import DATABASES  # noqa: E402

TEST_DATABASE = os.environ.get("TEST_DATABASE", "sqlite")
if TEST_DATABASE == "sqlite":
    # A file and not :memory:, because worker processes of the tests open it, too.
    DATABASES["default"]["TEST"] = {"NAME": str(TEST_ROOT / "test.sqlite3")}
elif TEST_DATABASE == "postgres":
    # Where it is becomes known when the first test needs it: see tests/conftest.py.
    DATABASES["default"] = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "postgres",
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {"pool": {"min_size": 1, "max_size": 16, "timeout": 30}, "prepare_threshold": 5},
        "TEST": {"NAME": "test_durable"},
    }
else:
    raise RuntimeError(f"TEST_DATABASE must be sqlite or postgres, not {TEST_DATABASE!r}")

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
