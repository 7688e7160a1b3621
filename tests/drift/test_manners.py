"""How results and reports behave in the hands of a user: unpacked, indexed, compared, printed, looped over."""

import math
import pickle
from dataclasses import replace

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import stats

from tidewheel import drift
from tidewheel.errors import InputError, InputTypeError, UnknownNameError

A = np.random.default_rng(1).normal(size=400)
B = np.random.default_rng(2).normal(0.3, 1, 300)
WORDS = np.array(["a", "b", "c", "d", "e"])[np.random.default_rng(3).integers(0, 5, 300)]

#: Tests, by what SciPy gives for the same two numbers.
TESTS = {
    "ks": (lambda: drift.ks(A, B), lambda: stats.ks_2samp(A, B)),
    "cramer_von_mises": (
        lambda: drift.cramer_von_mises(A, B, method="asymptotic"),
        lambda: (
            (found := stats.cramervonmises_2samp(A, B, method="asymptotic")).statistic,
            found.pvalue,
        ),
    ),
    "chi_square": (
        lambda: drift.chi_square([30, 70], [45, 55], counts=True),
        lambda: stats.chi2_contingency([[30, 70], [45, 55]], correction=False)[:2],
    ),
    "g_test": (
        lambda: drift.g_test([30, 70], [45, 55], counts=True),
        lambda: stats.chi2_contingency([[30, 70], [45, 55]], correction=False, lambda_="log-likelihood")[:2],
    ),
}

#: Distances, by what SciPy or a hand gives for them as a plain number.
DISTANCES = {
    "wasserstein": (lambda: drift.wasserstein(A, B), lambda: stats.wasserstein_distance(A, B)),
    "energy_distance": (lambda: drift.energy_distance(A, B), lambda: stats.energy_distance(A, B)),
    "kl_divergence": (
        lambda: drift.kl_divergence([2, 2], [1, 3], counts=True, smoothing="none"),
        lambda: math.log(4 / 3) / 2,
    ),
    "jensen_shannon": (lambda: drift.jensen_shannon([5, 0], [0, 9], counts=True, base=2), lambda: 1.0),
    "hellinger": (lambda: drift.hellinger([9, 1], [1, 9], counts=True), lambda: math.sqrt(0.4)),
    "total_variation": (lambda: drift.total_variation([2, 2], [1, 3], counts=True), lambda: 0.25),
    "l_infinity": (lambda: drift.l_infinity([5, 3, 2], [5, 1, 4], counts=True), lambda: 0.2),
}

#: Every result, made anew by each call; and one that differs in a number, or in an edge alone.
RESULTS = {
    "ks": (lambda: drift.ks(A, B), lambda: drift.ks(A, B[1:])),
    "psi": (lambda: drift.psi(A, B), lambda: drift.psi(A, B, bins=9)),
    "psi, edges": (
        lambda: drift.psi([1.0, 2.0], [1.0, 2.0], bins=[0, 1.5, 3]),
        lambda: drift.psi([1.0, 2.0], [1.0, 2.0], bins=[0, 1.6, 3]),
    ),
    "psi of strings": (lambda: drift.psi(WORDS, WORDS[9:]), lambda: drift.psi(WORDS, WORDS[10:])),
    "chi_square": (lambda: drift.chi_square(A, B), lambda: drift.chi_square(A, B, bins=9)),
    "kl_divergence": (lambda: drift.kl_divergence(A, B), lambda: drift.kl_divergence(A, B, bins=9)),
    "wasserstein": (lambda: drift.wasserstein(A, B), lambda: drift.wasserstein(A, B[1:])),
    "anderson_darling": (lambda: drift.anderson_darling(A, B), lambda: drift.anderson_darling(A, B[1:])),
    "fit_bins": (lambda: drift.fit_bins(A), lambda: drift.fit_bins(A, bins=9)),
    "missing": (lambda: drift.ks([*A, None], B), lambda: drift.ks([*A, None, None], B)),
}  # fmt: skip


