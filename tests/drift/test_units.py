"""`compare(unit=, unit_order=)`: order of units, levels with serial dependence, power, edge cases."""

import datetime
import math

import numpy as np
import polars as pl
import pytest
from scipy.special import ndtr

from tidewheel import _native, drift
from tidewheel.drift.reading import inputs
from tidewheel.drift.table import column_tests, design_effect, open_vocabulary, unit_order, unit_tests
from tidewheel.errors import InputError, InputTypeError, UnknownNameError
from tidewheel.measures import permutation

ROWS = 60
DECILES = np.array([-1.2816, -0.8416, -0.5244, -0.2533, 0, 0.2533, 0.5244, 0.8416, 1.2816])
NAMES = np.array([-0.25, 0.39, 0.84, 1.28, 1.75])
SHARE = np.array([1.0])


def autoregression(rng, units, phi):
    values = rng.normal(size=units)
    for i in range(1, units):
        values[i] = phi * values[i - 1] + math.sqrt(1 - phi**2) * values[i]
    return values


def counts(rng, units, cuts, icc=0.3, phi=0.0, shift=0.0, *, equal=True):
    """Rows per unit and class of a normal law whose mean moves with the unit."""
    sizes = np.full(units, ROWS) if equal else np.maximum(3, ROWS * rng.lognormal(-0.5, 1, units)).astype(int)
    mean = math.sqrt(icc) * autoregression(rng, units, phi) + shift
    below = ndtr((cuts - mean[:, None]) / math.sqrt(1 - icc))
    return rng.multinomial(sizes, np.diff(np.column_stack([np.zeros(units), below, np.ones(units)])))


def judge(tables, *, ordered):
    """Return the p-value, and whether it is withheld."""
    found = permutation.compare_units(
        *unit_tests.samples(tables, ordered=ordered), "largest" if ordered else "square"
    )
    return found.pvalue, found.serial.is_unsettled


def permute_plainly(rng, tables, draws=299):
    """The plain permutation test of whole units, by the distance over the same edges."""
    one, n = np.concatenate(tables).cumsum(axis=1), len(tables[0])
    orders = [np.arange(len(one)), *(rng.permutation(len(one)) for _ in range(draws))]
    sides = ((one[order[:n]].sum(axis=0), one[order[n:]].sum(axis=0)) for order in orders)
    distances = np.array([np.abs(a / a[-1] - b / b[-1]).max() for a, b in sides])
    return (distances >= distances[0] - 1e-12).mean()


KINDS = {"numbers": (DECILES, True), "names": (NAMES, False), "share": (SHARE, True)}


@pytest.mark.parametrize(("cuts", "ordered"), KINDS.values(), ids=KINDS.keys())
@pytest.mark.parametrize(
    ("phi", "allowed"), [(0.0, 0.05), (0.3, 0.07), (0.6, 0.07), (0.9, 0.1)], ids=lambda x: str(x)
)
def test_forty_units_a_side_keep_their_level(rng, cuts, ordered, phi, allowed):
    alarms = []
    for _ in range(250):
        tables = tuple(counts(rng, 40, cuts, phi=phi) for _ in range(2))
        pvalue, withheld = judge(tables, ordered=ordered)
        alarms.append(pvalue <= 0.05 and not withheld)
    assert np.mean(alarms) <= allowed + 3 * math.sqrt(allowed * (1 - allowed) / 250)


@pytest.mark.parametrize("equal", [True, False], ids=["equal", "unequal"])
def test_power_is_that_of_permuting_whole_units(rng, equal):
    ours, plain = [], []
    for _ in range(200):
        tables = counts(rng, 40, DECILES, equal=equal), counts(rng, 40, DECILES, shift=0.4, equal=equal)
        ours.append(judge(tables, ordered=True)[0] <= 0.05)
        plain.append(permute_plainly(rng, tables) <= 0.05)
    # The same 200 pairs: the standard error of the ratio is about 0.03.
    assert np.mean(ours) >= 0.9 * np.mean(plain) - 0.05
    assert np.mean(plain) > 0.4


# Whole tables


