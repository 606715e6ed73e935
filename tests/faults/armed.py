"""Named in DURABLE_MODULES of a process under test: puts the fault points into it."""

from tests.faults import points

points.install()
