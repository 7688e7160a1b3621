from datetime import UTC, datetime

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandera.config import ValidationDepth, config_context

from tidewheel.data.contract import RuleResult, check_contract, contract_sha256, find_violations
from tidewheel.errors import InputError, InputTypeError
from tidewheel.project.settings import Column, Contract

MOMENT = datetime(2013, 4, 1, 12, tzinfo=UTC)

CONTRACT = Contract(
    columns={
        "id": Column(type="string", unique=True),
        "miles": Column(type="int", minimum=50, maximum=6000),
        "temp": Column(type="float", nullable=True, minimum=-40, maximum=130),
        "origin": Column(type="string", allowed=("EWR", "JFK")),
        "late": Column(type="bool", nullable=True),
        "at": Column(type="datetime"),
    },
    quarantine_share_max=0.9,
)


def rows(n: int = 4, **columns: object) -> pl.DataFrame:
    right = {
        "id": [f"f{number}" for number in range(n)],
        "miles": [100] * n,
        "temp": [50.0] * n,
        "origin": ["JFK"] * n,
        "late": [True] * n,
        "at": pl.Series([MOMENT] * n, dtype=pl.Datetime("us", "UTC")),
    }
    return pl.DataFrame({**right, **columns})


def test_rows_that_keep_the_contract_pass_unchanged() -> None:
    report = check_contract(rows(), CONTRACT, place="test")
    assert report.accepted.equals(rows())
    assert report.quarantined.is_empty()
    assert {rule.n_failed for rule in report.rules} == {0}
    assert [(rule.column, rule.rule) for rule in report.rules] == [
        ("id", "not null"), ("id", "unique"),
        ("miles", "not null"), ("miles", "at least 50"), ("miles", "at most 6000"),
        ("temp", "finite"), ("temp", "at least -40"), ("temp", "at most 130"),
        ("origin", "not null"), ("origin", "one of `EWR`, `JFK`"),
        ("at", "not null"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("column", "values", "reason"),
    [
        ("miles", [100, 49, 100, 100], "miles: at least 50, got 49"),
        ("miles", [100, 6001, 100, 100], "miles: at most 6000, got 6001"),
        ("miles", [100, None, 100, 100], "miles: not null, got null"),
        ("temp", [50.0, float("nan"), 50.0, 50.0], "temp: finite, got NaN"),
        ("temp", [50.0, 130.5, 50.0, 50.0], "temp: at most 130, got 130.5"),
        ("origin", ["JFK", "LGA", "JFK", "JFK"], "origin: one of `EWR`, `JFK`, got LGA"),
        ("origin", ["JFK", None, "JFK", "JFK"], "origin: not null, got null"),
    ],
    ids=str,
)
def test_a_wrong_value_costs_its_row_and_says_why(column: str, values: list[object], reason: str) -> None:
    report = check_contract(rows(**{column: values}), CONTRACT, place="test")
    assert report.quarantined["quarantine_reason"].to_list()[0].split("; ")[0] == reason
    assert report.quarantined["id"].to_list() == ["f1"]
    assert report.accepted["id"].to_list() == ["f0", "f2", "f3"]


@pytest.mark.parametrize("value", [50, 6000])
def test_the_border_itself_passes(value: int) -> None:
    assert check_contract(rows(miles=[value] * 4), CONTRACT, place="test").quarantined.is_empty()


def test_infinity_breaks_two_rules_and_both_are_told() -> None:
    report = check_contract(rows(temp=[50.0, float("inf"), None, 50.0]), CONTRACT, place="test")
    assert report.quarantined["quarantine_reason"].to_list() == [
        "temp: finite, got inf; temp: at most 130, got inf"
    ]


def test_all_rows_that_share_a_unique_value_are_quarantined() -> None:
    report = check_contract(rows(id=["a", "b", "a", "c"]), CONTRACT, place="test")
    assert report.quarantined["id"].to_list() == ["a", "a"]
    assert RuleResult("id", "unique", 2, ("a in row 0", "a in row 2")) in report.rules


def test_missing_values_of_a_unique_nullable_column_are_not_duplicates() -> None:
    contract = Contract(columns={"id": Column(type="string", unique=True, nullable=True)})
    assert check_contract(
        pl.DataFrame({"id": ["a", None, None]}), contract, place="test"
    ).quarantined.is_empty()


def test_a_row_carries_all_its_reasons_in_the_contract_s_order() -> None:
    frame = rows(origin=["JFK", "LGA", "JFK", "JFK"], miles=[100, 17, 100, 100])
    reasons = check_contract(frame, CONTRACT, place="test").quarantined["quarantine_reason"].to_list()
    assert reasons == ["miles: at least 50, got 17; origin: one of `EWR`, `JFK`, got LGA"]


@settings(deadline=None)
@given(st.lists(st.none() | st.integers(-100, 10_000), min_size=1, max_size=30))
def test_no_row_is_lost_or_changed(miles: list[int | None]) -> None:
    contract = Contract(
        columns={"miles": Column(type="int", minimum=50, maximum=6000)}, quarantine_share_max=1.0
    )
    frame = pl.DataFrame({"miles": pl.Series(miles, dtype=pl.Int64)})
    report = check_contract(frame, contract, place="test")
    assert report.accepted["miles"].to_list() == [
        mile for mile in miles if mile is not None and 50 <= mile <= 6000
    ]
    assert report.quarantined["miles"].to_list() == [
        mile for mile in miles if mile is None or not 50 <= mile <= 6000
    ]
    n_failed = {rule.rule: rule.n_failed for rule in report.rules}
    assert n_failed["not null"] == miles.count(None)


@pytest.mark.parametrize(
    ("frame", "error", "words"),
    [
        (rows().drop("miles"), InputError, "test must have the column `miles` (int)"),
        (rows(miles=["a"] * 4), InputTypeError,
         "column `miles` of test must be of type int, as the contract says; got String"),
        (rows(miles=[1.0] * 4), InputTypeError,
         "column `miles` of test must be of type int, as the contract says; got Float64"),
        (rows(late=[1] * 4), InputTypeError, "column `late` of test must be of type bool"),
        (rows(at=["2013-01-01"] * 4), InputTypeError, "column `at` of test must be of type datetime"),
        (rows(miles=pl.Series([2**64 - 1] * 4, dtype=pl.UInt64)), InputTypeError,
         "column `miles` of test must fit into Int64"),
        (rows(0), InputError, "test must have at least one row"),
        (rows(miles=[1] * 4), InputError, "at most 90.00% of the rows of test may break the contract; got 4 of 4 (100.00%): "
         "`miles` at least 50: 4 rows (1 in row 0, 1 in row 1, 1 in row 2)"),
    ],
    ids=["missing column", "text for int", "float for int", "int for bool", "text for datetime", "too large", "empty",
         "too many"],
)  # fmt: skip
def test_what_cannot_be_mended_by_leaving_rows_out_is_refused(
    frame: pl.DataFrame, error: type[InputError], words: str
) -> None:
    with pytest.raises(error) as caught:
        check_contract(frame, CONTRACT, place="test")
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "column",
    [
        Column(type="string", minimum=1),
        Column(type="datetime", maximum=1),
        Column(type="int", allowed=("a",)),
    ],
    ids=["minimum", "maximum", "allowed"],
)
def test_a_rule_that_cannot_be_checked_is_refused_not_skipped(column: Column) -> None:
    frame = pl.DataFrame({"a": [None]})
    with pytest.raises(InputError, match="of the column `a` needs the type"):
        check_contract(frame, Contract(columns={"a": column}), place="test")


