"""Settings of the stand-alone host, read from environment variables.

Another Django project adds ``durable_host`` and ``dashboard`` to its own INSTALLED_APPS
and never imports this.
"""

import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import environ
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from durable_host import localdata

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()

# ---- where and how it runs ----

DEBUG: bool = env.bool("DEBUG", default=False)
DURABLE_VAR = Path(env.str("DURABLE_VAR", default=str(BASE_DIR / "var"))).expanduser().resolve()

# Embedded: one person's own machine, with its data under DURABLE_VAR. Naming a database or
# a key says otherwise.
DURABLE_EMBEDDED: bool = env.bool(
    "DURABLE_EMBEDDED", default=not (env.str("DATABASE_URL", default="") or env.str("SECRET_KEY", default=""))
)
# Made anew by every one-command run and handed to its web process alone.
DURABLE_LOGIN_TOKEN: str = env.str("DURABLE_LOGIN_TOKEN", default="")


def _port() -> int:
    text = env.str("PORT", default="") or "8000"
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
        raise ImproperlyConfigured(f"PORT must be a number from 1 to 65535, not {text!r}.")
    return int(text)


PORT = _port()


def _retention() -> Any:
    try:
        return env.json("DURABLE_RETENTION", default=[])
    except ValueError as error:
        raise ImproperlyConfigured(f'DURABLE_RETENTION must be JSON, as [{{"days": 30}}]: {error}') from None


DURABLE_HOST: dict[str, Any] = {
    "TASK_HUB": env.str("DURABLE_TASK_HUB", default="default"),
    "MODULES": env.list("DURABLE_MODULES", default=["orchestrations"]),
    "KEYLESS_LOOPBACK": DURABLE_EMBEDDED,
    "START_RATE": env.str("DURABLE_START_RATE", default="20000/minute"),
    "EVENT_RATE": env.str("DURABLE_EVENT_RATE", default="20000/minute"),
    "DENIED_RATE": env.str("DURABLE_DENIED_RATE", default="120/minute"),
    "MAX_HTTP_WAIT": timedelta(seconds=env.float("DURABLE_MAX_HTTP_WAIT", default=230)),
    "RATE_STORAGE": env.str("DURABLE_RATE_STORAGE", default="memory://"),
    "HTTP_ALLOWED_HOSTS": env.list("DURABLE_HTTP_ALLOWED_HOSTS", default=None),
    "HTTP_ALLOW_PRIVATE": env.bool("DURABLE_HTTP_ALLOW_PRIVATE", default=False),
    "APPINSIGHTS_RESOURCE_ID": env.str("APPLICATIONINSIGHTS_RESOURCE_ID", default=""),
    "APPINSIGHTS_PORTAL": env.str("APPLICATIONINSIGHTS_PORTAL", default="https://portal.azure.com"),
    "RETENTION": _retention(),
    "TRACE_INPUTS_AND_OUTPUTS": env.bool("DURABLE_TRACE_INPUTS_AND_OUTPUTS", default=False),
    "TRACE_REPLAY_EVENTS": env.bool("DURABLE_TRACE_REPLAY_EVENTS", default=False),
}


def _secret_key() -> str:
    key: str = env.str("SECRET_KEY", default="")
    if key:
        return key
    if DURABLE_EMBEDDED or DEBUG:
        return localdata.secret_key(DURABLE_VAR)
    raise ImproperlyConfigured(
        "SECRET_KEY is not set. Give every process of this host the same long random SECRET_KEY "
        "(or set DURABLE_EMBEDDED=1 on a machine of your own, and one is made for you)."
    )


SECRET_KEY = _secret_key()

# ---- data ----


def _database() -> dict[str, Any]:
    if not env.str("DATABASE_URL", default=""):
        DURABLE_VAR.mkdir(mode=0o700, parents=True, exist_ok=True)
    config: dict[str, Any] = env.db_url("DATABASE_URL", default=f"sqlite:///{DURABLE_VAR / 'durable.sqlite3'}")
    options = config.setdefault("OPTIONS", {})
    if config["ENGINE"] == "django.db.backends.sqlite3":
        # IMMEDIATE: take the write lock at the start, where waiting is possible, and not in the middle, where
        # SQLite can only refuse. FULL: what was committed survives a power cut, too.
        options.setdefault("transaction_mode", "IMMEDIATE")
        options.setdefault("timeout", 20)
        options.setdefault("init_command", "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;")
    elif config["ENGINE"] == "django.db.backends.postgresql":
        # While the server is away, whoever wants a connection waits for the time-out: a request must not hang for long.
        patience = env.float("DATABASE_POOL_TIMEOUT", default=5.0)
        size = env.int("DATABASE_POOL_MAX", default=16)
        # The pool doubles its pauses between two tries; given up early, the next request tries at once.
        pool = {"min_size": 1, "max_size": size, "timeout": patience, "reconnect_timeout": patience}
        options.setdefault("pool", pool)
        if env.bool("DATABASE_PREPARE", default=True):  # the driver's own threshold, which Django switches off
            options.setdefault("prepare_threshold", 5)
        # A server that vanished without a word (its machine died) is noticed within a minute, not in a quarter hour.
        for name, seconds in {"connect_timeout": 5, "keepalives_idle": 30, "keepalives_interval": 10}.items():
            options.setdefault(name, seconds)
        options.setdefault("keepalives_count", 3)
        config["CONN_HEALTH_CHECKS"] = True
    return config


