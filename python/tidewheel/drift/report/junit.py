"""A report as JUnit XML, which CI systems show: a test case per column."""

from collections.abc import Sequence

from tidewheel.drift import arguments
from tidewheel.drift.report.markup import escape
from tidewheel.drift.report.records import ColumnDrift

#: Which verdicts fail, by the least that does.
FAILING = {"drifted": ("drifted", "schema"), "undecided": ("drifted", "schema", "undecided")}


def check_fail_on(fail_on: str) -> None:
    """Refuse a name that is not a key of `FAILING`."""
    arguments.check_choice("fail_on", fail_on, tuple(FAILING))


def render(
    columns: Sequence[ColumnDrift],
    facts: Sequence[tuple[str, str]],
    fail_on: str,
    segments: Sequence[str] | None = None,
) -> str:
    """Write columns as a suite of test cases; `facts` become its properties, segments the classes of the cases."""
    check_fail_on(fail_on)
    classes = ["drift"] * len(columns) if segments is None else [f"drift.{segment}" for segment in segments]
    cases = [
        _case(name, column, column.verdict in FAILING[fail_on])
        for name, column in zip(classes, columns, strict=True)
    ]
    failures = sum(column.verdict in FAILING[fail_on] for column in columns)
    skipped = sum(column.verdict == "not computed" for column in columns)
    counts = f'tests="{len(columns)}" failures="{failures}" errors="0" skipped="{skipped}"'
    properties = "".join(f'<property name="{escape(k)}" value="{escape(v)}"/>\n' for k, v in facts)
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<testsuites {counts}>\n<testsuite name="drift" {counts} time="0">\n'
        f"<properties>\n{properties}</properties>\n{''.join(cases)}</testsuite>\n</testsuites>\n"
    )


def _case(name: str, column: ColumnDrift, failed: bool) -> str:
    sentence = escape(column.sentence)
    if failed:
        told = f'<failure type="{column.verdict}" message="{sentence}"/>'
    elif column.verdict == "not computed":
        told = f'<skipped message="{sentence}"/>'
    else:
        told = f"<system-out>{column.verdict}: {sentence}</system-out>"
    return f'<testcase classname="{escape(name)}" name="{escape(column.name)}" time="0">{told}</testcase>\n'
