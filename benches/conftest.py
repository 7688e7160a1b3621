"""Gathers what the benches of one run say of themselves and, if asked to, writes it to `RESULTS.md`.

A bench fills `benchmark.extra_info`, or calls `add_row` where it measures by other means. Keys: `row` (what was measured; by
default the test's name), `ratio` (how many times faster than the rival), `rival`, `must` and `aim` (ratios to reach),
`ns_per_value`; or `ours` with a `unit`, when `must` and `aim` are figures not to be exceeded (nor is a ratio whose aim is
below its must). `subject` heads the table; by
default it is the first sentence of the bench's module. Anything else is shown as it is. `make bench` passes `--results`,
so that a single bench run for its own sake overwrites nothing.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from bench_results import describe_machine, write_part, write_table

ROWS = pytest.StashKey[list[dict[str, Any]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--results", action="store_true", help="write benches/RESULTS.md")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[ROWS] = []


@pytest.fixture
def add_row(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Give a function that adds a row of results."""

    def add(**row: Any) -> None:
        _add(request, row)

    return add


@pytest.fixture(autouse=True)
def gather(request: pytest.FixtureRequest) -> Iterator[None]:
    """Take what the bench left in `extra_info`, also when it missed its must."""
    yield
    # `funcargs` holds the fixture that the bench used, without asking for one that it did not.
    benchmark = request.node.funcargs.get("benchmark")
    if benchmark is not None and benchmark.extra_info:
        _add(request, benchmark.extra_info)


def _add(request: pytest.FixtureRequest, row: dict[str, Any]) -> None:
    module = (request.module.__doc__ or request.module.__name__).strip().partition("\n")[0].rstrip(".")
    named = {"subject": module, "row": request.node.name.removeprefix("test_").replace("_", " "), **row}
    request.config.stash[ROWS].append(named)


def pytest_sessionfinish(session: pytest.Session) -> None:
    rows = session.config.stash[ROWS]
    if not rows or not session.config.getoption("--results"):
        return
    subjects = dict.fromkeys(row["subject"] for row in rows)
    tables = [
        f"### {subject}\n\n{write_table([row for row in rows if row['subject'] == subject])}"
        for subject in subjects
    ]
    write_part("bench", "\n\n".join(["## `make bench`", describe_machine(), *tables]))
