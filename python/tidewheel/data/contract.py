"""The contract of the rows: what each column must look like, which rows are let in, and why the others are not.

What belongs here: applying `[contract]` of the project file to a frame. What does not: the words of the contract
(`project.settings`), storing what passed or was quarantined (`data.versions`), requests to a server (`serving.requests`).
A wrong column stops everything; a wrong value costs its row, which is set aside with all its reasons.
"""

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import pandera.polars as pa
import polars as pl
from pandera.config import ValidationDepth, config_context
from pandera.errors import SchemaErrors

from tidewheel.errors import InputError, InputTypeError
from tidewheel.project.settings import Column, Contract

REASON_COLUMN = "quarantine_reason"

EXAMPLES_MAX = 3
"""Failing rows shown for each rule: enough to see what is wrong, few enough to read."""

FORMAT_VERSION = 1
"""Version of the canonical JSON that `contract_sha256` hashes."""

_ROW = "tidewheel row number"
"""Name of the row number while rows and reasons are joined; it never leaves this module."""

DATETIME_UTC = pl.Datetime("us", "UTC")

_STORED: dict[str, pl.DataType] = {
    "int": pl.Int64(),
    "float": pl.Float64(),
    "string": pl.String(),
    "bool": pl.Boolean(),
    "datetime": DATETIME_UTC,
}


@dataclass(frozen=True, slots=True)
class RuleResult:
    """Hold how many rows failed one rule of one column, with the first failing values and their row numbers."""

    column: str
    rule: str
    n_failed: int
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class ContractReport:
    """Hold the rows that keep the contract, those that do not (with `quarantine_reason`), and each rule's count.

    `left_out` names columns of the source that the contract does not mention; no row of theirs is kept.
    """

    accepted: pl.DataFrame
    quarantined: pl.DataFrame
    rules: tuple[RuleResult, ...]
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Rule:
    """Name a rule in words and hold the check that pandera runs for it."""

    words: str
    check: Any


def check_contract(frame: pl.DataFrame, contract: Contract, *, place: str) -> ContractReport:
    """Check every row of a frame against the contract and set the failing rows aside with their reasons.

    Columns come out in the contract's order and in one type each: integers as Int64, floats as Float64 (integer columns are
    taken for `float`), text as String, times as microseconds in UTC (times without a zone are taken for UTC). A minimum
    and a maximum include the border. A float must be finite: NaN is not a missing value. Null fails only where the column is
    not nullable. All rows that share a value of a unique column fail, since nobody knows which of them is right.

    Args:
        frame: the rows; not changed.
        contract: `[contract]` of the project file.
        place: where the rows come from, for messages.

    Returns:
        Accepted and quarantined rows in their old order, one result for every rule, and the columns left out.

    Raises:
        InputError: there is no row, a column is missing, a rule does not fit its column's type, or more than
            `quarantine_share_max` of the rows fail.
        InputTypeError: a column has the wrong type.

    Example:
        >>> contract = Contract(
        ...     columns={"miles": Column(type="int", minimum=50)}, quarantine_share_max=0.5
        ... )
        >>> report = check_contract(pl.DataFrame({"miles": [17, 200]}), contract, place="example")
        >>> report.quarantined.rows()
        [(17, 'miles: at least 50, got 17')]
    """
    if frame.is_empty():
        raise InputError(f"{place} must have at least one row; got an empty table with {frame.width} columns")
    rows = typed_rows(frame, contract, place=place)
    typed = rows.select(rows[name] for name in contract.columns)
    rules = {name: _rules(name, column) for name, column in contract.columns.items()}
    failures = _failures(typed, rules)
    report = ContractReport(
        accepted=_without(typed, failures),
        quarantined=_with_reasons(typed, failures),
        rules=_results(rules, failures),
        left_out=tuple(name for name in frame.columns if name not in contract.columns),
    )
    _check_share(report, contract.quarantine_share_max, place)
    return report


def find_violations(
    frame: pl.DataFrame, contract: Contract, *, place: str
) -> tuple[int, tuple[RuleResult, ...]]:
    """Count the rows that break the contract, and by which rules; however many they are.

    Raises:
        InputError, InputTypeError: a column is missing or of the wrong type.
    """
    rows = typed_rows(frame, contract, place=place)
    rules = {name: _rules(name, column) for name, column in contract.columns.items()}
    failures = _failures(rows.select(rows[name] for name in contract.columns), rules)
    broken = tuple(result for result in _results(rules, failures) if result.n_failed)
    return failures["row"].n_unique(), broken