def days(rng, units, phi=0.0, shift=0.0, icc=0.3, rows=ROWS):
    """Rows of days in order, their dates, numbers, names and gaps."""
    day = np.repeat(np.arange(units), rows)
    latent = [
        math.sqrt(icc) * autoregression(rng, units, phi)[day]
        + math.sqrt(1 - icc) * rng.normal(size=len(day))
        + shift
        for _ in range(3)
    ]
    return pl.DataFrame(
        {
            "day": pl.Series(day).map_elements(
                lambda i: datetime.date(2013, 1, 1) + datetime.timedelta(days=i), return_dtype=pl.Date
            ),
            "x": latent[0],
            "word": np.where(latent[1] > 0.5, "late", "early"),
            "gaps": pl.Series(np.zeros(len(day))).set(pl.Series(latent[2] > 1), None),
        }
    )


def shuffle_days(table, seed=3):
    """Put whole days in another order, rows inside them as they are."""
    order = {day: i for i, day in enumerate(table["day"].unique(maintain_order=True).shuffle(seed=seed))}
    return table.sort(pl.col("day").replace_strict(order), maintain_order=True)


def pvalues(report):
    return [[part.pvalue for part in column.parts] for column in report.columns]


def test_a_strong_serial_dependence_is_undecided_and_says_why(rng):
    report = drift.compare(days(rng, 40, 0.95), days(rng, 40, 0.95, shift=1.0), unit="day")
    assert report["x"].verdict == "undecided"
    assert report["x"].pvalue == 1.0
    assert "units resemble the ones before them too much (correlation 0." in report["x"].reason
    assert "for 80 units to tell drift from chance" in report["x"].reason
    assert (report["x"].effect.lower, report["x"].effect.upper) == (0.0, 1.0)


def test_few_units_with_a_visible_dependence_are_undecided(rng):
    report = drift.compare(days(rng, 20, 0.7), days(rng, 20, 0.7), unit="day")
    assert report["x"].verdict == "undecided"
    assert "for 40 units" in report["x"].reason


def test_overwhelming_drift_of_strongly_dependent_days_is_found(rng):
    # A season of 90 days against a month of 30, each day much like the one before: D is about 0.9. Most of such pairs are
    # drifted; the others look as if they moved slowly all the time.
    verdicts = []
    for _ in range(12):
        tables = tuple(
            counts(rng, k, DECILES, icc=0.7, phi=0.8, shift=shift) for k, shift in ((90, 0.0), (30, 3.3))
        )
        pvalue, withheld = judge(tables, ordered=True)
        verdicts.append(pvalue <= 0.05 and not withheld)
    assert np.mean(verdicts) >= 0.5


def test_a_season_and_a_hot_month_have_drifted():
    rng = np.random.default_rng(3)
    reference, current = days(rng, 90, 0.8, icc=0.7), days(rng, 30, 0.8, shift=3.3, icc=0.7)
    column = drift.compare(reference, current, columns=["x"], unit="day")["x"]
    assert column.verdict == "drifted"
    assert column.effect.value > 0.85
    assert column.effect.lower > column.effect.threshold
    assert column.parts[0].test == "Kolmogorov-Smirnov, units permuted"


def test_drift_of_dependent_days_is_found(rng):
    report = drift.compare(days(rng, 90, 0.3, icc=0.1), days(rng, 90, 0.3, shift=1.0, icc=0.1), unit="day")
    assert report.drifted == ("x", "word", "gaps")
    assert report["x"].parts[0].test == "Kolmogorov-Smirnov, units permuted"
    assert report["word"].parts[0].test == "chi-square, units permuted"
    assert report["gaps"].parts[-1].test == "two shares, units permuted"
    assert report["x"].pvalue < 1e-6


def test_dates_are_in_time_order_however_rows_lie(rng):
    reference, current = days(rng, 60, 0.5), days(rng, 60, 0.5)
    expected = pvalues(drift.compare(reference, current, unit="day"))
    shuffled = shuffle_days(reference), shuffle_days(current)
    assert pvalues(drift.compare(*shuffled, unit="day")) == expected
    text = [side.with_columns(pl.col("day").cast(pl.String)) for side in shuffled]
    assert pvalues(drift.compare(*text, unit="day")) == expected
    assert pvalues(drift.compare(*shuffled, unit="day", unit_order="appearance")) != expected
    listed = sorted({*reference["day"], *current["day"]})
    assert pvalues(drift.compare(*shuffled, unit="day", unit_order=listed)) == expected
    assert pvalues(drift.compare(*text, unit="day", unit_order=[str(day) for day in listed])) == expected
    assert pvalues(drift.compare(*shuffled, unit="day", unit_order=pl.Series(listed))) == expected


