"""`drift.ChunkThresholds`: exact ranks among the reference's own chunks, each compared with all but itself."""

import pickle
from fractions import Fraction

import numpy as np
import polars as pl
import pytest

from tidewheel.drift import ChunkThresholds, Profile
from tidewheel.errors import InputError, UnknownNameError


def fit(chunks, **settings):
    profile = Profile.fit(pl.concat([pl.DataFrame(chunk) for chunk in chunks]))
    return ChunkThresholds.fit(profile, chunks, **settings)


def test_hand_worked_example():
    # Nineteen chunks of ten rows: chunk k has k ones (at most 9) and else zeros; the window has ten ones.
    ones = [min(k, 9) for k in range(19)]
    thresholds = fit([{"x": [1] * k + [0] * (10 - k)} for k in ones])
    found = thresholds.compare({"x": [1] * 10})
    pool = sum(ones) + 10
    # The distance of chunk k from the 190 other rows is that of the shares of ones.
    distances = [abs(Fraction(k, 10) - Fraction(pool - k, 190)) for k in [*ones, 10]]
    assert found.statistics["x"] == pytest.approx(float(distances[-1]), rel=1e-12)
    assert found.largest["x"] == pytest.approx(float(max(distances[:-1])), rel=1e-12)
    assert found.pvalue == found.columns["x"] == sum(d >= distances[-1] for d in distances) / 20
    assert found.chunks == thresholds.chunks == 19


def test_ties_count_against_an_alarm():
    thresholds = fit([{"x": [0, 1]}] * 25)
    assert thresholds.pvalue({"x": [1, 0]}) == 1.0
    # Mirrored chunks are equally far from the rest, whatever rounding says: 12 of each kind, 24 chunks.
    mirrored = fit([{"x": [0] * k + [1] * (10 - k)} for k in (3, 7)] * 12)
    assert mirrored.pvalue({"x": [0] * 7 + [1] * 3}) >= 13 / 25


STATISTICS = {
    "distance": "distance",
    "psi": "psi",
    "chi-square": "chi_square",
    "a function": lambda rest, chunk: float(np.abs(rest / rest.sum() - chunk / chunk.sum()).max()),
}


@pytest.mark.parametrize("statistic", STATISTICS.values(), ids=STATISTICS.keys())
def test_any_statistic(statistic, rng):
    chunks = [
        {"x": rng.normal(size=200), "s": rng.choice(["a", "b", "c"], 200, p=[0.6, 0.3, 0.1])}
        for _ in range(40)
    ]
    thresholds = fit(chunks, statistic=statistic)
    usual = {"x": rng.normal(size=200), "s": rng.choice(["a", "b", "c"], 200, p=[0.6, 0.3, 0.1])}
    strange = {"x": rng.normal(3, 1, 200), "s": rng.choice(["a", "b", "c"], 200, p=[0.1, 0.3, 0.6])}
    assert thresholds.pvalue(usual) > 1 / 41
    assert thresholds.pvalue(strange) == thresholds.compare(strange).columns["s"] == 1 / 41
    window = thresholds.profile.window()
    window.update(strange)
    assert thresholds.compare(window) == thresholds.compare(strange)


@pytest.mark.parametrize(
    ("effect", "exact"), [(0.0, False), (0.3, True)], ids=["rows alone", "days that differ"]
)
def test_pvalues_are_uniform_when_chunks_are_exchangeable(effect, exact, rng):
    # Days have levels of their own: no test of rows could keep its level. 19 chunks and a window, 800 times.
    pvalues = []
    for _ in range(800):
        days = rng.normal(size=(20, 60)) + effect * rng.normal(size=(20, 1))
        thresholds = fit([{"x": day} for day in days[:19]])
        pvalues.append(thresholds.pvalue({"x": days[19]}))
    counts = np.bincount(np.rint(np.array(pvalues) * 20).astype(int), minlength=21)[1:]
    assert counts.sum() == 800
    # P(p <= j / 20) = j / 20; four standard errors. Rows alone tie now and then, and ties make p larger, never smaller.
    shares, sizes = counts.cumsum() / 800, np.arange(1, 21) / 20
    errors = 4 * np.sqrt(sizes * (1 - sizes) / 800) + 1e-12
    assert (shares <= sizes + errors).all()
    if exact:
        assert (shares >= sizes - errors).all()


def test_columns_together_keep_the_level(rng):
    # Five columns that move together: the least of five p-values is at most 0.05 too often, the rank of their scores is not.
    together, least = 0, 0
    for _ in range(250):
        days = rng.normal(size=(20, 40, 5))
        thresholds = fit([pl.DataFrame(day) for day in days[:19]])
        found = thresholds.compare(pl.DataFrame(days[19]))
        together += found.pvalue <= 0.05
        least += min(found.columns.values()) <= 0.05
    assert together <= 250 * 0.05 + 4 * np.sqrt(250 * 0.05 * 0.95)
    assert least > 2 * together


