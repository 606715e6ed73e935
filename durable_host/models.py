"""The rows that are the truth. Only :mod:`durable_host.store` writes them.

The shape is that of durabletask-mssql: instances, their append-only history, an inbox of events to come, and the
activities to run. A row holds what queries need; events keep the rest as JSON text.
"""

from __future__ import annotations

from datetime import UTC, datetime

from django.db import models

from .core.access import Operation, Scope
from .core.status import FINISHED, RuntimeStatus
from .indexes import BeginningIndex, TagIndex

#: "at once" for columns that say from when on a row may be taken
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Instance(models.Model):
    """One started orchestration. Narrow, because every checkpoint rewrites it: the input lives in history."""

    hub = models.CharField(max_length=64)
    instance_id = models.CharField(max_length=256)
    name = models.CharField(max_length=256)
    version = models.CharField(max_length=256, default="", blank=True)
    status = models.CharField(max_length=16, choices=[(one.value, one.value) for one in RuntimeStatus])
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    completed_at = models.DateTimeField(null=True, blank=True)
    scheduled_at = models.DateTimeField(null=True, blank=True, help_text="When to start, if not at once.")
    tags = models.JSONField(default=dict, blank=True)
    custom_status = models.TextField(null=True, blank=True, help_text="JSON text.")
    output = models.TextField(null=True, blank=True, help_text="JSON text; for a terminated instance, the reason.")
    failure = models.TextField(null=True, blank=True, help_text="FailureDetails as JSON text.")

    parent = models.ForeignKey(
        "self", models.DO_NOTHING, null=True, blank=True, db_constraint=False, db_index=False, related_name="children"
    )
    parent_generation = models.IntegerField(null=True, blank=True)
    parent_task_id = models.IntegerField(null=True, blank=True)

    generation = models.IntegerField(default=0, help_text="Executions before this one: continue-as-new and rewind.")
    revision = models.BigIntegerField(default=0, help_text="Turns committed; a checkpoint must find the one it read.")
    next_sequence = models.IntegerField(default=0, help_text="Number of the next event in history.")
    # Workers of the release before write rows without it; the next replay counts what they have added.
    history_bytes = models.BigIntegerField(null=True, blank=True, help_text="Bytes of the payloads in this history.")

    owner = models.CharField(max_length=255, default="", blank=True, help_text="Worker that holds it now.")
    available_at = models.DateTimeField(default=EPOCH, help_text="From when on other workers may take it.")
    turn_attempts = models.SmallIntegerField(default=0, help_text="Claims since the last committed turn.")
    stall_reason = models.TextField(default="", blank=True)
    parked_under = models.CharField(
        max_length=16, default="", blank=True, help_text="Of a stalled one that is given up: the code that was tried."
    )

    class Meta:
        # Beside Django's four: whoever answers an instance need not be able to end it, and whoever watches it need
        # not see what it carries.
        permissions = [
            ("raise_event", "Can answer instances by external events"),
            ("view_payload", "Can see inputs, outputs and other payloads"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["hub", "instance_id"],
                # PostgreSQL: compared by bytes, so that it serves searches by prefix whatever the locale.
                opclasses=["varchar_pattern_ops", "varchar_pattern_ops"],
                name="durable_instance_id",
            )
        ]
        # Every checkpoint rewrites the row. PostgreSQL leaves the indexes alone as long as no indexed value changes, so
        # here are only values that change when an instance starts, ends, is paused or stalls: never in each turn.
        indexes = [
            # The list, newest first, and its filters; all end in id, so that pages are cut by key.
            models.Index(fields=["hub", "-created_at", "-id"], name="durable_instance_created"),
            # What a person sees first: a fan-out to 100,000 sub-orchestrations must not stand in front of it.
            models.Index(
                fields=["hub", "-created_at", "-id"],
                condition=models.Q(parent__isnull=True),
                name="durable_instance_roots",
            ),
            # The same of an orchestrator or status that is nearly always a sub-orchestration's.
            models.Index(
                fields=["hub", "name", "-created_at", "-id"],
                condition=models.Q(parent__isnull=True),
                name="durable_root_name",
            ),
            models.Index(
                # with the name, so that one orchestrator's are counted by status without touching the table
                fields=["hub", "status", "-created_at", "-id", "name"],
                condition=models.Q(parent__isnull=True) & ~models.Q(status=RuntimeStatus.COMPLETED),
                name="durable_root_status",
            ),
            models.Index(
                fields=["parent", "-created_at", "-id"],
                condition=models.Q(parent__isnull=False),
                name="durable_instance_parent",
            ),
            models.Index(fields=["hub", "name", "-created_at", "-id"], name="durable_instance_name"),
            # Finished well is nearly all of a grown table: everything else stays small enough to index apart.
            models.Index(
                fields=["hub", "status", "-created_at", "-id"],
                condition=~models.Q(status=RuntimeStatus.COMPLETED),
                name="durable_instance_status",
            ),
            # Few, if any: those that an operator must see at once.
            models.Index(
                fields=["hub", "-created_at", "-id"],
                condition=~models.Q(stall_reason=""),
                name="durable_instance_stalled",
            ),
            TagIndex(fields=["tags"], name="durable_instance_tags"),
            # What ended in the last hours, by orchestrator and how: the overview counts without touching the table.
            models.Index(
                fields=["hub", "-completed_at", "name", "status"],
                condition=models.Q(completed_at__isnull=False),
                name="durable_instance_completed",
            ),
        ]

    def __str__(self) -> str:
        return self.instance_id

    @property
    def is_finished(self) -> bool:
        """Whether the instance has ended."""
        return RuntimeStatus(self.status) in FINISHED