@pytest.mark.parametrize(("ours", "theirs"), TESTS.values(), ids=TESTS.keys())
def test_tests_unpack_as_scipys_do(ours, theirs):
    statistic, pvalue = ours()
    assert (statistic, pvalue) == pytest.approx(tuple(theirs()), rel=1e-6)
    result = ours()
    assert (result.statistic, result.pvalue) == (statistic, pvalue)
    assert (result[0], result[1], result[-1], result[:]) == (statistic, pvalue, pvalue, (statistic, pvalue))
    assert len(result) == 2
    assert isinstance(result, drift.SignificanceResult)
    with pytest.raises(IndexError):
        result[2]


def test_psi_and_sliced_unpack_too():
    statistic, pvalue = drift.psi(A, B)
    assert (statistic, pvalue) == (drift.psi(A, B).statistic, drift.psi(A, B).pvalue)
    tables = {"x": A, "y": A[::-1]}, {"x": B, "y": B[::-1]}
    found = drift.sliced(*tables, permutations=19, projections=8)
    statistic, pvalue = found
    assert (statistic, pvalue) == (found.statistic, found.pvalue)
    assert found == drift.sliced(*tables, permutations=19, projections=8)
    assert found != drift.sliced(*tables, permutations=29, projections=8)
    assert repr(found).startswith(f"SlicedResult(statistic={statistic!r}, pvalue={pvalue!r}, verdict=")
    assert len(repr(found)) < 120


@pytest.mark.parametrize(("ours", "number"), DISTANCES.values(), ids=DISTANCES.keys())
def test_distances_are_numbers(ours, number):
    assert float(ours()) == pytest.approx(number(), rel=1e-12)
    assert type(float(ours())) is float
    assert np.array([ours(), ours()], dtype=float).tolist() == [ours().statistic] * 2
    with pytest.raises(TypeError, match="unpack"):
        _, _ = ours()


def test_histogram_stays_a_tuple():
    counts, edges = drift.histogram(A, bins=5)
    expected = np.histogram(A, bins=5)
    assert counts.tolist() == expected[0].tolist()
    assert edges.tolist() == expected[1].tolist()


@pytest.mark.parametrize(("make", "other"), RESULTS.values(), ids=RESULTS.keys())
def test_results_are_equal_by_what_they_hold(make, other):
    one, same = make(), make()
    assert one == same
    assert hash(one) == hash(same)
    assert {one, same} == {one}
    assert one == pickle.loads(pickle.dumps(one))
    assert one != other()
    assert one != "something else"
    assert len({one, other()}) == 2


@pytest.mark.parametrize(("make", "_"), RESULTS.values(), ids=RESULTS.keys())
def test_results_print_in_a_line(make, _):
    text = repr(make())
    assert "\n" not in text
    assert "array(" not in text
    assert len(text) < 260
    assert text.startswith(type(make()).__name__ + "(")


def test_a_repr_says_what_there_is():
    assert repr(drift.ks([1.0, 2.0], [3.0, 4.0])) == (
        "KsResult(statistic=1.0, pvalue=0.3333333333333333, location=2.0, sign=1, method='exact', n=2, m=2)"
    )
    assert "beside=Beside(missing=(1, 0))" in repr(drift.ks([1.0, None], [3.0, 4.0]))
    assert "edges=<11 values>, reference_counts=<10 values>" in repr(drift.psi(A, B))
    assert "reference_counts=(30, 70)" in repr(drift.psi([30, 70], [45, 55], counts=True))


# psi(counts=True)


def test_psi_of_counts_is_that_of_given_bins():
    edges = [-9.0, -1.0, -0.3, 0.2, 1.0, 9.0]
    counts = [np.histogram(side, edges)[0] for side in (A, B)]
    given, counted = drift.psi(A, B, bins=edges), drift.psi(*counts, counts=True)
    # Bins laid on values without ties have the same index and, the bins being fixed, the law of the pooled counts.
    assert counted.statistic == given.statistic
    assert (counted.reference_counts, counted.current_counts) == (
        given.reference_counts,
        given.current_counts,
    )
    assert (counted.pvalue, counted.critical_value) == (given.pvalue, given.critical_value)
    assert (counted.edges, counted.categories, counted.n, counted.m) == (None, None, 400, 300)


