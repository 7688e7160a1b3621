"""Drift of tables as wholes: what it finds, how often it is wrong, and what does not change it."""

import datetime as dt

import numpy as np
import pandas as pd
import polars as pl
import pytest

from tidewheel import drift
from tidewheel.drift.reading import inputs
from tidewheel.drift.table.multivariate import directions
from tidewheel.drift.table.multivariate.encoding import Coordinate, Encoding, join, read_rows
from tidewheel.errors import InputError, InputTypeError

SMALL = {"projections": 32, "permutations": 99}


def correlated(rng, rows, rho, columns=6):
    """Draw normal columns, the first two correlated."""
    table = rng.normal(size=(rows, columns))
    table[:, 1] = rho * table[:, 0] + np.sqrt(1 - rho**2) * table[:, 1]
    return table


def encode(*columns):
    """Encode two-sided columns given as (reference, current)."""
    table = {}
    for number, sides in enumerate(columns):
        raw = [read_rows(inputs.read_array("x", side), np.arange(len(side))) for side in sides]
        table[f"c{number}"] = join(*raw)
    encoding = Encoding.fit(table)
    return encoding, encoding.encode(table)


def test_changed_correlation_is_found_where_no_column_changed(rng):
    reference, current = correlated(rng, 2000, 0.0), correlated(rng, 2000, 0.9)
    assert drift.compare(reference, current).drifted == ()
    found = drift.sliced(reference, current)
    assert found.verdict == "drifted"
    assert found.pvalue == 0.002
    assert list(found.loadings)[:2] == ["0", "1"]
    assert found.loadings["0"] + found.loadings["1"] == pytest.approx(1)
    assert set(list(found.effect_loadings)[:2]) == {"0", "1"}
    assert 0.1 < found.effect.lower < found.effect.value < found.effect.upper
    assert found.reason.startswith("worst direction: Kolmogorov-Smirnov D is ")


def test_power_at_small_changes():
    found = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        reference, current = correlated(rng, 300, 0.0), correlated(rng, 300, 0.5)
        found += drift.sliced(reference, current, projections=64, permutations=99).pvalue <= 0.05
    assert found >= 36


@pytest.mark.parametrize("kind", ["normal", "ties and missing", "units"])
def test_level(kind):
    """At p <= alpha the share of false alarms is at most alpha; 24 of 300 is three deviations beyond 15."""
    rng = np.random.default_rng(11)
    pvalues = []
    for _ in range(300):
        table = {"x": rng.normal(size=120), "y": rng.exponential(size=120), "z": rng.normal(size=120)}
        unit = None
        if kind == "ties and missing":
            table["x"] = np.where(rng.random(120) < 0.2, np.nan, rng.integers(0, 3, 120))
            table["z"] = rng.choice(["a", "b", "c"], 120, p=[0.8, 0.15, 0.05])
        if kind == "units":
            unit, days = "day", np.arange(120) // 6
            table = {name: values + rng.normal(0, 2, 20)[days] for name, values in table.items()}
            table["day"] = days
        sides = [
            {name: values[rows] for name, values in table.items()} for rows in (slice(60), slice(60, None))
        ]
        pvalues.append(drift.sliced(*sides, unit=unit, **SMALL).pvalue)
    assert sum(p <= 0.05 for p in pvalues) <= 24
    assert 0.42 < np.mean(pvalues) < 0.58


def test_rows_of_one_unit_are_not_taken_as_evidence():
    alarms = {"day": 0, None: 0}
    for seed in range(10):
        rng = np.random.default_rng(seed)
        sides = []
        for _ in range(2):
            days = np.arange(600) // 60
            values = rng.normal(size=(600, 2)) + rng.normal(0, 1, (10, 2))[days]
            sides.append({"x": values[:, 0], "y": values[:, 1], "day": days})
        for unit in alarms:
            found = drift.sliced(*sides, columns=["x", "y"], unit=unit, **SMALL)
            alarms[unit] += found.pvalue <= 0.05
            assert found.units == ((10, 10) if unit else None)
    assert alarms[None] == 10
    assert alarms["day"] <= 2


