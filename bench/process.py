"""Entry of every process that a measurement starts: sets Django up, then runs one function of one module.

    python -m bench.process MODULE FUNCTION [INTEGER ...]

What the function returns is printed as JSON.
"""

from __future__ import annotations

import importlib
import json
import sys

import django


def main(module: str, function: str, *arguments: str) -> None:
    """Call ``module.function`` with integers."""
    django.setup()
    found = getattr(importlib.import_module(module), function)
    print(json.dumps(found(*map(int, arguments))))


if __name__ == "__main__":
    main(*sys.argv[1:])
