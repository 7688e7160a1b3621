"""`drift.fit_ks`: a reference sorted once gives what the raw reference gives."""

import threading

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tidewheel import drift
from tidewheel.errors import InputError, InputTypeError, UnknownNameError

ALTERNATIVES = ("two-sided", "less", "greater")
METHODS = ("auto", "exact", "asymp")
DTYPES = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?")


def assert_same(reference, current, **options):
    assert drift.ks(drift.fit_ks(reference), current, **options) == drift.ks(reference, current, **options)


def numbers(dtype):
    few_or_many = st.sampled_from([0, 1, 2, 9, 60])
    elements = {"f": {"allow_nan": True, "allow_infinity": True}}.get(np.dtype(dtype).kind, {})
    return few_or_many.flatmap(lambda size: hnp.arrays(dtype, max(size, 1), elements=elements or None))


def has_number(values):
    return values.dtype.kind != "f" or not np.isnan(values).all()


@settings(max_examples=400, deadline=None)
@given(
    data=st.data(),
    dtypes=st.tuples(st.sampled_from(DTYPES), st.sampled_from(DTYPES)),
    alternative=st.sampled_from(ALTERNATIVES),
    method=st.sampled_from(METHODS),
    # Beyond 4,096 current rows the cells are counted, up to there values are looked up.
    copies=st.sampled_from([1, 1, 5_000]),
)
def test_the_numbers_are_those_of_the_raw_reference(data, dtypes, alternative, method, copies):
    reference, current = (data.draw(numbers(dtype)) for dtype in dtypes)
    if has_number(reference) and has_number(current):
        if copies > 1 and method == "exact":
            method = "asymp"
        assert_same(reference, np.tile(current, copies), alternative=alternative, method=method)


SHAPES = {
    "normal": lambda z: z,
    "log-normal": lambda z: np.exp(3 * z),
    "rounded": lambda z: np.round(z, 1),
    "one heavy value": lambda z: np.where(z < 0.5, 0.25, z),
    "few values": lambda z: np.sign(z),
    "infinite": lambda z: np.where(z > 2, np.inf, np.where(z < -2, -np.inf, z)),
    "missing": lambda z: np.where(z % 1 > 0.8, np.nan, z),
    "integers beyond 2^53": lambda z: (np.clip(z, -50, 50) * 1e17).astype(np.int64) + 1,
    "single precision": lambda z: z.astype(np.float32),
}


@pytest.mark.parametrize("shift", [0.0, 0.01, 0.5, 100.0])
@pytest.mark.parametrize("rows", [4_096, 4_097, 60_000])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_large_samples(rng, shape, rows, shift):
    reference, current = shape(rng.normal(size=50_000)), shape(rng.normal(shift, 1.01, rows))
    for alternative in ALTERNATIVES:
        assert_same(reference, current, alternative=alternative)


def test_self_comparison_is_zero(rng):
    values = rng.normal(size=20_000)
    assert drift.ks(drift.fit_ks(values), values).statistic == 0.0


def test_many_currents_threads_and_orders(rng):
    reference = drift.fit_ks(rng.normal(size=300_000))
    current = rng.normal(0.02, 1, 600_000)
    one = drift.ks(reference, current, threads=1)
    found = [None] * 4

    def work(index):
        found[index] = drift.ks(
            reference, rng.permutation(current) if index == 0 else current, threads=index + 1
        )

    workers = [threading.Thread(target=work, args=(index,)) for index in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert found == [one] * 4


def test_times_tables_and_what_lies_beside():
    days = np.array(["2026-01-01", "NaT", "2026-01-03", "2026-01-04"], dtype="datetime64[D]")
    assert_same(days, days[:2])
    assert_same(pl.Series([1.5, None, float("nan"), 2.5]), pl.Series([2.0, None]))
    fitted = drift.fit_ks([1.0, np.nan, np.inf, 2.0])
    assert (fitted.n, fitted.missing, fitted.nan, fitted.infinite) == (3, 0, 1, 1)
    assert (fitted.dtype, fitted.kind) == ("float64", "number")
    assert repr(fitted).startswith("ReferenceRanks(dtype='float64'")


DAYS = np.array(["2026-01-01", "2026-01-02"], dtype="datetime64[D]")
ERRORS = {
    "no number to fit": (lambda: drift.fit_ks([np.nan]), InputError, "at least one number; got none"),
    "strings to fit": (lambda: drift.fit_ks(["a"]), InputTypeError, "must hold numbers; got string"),
    "no current number": (lambda: drift.ks(drift.fit_ks([1.0]), [np.nan]), InputError, "1 and 0"),
    "current strings": (lambda: drift.ks(drift.fit_ks([1.0]), ["a"]), InputTypeError, "must hold numbers"),
    "times of a finer unit": (
        lambda: drift.ks(drift.fit_ks(DAYS), DAYS.astype("datetime64[s]")),
        InputTypeError,
        r"must not have a finer unit than the sorted reference; got datetime\[s\] for date\[D\]",
    ),
    "unknown alternative": (
        lambda: drift.ks(drift.fit_ks([1.0]), [1.0], alternative="both"),
        UnknownNameError,
        "`alternative` must be one of 'two-sided', 'less', 'greater'; got 'both'",
    ),
    "unknown method": (
        lambda: drift.ks(drift.fit_ks([1.0]), [1.0], method="guess"),
        UnknownNameError,
        "`method` must be one of",
    ),
}


@pytest.mark.parametrize(("call", "kind", "text"), ERRORS.values(), ids=ERRORS.keys())
def test_errors(call, kind, text):
    with pytest.raises(kind, match=text):
        call()


def test_another_thread_may_write_while_a_reference_is_fitted(rng):
    # Former code panics once in some fifty of these.
    values, current = rng.normal(size=200_000), rng.normal(size=5_000)
    clean, nothing, stop = values.copy(), np.full(200_000, np.nan), threading.Event()

    def scribble():
        while not stop.is_set():
            values[:] = nothing
            values[:] = clean

    writer = threading.Thread(target=scribble)
    writer.start()
    try:
        for _ in range(200):
            try:
                fitted = drift.fit_ks(values)
            except InputError as error:
                assert "at least one number; got none" in str(error)  # noqa: PT017 - either is right
                continue
            assert fitted.n + fitted.nan == len(values)
            assert 0 <= drift.ks(fitted, current).statistic <= 1
    finally:
        stop.set()
        writer.join()
    assert drift.ks(drift.fit_ks(values), current) == drift.ks(clean, current)
