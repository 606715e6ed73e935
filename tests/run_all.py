"""``make test``: every test on SQLite, then those that touch the database on PostgreSQL, and one summary."""

import os
import subprocess
import sys

PASSES = {"sqlite": [], "postgres": ["-m", "(store or e2e) and not (browser or once)"]}  # type: dict[str, list[str]]


def main(args: list[str]) -> int:
    """Run the passes; return the first exit code that is not zero."""
    codes = {}
    for database, selection in PASSES.items():
        print(f"==== tests on {database} ====", flush=True)
        env = {**os.environ, "TEST_DATABASE": database}
        codes[database] = subprocess.run(
            [sys.executable, "-m", "pytest", *selection, *args], env=env, check=False
        ).returncode
    print("==== summary ====")
    for database, code in codes.items():
        print(f"{database:<10} {'ok' if code == 0 else f'FAILED (pytest exit code {code})'}", flush=True)
    return next((code for code in codes.values() if code), 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