DATABASES = {"default": _database()}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL: str = env.str("REDIS_URL", default="") or localdata.redis_url(DURABLE_VAR)

# Every RQ queue that activities may name. Bells are JSON, never pickle.
RQ_QUEUES: dict[str, dict[str, Any]] = {
    name: {"URL": REDIS_URL, "SERIALIZER": "rq.serializers.JSONSerializer"}
    for name in env.list("DURABLE_QUEUES", default=["default"])
}
RQ = {
    "JOB_CLASS": "durable_host.dispatch.doorbell.BellJob",
    "WORKER_CLASS": "durable_host.dispatch.worker.DurableWorker",
    "DEFAULT_RESULT_TTL": 0,
    # The store says what to ring after its commit; RQ must not wait for a second one.
    "COMMIT_MODE": "auto",
}

# ---- applications ----

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_rq",
    "django_htmx",
    "csp",
    # The page of the API's documentation, with its scripts.
    "ninja",
    "durable_host",
    "dashboard",
]

MIDDLEWARE = [
    "durable_host.api.health.HealthMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "dashboard.policy.PolicyMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]

ROOT_URLCONF = "durable_host.urls"
WSGI_APPLICATION = "durable_host.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"

STATIC_URL = "static/"
STATIC_ROOT = DURABLE_VAR / "static"
STATICFILES_DIRS = [path for path in [BASE_DIR / "static"] if path.is_dir()]
# A local run serves the files from where they lie; a deployed one collects, compresses and names them
# by content.
WHITENOISE_USE_FINDERS = DURABLE_EMBEDDED or DEBUG
if not WHITENOISE_USE_FINDERS:
    STORAGES = {
        "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
        "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
    }
else:
    # WhiteNoise warns of a missing root, which a local run never needs.
    STATIC_ROOT.mkdir(mode=0o700, parents=True, exist_ok=True)

# ---- who may come in ----

ALLOWED_HOSTS: list[str] = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS: list[str] = env.list("CSRF_TRUSTED_ORIGINS", default=[])
LOGIN_URL = "dashboard:login"
LOGIN_REDIRECT_URL = "dashboard:overview"
CSRF_FAILURE_VIEW = "dashboard.views.errors.csrf_failure"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]

# Nothing from elsewhere, and nothing that stands in the HTML itself.
CONTENT_SECURITY_POLICY: dict[str, Any] = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "object-src": [NONE],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}
# HSTS, and from HTTP to HTTPS: both are the business of the proxy in front, which has the certificate.
SILENCED_SYSTEM_CHECKS = ["security.W004", "security.W008"]
X_FRAME_OPTIONS = "DENY"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = env.bool("COOKIE_SECURE", default=not (DURABLE_EMBEDDED or DEBUG))
if DURABLE_EMBEDDED:
    # Cookies know no ports: two local hosts beside each other would log each other out.
    SESSION_COOKIE_NAME = f"sessionid_{PORT}"
    CSRF_COOKIE_NAME = f"csrftoken_{PORT}"

# ---- logging ----

LOG_LEVEL: str = env.str("LOG_LEVEL", default="INFO").upper()
LOG_FORMAT: str = env.str("LOG_FORMAT", default="text")
if LOG_FORMAT not in {"text", "json"}:
    raise ImproperlyConfigured(f"LOG_FORMAT must be text or json, not {LOG_FORMAT!r}.")

LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "text": {
            "()": "durable_host.telemetry.formatting.FieldsFormatter",
            "format": "{asctime} {levelname:<7} {name}: {message}",
            "style": "{",
        },
        "json": {
            "()": "pythonjsonlogger.json.JsonFormatter",
            "fmt": "%(asctime)s %(levelname)s %(name)s %(message)s",
            "rename_fields": {"asctime": "time", "levelname": "level", "name": "logger"},
        },
    },
    "filters": {"redaction": {"()": "durable_host.telemetry.redaction.RedactingFilter"}},
    "handlers": {
        "stderr": {
            "class": "logging.StreamHandler",
            "stream": sys.stderr,
            "formatter": LOG_FORMAT,
            # On the handler, which every record passes, whoever wrote it.
            "filters": ["redaction"],
        }
    },
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL},
    "loggers": {
        # Its own default handlers print in another format, and errors twice.
        "django": {"handlers": [], "level": LOG_LEVEL, "propagate": True},
        # A line for every bell says nothing: the host logs the acts themselves.
        "rq": {"level": "WARNING"},
        "rq.worker": {"level": "WARNING"},
        "httpx": {"level": "WARNING"},
    },
}
