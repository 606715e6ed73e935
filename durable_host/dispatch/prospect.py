"""What a host expects to find when it looks for work that nobody holds, and whether it looks now."""

from __future__ import annotations

import time

#: seconds that a look may be put off while the host's own work goes on at once
_MOMENT = 0.02


class Prospect:
    """Whether there may be work of one kind: turns, or activities. At first there may be."""

    def __init__(self) -> None:
        self.may_exist = True
        #: whether it was seen or announced; otherwise it is a guess
        self.is_known = False
        #: on the monotonic clock, of a look that is put off
        self._look_by = 0.0

    def guess(self) -> None:
        """Note that there may be some."""
        self.may_exist = True

    def know(self) -> None:
        """Note that there is some."""
        self.may_exist = self.is_known = True

    def looked(self, *, is_more: bool) -> None:
        """Note what a look has found: all there was, or more than could be taken."""
        self.may_exist = self.is_known = is_more
        self._look_by = 0.0

    def can_wait(self, *, is_in_step: bool) -> bool:
        """Tell whether to put off the look, for a moment at most, and only where it is for a guess.

        Args:
            is_in_step: whether own work has just begun or ended: it goes on first, since somebody waits for it.
        """
        if self.is_known or not is_in_step:
            return False
        now = time.monotonic()
        self._look_by = self._look_by or now + _MOMENT
        return now < self._look_by
