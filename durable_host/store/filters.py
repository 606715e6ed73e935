"""Texts of callers to queries that mean the same on every database."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from django.db import connection
from django.db.models import BooleanField, Exists, F, Func, OuterRef, Q, QuerySet, Subquery, TextField, Value
from django.db.models.functions import Left, StrIndex

from durable_host.core.status import FINISHED, RuntimeStatus
from durable_host.models import EventWait, Instance

from .shapes import InstanceFilter


class TagValue(Func):
    """The value of a tag, where no index finds it. Django's own key transforms take the name ``1`` for a position."""

    function = "jsonb_extract_path_text"
    output_field = TextField()

    def __init__(self, name: str) -> None:
        super().__init__(F("tags"), Value(name))

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> tuple[str, Any]:
        """Look through the names: a path cannot hold every one of them."""
        look = "(SELECT value FROM json_each(%(expressions)s)"
        sql, params = self.as_sql(compiler, connection, template=look, arg_joiner=") WHERE key = ", **context)
        return sql, params


class AnyOf(Func):
    """Whether a JSON list holds one of these texts."""

    output_field = BooleanField()
    conditional = True

    def __init__(self, column: str, texts: Sequence[str]) -> None:
        super().__init__(F(column))
        self._texts = [text for text in texts if is_storable(text)]

    def as_sql(self, compiler: Any, connection: Any, *_: Any, **__: Any) -> tuple[str, Any]:
        """Write it for PostgreSQL."""
        column, params = compiler.compile(self.get_source_expressions()[0])
        return f"({column} ?| %s::text[])", [*params, self._texts]

    def as_sqlite(self, compiler: Any, connection: Any, **_: Any) -> tuple[str, Any]:
        """Write it for SQLite."""
        column, params = compiler.compile(self.get_source_expressions()[0])
        texts = json.dumps(self._texts)
        look = f"SELECT 1 FROM json_each({column}) held WHERE held.value IN (SELECT value FROM json_each(%s))"  # noqa: S608
        return f"EXISTS ({look})", [*params, texts]


def named(hub: str, instance_id: str) -> QuerySet[Instance]:
    """Return the instance of this id, if there is one."""
    rows = Instance.objects.filter(hub=hub, instance_id=instance_id)
    return rows if is_storable(instance_id) else rows.none()


def matching(hub: str, filter_: InstanceFilter) -> QuerySet[Instance]:
    """Return the instances of the hub that a filter means."""
    return searched(indexed(hub, filter_), filter_)


def indexed(hub: str, filter_: InstanceFilter) -> QuerySet[Instance]:
    """Return the instances that fit the part of a filter that indexes answer."""
    rows = Instance.objects.filter(hub=hub)
    if not all(is_storable(text) for text in _texts(filter_)):
        return rows.none()
    lookups = {
        "status__in": [status.value for status in filter_.statuses],
        "name": filter_.name,
        "created_at__gte": filter_.created_from,
        "created_at__lte": filter_.created_to,
        "parent__isnull": filter_.roots_only or None,
        "status": RuntimeStatus.FAILED if filter_.error_text else None,
    }
    rows = rows.filter(**{lookup: value for lookup, value in lookups.items() if value})
    if filter_.parent_id:
        rows = rows.filter(parent=Subquery(named(hub, filter_.parent_id).values("pk")[:1]))
    if filter_.stalled:
        rows = rows.exclude(stall_reason="").exclude(status__in=FINISHED)
    if filter_.waiting:
        rows = _waiting(rows, filter_.statuses)
    return _with_tags(_with_prefix(rows, filter_.instance_id_prefix), filter_.tags)


def searched(rows: QuerySet[Instance], filter_: InstanceFilter) -> QuerySet[Instance]:
    """Keep those that fit the rest of the filter, which has to read each row."""
    if filter_.name_pattern:
        rows = rows.filter(name__regex=_glob_regex(filter_.name_pattern))
    if filter_.custom_status:
        rows = _holding(rows, "custom_status", filter_.custom_status)
    return _holding(rows, "failure", filter_.error_text) if filter_.error_text else rows


def has_search(filter_: InstanceFilter) -> bool:
    """Tell whether rows have to be read to know whether they fit."""
    reads_tags = bool(filter_.tags) and connection.vendor != "postgresql"
    return bool(filter_.name_pattern or filter_.custom_status or filter_.error_text) or reads_tags


def glob_matches(pattern: str, name: str) -> bool:
    """Tell whether a name fits a pattern, in which ``*`` means any text and ``?`` any character."""
    return re.fullmatch(_glob_regex(pattern), name) is not None


def _glob_regex(pattern: str) -> str:
    """Return the pattern as a regular expression that Python and PostgreSQL read alike."""
    wild = {"*": ".*", "?": "."}
    return f"^{''.join(wild.get(char) or re.escape(char) for char in pattern)}$"


def _waiting(rows: QuerySet[Instance], statuses: Sequence[RuntimeStatus]) -> QuerySet[Instance]:
    """Keep those that listen for an event. What has finished does not: no database need read a million rows for it."""
    going = set(statuses or RuntimeStatus) - FINISHED
    if not going:
        return rows.none()
    # Once more only where it says more: the planner takes two conditions on one column for independent ones.
    rows = rows if going == set(statuses) else rows.filter(status__in=sorted(going))
    return rows.filter(Exists(EventWait.objects.filter(instance=OuterRef("pk"))))


def _with_prefix(rows: QuerySet[Instance], prefix: str | None) -> QuerySet[Instance]:
    if not prefix:
        return rows
    rows = rows.filter(instance_id__startswith=prefix)
    if connection.vendor == "postgresql":
        return rows
    # SQLite's LIKE takes a for A, so compare again.
    return rows.alias(head=Left("instance_id", len(prefix))).filter(head=prefix)


def _with_tags(rows: QuerySet[Instance], tags: Mapping[str, str]) -> QuerySet[Instance]:
    if tags and connection.vendor == "postgresql":
        # The index leaves out the empty ones, and has to be told that none of them is meant.
        return rows.filter(tags__contains=dict(tags)).exclude(tags={})
    for number, (name, value) in enumerate(tags.items()):
        tag = f"tag_{number}"
        rows = rows.alias(**{tag: TagValue(name)}).filter(**{tag: value})
    return rows


def _holding(rows: QuerySet[Instance], column: str, text: str) -> QuerySet[Instance]:
    """Keep the rows whose JSON in this column holds the text: as the JSON has it, or as its author wrote it."""
    escaped = json.dumps(text, ensure_ascii=False)[1:-1]
    as_json, as_text = f"{column}_json", f"{column}_text"
    # Not LIKE: SQLite's takes a for A, PostgreSQL's does not.
    places = {as_json: StrIndex(column, Value(text)), as_text: StrIndex(column, Value(escaped))}
    return rows.alias(**places).filter(Q(**{f"{as_json}__gt": 0}) | Q(**{f"{as_text}__gt": 0}))


def _texts(filter_: InstanceFilter) -> list[str]:
    one = [
        filter_.name,
        filter_.name_pattern,
        filter_.instance_id_prefix,
        filter_.custom_status,
        filter_.error_text,
        filter_.parent_id,
    ]
    return [*(text or "" for text in one), *filter_.tags, *filter_.tags.values()]


def is_storable(text: str) -> bool:
    """Tell whether any row can hold the text. PostgreSQL refuses others even in a comparison."""
    return "\x00" not in text and not any("\ud800" <= char <= "\udfff" for char in text)