def test_units_that_changed_are_found(rng):
    sides = []
    for rho in (0.0, 0.95):
        values = correlated(rng, 1200, rho, 3)
        sides.append({**{name: values[:, i] for i, name in enumerate("xyz")}, "day": np.arange(1200) // 20})
    found = drift.sliced(*sides, unit="day")
    assert found.verdict == "drifted"
    assert found.loadings["z"] < 0.1


def test_bounds_hold_without_drift():
    """The lower bound of D along the direction that looked worst is above 0 in one case of twenty at most, by chance."""
    above = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        found = drift.sliced(*rng.normal(size=(2, 400, 5)), projections=64, permutations=19)
        above += found.effect.lower > 0
        assert found.verdict != "drifted"
    assert above <= 6  # exceeded with probability 0.003 at 1 in 20


def test_stable_where_the_rows_are_many(rng):
    found = drift.sliced(*rng.normal(size=(2, 20_000, 3)), rows=20_000, projections=16, permutations=19)
    assert found.verdict == "stable"
    assert found.effect.upper < found.effect.threshold
    assert found.warnings == (
        "Rows treated as independent; name the day or user of a row as `unit` if they are not.",
    )


def test_statistic_is_what_the_formula_says(rng):
    """Against one direction and one assignment written out."""
    encoded = rng.normal(size=(30, 2))
    units = np.sort(rng.integers(0, 8, 30))
    units = np.unique(units, return_inverse=True)[1]
    line = np.array([[0.6, 0.8]])
    labels = np.zeros((1, units.max() + 1), dtype=np.float32)
    labels[0, -3:] = 1
    (waves,) = directions.measure_waves(encoded, line)
    found = directions.compare_labels(directions.sum_units(waves, units), labels)

    z = encoded @ line[0]
    z = (z - z.mean()) / z.std()
    w = np.column_stack([np.sin(z), np.cos(z), np.sin(2 * z), np.cos(2 * z)])
    w = w - w.mean(axis=0)
    sums = np.array([w[units == unit].sum(axis=0) for unit in range(units.max() + 1)])
    t = sums[-3:].sum(axis=0)
    p = (units >= units.max() - 2).mean()
    expected = t @ np.linalg.inv(sums.T @ sums / len(sums)) @ t / (len(sums) * p * (1 - p))
    assert found == pytest.approx(np.array([[expected]]), rel=0.02)  # waves are rounded to 1 / 1023


@pytest.mark.parametrize("rows", [100, directions.ROWS_OF_FLOAT32 + 2], ids=["float32", "float64"])
def test_equal_assignments_have_equal_statistics(rng, rows):
    (waves,) = directions.measure_waves(rng.normal(size=(rows, 3)), np.eye(3))
    labels = (rng.random((1, rows)) < 0.5).astype(np.float32).repeat(5, axis=0)
    order = rng.permutation(rows)
    one = directions.compare_labels(directions.sum_units(waves, None), labels)
    other = directions.compare_labels(directions.sum_units(waves[order], None), labels[:, order])
    assert one == pytest.approx(other, rel=1e-10)
    assert one == pytest.approx(np.broadcast_to(one[0], one.shape), rel=1e-10)


def test_directions_do_not_see_labels_and_have_length_one(rng):
    coordinates = [Coordinate(f"c{i}", f"c{i}") for i in range(30)]
    encoded = rng.normal(size=(200, 30))
    made = directions.choose_directions(encoded, coordinates, 256, np.random.default_rng(1))
    assert made.shape == (256, 30)
    assert np.linalg.norm(made, axis=1) == pytest.approx(np.ones(256))
    again = directions.choose_directions(
        encoded[rng.permutation(200)], coordinates, 256, np.random.default_rng(1)
    )
    assert np.abs(again) == pytest.approx(np.abs(made), abs=1e-8)
    assert ((made != 0).sum(axis=1) == 1).sum() == 30
    assert ((made != 0).sum(axis=1) == 2).sum() == 192


def test_pairs_of_one_column_are_left_out():
    made = directions._pairs(
        [Coordinate("a", "a = 1"), Coordinate("a", "a = 2"), Coordinate("b", "b")],
        100,
        np.random.default_rng(1),
    )
    assert made.shape == (4, 3)
    assert not ((made[:, 0] != 0) & (made[:, 1] != 0)).any()


def test_encoding_by_hand():
    encoding, encoded = encode(
        (np.array([10.0, np.nan, 30.0]), np.array([20.0])),
        (["a", "b", "b"], ["c"]),
        (np.array([True, False, True]), np.array([True])),
        ([1.0, 1.0, 1.0], [1.0]),
    )
    assert [made.label for made in encoding.coordinates] == [
        "c0",
        "c0 is missing",
        "c1 = b",
        "c1 = a",
        "c2 = true",
    ]
    # Ranks 1, 2 and 3 of three give the normal quantiles of 1/4, 1/2 and 3/4; the missing row has 0.
    assert encoded[:, 0] == pytest.approx([-0.67449, 0, 0.67449, 0], abs=1e-5)
    assert encoded[:, 1] == pytest.approx(np.array([-1, 3, -1, -1]) / np.sqrt(3))
    assert encoded[:, 2] == pytest.approx([-1, 1, 1, -1])
    assert encoding.left_out == {"c3": "one value only"}
    assert encoding.described == {
        "c0": "normal scores of ranks, 0 or 1 for missing (1 of 4 rows)",
        "c1": "0 or 1 for 2 values",
        "c2": "0 or 1 for 1 values",
    }


def test_rows_unlike_those_learned_are_encoded():
    raw = {"x": join(*(read_rows(inputs.read_array("x", [1.0, 2.0, 3.0]), np.arange(3)),) * 2)}
    other = {"x": read_rows(inputs.read_array("x", [-np.inf, 2.5, np.inf]), np.arange(3))}
    scores = Encoding.fit(raw).encode(other)[:, 0]
    assert scores[0] == -scores[2] < -1
    assert 0 < scores[1] < scores[2]


def test_a_rare_name_does_not_drown_the_rest():
    names = ["usual"] * 9_999 + ["rare"]
    _, encoded = encode((names, names))
    assert np.abs(encoded).max() <= 10.0


def test_strictly_increasing_maps_swaps_and_order_change_nothing(rng):
    reference, current = correlated(rng, 300, 0.2, 3), correlated(rng, 200, 0.8, 3)
    found = drift.sliced(reference, current, **SMALL)
    mapped = drift.sliced(np.exp(reference), np.exp(current), **SMALL)
    assert (mapped.statistic, mapped.pvalue, mapped.effect) == (found.statistic, found.pvalue, found.effect)
    shuffled = drift.sliced(rng.permutation(reference), rng.permutation(current), **SMALL)
    assert shuffled.statistic == pytest.approx(found.statistic, rel=1e-6)
    swapped = drift.sliced(current, reference, **SMALL)
    assert swapped.statistic == pytest.approx(found.statistic, rel=1e-6)


def test_a_seed_gives_the_same_result_again(rng):
    sides = rng.normal(size=(2, 300, 4))
    assert drift.sliced(*sides, seed=3, **SMALL) == drift.sliced(*sides, seed=3, **SMALL)
    assert drift.sliced(*sides, seed=4, **SMALL) != drift.sliced(*sides, seed=3, **SMALL)


def mixed(rng, rows, shift):
    """Draw a table of several types in which `kind` says how `speed` is."""
    kind = rng.choice(["fast", "slow"], rows)
    like = np.where(kind == "fast", shift, -shift)
    start = dt.datetime(2013, 1, 1)
    return pl.DataFrame(
        {
            "speed": rng.normal(size=rows) + like,
            "kind": kind,
            "ok": rng.random(rows) < 0.5,
            "at": [start + dt.timedelta(minutes=int(i)) for i in rng.integers(0, 9999, rows)],
            "count": rng.integers(0, 5, rows),
        }
    ).with_columns(pl.when(pl.col("count") > 0).then(pl.col("count")))


def test_relations_between_types_are_found_in_any_table(rng):
    # A mixture of two normal laws either way: only the names tell which.
    reference, current = mixed(rng, 500, 1.0), mixed(rng, 500, -1.0)
    assert "speed" not in drift.compare(reference, current).drifted
    found = drift.sliced(reference, current)
    assert found.pvalue == 0.002
    assert set(list(found.loadings)[:2]) == {"speed", "kind"}
    for convert in (
        pl.DataFrame.to_arrow,
        pl.DataFrame.to_pandas,
        lambda frame: frame.to_dict(as_series=True),
    ):
        assert drift.sliced(convert(reference), convert(current)) == found
    assert isinstance(reference.to_pandas(), pd.DataFrame)


def test_columns_that_cannot_be_used_are_named(rng):
    side = pl.DataFrame(
        {
            "x": rng.normal(size=50),
            "one": ["a"] * 50,
            "none": pl.Series([None] * 50, dtype=pl.Null),
            "nested": [[1]] * 50,
        }
    )
    found = drift.sliced(side, side, **SMALL)
    assert found.left_out == {
        "one": "one value only",
        "none": "no values",
        "nested": "a type that is not supported",
    }
    assert found.encoded == {"x": "normal scores of ranks"}
    assert found.loadings == {"x": 1.0}


def test_missing_rows_that_depend_on_another_column_are_found(rng):
    sides = []
    for above in (False, True):
        x, y = rng.normal(size=(2, 1000))
        gone = (x > 0) & (rng.random(1000) < 0.4) if above else rng.random(1000) < 0.2
        sides.append({"x": x, "y": np.where(gone, np.nan, y)})
    found = drift.sliced(*sides)
    assert found.pvalue == 0.002
    assert drift.compare(*sides).drifted == ()


def test_long_tables_are_sampled_and_say_so(rng):
    found = drift.sliced(rng.normal(size=(3000, 2)), rng.normal(size=(500, 2)), rows=400, **SMALL)
    assert (found.n, found.m, found.rows) == (400, 400, (3000, 500))
    assert found.warnings[-1] == "Used 400 of 3000 reference rows and 400 of 500 current rows."


def test_whole_units_are_drawn_then_rows_at_one_rate(rng):
    table = {"x": rng.normal(size=20_000), "user": np.arange(20_000) // 10}
    found = drift.sliced(table, table, unit="user", rows=1000, **SMALL)
    assert (found.units, found.n, found.m) == ((100, 100), 1000, 1000)
    few = {"x": rng.normal(size=20_000), "day": np.arange(20_000) // 400}
    found = drift.sliced(few, few, unit="day", rows=1000, **SMALL)
    assert found.units == (40, 40)
    assert 800 < found.n < 1200


def test_few_units_say_what_they_cannot_show(rng):
    side = {"x": rng.normal(size=60), "day": np.arange(60) // 20}
    found = drift.sliced(side, side, unit="day", alpha=0.01, **SMALL)
    assert (found.effect, found.effect_loadings, found.verdict) == (None, {}, "undecided")
    assert found.reason.endswith("there are too few units to measure an effect on units kept out")
    assert found.warnings == ("With 3 and 3 units there are 20 assignments, so p cannot reach 0.01.",)


TABLE = {"x": np.arange(40.0), "day": np.arange(40) // 4}


@pytest.mark.parametrize(
    ("current", "options", "error", "text"),
    [
        ({"x": TABLE["x"][:19]}, {"columns": ["x"]}, InputError, "`current` must have at least 20 rows; got 19"),
        ({"y": TABLE["x"]}, {}, InputError, "column 'x' must be in `current`; it has 'y'"),
        ({"x": ["a"] * 40}, {}, InputTypeError, "column 'x' must have one type in both tables"),
        ({"x": TABLE["x"], "day": [1] * 40}, {"unit": "day"}, InputError, "'day' must have at least 2 values in `current`"),
        (TABLE, {"columns": []}, InputError, "`columns` must name at least one column; got none"),
        (TABLE, {"rows": 19}, InputError, "`rows` must be at least 20; got 19"),
        (TABLE, {"projections": 7}, InputError, "`projections` must be at least 8; got 7"),
        (TABLE, {"permutations": 18}, InputError, "`permutations` must be at least 19; got 18"),
        (TABLE, {"seed": -1}, InputError, "`seed` must be at least 0; got -1"),
        (TABLE, {"alpha": 1.0}, InputError, "`alpha` must lie between 0 and 1; got 1.0"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)  # fmt: skip
def test_wrong_use(current, options, error, text):
    with pytest.raises(error) as raised:
        drift.sliced(TABLE, current, **options)
    assert text in str(raised.value)


def test_sides_too_unequal_for_one_rate(rng):
    long = {"x": rng.normal(size=20_000), "day": np.arange(20_000) // 500}
    short = {"x": rng.normal(size=80), "day": np.arange(80) // 2}
    with pytest.raises(InputError) as raised:
        drift.sliced(long, short, unit="day", rows=100)
    assert "both tables are drawn from at one rate, 0.005: at 100 `current` keeps" in str(raised.value)


def test_nothing_varies():
    side = {"x": [1.0] * 30}
    with pytest.raises(InputError) as raised:
        drift.sliced(side, side)
    assert (
        str(raised.value)
        == "`reference` and `current` must have a column that varies; got 'x' has one value only"
    )


def test_rows_beyond_a_column_are_refused():
    from tidewheel import _native

    column = inputs.read_array("x", [1.0, 2.0])
    rows = inputs.read_array("rows", [2])
    calls = [
        lambda: _native.gather_numbers(column, rows),
        lambda: _native.gather_strings(inputs.read_array("x", ["a", "b"]), rows),
        lambda: _native.gather_units(_native.encode_units(column), rows),
    ]
    for call in calls:
        with pytest.raises(InputError) as raised:
            call()
        assert str(raised.value) == "`rows` must lie among the 2 rows of the column; got 2"