ORDERS = {
    "numbers": ([30, 4, 4, 200], None, [1, 0, 2]),
    "numbers as text": (["30", "4", "200"], None, [1, 0, 2]),
    "ISO dates": (["2013-02-01", "2013-01-31", "2012-12-01"], None, [2, 1, 0]),
    "weeks": (["2013-W10", "2013-W09"], None, [1, 0]),
    "names": (["b", "a", "c"], None, [0, 1, 2]),
    "names by letters": (["b", "a", "c"], "value", [1, 0, 2]),
    "numbers as they come": ([3, 1, 2], "appearance", [0, 1, 2]),
    "a missing unit is last": ([None, 7, 5], None, [2, 1, 0]),
    "a missing name is last": ([None, "9", "8"], None, [2, 1, 0]),
    "listed": (["mon", "sun", "tue"], ["mon", "tue", "wed", "sun"], [0, 2, 1]),
    "listed numbers": ([3, 1, 2], [2, 3, 1], [2, 0, 1]),
    "listed, and a missing one": ([None, 1, 2], [2, 1], [2, 1, 0]),
    "booleans": ([True, False], [False, True], [1, 0]),
}


@pytest.mark.parametrize(("values", "order", "expected"), ORDERS.values(), ids=ORDERS.keys())
def test_the_order_of_units(values, order, expected):
    column = inputs.read_array("unit", pl.Series(values))
    read = unit_order.OrderedUnits.read("unit", (column, column), order)
    assert read.reference.order.tolist() == read.current.order.tolist() == expected


WRONG = {
    "unknown word": (
        "time",
        UnknownNameError,
        "`unit_order` must be one of 'value', 'appearance' or a sequence of units; got 'time'",
    ),
    "lacking": (
        ["a"],
        InputError,
        "`unit_order` must name every unit of 'u'; 1 of `reference` are not in it, the first being 'b'",
    ),
    "twice": (
        ["a", "b", "a"],
        InputError,
        "`unit_order` must name each unit once; got 'a' at index 0 and 2",
    ),
    "another type": (
        [1, 2],
        InputTypeError,
        "`unit_order` must hold units of 'u', which are string; got int64",
    ),
}