def typed_rows(frame: pl.DataFrame, contract: Contract, *, place: str) -> pl.DataFrame:
    """Give the rows with the contract's columns in the types that are stored; other columns stay as they are.

    Raises:
        InputError: a column is missing.
        InputTypeError: a column has the wrong type.
    """
    return frame.with_columns(
        [_typed(frame, name, column, place) for name, column in contract.columns.items()]
    )


def contract_sha256(contract: Contract) -> str:
    """Hash a contract: SHA-256 of its canonical JSON (sorted keys, no spaces), whatever the order of its columns."""
    document = {"format_version": FORMAT_VERSION, "contract": contract.model_dump(mode="json")}
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _typed(frame: pl.DataFrame, name: str, column: Column, place: str) -> pl.Series:
    """Give one column in the type that is stored, or say what is wrong with it."""
    if name not in frame.columns:
        raise InputError(
            f"{place} must have the column `{name}` ({column.type}), as the contract says; got {_listed(frame.columns)}"
        )
    values = frame[name].alias("values")  # polars takes a name such as "^a.*$" for a pattern
    if not _fits(values.dtype, column.type):
        raise InputTypeError(
            f"column `{name}` of {place} must be of type {column.type}, as the contract says; got {values.dtype}"
        )
    if isinstance(values.dtype, pl.Datetime) and values.dtype.time_zone is None:
        values = values.dt.replace_time_zone("UTC")
    try:
        return values.cast(_STORED[column.type]).alias(name)
    except pl.exceptions.PolarsError as error:
        raise InputTypeError(
            f"column `{name}` of {place} must fit into {_STORED[column.type]}; got {values.dtype}: {error}"
        ) from error


def _fits(dtype: pl.DataType, kind: str) -> bool:
    """Tell whether a column of this dtype may stand for a type of the contract; an all-null column may for any."""
    match kind:
        case _ if dtype == pl.Null:
            return True
        case "int":
            return dtype.is_integer()
        case "float":
            return dtype.is_float() or dtype.is_integer()
        case "string":
            return dtype in (pl.String, pl.Categorical, pl.Enum)
        case "bool":
            return dtype == pl.Boolean
        case _:
            return isinstance(dtype, pl.Datetime)


def _rules(name: str, column: Column) -> tuple[_Rule, ...]:
    """List the rules of one column in the order in which they are reported."""
    rules = []
    if not column.nullable:
        rules.append(_rule("not null", lambda value: value.is_not_null()))
    if column.type == "float":
        rules.append(_rule("finite", lambda value: value.is_finite()))
    if column.minimum is not None:
        _check_rule_fits(name, column, "minimum", ("int", "float"))
        words = f"at least {_number(column.minimum)}"
        rules.append(_Rule(words, pa.Check.ge(column.minimum, error=words)))
    if column.maximum is not None:
        _check_rule_fits(name, column, "maximum", ("int", "float"))
        words = f"at most {_number(column.maximum)}"
        rules.append(_Rule(words, pa.Check.le(column.maximum, error=words)))
    if column.allowed is not None:
        _check_rule_fits(name, column, "allowed", ("string",))
        words = f"one of {_listed(column.allowed)}"
        rules.append(_Rule(words, pa.Check.isin(column.allowed, error=words)))
    if column.unique:
        rules.append(_rule("unique", lambda value: value.is_unique() | value.is_null()))
    return tuple(rules)


def _rule(words: str, holds: Callable[[pl.Expr], pl.Expr]) -> _Rule:
    """Make a rule of an expression that is true, or null, where a value is right."""
    return _Rule(
        words,
        pa.Check(lambda data: data.lazyframe.select(holds(pl.col(data.key)).fill_null(True)), error=words),
    )


def _check_rule_fits(name: str, column: Column, rule: str, kinds: tuple[str, ...]) -> None:
    """Refuse a rule that says nothing about a column of this type: a rule must never be skipped unseen."""
    if column.type not in kinds:
        raise InputError(
            f"`{rule}` of the column `{name}` needs the type {' or '.join(kinds)} in the contract; got {column.type}"
        )


