"""Indexes of kinds that only PostgreSQL has. Other databases get none: there the rows are read."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor


class _PostgresIndex(models.Index):
    """An index that is made on PostgreSQL only, of columns named as their fields. Subclasses say what it is made of."""

    def __init__(self, *, fields: list[str], name: str) -> None:
        super().__init__(fields=fields, name=name)

    def create_sql(
        self, model: type[models.Model], schema_editor: BaseDatabaseSchemaEditor, using: str = "", **kwargs: Any
    ) -> Any:
        """Return the statement; one that does nothing where there is no such index."""
        if schema_editor.connection.vendor != "postgresql":
            return "SELECT 1"
        quote = schema_editor.quote_name
        columns = [quote(field) for field in self.fields]
        return f"CREATE INDEX {quote(self.name)} ON {quote(model._meta.db_table)} {self._method(columns)}"

    def remove_sql(self, model: type[models.Model], schema_editor: BaseDatabaseSchemaEditor, **kwargs: Any) -> Any:
        """Return the statement that undoes :meth:`create_sql`."""
        return f"DROP INDEX IF EXISTS {schema_editor.quote_name(self.name)}"

    def _method(self, columns: list[str]) -> str:
        raise NotImplementedError


class TagIndex(_PostgresIndex):
    """Finds rows by a pair in a JSON object. Rows whose object is empty, which are most, cost nothing."""

    def _method(self, columns: list[str]) -> str:
        return f"USING gin ({columns[0]} jsonb_path_ops) WHERE NOT ({columns[0]} = '{{}}'::jsonb)"


class BeginningIndex(_PostgresIndex):
    """Finds rows by how the last of the fields begins, in capitals or not: what ``istartswith`` asks for."""

    def _method(self, columns: list[str]) -> str:
        *before, text = columns
        return f"({', '.join([*before, f'UPPER({text}::text) text_pattern_ops'])})"