@pytest.mark.parametrize(("order", "error", "text"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_order_is_refused_in_words(order, error, text):
    table = pl.DataFrame({"u": ["a", "b"] * 5, "x": range(10)})
    with pytest.raises(error) as caught:
        drift.compare(table, table, unit="u", unit_order=order)
    assert str(caught.value) == text


def test_dates_that_are_none_are_refused_in_words(rng):
    with pytest.raises(InputTypeError, match="`unit_order` must hold units of 'day', which are date"):
        drift.compare(days(rng, 3), days(rng, 3), unit="day", unit_order=["soon", "later"])


EDGES = {
    "one current unit": (30, 1),
    "two and two": (2, 2),
    "many units": (150, 150),
    "unequal numbers": (60, 9),
}


@pytest.mark.parametrize(("n", "m"), EDGES.values(), ids=EDGES.keys())
def test_any_number_of_units_gives_valid_p_values(rng, n, m):
    report = drift.compare(days(rng, n, rows=10), days(rng, m, rows=10), unit="day")
    assert all(0 < part.pvalue <= 1 for column in report.columns for part in column.parts)
    assert all(column.verdict in {"stable", "undecided"} for column in report.columns)


def test_one_row_a_unit_that_depends_on_the_one_before():
    # A random walk's rows, each its own unit: rows taken as independent alarm, units in order do not.
    rng = np.random.default_rng(5)
    naive, honest = [], []
    for _ in range(60):
        sides = [{"u": np.arange(400), "x": autoregression(rng, 400, 0.6)} for _ in range(2)]
        naive.append(drift.compare(*sides, columns=["x"])["x"].pvalue <= 0.05)
        report = drift.compare(*sides, unit="u")
        honest.append(report["x"].pvalue <= 0.05)
        assert report["x"].design_effect > 1.5
    assert np.mean(naive) > 0.25
    assert np.mean(honest) < 0.15


def test_values_that_are_all_equal_in_all_units():
    table = {"u": list("ab") * 20, "x": [1.0] * 40, "word": ["w"] * 40}
    report = drift.compare(table, table, unit="u")
    assert [column.pvalue for column in report.columns] == [1.0, 1.0]


def test_infinities_alone_in_units():
    table = {"u": list("ab") * 20, "x": [math.inf] * 40}
    assert drift.compare(table, table, unit="u")["x"].pvalue == 1.0


def test_tables_cross_the_border_as_bytes(rng):
    units = _native.encode_units(inputs.read_array("u", rng.integers(0, 5, 100)))
    values = inputs.read_array("x", rng.normal(size=100))
    table = _native.count_numbers_by_unit(values, inputs.read_array("e", np.array([0.0])), units)
    assert isinstance(table, bytes)
    assert np.frombuffer(table, dtype=np.uint64).reshape(5, 4).sum() == 100
    names = inputs.read_array("w", pl.Series(["a", "b"] * 50))
    by_name = np.frombuffer(_native.count_names_by_unit(names, ["a"], units), dtype=np.uint64)
    assert by_name.reshape(5, 3).sum(axis=0).tolist() == [50, 50, 0]


@pytest.mark.parametrize("unit", [None, "u"])
def test_so_many_times_the_rows_do_decide_on_all_names(unit):
    # The share of names that the current sample has more of: its own bounds, and the threshold of a distance.
    held = open_vocabulary.Held(
        (480, 560), (1_000, 1_000), design_effect.Design(1_000.0, 1_000.0, df=None if unit is None else 30.0)
    )
    values = column_tests.compare_categories([500, 500, 0], [420, 580, 0], held.design, 0.05, 0.09)
    part = column_tests.compare_names(held, values, 0.05)
    assert part.repeated is not None
    effect, _ = part.repeated(1.0)
    assert effect == part.effect
    larger, _ = part.repeated(100.0)
    assert (larger.name, larger.threshold) == (effect.name, effect.threshold)
    assert effect.lower < larger.lower < larger.value <= larger.upper < effect.upper


def test_all_names_are_tested_by_units_in_time_order():
    rng = np.random.default_rng(5)
    # Names drift slowly over a year of days that resemble each other: the same law on both sides, no change.
    states = np.zeros(80)
    for i in range(1, 80):
        states[i] = 0.6 * states[i - 1] + 0.8 * rng.normal()
    tastes = rng.normal(size=300)
    weights = np.exp(0.4 * np.outer(states, tastes)) / np.arange(1, 301) ** 0.7
    names = np.array([rng.choice(300, 60, p=one / one.sum()) for one in weights])
    tables = [
        {"s": [f"n{name}" for name in names[days].ravel()], "u": np.repeat(np.arange(80)[days], 60)}
        for days in (slice(0, 40), slice(40, 80))
    ]
    column = drift.compare(*tables, unit="u")["s"]
    (part,) = (part for part in column.parts if part.name == "tail")
    assert part.test == "two shares, held-out half, units permuted"
    assert column.verdict != "drifted"
    # Halves of whole units: another order of the rows changes nothing.
    orders = [rng.permutation(2_400) for _ in tables]
    shuffled = [
        {"s": [table["s"][row] for row in order], "u": table["u"][order]}
        for table, order in zip(tables, orders, strict=True)
    ]
    (again,) = (part for part in drift.compare(*shuffled, unit="u")["s"].parts if part.name == "tail")
    assert again == part


@pytest.mark.parametrize("gone", [pl.Float64, pl.Null, pl.String])
def test_a_column_without_values_is_tested_by_permuted_units(gone):
    units = np.repeat(np.arange(30), 20)
    reference = pl.DataFrame({"u": units, "x": np.tile(np.arange(600.0) % 7, 1)})
    current = pl.DataFrame({"u": units, "x": pl.Series([None] * 600, dtype=gone)})
    column = drift.compare(reference, current, unit="u")["x"]
    assert [part.test for part in column.parts] == ["two shares, units permuted"]
    assert column.verdict == "drifted"
    assert 0 < column.parts[0].pvalue < 1e-6


def test_units_of_a_type_that_no_statistic_takes_are_refused():
    table = {"u": [["a"], ["b", "c"]] * 20, "x": np.arange(40.0)}
    with pytest.raises(InputTypeError, match="unit 'u' must hold values of one type in both tables: "):
        drift.compare(table, table, unit="u")
