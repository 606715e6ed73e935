"""Hearing of the end of an instance, in place of asking the database again and again.

Workers announce ends on a channel of Redis, after the commit. As with every bell, who misses it looks a little later.
"""

from __future__ import annotations

import os
import time
from collections import deque
from contextlib import suppress
from types import TracebackType
from typing import Self

from pydantic_core import from_json
from redis import Redis
from redis.client import PubSub
from redis.exceptions import RedisError

from durable_host.conf import host_settings

from .doorbell import connection_of, endings_channel, is_silent, note_outage

#: seconds that Redis may take to confirm that it has heard
_CONFIRMATION = 1.0
#: Channels on which nobody listens at the moment, for whoever does next. A new one connects first, which takes as long
#: as three commands; and a closed one leaves its dead connection to the next bell. In a crowd a few are enough.
_at_rest: deque[PubSub] = deque(maxlen=8)
os.register_at_fork(after_in_child=_at_rest.clear)


class Endings:
    """A context in which the ends of a hub's instances are heard, as long as Redis is there.

    An instance whose status is read inside the context, and which has not ended then, is heard of later.

    Args:
        hub: task hub.
    """

    def __init__(self, hub: str) -> None:
        self._hub = hub
        self._channel: PubSub | None = None

    def __enter__(self) -> Self:
        if not is_silent():
            try:
                self._listen()
            except RedisError as error:
                note_outage(error)
                self._give_up()
            except KeyError:  # ringing says that there is no such queue
                self._give_up()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._leave()

    @property
    def are_heard(self) -> bool:
        """Whether ends are announced here; otherwise only looking helps."""
        return self._channel is not None

    def wait(self, instance_id: str, seconds: float) -> None:
        """Return when the end of an instance is announced, or after so many seconds."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if self._channel is None:
                time.sleep(left)
            elif instance_id in self._heard(self._channel, left):
                return

    def _listen(self) -> None:
        redis = connection_of(host_settings().turn_queue)
        self._channel = channel = _rested(redis) or redis.pubsub()  # type: ignore[no-untyped-call]
        channel.subscribe(endings_channel(self._hub))
        if not _is_confirmed(channel):
            self._give_up()

    def _heard(self, channel: PubSub, seconds: float) -> list[str]:
        """Return the ids of one announcement; none where none came."""
        try:
            message = channel.get_message(ignore_subscribe_messages=True, timeout=seconds)
        except RedisError as error:
            note_outage(error)
            self._give_up()
            return []
        ids: list[str] = from_json(message["data"]) if message else []
        return ids

    def _leave(self) -> None:
        """Listen no longer, and keep the connection for the next wait, which passes over what still comes."""
        if self._channel is not None:
            with suppress(RedisError):
                self._channel.unsubscribe()  # type: ignore[no-untyped-call]
                _at_rest.append(self._channel)
                self._channel = None
        self._give_up()

    def _give_up(self) -> None:
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()


def _rested(redis: Redis) -> PubSub | None:
    """Return a channel at rest, of this Redis; others of this process have another one no longer."""
    with suppress(IndexError):
        while (channel := _at_rest.pop()).connection_pool is not redis.connection_pool:
            channel.close()
        return channel
    return None


def _is_confirmed(channel: PubSub) -> bool:
    """Wait until Redis confirms that it sends from now on; what it had to say to those before is passed over."""
    end = time.monotonic() + _CONFIRMATION
    while (left := end - time.monotonic()) > 0:
        message = channel.get_message(timeout=left)
        if message is None or message["type"] == "subscribe":
            return message is not None
    return False