def test_missing_rows_and_unseen_strings_are_distances(rng):
    chunks = [{"x": rng.normal(size=100), "s": rng.choice(["a", "b"], 100)} for _ in range(30)]
    thresholds = fit(chunks)
    gaps = pl.Series([None] * 60 + rng.normal(size=40).tolist())
    assert thresholds.compare({"x": gaps, "s": chunks[0]["s"]}).columns["x"] == 1 / 31
    assert thresholds.compare({"x": chunks[0]["x"], "s": ["new"] * 100}).columns["s"] == 1 / 31
    empty = pl.Series([None] * 100, dtype=pl.Float64)
    assert thresholds.compare({"x": empty, "s": chunks[0]["s"]}).statistics["x"] == pytest.approx(1.0)


def test_chunks_may_be_a_season_of_the_reference(rng):
    # The reference has mornings and nights; mornings are ranked among mornings.
    mornings = [{"x": rng.normal(0, 1, 100)} for _ in range(20)]
    nights = [{"x": rng.normal(2, 1, 100)} for _ in range(20)]
    profile = Profile.fit(pl.concat([pl.DataFrame(part) for part in mornings + nights]))
    thresholds = ChunkThresholds.fit(profile, mornings)
    assert thresholds.pvalue({"x": rng.normal(0, 1, 100)}) > 1 / 21
    assert thresholds.pvalue({"x": rng.normal(-1, 1, 100)}) == 1 / 21


@pytest.mark.parametrize(
    ("chunks", "alpha", "size"),
    [(19, 0.05, 0.05), (19, 0.04, 0.0), (30, 0.05, 1 / 31), (99, 0.29, 0.29), (20, 1, 1)],
)
def test_attainable_sizes(chunks, alpha, size):
    assert fit([{"x": [k, k + 1]} for k in range(chunks)]).size(alpha) == size


def test_thresholds_travel(rng):
    thresholds = fit([{"x": rng.normal(size=50)} for _ in range(20)])
    window = {"x": rng.normal(1, 1, 50)}
    assert pickle.loads(pickle.dumps(thresholds)).compare(window) == thresholds.compare(window)


TWENTY = [{"x": [float(k), k + 0.5], "s": ["a", "b"]} for k in range(20)]
REFUSED = {
    "too few": (
        lambda: fit(TWENTY[:18]),
        InputError,
        "`chunks` must be at least 19: the least p-value of K chunks is 1 / (K + 1), which is above 0.05 with fewer; got 18",
    ),
    "unknown statistic": (
        lambda: fit(TWENTY, statistic="ad"),
        UnknownNameError,
        "`statistic` must be one of 'distance', 'psi', 'chi_square' or a function; got 'ad'",
    ),
    "empty chunk": (
        lambda: fit([*TWENTY, {"x": pl.Series([], dtype=pl.Float64), "s": pl.Series([], dtype=pl.String)}]),
        InputError,
        "chunk 20 must have rows; got none",
    ),
    "overlapping chunks": (
        lambda: ChunkThresholds.fit(Profile.fit({"x": [1.0] * 19}), [{"x": [1.0]}] * 20),
        InputError,
        "must be disjoint parts of the profile's reference; together they have rows in column 'x' that it has not",
    ),
    "another profile": (
        lambda: ChunkThresholds.fit(fit(TWENTY).profile, [Profile.fit({"x": [1.0]}).window()] * 20),
        InputError,
        "chunk 0 must be a window of the profile",
    ),
    "empty window": (
        lambda: fit(TWENTY).pvalue(fit(TWENTY).profile.window()),
        InputError,
        "the window must have rows; got none",
    ),
    "other type": (
        lambda: fit(TWENTY).pvalue({"x": ["a"], "s": ["b"]}),
        InputError,
        "the window must have column 'x' as the profile has it, of type float64, in all rows",
    ),
    "nothing to compare": (
        lambda: fit([pl.DataFrame({"n": [[1]]})] * 20).pvalue(pl.DataFrame({"n": [[1]]})),
        InputError,
        "must have a column of numbers, times or strings",
    ),
    "no number": (
        lambda: fit(TWENTY, statistic=lambda rest, chunk: float("nan")).pvalue(TWENTY[0]),
        InputError,
        "`statistic` must be at least 0 for all chunks; got nan for one of column 'x'",
    ),
    "chi-square without values": (
        lambda: fit(TWENTY, statistic="chi_square").pvalue(
            pl.DataFrame({"x": [None], "s": ["a"]}, schema={"x": pl.Float64, "s": pl.String})
        ),
        InputError,
        "column 'x' must have values in every chunk for chi-square; got a chunk without",
    ),
    "alpha": (lambda: fit(TWENTY).size(1.5), InputError, "`alpha` must lie between 0 and 1; got 1.5"),
}


@pytest.mark.parametrize(("call", "error", "text"), REFUSED.values(), ids=REFUSED.keys())
def test_refusals(call, error, text):
    with pytest.raises(error) as caught:
        call()
    assert text in str(caught.value)