def test_psi_of_counts_by_hand():
    p, q = np.array([30.5, 70.5]) / 101, np.array([45.5, 55.5]) / 101
    found = drift.psi([30, 70], (45, 55), counts=True)
    assert found.statistic == pytest.approx(((p - q) * np.log(p / q)).sum(), rel=1e-14)
    # Fisher's exact test orders tables of two columns with equal sums as the index does.
    assert found.pvalue == pytest.approx(stats.fisher_exact([[30, 70], [45, 55]]).pvalue, abs=0.008)
    assert drift.psi([30, 70, 0], [45, 55, 0], counts=True) != found
    assert drift.psi([30, 70, 0], [45, 55, 0], counts=True).statistic == found.statistic


def test_psi_of_counts_keeps_its_level():
    rng = np.random.default_rng(7)
    shares = [0.5, 0.3, 0.15, 0.05]
    draws = [drift.psi(*rng.multinomial(200, shares, 2), counts=True).pvalue for _ in range(150)]
    assert 0.01 <= np.mean(np.array(draws) <= 0.05) <= 0.11


@pytest.mark.parametrize(
    ("sides", "options", "error", "words"),
    {
        "lengths": (([1], [1, 1]), {}, InputError, "must have as many bins; got 1 and 2"),
        "negative": (([-1, 2], [1, 1]), {}, InputError, "`reference` must hold counts, finite and at least 0; got -1 at"),
        "NaN": (([1.0], [np.nan]), {}, InputError, "`current` must hold counts, finite"),
        "halves": (([1, 2], [1, 2.5]), {}, InputError, "must hold whole counts, whose law is known; got 2.5 at index 1"),
        "empty": (([0, 0], [1, 1]), {}, InputError, "both sides must hold at least one value; got 0 and 2"),
        "words": ((["a"], [1]), {}, InputTypeError, "`reference` must hold counts; got <U1"),
        "masked": ((np.ma.array([1, 2], mask=[0, 1]), [1, 1]), {}, InputError, "masked one at index 1"),
        "too many": (([2**53], [1]), {}, InputError, "must count at most 2^53 rows in all; got 9,007,199,254,740,993"),
        "flag": (([1], [1]), {"counts": "yes"}, InputTypeError, "`counts` must be True or False; got 'yes'"),
        "smoothing": (([1], [1]), {"smoothing": "some"}, UnknownNameError, "`smoothing` must be one of"),
    }.values(),
)  # fmt: skip
def test_wrong_counts(sides, options, error, words):
    with pytest.raises(error) as caught:
        drift.psi(*sides, **{"counts": True} | options)
    assert words in str(caught.value)
    assert type(caught.value) is error


# Reports


def make_report(**options):
    reference = {"x": A, "word": WORDS.tolist() + ["a"] * 100, "label": [0, 1] * 200}
    return drift.compare(reference, {"x": B + 1, "word": WORDS.tolist()}, **options)


def test_a_report_shows_its_table():
    report = make_report()
    assert str(report) == report.summary()
    assert f"{report}" == report.summary()
    assert repr(report) == (
        "DriftReport(1 of 3 columns drifted, 1 differs in schema, 400 reference rows, 300 current rows)"
    )


def test_a_report_is_a_collection_of_its_columns():
    report = make_report()
    assert list(report) == list(report.columns)
    assert [column.name for column in report] == ["x", "word", "label"]
    assert len(report) == 3
    assert report["word"] is report.columns[1]
    assert "word" in report
    assert report["word"] in report
    assert replace(report["word"], kind="other") not in report
    assert "z" not in report
    assert None not in report
    with pytest.raises(UnknownNameError, match="column must be one of 'x', 'word', 'label'; got 'z'"):
        report["z"]
    with pytest.raises(InputTypeError, match="`column` must name columns by strings; got None"):
        report[None]