def test_types_that_mean_the_same_are_taken() -> None:
    frame = rows(
        miles=pl.Series([100] * 4, dtype=pl.UInt16),
        temp=[50] * 4,
        origin=pl.Series(["JFK"] * 4, dtype=pl.Categorical),
        late=[None] * 4,
        at=pl.Series([MOMENT.replace(tzinfo=None)] * 4, dtype=pl.Datetime("ns")),
    )
    accepted = check_contract(frame, CONTRACT, place="test").accepted
    assert accepted.schema == rows().schema
    assert accepted["at"].to_list() == [MOMENT] * 4


def test_columns_outside_the_contract_are_left_out_and_named() -> None:
    report = check_contract(rows(surprise=[1] * 4), CONTRACT, place="test")
    assert report.left_out == ("surprise",)
    assert report.accepted.columns == list(CONTRACT.columns)


@pytest.mark.parametrize("name", ["^a.*$", "*", "quarantine", "column", "index", "with space", "ä"])
def test_odd_names_are_names_and_not_patterns(name: str) -> None:
    contract = Contract(
        columns={name: Column(type="int", minimum=2), f"{name}t": Column(type="datetime")},
        quarantine_share_max=0.5,
    )
    frame = pl.DataFrame({f"{name}t": [datetime(2013, 4, 1)] * 2, name: [1, 2]})
    report = check_contract(frame, contract, place="test")
    assert report.quarantined["quarantine_reason"].to_list() == [f"{name}: at least 2, got 1"]


def test_the_environment_cannot_switch_the_checks_off() -> None:
    with config_context(validation_enabled=False, validation_depth=ValidationDepth.SCHEMA_ONLY):
        report = check_contract(rows(miles=[17, 100, 100, 100]), CONTRACT, place="test")
    assert report.quarantined.height == 1


def test_the_hash_sees_every_rule_and_no_order() -> None:
    columns = dict(CONTRACT.columns)
    turned = Contract(columns=dict(reversed(columns.items())), quarantine_share_max=0.9)
    assert contract_sha256(turned) == contract_sha256(CONTRACT)
    changes = [
        {**columns, "miles": Column(type="int", minimum=51, maximum=6000)},
        {**columns, "miles": Column(type="int", minimum=50)},
        {**columns, "late": Column(type="bool")},
        {**columns, "origin": Column(type="string", allowed=("JFK", "EWR", "LGA"))},
        {name: column for name, column in columns.items() if name != "temp"},
    ]
    hashes = {contract_sha256(Contract(columns=change, quarantine_share_max=0.9)) for change in changes}
    assert len(hashes | {contract_sha256(CONTRACT)}) == len(changes) + 1


def test_violations_are_counted_however_many_they_are() -> None:
    contract = Contract(columns={"miles": Column(type="int", minimum=50)})
    n_rows, rules = find_violations(pl.DataFrame({"miles": [17, 18, 200]}), contract, place="test")
    assert n_rows == 2
    assert [(rule.column, rule.rule, rule.n_failed) for rule in rules] == [("miles", "at least 50", 2)]
    assert find_violations(pl.DataFrame({"miles": [60]}), contract, place="test") == (0, ())
