"""Fuzz target of the readers of tables: any two tables, of any library and type, compared in every way.

`make fuzz` runs it; needs no more than the tests do. An example that fails is printed as one line, which
`tests/drift/test_any_table.py` pins. The run goes on after a failure, and ends with 1 if there was one.
"""

import argparse
import re
import sys
import time
import traceback
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings
from polars.exceptions import PanicException

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "drift"))

import table_properties
import tables

#: Examples between two lines of progress; each lot has a seed of its own.
LOT = 500


class Count:
    """Examples looked at, and how often each way of failing was met."""

    def __init__(self) -> None:
        self.examples = 0
        self.failures: dict[str, int] = {}

    def look(self, sides: tables.Sides) -> None:
        """Look at an example; say what is wrong of it, the first time that it goes wrong at this place."""
        self.examples += 1
        try:
            table_properties.check(sides)
        except (Exception, PanicException) as error:
            self.fail(sides, error)

    def fail(self, sides: tables.Sides, error: BaseException) -> None:
        frames = traceback.extract_tb(error.__traceback__)
        place = " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(frames[-3:]))
        # Numbers differ from example to example; what is said does not.
        key = f"{type(error).__name__} at {place}: {re.sub(r'[0-9]+', '#', str(error))[-60:]!r}"
        self.failures[key] = self.failures.get(key, 0) + 1
        if self.failures[key] == 1:
            print(f"\n{key}: {str(error)[:600]}\n{sides!r}\n", flush=True)


def run(examples: int, first: int) -> Count:
    """Look at so many examples, in lots."""
    count, began, lot = Count(), time.monotonic(), 0
    while count.examples < examples:
        quiet = settings(
            max_examples=min(LOT, examples - count.examples),
            database=None,
            deadline=None,
            derandomize=False,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        seed(first + lot)(quiet(given(tables.sides())(count.look)))()
        lot += 1
        spent = time.monotonic() - began
        done = f"tables: {count.examples:,} of {examples:,} examples"
        print(f"{done}, {len(count.failures)} ways of failing, {spent:.0f} s", flush=True)
    return count


def main() -> int:
    """Run as the arguments say."""
    parser = argparse.ArgumentParser(description="Compare any two tables, of any library and type.")
    parser.add_argument("--examples", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    count = run(chosen.examples, chosen.seed)
    for key, times in count.failures.items():
        print(f"{times:>6} x {key}")
    return int(bool(count.failures))


if __name__ == "__main__":
    sys.exit(main())