def test_columns_of_an_array_go_by_number():
    tables = np.column_stack([A[:300], B]), np.column_stack([A[100:], B])
    report = drift.compare(*tables)
    assert report[1] is report["1"]
    assert 1 in report
    assert 2 not in report


def test_reports_are_equal_by_what_they_hold():
    assert make_report() == make_report() == pickle.loads(pickle.dumps(make_report()))
    assert make_report() != make_report(alpha=0.01)
    assert make_report()["x"] == make_report()["x"] != make_report()["word"]


def test_every_record_prints_in_a_line():
    report = make_report()
    assert repr(report["x"]).startswith("ColumnDrift('x', numeric, drifted, Kolmogorov-Smirnov D 0.")
    assert repr(report["label"]) == "ColumnDrift('label', int64, schema)"
    assert all("\n" not in repr(column) and len(repr(column)) < 150 for column in report)
    assert all(len(repr(column.shape)) < 200 for column in report)


def test_a_notebook_cell_shows_the_page():
    text = make_report()._repr_html_()
    assert text.startswith('<div class="tw">')
    assert "1 of 3 columns drifted, 1 differs in schema" in text


def test_reports_from_profiles_behave_alike():
    profile = drift.Profile.fit({"x": A})
    report = profile.compare({"x": B + 1})
    assert ([column.name for column in report], len(report), "x" in report) == (["x"], 1, True)
    assert str(report) == report.summary()
    assert report == profile.compare({"x": B + 1})


def test_chunks_print_in_a_line():
    rng = np.random.default_rng(5)
    rows = {f"x{i}": rng.normal(size=2_000) for i in range(5)}
    chunks = [{name: values[at * 100 : at * 100 + 100] for name, values in rows.items()} for at in range(20)]
    thresholds = drift.ChunkThresholds.fit(drift.Profile.fit(rows), chunks)
    text = repr(thresholds.compare({name: values[:100] for name, values in rows.items()}))
    assert text.startswith("ChunkComparison(pvalue=")
    assert "columns=<5 values>" in text
    assert len(text) < 150


# Lazy frames


def test_lazy_frames_are_tables():
    one, other = (pl.DataFrame({"x": side[:300], "word": WORDS}) for side in (A, B))
    assert drift.compare(one.lazy(), other.lazy()) == drift.compare(one, other)
    profile = drift.Profile.fit(one.lazy())
    assert profile == drift.Profile.fit(one)
    window = profile.window()
    window.update(other.lazy())
    expected = profile.compare(other)
    assert profile.compare(window) == profile.compare(other.lazy()) == expected
    assert profile.compare(drift.scan(other.lazy(), profile=profile)) == expected
    found = drift.sliced(one.lazy(), other.lazy(), permutations=19, projections=8)
    assert found == drift.sliced(one, other, permutations=19, projections=8)


def test_a_lazy_frame_is_no_array():
    with pytest.raises(InputTypeError, match=r"must be one-dimensional; got a table \(LazyFrame\)"):
        drift.ks(pl.LazyFrame({"x": A}), B)


def test_lazy_frames_read_wanted_columns_alone():
    def fail(_):
        raise AssertionError("a column was read that nobody asked for")

    frame = pl.LazyFrame({"x": A}).with_columns(bad=pl.col("x").map_elements(fail, return_dtype=pl.Float64))
    assert drift.compare(frame, frame, columns=["x"]).drifted == ()
    assert drift.compare(frame, frame, exclude=["bad"]).drifted == ()
    assert drift.Profile.fit(frame, columns=["x"]).n_rows == 400


# What a new user does first


def test_a_label_that_the_current_table_lacks_yet():
    rng = np.random.default_rng(11)
    train = pd.DataFrame({"age": rng.normal(40, 9, 800), "city": rng.choice(["A", "B"], 800), "label": 1})
    live = pd.DataFrame({"age": rng.normal(52, 9, 800), "city": rng.choice(["A", "B"], 800)})
    report = drift.compare(train, live)
    assert (report.drifted, report.schema) == (("age",), ("label",))
    assert "leave it out by `exclude`" in str(report)
    assert drift.compare(train, live, exclude=["label"]).schema == ()
