"""Arguments that are no data: each wrong one ends in one sentence of `tidewheel.errors`, and in no other exception."""

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from tidewheel import drift
from tidewheel.errors import InputError, InputTypeError, TidewheelError, UnknownNameError

DEADLINE_S = 60
X = np.arange(40.0)
TABLE = {"a": X, "b": X[::-1].copy(), "ab": X}
PROFILE = drift.Profile.fit(TABLE)
CHUNKS = [{name: values[2 * i : 2 * i + 2] for name, values in TABLE.items()} for i in range(20)]

WITH_THREADS = {
    "ks": lambda threads: drift.ks(X, X, threads=threads),
    "ks against a fitted reference": lambda threads: drift.ks(drift.fit_ks(X), X, threads=threads),
    "psi": lambda threads: drift.psi(X, X, threads=threads),
    "psi of strings": lambda threads: drift.psi(["a", "b"], ["a", "b"], threads=threads),
    "wasserstein": lambda threads: drift.wasserstein(X, X, threads=threads),
    "hellinger": lambda threads: drift.hellinger(X, X, threads=threads),
    "histogram": lambda threads: drift.histogram(X, threads=threads),
    "fit_bins": lambda threads: drift.fit_bins(X, threads=threads),
    "compare": lambda threads: drift.compare(TABLE, TABLE, threads=threads),
    "fit": lambda threads: drift.Profile.fit(TABLE, threads=threads),
    "fit strings": lambda threads: drift.Profile.fit({"s": ["a"]}, threads=threads),
    "update": lambda threads: PROFILE.window().update(TABLE, threads=threads),
    "compare with a profile": lambda threads: PROFILE.compare(TABLE, threads=threads),
    "scan": lambda threads: drift.scan(pl.LazyFrame(TABLE), profile=PROFILE, threads=threads),
}
WRONG_THREADS = {
    "negative": (-1, InputError, "`threads` must be at least 1, or None; got -1"),
    "zero": (0, InputError, "`threads` must be at least 1, or None; got 0"),
    "a bool": (True, InputTypeError, "`threads` must be a whole number of at least 1, or None; got True"),
    "a fraction": (1.5, InputTypeError, "got 1.5"),
    "a string": ("2", InputTypeError, "got '2'"),
    "a list": ([1], InputTypeError, "got [1]"),
    "far below": (-(2**80), InputError, "got -1208925819614629174706176"),
}


@pytest.mark.parametrize("call", WITH_THREADS.values(), ids=WITH_THREADS.keys())
@pytest.mark.parametrize(("threads", "error", "text"), WRONG_THREADS.values(), ids=WRONG_THREADS.keys())
def test_wrong_threads(call, threads, error, text):
    with pytest.raises(error) as caught:
        call(threads)
    assert type(caught.value) is error
    assert text in str(caught.value)


@pytest.mark.parametrize("threads", [1, np.int64(2), 300, 2**70, None])
def test_threads_that_will_do(threads):
    assert drift.ks(X, X + 1, threads=threads).statistic == 0.025


def ask(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", f"from tidewheel import drift\nprint({code})"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )


@pytest.mark.parametrize("threads", ["lots", "0", "-3", "", "1.5"])
@pytest.mark.parametrize(
    "code", ["drift.ks([1.0], [2.0])", "drift.fit_ks([1.0])", "drift.Profile.fit({'a': [1.0]})"]
)
def test_environment_that_says_no_number(threads, code):
    done = ask(code, TIDEWHEEL_THREADS=threads)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "tidewheel.errors.InputError: the environment variable TIDEWHEEL_THREADS must be a whole number of at least 1, "
        f'or not set; got "{threads}"'
    )


def test_environment_matters_only_where_nothing_else_is_said():
    assert ask("drift.ks([1.0], [2.0], threads=1).statistic", TIDEWHEEL_THREADS="lots").stdout == "1.0\n"
    assert ask("drift.ks([1.0], [2.0]).statistic", TIDEWHEEL_THREADS=" 2 ").stdout == "1.0\n"