class EventColumns(models.Model):
    """The columns of an event, as :class:`durable_host.core.codec.Record` has them."""

    event_type = models.CharField(max_length=40)
    timestamp = models.DateTimeField()
    task_id = models.IntegerField(null=True, blank=True, help_text="Scheduling event that an outcome answers.")
    name = models.CharField(max_length=256, null=True, blank=True)
    payload = models.TextField(null=True, blank=True, help_text="Input or result as JSON text.")
    detail = models.TextField(null=True, blank=True, help_text="Remaining fields as JSON text.")

    class Meta:
        abstract = True


class HistoryEvent(EventColumns):
    """One event of an execution. Append-only."""

    instance = models.ForeignKey(Instance, models.CASCADE, db_index=False, db_constraint=False, related_name="history")
    generation = models.IntegerField()
    sequence = models.IntegerField()
    event_id = models.IntegerField(default=-1)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["instance", "generation", "sequence"], name="durable_history_sequence")
        ]

    def __str__(self) -> str:
        return f"{self.sequence} {self.event_type}"


class PendingEvent(EventColumns):
    """A message to an instance that no turn has taken yet; one for later is a timer."""

    instance = models.ForeignKey(Instance, models.CASCADE, db_index=False, related_name="inbox")
    generation = models.IntegerField(null=True, blank=True, help_text="Execution it is meant for; null for any.")
    visible_at = models.DateTimeField(default=EPOCH)

    class Meta:
        indexes = [
            # What is due, oldest first; and the same of one instance, of which thousands of timers may be for later.
            models.Index(fields=["visible_at", "id"], name="durable_pending_due"),
            models.Index(fields=["instance", "visible_at", "id"], name="durable_pending_inbox"),
            # Pauses before another attempt; all other timers have no name.
            models.Index(
                fields=["visible_at"],
                condition=models.Q(event_type="TimerFired", name__isnull=False),
                name="durable_pending_retry",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.event_type} for {self.instance_id}"


class ActivityTask(models.Model):
    """A scheduled activity that has no outcome yet."""

    hub = models.CharField(max_length=64)
    queue = models.CharField(max_length=64)
    instance = models.ForeignKey(Instance, models.CASCADE, db_index=False, related_name="activities")
    generation = models.IntegerField()
    task_id = models.IntegerField()
    name = models.CharField(max_length=256)
    input = models.TextField(null=True, blank=True)
    call_key = models.CharField(max_length=32, help_text="The same for all attempts of one call.")
    trace_parent = models.CharField(max_length=55, default="", blank=True, help_text="W3C context of the call.")
    created_at = models.DateTimeField()
    attempt = models.IntegerField(default=0, help_text="Deliveries so far; a result must name the latest.")
    owner = models.CharField(max_length=255, default="", blank=True)
    lease_until = models.DateTimeField(default=EPOCH)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["instance", "generation", "task_id"], name="durable_activity_task")
        ]
        indexes = [models.Index(fields=["hub", "queue", "id"], name="durable_activity_queue")]

    def __str__(self) -> str:
        return f"{self.name} ({self.task_id}) of {self.instance_id}"


