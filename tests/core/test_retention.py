"""What the setting RETENTION may say, and what is said of what it may not."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from durable_host.conf import host_settings
from durable_host.core.retention import rules_of
from durable_host.core.status import RuntimeStatus


def test_a_rule_needs_days_only() -> None:
    everything, nightly, audited = rules_of(
        [{"days": 30}, {"days": 0.5, "status": "Failed", "name": "nightly_*"}, {"days": None, "name": "audited"}]
    )
    assert (everything.kept_for, everything.status, everything.name) == (timedelta(days=30), None, "")
    assert (nightly.kept_for, nightly.status) == (timedelta(hours=12), RuntimeStatus.FAILED)
    assert audited.kept_for is None
    assert [*map(str, (everything, nightly, audited))] == [
        "any for 30 days", "Failed nightly_* for 0.5 days", "audited for ever",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ([{}], 'RETENTION[0]["days"]: Field required'),
        ([{"days": 30}, {"days": 0}], 'RETENTION[1]["days"]: Input should be greater than 0'),
        ([{"days": "soon"}], 'RETENTION[0]["days"]: Input should be a valid number'),
        ([{"days": 1, "status": "Running"}], 'RETENTION[0]["status"]: only finished instances are removed'),
        ([{"days": 1, "status": "Done"}], "RETENTION[0][\"status\"]: Input should be 'Pending'"),
        ([{"days": 1, "name": "a*b"}], 'RETENTION[0]["name"]: a * may stand at the end only'),
        ([{"days": 1, "nmae": "a"}], 'RETENTION[0]["nmae"]: Unexpected keyword argument'),
        ({"days": 1}, "RETENTION: Input should be a valid list"),
    ],
)
def test_what_is_no_rule_is_refused_by_its_place(given: Any, says: str) -> None:
    with pytest.raises(ValueError, match="RETENTION is not acceptable") as refused:
        rules_of(given)
    assert says in str(refused.value)


def test_the_settings_refuse_it_too(settings: Any) -> None:
    settings.DURABLE_HOST = {"RETENTION": [{"day": 3}]}
    with pytest.raises(ImproperlyConfigured, match=r'DURABLE_HOST: RETENTION .* RETENTION\[0\]\["days"\]'):
        host_settings()