def _failures(typed: pl.DataFrame, rules: dict[str, tuple[_Rule, ...]]) -> pl.DataFrame:
    """List what failed, one line for each row and rule: `column`, `rule`, `value` and `row`, in the contract's order."""
    # pandera takes a name such as "^a.*$" for a pattern as well: columns go by number here.
    numbers = {str(number): name for number, name in enumerate(rules)}
    schema = pa.DataFrameSchema(
        {
            number: pa.Column(typed.schema[name], nullable=True, checks=[rule.check for rule in rules[name]])
            for number, name in numbers.items()
        }
    )
    numbered = typed.rename({name: number for number, name in numbers.items()})
    try:
        # Said here because the environment (PANDERA_VALIDATION_DEPTH, ..._ENABLED) could otherwise switch the checks off.
        with config_context(validation_enabled=True, validation_depth=ValidationDepth.SCHEMA_AND_DATA):
            schema.validate(numbered, lazy=True)
    except SchemaErrors as error:
        order = pl.col("column").cast(pl.Int64)
        found: pl.DataFrame = error.failure_cases
        return found.sort(order, "check_number", "index").select(
            pl.col("column").replace_strict(numbers, return_dtype=pl.String),
            rule="check",
            value=pl.col("failure_case").fill_null("null"),
            row=pl.col("index").cast(pl.UInt32),
        )
    return pl.DataFrame(schema={"column": pl.String, "rule": pl.String, "value": pl.String, "row": pl.UInt32})


def _without(typed: pl.DataFrame, failures: pl.DataFrame) -> pl.DataFrame:
    """Keep the rows that failed nothing."""
    return (
        typed.with_row_index(_ROW)
        .join(failures, left_on=_ROW, right_on="row", how="anti", maintain_order="left")
        .drop(_ROW)
    )


def _with_reasons(typed: pl.DataFrame, failures: pl.DataFrame) -> pl.DataFrame:
    """Keep the rows that failed something, each with all its reasons."""
    reasons = failures.group_by("row", maintain_order=True).agg(
        pl.format("{}: {}, got {}", "column", "rule", "value").str.join("; ").alias(REASON_COLUMN)
    )
    return (
        typed.with_row_index(_ROW)
        .join(reasons, left_on=_ROW, right_on="row", how="inner", maintain_order="left")
        .drop(_ROW)
    )


def _results(rules: dict[str, tuple[_Rule, ...]], failures: pl.DataFrame) -> tuple[RuleResult, ...]:
    """Count the failures of every rule, those without any included."""
    shown = pl.format("{} in row {}", "value", "row").head(EXAMPLES_MAX)
    counted = failures.group_by("column", "rule").agg(pl.len(), shown.alias("shown"))
    found = {
        (column, rule): (n_failed, tuple(shown)) for column, rule, n_failed, shown in counted.iter_rows()
    }
    return tuple(
        RuleResult(name, rule.words, *found.get((name, rule.words), (0, ())))
        for name, listed in rules.items()
        for rule in listed
    )


def _check_share(report: ContractReport, share_max: float, place: str) -> None:
    """Refuse rows of which too many fail: then the source is broken, or the contract is."""
    n_failed = report.quarantined.height
    n_rows = report.accepted.height + n_failed
    if n_failed > share_max * n_rows:
        worst = sorted((rule for rule in report.rules if rule.n_failed), key=lambda rule: -rule.n_failed)
        listed = "; ".join(
            f"`{rule.column}` {rule.rule}: {rule.n_failed} rows ({', '.join(rule.examples)})"
            for rule in worst[:EXAMPLES_MAX]
        )
        raise InputError(
            f"at most {share_max:.2%} of the rows of {place} may break the contract; "
            f"got {n_failed} of {n_rows} ({n_failed / n_rows:.2%}): {listed}"
        )


def _number(value: float) -> str:
    """Write a border without a needless fraction."""
    return str(int(value)) if value.is_integer() else repr(value)


def _listed(names: Iterable[str]) -> str:
    """Write names in one line."""
    return ", ".join(f"`{name}`" for name in names) or "none"