class EventWait(models.Model):
    """An external event that an instance listens for now."""

    instance = models.ForeignKey(Instance, models.CASCADE, db_index=False, related_name="waits")
    name = models.CharField(max_length=256)
    name_key = models.CharField(max_length=256, help_text="The name without case.")
    title = models.TextField(default="", blank=True)
    description = models.TextField(default="", blank=True)
    assignees = models.JSONField(default=list, blank=True)
    due = models.DateTimeField(null=True, blank=True)
    schema = models.TextField(null=True, blank=True, help_text="JSON schema of the expected data.")
    since = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["instance", "name_key"], name="durable_event_wait")]
        indexes = [
            # What is asked of people, most urgent first.
            models.Index(fields=["due", "id"], condition=models.Q(due__isnull=False), name="durable_wait_due"),
            # By age; and the newest instances that listen, without looking at those that do not.
            models.Index(fields=["since", "id"], name="durable_wait_since"),
        ]

    def __str__(self) -> str:
        return self.name


class WorkerState(models.Model):
    """A worker as it last showed itself. Written by its host, once in a sweep; the counters are what /metrics shows."""

    hub = models.CharField(max_length=64)
    name = models.CharField(max_length=255, help_text="As in the owner of what it holds.")
    queue = models.CharField(max_length=64)
    hostname = models.CharField(max_length=255)
    pid = models.IntegerField()
    version = models.CharField(max_length=64, help_text="Of the durable host.")
    started_at = models.DateTimeField()
    seen_at = models.DateTimeField()
    left_at = models.DateTimeField(null=True, blank=True, help_text="When it said good-bye, if it did.")
    clock_offset = models.FloatField(
        null=True, blank=True, help_text="Seconds by which its clock is ahead of the database server's, where known."
    )
    running_activities = models.IntegerField(default=0)
    max_activities = models.IntegerField(default=0)
    abandoned_activities = models.IntegerField(
        db_default=0, help_text="That outran their limit, cannot be stopped, and hold a thread."
    )
    resident_executions = models.IntegerField(default=0)
    held_instances = models.IntegerField(default=0)
    counters = models.JSONField(default=dict, help_text="Tallies of its instruments, see durable_host.core.metrics.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["hub", "name"], name="durable_worker_name")]

    def __str__(self) -> str:
        return self.name


class ApiKey(models.Model):
    """A key of an outside program. Of its secret only the hash is kept, so that nobody can read it here."""

    hub = models.CharField(max_length=64)
    name = models.CharField(max_length=100)
    public_id = models.CharField(max_length=16, unique=True, help_text="The part of the key that finds this row.")
    digest = models.CharField(max_length=64, help_text="SHA-256 of the whole key: its secret has 256 random bits.")
    scopes = models.JSONField(default=list, help_text=f"Of {', '.join(Scope)}.")
    name_pattern = models.CharField(
        max_length=256, default="", blank=True, help_text="Orchestrators it is good for, as invoice_*; empty for all."
    )
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, help_text="To the minute.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["hub", "name"], name="durable_api_key_name")]

    def __str__(self) -> str:
        return self.name


class AuditRecord(models.Model):
    """Who asked for which change, and what came of it. Append-only."""

    class Outcome(models.TextChoices):
        """What came of it."""

        DONE = "done", "Done"
        REFUSED = "refused", "Refused: the request was wrong"
        DENIED = "denied", "Denied: the caller may not"

    hub = models.CharField(max_length=64)
    at = models.DateTimeField()
    actor_kind = models.CharField(max_length=16, help_text="key, token, user, local or anonymous.")
    actor = models.CharField(max_length=256, blank=True, help_text="Name of the key or user.")
    address = models.CharField(max_length=64, blank=True, help_text="From where.")
    operation = models.CharField(max_length=16, choices=[(one.value, one.value) for one in Operation])
    target = models.CharField(max_length=256, blank=True, help_text="Orchestrator, where one was named.")
    instance_id = models.CharField(max_length=256, blank=True)
    outcome = models.CharField(max_length=8, choices=Outcome.choices)
    detail = models.TextField(blank=True, help_text="Event name, reason, or why it was refused.")
    event_name = models.CharField(max_length=256, default="", blank=True, help_text="Of a decision: what was asked.")
    question = models.TextField(default="", blank=True, help_text="Of a decision: the title of what was asked.")
    answer = models.TextField(default="", blank=True, help_text="Of a decision: the answer, as JSON text.")
    request_key = models.CharField(
        max_length=64,
        null=True,
        blank=True,
        help_text="Of a change that a form asked for: the form, which counts once.",
    )

    class Meta:
        constraints = [models.UniqueConstraint(fields=["hub", "request_key"], name="durable_audit_once")]
        indexes = [
            models.Index(
                fields=["hub", "-at", "-id"], condition=~models.Q(event_name=""), name="durable_audit_decided"
            ),
            models.Index(fields=["hub", "-at", "-id"], name="durable_audit_at"),
            models.Index(fields=["hub", "instance_id", "-at"], name="durable_audit_instance"),
            # What one of few did. Of one who did much, the newest are soon found by time.
            BeginningIndex(fields=["hub", "actor"], name="durable_audit_actor"),
        ]

    def __str__(self) -> str:
        return f"{self.actor_kind} {self.actor}: {self.operation} {self.instance_id} {self.outcome}"


class SavedView(models.Model):
    """A list of instances that somebody wants to see again: its filters and columns, as the address has them."""

    hub = models.CharField(max_length=64)
    owner = models.CharField(max_length=256, blank=True, help_text="User name; empty for one that nobody owns.")
    slug = models.SlugField(max_length=80, allow_unicode=True, db_index=False)
    name = models.CharField(max_length=80)
    query = models.TextField(blank=True, help_text="Query string of the list's address.")
    columns = models.JSONField(default=list, blank=True)
    is_shared = models.BooleanField(default=False, help_text="Whether others see it.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["hub", "owner", "slug"], name="durable_saved_view")]

    def __str__(self) -> str:
        return self.name


class Chore(models.Model):
    """Something that one worker of a hub does from time to time: when it is due next, and who has it."""

    hub = models.CharField(max_length=64)
    name = models.CharField(max_length=32)
    next_at = models.DateTimeField(default=EPOCH, help_text="From when on a worker may take it.")
    owner = models.CharField(max_length=255, default="", blank=True)
    done = models.IntegerField(default=0, help_text="What the sweep that is under way has done so far.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["hub", "name"], name="durable_chore_name")]


class BatchOperation(models.Model):
    """One operation on many instances, worked off in small parts. A part and its progress commit together."""

    hub = models.CharField(max_length=64)
    public_id = models.CharField(max_length=32, unique=True)
    operation = models.CharField(max_length=16, choices=[(one.value, one.value) for one in Operation])
    filter = models.JSONField(null=True, blank=True, help_text="Which instances; null where they are named.")
    instance_ids = models.JSONField(default=list, blank=True)
    reason = models.TextField(blank=True)
    event_name = models.CharField(max_length=256, blank=True)
    event_data = models.TextField(null=True, blank=True, help_text="JSON text.")
    actor_kind = models.CharField(max_length=16)
    actor = models.CharField(max_length=256, blank=True)
    address = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    cancelled_at = models.DateTimeField(null=True, blank=True, help_text="When somebody asked to stop.")
    estimate = models.IntegerField(default=0)
    estimate_is_capped = models.BooleanField(default=False)
    cursor = models.CharField(max_length=200, blank=True, help_text="How far it has come.")
    done = models.IntegerField(default=0)
    skipped = models.IntegerField(default=0, help_text="No longer there, or in no status for it.")
    failed = models.IntegerField(default=0)
    errors = models.JSONField(default=list, blank=True, help_text="The last few: instance id and message.")

    class Meta:
        indexes = [
            models.Index(fields=["hub", "-id"], name="durable_batch_latest"),
            models.Index(fields=["hub", "id"], condition=models.Q(finished_at__isnull=True), name="durable_batch_open"),
        ]

    def __str__(self) -> str:
        return f"{self.operation} {self.public_id}"
