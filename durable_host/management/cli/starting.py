"""``start-new`` and ``restart``."""

from __future__ import annotations

from argparse import Namespace

from .exits import CliError
from .values import read_json, tags
from .work import Work, wait_and_print


def start_new(work: Work, options: Namespace) -> None:
    """Start an orchestration."""
    if options.if_not_running and not options.instance_id:
        raise CliError("--if-not-running needs --instance-id: it asks whether that instance is running.")
    arguments = {
        "instance_id": options.instance_id,
        "start_at": options.start_at,
        "tags": tags(options.tags),
        "version": options.start_version,
    }
    value = read_json(options.input, "The input", "--input")
    started = True
    if options.if_not_running:
        instance_id, started = work.client.start_or_get(options.name, value, **arguments)
    else:
        instance_id = work.client.start_new(options.name, value, **arguments)
    _report(work, options, instance_id, started=started, said=f"Started {options.name}.")


def restart(work: Work, options: Namespace) -> None:
    """Start a finished orchestration again with its input."""
    instance_id = work.client.restart(options.instance_id, restart_with_new_instance_id=not options.same_id)
    _report(work, options, instance_id, started=True, said=f"Started {options.instance_id} again.")


def _report(work: Work, options: Namespace, instance_id: str, *, started: bool, said: str) -> None:
    if options.wait:
        if not started:
            work.screen.note(f"{instance_id} has not finished: nothing was started; waiting for it.")
        wait_and_print(work, instance_id, options.timeout)
        return
    if work.screen.as_json:
        work.screen.json({"instanceId": instance_id, "started": started})
        return
    # The id alone is the result, so that a script can keep it: id=$(manage.py durable start-new …)
    work.screen.line(instance_id)
    if not started:
        said = "It has not finished: nothing was started."
    work.screen.note(f"{said} To follow it: manage.py durable get-status {instance_id} --wait")
