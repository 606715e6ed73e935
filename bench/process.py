"""Entry of every process of a measurement: calls one function of one peer, and prints the figures that it returns.

python -m bench.process MODULE FUNCTION SIZE
"""

from __future__ import annotations

import importlib
import json
import os
import sys


def main(module: str, function: str, size: str) -> None:
    """Call ``module.function`` with the size. Where Django's settings are named, set it up first."""
    if "DJANGO_SETTINGS_MODULE" in os.environ:  # the environment of other peers has no Django
        importlib.import_module("django").setup()
    found = getattr(importlib.import_module(module), function)
    print(json.dumps(found(int(size)) or {}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
