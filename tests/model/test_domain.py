"""The classifier that tries to tell two tables apart: level, power, bounds, importance, units, errors."""

import numpy as np
import polars as pl
import pytest

from tidewheel import drift
from tidewheel.errors import InputError, UnknownNameError
from tidewheel.model.domain import tell_apart


def two_tables(rng, rows, rho):
    """Draw two tables of equal margins, in the second of which x and y are correlated."""
    tables = []
    for r in (0.0, rho):
        x, y, z = rng.normal(size=(3, rows))
        tables.append(
            pl.DataFrame(
                {"x": x, "y": r * x + np.sqrt(1 - r * r) * y, "z": z, "lane": rng.choice(["a", "b"], rows)}
            )
        )
    return tables


def test_changed_correlation_is_found_in_tables_of_several_types():
    tables = two_tables(np.random.default_rng(1), 2000, 0.9)
    assert drift.compare(*tables).drifted == ()
    found = tell_apart(*tables)
    assert found.verdict == "drifted"
    assert found.pvalue < 1e-20
    assert found.effect.lower > 0.57
    assert set(list(found.importance)[:2]) == {"x", "y"}
    assert found.importance["lane"] < 0.02 < found.importance["y"]
    assert (found.n, found.m, found.n_fitted) == (1000, 1000, (1000, 1000))
    assert found.encoded["lane"] == "0 or 1 for 1 values"
    # Correlation with means as they were is no shift: the linear classifier must not see it.
    assert tell_apart(*tables, family="logistic").verdict != "drifted"


@pytest.mark.parametrize("family", ["logistic", "trees"])
def test_level(family):
    """15 false alarms in 100 would be four deviations beyond 5."""
    rng = np.random.default_rng(2)
    pvalues = []
    for _ in range(100):
        tables = [{"x": rng.normal(size=80), "k": rng.integers(0, 3, 80)} for _ in range(2)]
        pvalues.append(tell_apart(*tables, family=family).pvalue)
    assert sum(p <= 0.05 for p in pvalues) <= 14
    assert 0.38 < np.mean(pvalues) < 0.62


def test_units_are_reassigned_whole():
    """Days that differ among themselves are no drift; taken as independent rows they look like it."""
    alarms = {"day": 0, None: 0}
    for seed in range(12):
        rng = np.random.default_rng(seed)
        tables = []
        for _ in range(2):
            days = np.arange(600) // 30
            tables.append({"x": rng.normal(size=600) + rng.normal(0, 2, 20)[days], "day": days})
        for unit in alarms:
            found = tell_apart(*tables, columns=["x"], unit=unit, permutations=99)
            alarms[unit] += found.pvalue <= 0.05
            assert found.units == ((10, 10) if unit else None)
            assert found.test == ("Mann-Whitney, units reassigned" if unit else "Mann-Whitney")
    assert alarms["day"] <= 3
    assert alarms[None] >= 6


def test_units_that_drifted_are_found():
    rng = np.random.default_rng(3)
    days = np.arange(800) // 20
    tables = [{"x": rng.normal(at, 1, 800), "day": days} for at in (0.0, 2.0)]
    found = tell_apart(*tables, unit="day")
    assert found.pvalue == 0.001
    assert found.verdict == "drifted"


def test_tables_that_are_told_apart_without_fault_have_bounds():
    tables = [{"x": np.arange(100) % 5 + at} for at in (0, 1000)]
    found = tell_apart(*tables)
    assert (found.statistic, found.effect.upper) == (1.0, 1.0)
    # Hoeffding with 50 rows a side: sqrt(ln 40 / 100).
    assert found.effect.lower == pytest.approx(1 - 0.19206, abs=1e-5)
    assert found.verdict == "drifted"


def test_bounds_by_hand():
    """The area of logistic scores in one column is that of the column."""
    rng = np.random.default_rng(4)
    tables = [{"x": rng.normal(at, 1, 2000)} for at in (0, 0.5)]
    found = tell_apart(*tables, family="logistic")
    # Phi(0.5 / sqrt 2) is 0.638; the deviation of an area of 1,000 and 1,000 rows about 0.0125.
    assert found.effect.lower < 0.638 < found.effect.upper
    assert found.effect.upper - found.effect.lower == pytest.approx(2 * 1.96 * 0.0123, rel=0.1)


def test_stable_and_undecided():
    rng = np.random.default_rng(5)
    long = [{"x": rng.normal(size=10_000)} for _ in range(2)]
    found = tell_apart(*long, family="logistic")
    assert (found.verdict, found.effect.threshold) == ("stable", 0.57)
    assert found.reason.endswith("less than 0.57 even at its upper bound")
    short = [{"x": rng.normal(size=100)} for _ in range(2)]
    assert tell_apart(*short, family="logistic").verdict == "undecided"


def test_too_few_rows_to_split_say_nothing():
    tables = [{"x": np.arange(20.0)}, {"x": np.arange(20.0) + 100}]
    found = tell_apart(*tables)
    assert (found.statistic, found.pvalue, found.verdict) == (0.5, 1.0, "undecided")


def test_a_seed_gives_the_same_result_again_and_rows_are_bounded():
    tables = two_tables(np.random.default_rng(6), 500, 0.5)
    found = tell_apart(*tables, rows=200, seed=3)
    assert tell_apart(*tables, rows=200, seed=3) == found
    assert (found.n, found.rows) == (100, (500, 500))
    assert found.warnings[-1] == "Used 200 of 500 reference rows and 200 of 500 current rows."


SIDE = {"x": np.arange(40.0), "day": np.arange(40) // 20, "one": np.ones(40)}


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"unit": "day"}, InputError, "unit 'day' must have at least 4 values in each table; got 2"),
        ({"family": "forest"}, UnknownNameError, "`family` must be 'trees' or 'logistic'; got 'forest'"),
        ({"permutations": 18}, InputError, "`permutations` must be at least 19; got 18"),
        ({"seed": -1}, InputError, "`seed` must be at least 0; got -1"),
        ({"alpha": 0.0}, InputError, "`alpha` must lie between 0 and 1; got 0.0"),
        ({"columns": ["one"]}, InputError, "must have a column that varies; got none"),
        ({"columns": ["y"]}, InputError, "column 'y' must be in `reference`"),
    ],
    ids=["units", "family", "permutations", "seed", "alpha", "constant", "column"],
)
def test_wrong_use(options, error, text):
    with pytest.raises(error) as raised:
        tell_apart(SIDE, SIDE, **options)
    assert text in str(raised.value)
