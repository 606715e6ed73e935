"""What is measured: one module for each way to run the work, with one function for each workload that it takes part in.

A function is called with the size of the workload, in a process of its own, beside an empty database. It starts what it
needs besides, warms it up, does the work, checks its outcome and returns figures. :mod:`bench.peers.common` holds
what they share. Peers that are no dependencies of this project run in an environment of their own
(:mod:`bench.tools`): their modules import the standard library, themselves and ``common``, and nothing else.
"""
