"""The host's settings for worker processes under test: a second queue, and times as short as a test needs them."""

import json
import os
from datetime import timedelta
from typing import Any

from django.utils import timezone

from durable_host.settings import *  # noqa: F403
from durable_host.settings import DURABLE_HOST


def _value(value: Any) -> Any:
    return timedelta(seconds=value) if isinstance(value, float) else value


#: fractions are seconds
DURABLE_HOST |= {key: _value(value) for key, value in json.loads(os.environ.get("TEST_HOST_SETTINGS", "{}")).items()}

#: by how much the clock of this machine is wrong
SHIFT = timedelta(seconds=int(os.environ.get("TEST_CLOCK_SHIFT", "0")))
if SHIFT:
    _true_now = timezone.now
    timezone.now = lambda: _true_now() + SHIFT