WITH_BINS = {
    "histogram": lambda bins: drift.histogram(X, bins),
    "fit_bins": lambda bins: drift.fit_bins(X, bins=bins),
    "psi": lambda bins: drift.psi(X, X, bins=bins),
    "chi_square": lambda bins: drift.chi_square(X, X, bins=bins),
}
WRONG_BINS = {
    "NumPy's rule": (
        "auto",
        InputTypeError,
        "`bins` must be a whole number of bins, or their edges; got 'auto'",
    ),
    "none": (0, InputError, "`bins` must be at least 1; got 0"),
    "fewer": (-1, InputError, "`bins` must be at least 1; got -1"),
    "too many": (10**13, InputError, "`bins` must be at most 16,777,216; got 10000000000000"),
    "more than a word": (2**80, InputError, "`bins` must be at most 16,777,216; got"),
    "a fraction": (1.5, InputTypeError, "whole number of bins, or their edges; got 1.5"),
    "a float": (np.float64(3.0), InputTypeError, "whole number of bins"),
    "NaN": (float("nan"), InputTypeError, "got nan"),
    "a bool": (True, InputTypeError, "got True"),
    "nothing": (None, InputTypeError, "got None"),
    "no edges": ([], InputError, "`bins` must hold at least 2 edges; got 0"),
    "one edge": ([1], InputError, "`bins` must hold at least 2 edges; got 1"),
    "unsorted": ([3, 1, 2], InputError, "edges that increase strictly; got 1.0 after 3.0 at index 1"),
    "tied": ([0, 1, 1, 2], InputError, "edges that increase strictly; got 1.0 after 1.0 at index 2"),
    "a NaN edge": ([1, np.nan, 3], InputError, "edges that increase strictly; got nan after 1.0 at index 1"),
    "a NaN edge at the end": ([1, 3, np.nan], InputError, "got nan after 3.0 at index 2"),
    "a missing edge": (pl.Series([0.0, None, 20.0]), InputError, "got nan after 0.0 at index 1"),
    "a missing edge in Arrow": (pa.array([0, None, 20]), InputError, "got nan after 0.0 at index 1"),
    "a masked edge": (np.ma.array([0.0, 1, 2], mask=[0, 1, 0]), InputError, "got a masked one at index 1"),
    "words": ([0, "a"], InputTypeError, "`bins` must hold numbers as edges"),
    "complex": ([0, 1j], InputTypeError, "`bins` must hold numbers as edges; got complex128"),
    "times beside numbers": (
        np.array([0, 9], "M8[s]"),
        InputTypeError,
        "`bins` must hold numbers as `reference` does; got datetime[s]",
    ),
    "two dimensions": (np.ones((2, 2)), InputError, "`bins` must be one-dimensional; got 2 dimensions"),
    "ragged": ([[1], [1, 2]], InputTypeError, "'bins' must be one-dimensional"),
    "a mapping": ({}, InputError, "`bins` must be one-dimensional; got 0 dimensions"),
}


@pytest.mark.parametrize("call", WITH_BINS.values(), ids=WITH_BINS.keys())
@pytest.mark.parametrize(("bins", "error", "text"), WRONG_BINS.values(), ids=WRONG_BINS.keys())
def test_wrong_bins(call, bins, error, text):
    with pytest.raises(error) as caught:
        call(bins)
    assert type(caught.value) is error
    assert text in str(caught.value)


TABLES = {
    "pandas": pd.DataFrame({"x": X}),
    "polars": pl.DataFrame({"x": X}),
    "pyarrow": pa.table({"x": X}),
    "record batch": pa.record_batch({"x": X}),
    "lazy frame": pl.LazyFrame({"x": X}),
    "two columns": pd.DataFrame({"x": X, "y": X}),
    "no column": pl.DataFrame(),
}
OF_ARRAYS = {
    "ks": lambda values: drift.ks(values, X),
    "ks, current": lambda values: drift.ks(X, values),
    "ks, fitted": lambda values: drift.ks(drift.fit_ks(X), values),
    "fit_ks": drift.fit_ks,
    "psi": lambda values: drift.psi(values, X),
    "fit_bins": lambda values: drift.fit_bins(values),
    "histogram": lambda values: drift.histogram(values),
    "wasserstein": lambda values: drift.wasserstein(values, X),
    "energy_distance": lambda values: drift.energy_distance(X, values),
    "cramer_von_mises": lambda values: drift.cramer_von_mises(values, X),
    "anderson_darling": lambda values: drift.anderson_darling(values, X),
    "kl_divergence": lambda values: drift.kl_divergence(values, X),
    "chi_square": lambda values: drift.chi_square(X, values),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("call", OF_ARRAYS.values(), ids=OF_ARRAYS.keys())
@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES.keys())
def test_a_table_is_no_array(call, table):
    with pytest.raises(
        InputTypeError, match=r"must be one-dimensional; got a table \(.*\): pass one of its columns"
    ):
        call(table)


@pytest.mark.parametrize("call", OF_ARRAYS.values(), ids=OF_ARRAYS.keys())
def test_items_that_differ_in_length(call):
    with pytest.raises(
        InputTypeError, match=r"must hold numbers, times or strings; .* got objects of type list"
    ):
        call([[1], [2, 3]])


CALLS = {
    "a string is no list": (lambda: drift.compare(TABLE, TABLE, columns="ab"), InputTypeError, "got 'ab'"),
    "nor for a profile": (lambda: drift.Profile.fit(TABLE, columns="ab"), InputTypeError, "got 'ab'"),
    "nor to select": (lambda: PROFILE.select("ab"), InputTypeError, "`columns` must be a list of names; got 'ab'"),
    "nor for slices": (lambda: drift.sliced(TABLE, TABLE, columns="ab"), InputTypeError, "got 'ab'"),
    "nor to rearm": (lambda: drift.Monitor(PROFILE).rearm("ab"), InputTypeError, "got 'ab'"),
    "nor are bytes": (lambda: drift.compare(TABLE, TABLE, columns=b"ab"), InputTypeError, "got b'ab'"),
    "no columns": (
        lambda: drift.compare(TABLE, TABLE, columns=[]),
        InputError,
        "`columns` must name at least one column; got none",
    ),
    "no columns of a profile": (lambda: drift.Profile.fit(TABLE, columns=[]), InputError, "at least one column"),
    "no columns to rearm": (lambda: drift.Monitor(PROFILE).rearm([]), InputError, "at least one column"),
    "one number": (lambda: drift.compare(TABLE, TABLE, columns=0), InputTypeError, "a list of names; got 0"),
    "a list in a list": (lambda: drift.compare(TABLE, TABLE, columns=[["a"]]), InputTypeError, "got ['a']"),
    "None in a list": (lambda: drift.Profile.fit(TABLE, columns=[None]), InputTypeError, "got None"),
    "unknown": (
        lambda: drift.compare(TABLE, TABLE, columns=["a", "zz"]),
        InputError,
        "column 'zz' must be in `reference`, which has 'a', 'b', 'ab' or `current`, which has 'a', 'b', 'ab'",
    ),
    "unknown number": (lambda: drift.Profile.fit(TABLE, columns=[7]), InputError, "column '7' must be in"),
    "unit": (lambda: drift.compare(TABLE, TABLE, unit=["a"]), InputTypeError, "`unit` must name columns"),
    "alpha in words": (
        lambda: drift.compare(TABLE, TABLE, alpha="0.05"),
        InputTypeError,
        "`alpha` must be a number; got '0.05'",
    ),
    "alpha in a list": (lambda: PROFILE.compare(TABLE, alpha=[0.05]), InputTypeError, "got [0.05]"),
    "alpha a bool": (lambda: PROFILE.compare(TABLE, alpha=True), InputTypeError, "got True"),
    "alpha NaN": (lambda: drift.compare(TABLE, TABLE, alpha=np.nan), InputError, "between 0 and 1; got nan"),
    "alpha of a monitor": (lambda: drift.Monitor(PROFILE, alpha="x"), InputTypeError, "got 'x'"),
    "correction": (lambda: drift.compare(TABLE, TABLE, correction=[]), UnknownNameError, "'bonferroni', 'none'; got []"),
    "statistics in a string": (lambda: drift.compare(TABLE, TABLE, statistics="psi"), InputTypeError, "got 'psi'"),
    "statistics of a profile": (lambda: drift.Profile.fit(TABLE, statistics="psi"), InputTypeError, "got 'psi'"),
    "no such statistic": (lambda: drift.compare(TABLE, TABLE, statistics=[["ks"]]), UnknownNameError, "got ['ks']"),
    "compat": (lambda: drift.compare(TABLE, TABLE, compat=[]), UnknownNameError, "got []"),
    "methods of compat": (
        lambda: drift.compare(TABLE, TABLE, compat="evidently", compat_methods="ks"),
        InputTypeError,
        "`compat_methods` must map kinds of columns to methods; got 'ks'",
    ),
    "method": (lambda: drift.ks(X, X, method=3), UnknownNameError, "`method` must be one of 'auto', 'exact'"),
    "alternative": (lambda: drift.ks(X, X, alternative=None), UnknownNameError, "got None"),
    "strategy": (lambda: drift.psi(X, X, strategy=None), UnknownNameError, "got None"),
    "smoothing": (lambda: drift.psi(X, X, smoothing=None), InputTypeError, "`smoothing` must be a number; got None"),
    "smoothing of none": (lambda: drift.kl_divergence(X, X, smoothing=0), InputError, "between 0 and 1; got 0"),
    "base": (lambda: drift.kl_divergence(X, X, base="e"), InputTypeError, "`base` must be a number; got 'e'"),
    "counts": (lambda: drift.kl_divergence(X, X, counts="yes"), InputTypeError, "True or False; got 'yes'"),
    "masked counts": (
        lambda: drift.kl_divergence(np.ma.array([1, 2], mask=[0, 1]), [1, 2], counts=True),
        InputError,
        "`reference` must hold a number everywhere; got a masked one at index 1",
    ),
    "counts whose products overflow": (
        lambda: drift.chi_square([1e200, 1e200], [1, 2], counts=True),
        InputError,
        "`reference` must hold counts that are 0 or lie between 1e-60 and 1e+60; got 1e+200 at index 0",
    ),
    "counts whose products vanish": (
        lambda: drift.hellinger([1, 2], [1, 1e-200], counts=True),
        InputError,
        "`current` must hold counts that are 0 or lie between 1e-60 and 1e+60; got 1e-200 at index 1",
    ),
    "ragged counts": (lambda: drift.kl_divergence([[1], [1, 2]], [1, 2], counts=True), InputTypeError, "in length"),
    "range of one": (lambda: drift.histogram(X, range=(0,)), InputTypeError, "`range` must be a pair of numbers"),
    "range in words": (lambda: drift.histogram(X, range=("a", "b")), InputTypeError, "a number; got 'a'"),
    "rows": (lambda: drift.sliced(TABLE, TABLE, rows="1"), InputTypeError, "`rows` must be a whole number; got '1'"),
    "no profile": (lambda: drift.Monitor("ab"), InputTypeError, "`profile` must be a Profile; got str"),
    "no profile to scan for": (lambda: drift.scan(TABLE, profile=None), InputTypeError, "got NoneType"),
    "no chunks": (lambda: drift.ChunkThresholds.fit(PROFILE, 3), InputTypeError, "`chunks` must be a list"),
    "chunk statistic": (lambda: drift.ChunkThresholds.fit(PROFILE, CHUNKS, statistic=3), UnknownNameError, "got 3"),
    "no window": (lambda: PROFILE.window().merge(3), InputTypeError, "`other` must be a Window; got int"),
    "no monitor": (lambda: drift.Monitor(PROFILE).merge(None), InputTypeError, "must be a Monitor"),
    "no parts": (lambda: drift.Profile.join("ab"), InputTypeError, "`parts` must be a list"),
    "parts of another kind": (lambda: drift.Profile.join([3]), InputTypeError, "must be a Profile; got int"),
    "splitters": (lambda: drift.Profile.fit(TABLE, splitters=3), InputTypeError, "must be a Profile; got int"),
    "no bytes": (lambda: drift.Window.from_bytes(PROFILE, 3), InputTypeError, "`data` must be bytes; got int"),
    "no file": (lambda: drift.Profile.load("no/such.profile"), InputError, "got 'no/such.profile': "),
    "a number for a file": (lambda: drift.Profile.load(99), InputTypeError, "path of a file; got 99"),
    "fail_on": (lambda: PROFILE.compare(TABLE).to_junit(fail_on=[]), UnknownNameError, "got []"),
}  # fmt: skip


@pytest.mark.parametrize(("call", "error", "text"), CALLS.values(), ids=CALLS.keys())
def test_refusals(call, error, text):
    with pytest.raises(TidewheelError) as caught:
        call()
    assert type(caught.value) is error
    assert text in str(caught.value)


NAMED = {
    "twice": (["a", "a"], ["a"]),
    "out of order": (["ab", "a"], ["ab", "a"]),
    "a tuple": (("b",), ["b"]),
    "an array": (np.array(["b"]), ["b"]),
    "a series": (pl.Series(["b"]), ["b"]),
}


@pytest.mark.parametrize(("columns", "expected"), NAMED.values(), ids=NAMED.keys())
def test_columns_that_are_named(columns, expected):
    found = [column.name for column in drift.compare(TABLE, TABLE, columns=columns).columns]
    assert found == list(drift.Profile.fit(TABLE, columns=columns).columns) == expected
    assert all(type(name) is str for name in found)


def test_names_that_are_no_strings():
    frame = pd.DataFrame({0: X, ("a", 1): X, 2.5: X})
    for name in frame.columns:
        assert [column.name for column in drift.compare(frame, frame, columns=[name]).columns] == [str(name)]
        assert drift.Profile.fit(frame, columns=[name]).columns == (str(name),)
    assert (
        drift.compare(np.stack([X, X], axis=1), np.stack([X, X], axis=1), columns=[1]).columns[0].name == "1"
    )
    days = pd.DataFrame({0: X, 7: np.arange(40) % 8})
    assert drift.compare(days, days, unit=7).unit == "7"


def test_a_file_that_is_no_profile_is_not_read_to_its_end():
    with pytest.raises(InputError, match=r"must be a Tidewheel profile; got 54 bytes that are none"):
        drift.Profile.load("/dev/zero")
