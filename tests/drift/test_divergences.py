"""Divergences, distances and contingency tests over bins: `drift.divergences`."""

import math
from fractions import Fraction

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import spatial, stats

from tidewheel import drift
from tidewheel.errors import InputError, InputTypeError, UnknownNameError

ALL = {
    "kl_divergence": drift.kl_divergence,
    "jensen_shannon": drift.jensen_shannon,
    "hellinger": drift.hellinger,
    "total_variation": drift.total_variation,
    "l_infinity": drift.l_infinity,
    "chi_square": drift.chi_square,
    "g_test": drift.g_test,
}
SYMMETRIC = {name: function for name, function in ALL.items() if name != "kl_divergence"}

every = pytest.mark.parametrize("function", ALL.values(), ids=ALL.keys())


def of_counts(function, reference, current, **options):
    return function(reference, current, counts=True, **options).statistic


def log_ratio(a, b):
    """`ln(a / b)` of two fractions, to the last digits even where they hardly differ."""
    return math.log1p(float((a - b) / b)) if abs(a - b) < b / 2 else math.log(a / b)


def by_fractions(reference, current):
    """Every statistic as its definition has it: shares in fractions, sums exact up to logarithms and roots."""
    pairs = [(Fraction(r), Fraction(c)) for r, c in zip(reference, current, strict=True) if r or c]
    n, m = sum(r for r, _ in pairs), sum(c for _, c in pairs)
    shares = [(r / n, c / m) for r, c in pairs]

    def entropy(p, q):
        return float(p) * log_ratio(p, q) if p else 0.0

    middle = [(p, q, (p + q) / 2) for p, q in shares]
    jeffreys = [
        (
            (r + Fraction(1, 2)) / (n + Fraction(len(pairs), 2)),
            (c + Fraction(1, 2)) / (m + Fraction(len(pairs), 2)),
        )
        for r, c in pairs
    ]
    expected = [(r, n * (r + c) / (n + m)) for r, c in pairs] + [(c, m * (r + c) / (n + m)) for r, c in pairs]
    divergence = math.fsum((entropy(p, mid) + entropy(q, mid)) / 2 for p, q, mid in middle)
    return {
        "kl_divergence": math.fsum(entropy(p, q) for p, q in jeffreys),
        "jensen_shannon": math.sqrt(max(0.0, divergence)),
        "hellinger": math.sqrt(math.fsum((math.sqrt(p) - math.sqrt(q)) ** 2 for p, q in shares) / 2),
        "total_variation": float(sum(abs(p - q) for p, q in shares) / 2),
        "l_infinity": float(max(abs(p - q) for p, q in shares)),
        "chi_square": float(sum((o - e) ** 2 / e for o, e in expected)),
        "g_test": 2 * math.fsum(entropy(o, e) for o, e in expected),
    }


HAND_WORKED = {
    # Shares 1/2, 1/2 against 1/4, 3/4: (1/2) ln 2 + (1/2) ln (2/3) = (1/2) ln (4/3).
    "kl_divergence": (([2, 2], [1, 3]), {"smoothing": "none"}, math.log(4 / 3) / 2),
    # Disjoint: both are ln 2 away from the middle.
    "jensen_shannon": (([5, 0], [0, 9]), {}, math.sqrt(math.log(2))),
    # 1 - sum sqrt(p q) = 1 - 2 sqrt(0.09) = 0.4 is its square.
    "hellinger": (([9, 1], [1, 9]), {}, math.sqrt(0.4)),
    "total_variation": (([2, 2], [1, 3]), {}, 0.25),
    "l_infinity": (([5, 3, 2], [5, 1, 4]), {}, 0.2),
    # Expected 37.5 and 62.5 in both rows: 2 (7.5^2 / 37.5 + 7.5^2 / 62.5).
    "chi_square": (([30, 70], [45, 55]), {}, 4.8),
    # Disjoint and even: 2 * 20 ln 2.
    "g_test": (([10, 0], [0, 10]), {}, 40 * math.log(2)),
}


@pytest.mark.parametrize(("name", "case"), HAND_WORKED.items(), ids=HAND_WORKED.keys())
def test_hand_worked_examples(name, case):
    samples, options, expected = case
    assert of_counts(ALL[name], *samples, **options) == pytest.approx(expected, rel=1e-15)


count_pairs = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), min_size=1, max_size=12).filter(
    lambda pairs: sum(r for r, _ in pairs) and sum(c for _, c in pairs)
)


@pytest.mark.parametrize("name", ALL)
@given(pairs=count_pairs)
def test_statistics_are_their_definitions(name, pairs):
    reference, current = (list(side) for side in zip(*pairs, strict=True))
    expected = by_fractions(reference, current)[name]
    found = of_counts(ALL[name], reference, current)
    assert found == pytest.approx(expected, rel=1e-12, abs=2e-8 if name == "jensen_shannon" else 1e-14)
    assert found >= 0
    # Bins empty on both sides change nothing.
    assert found == of_counts(ALL[name], [0, *reference, 0], [0, *current, 0])


@given(pairs=count_pairs)
def test_numbers_are_scipys(pairs):
    reference, current = (np.array(side) for side in zip(*pairs, strict=True))
    used = (reference + current) > 0
    table = np.array([reference[used], current[used]])
    for function, lambda_ in ((drift.chi_square, "pearson"), (drift.g_test, "log-likelihood")):
        ours = function(reference, current, counts=True)
        theirs = stats.chi2_contingency(table, correction=False, lambda_=lambda_)
        assert ours.statistic == pytest.approx(theirs.statistic, rel=1e-12, abs=1e-11)
        assert ours.degrees_of_freedom == theirs.dof
        assert ours.pvalue == pytest.approx(theirs.pvalue, rel=1e-10)
    for base in (math.e, 2.0):
        theirs = spatial.distance.jensenshannon(reference, current, base)
        # SciPy's own rounding lies under a square root.
        assert of_counts(drift.jensen_shannon, reference, current, base=base) == pytest.approx(
            theirs, rel=1e-12, abs=3e-8
        )
        smooth = [(side[used] + 0.5) / (side.sum() + used.sum() / 2) for side in (reference, current)]
        assert of_counts(drift.kl_divergence, reference, current, base=base) == pytest.approx(
            stats.entropy(*smooth, base=base), rel=1e-12, abs=1e-14
        )


@pytest.mark.parametrize("name", ALL)
def test_small_differences_do_not_cancel(name):
    # One row in ten million moved: shares differ by 1e-7, most divergences by 1e-14 or less.
    reference, current = [5_000_000, 3_000_000, 2_000_000], [5_000_001, 2_999_999, 2_000_000]
    expected = by_fractions(reference, current)
    found = of_counts(ALL[name], reference, current)
    if name in {"kl_divergence", "g_test", "jensen_shannon"}:
        # Half of chi-square, to first order, over the counts.
        first_order = {
            "kl_divergence": float(
                Fraction(1, 2 * 10**7) * (Fraction(1, 5_000_000) + Fraction(1, 3_000_000))
            ),
            "g_test": expected["chi_square"],
            "jensen_shannon": math.sqrt(expected["chi_square"] / 2 / 2e7),
        }[name]
        assert found == pytest.approx(first_order, rel=2e-6, abs=0)
    elif name == "hellinger":
        square = sum(
            (Fraction(r - c, 10**7)) ** 2 / Fraction(8 * r, 10**7)
            for r, c in zip(reference, current, strict=True)
        )
        assert found == pytest.approx(math.sqrt(square), rel=1e-6, abs=0)
    else:
        assert found == pytest.approx(expected[name], rel=1e-14, abs=0)


@pytest.mark.parametrize("function", SYMMETRIC.values(), ids=SYMMETRIC.keys())
@given(pairs=count_pairs)
def test_swapping_changes_nothing(function, pairs):
    reference, current = (list(side) for side in zip(*pairs, strict=True))
    forth, back = of_counts(function, reference, current), of_counts(function, current, reference)
    assert forth == pytest.approx(back, rel=1e-14, abs=1e-300)


@every
@given(pairs=count_pairs, times=st.integers(2, 9))
def test_metamorphoses(function, pairs, times):
    reference, current = (list(side) for side in zip(*pairs, strict=True))
    assert of_counts(function, reference, reference) == 0
    options = {"smoothing": "none"} if function is drift.kl_divergence else {}
    if options:
        assume(all(c for r, c in pairs if r))
    once = of_counts(function, reference, current, **options)
    # The order of the bins does not matter, and multiplied counts scale tests only.
    assert of_counts(function, reference[::-1], current[::-1], **options) == pytest.approx(
        once, rel=1e-13, abs=1e-16
    )
    repeated = of_counts(function, [times * r for r in reference], [times * c for c in current], **options)
    scale = times if function in (drift.chi_square, drift.g_test) else 1
    assert repeated == pytest.approx(scale * once, rel=1e-11, abs=1e-14)


@every
def test_samples_give_what_their_counts_give(rng, function):
    reference, current = rng.normal(size=4_000), rng.normal(0.2, 1, size=3_000)
    found = function(reference, current, bins=8)
    psi = drift.psi(reference, current, bins=8)
    assert (found.binned.reference, found.binned.current) == (psi.reference_counts, psi.current_counts)
    assert found.binned.edges.tolist() == psi.edges.tolist()
    assert found.statistic == of_counts(function, psi.reference_counts, psi.current_counts)
    fitted = drift.fit_bins(reference, bins=8)
    assert function(fitted, current).statistic == found.statistic
    uniform = function(reference, current, bins=4, strategy="uniform")
    assert uniform.binned.edges.size == 5
    # Whatever the layout and the number of threads.
    assert function(pl.Series(reference), current.tolist(), bins=8, threads=2).statistic == found.statistic


@every
def test_strings_have_a_bin_each(function):
    found = function(["a", "a", "b", "b", None], ["a", "c", "b", "b"])
    assert found.binned.categories == ("a", "b", "other")
    assert (found.binned.reference, found.binned.current) == ((2, 2, 0), (1, 2, 1))
    assert (found.binned.unseen, found.binned.beside.missing) == (1, (1, 0))
    assert found.statistic == of_counts(function, [2, 2, 0], [1, 2, 1])


@every
def test_what_is_left_out_is_counted(function):
    found = function(np.array([1.0, 2.0, np.inf, np.nan]), pl.Series([1.0, None, 2.0, -np.inf]), bins=2)
    assert found.binned.beside == drift.Beside(missing=(0, 1), nan=(1, 0), infinite=(1, 1))
    assert found.statistic == 0


EDGE_CASES = {
    "one bin": ([3], [9], dict.fromkeys(ALL, 0.0)),
    "one bin after leaving out": ([3, 0], [9, 0], dict.fromkeys(ALL, 0.0)),
    "disjoint": (
        [1, 0],
        [0, 1],
        {"hellinger": 1.0, "total_variation": 1.0, "l_infinity": 1.0, "chi_square": 2.0},
    ),
    "counts past 2^53": (
        [2**60, 2**60],
        [2**60 + 2**8, 2**60],
        {"l_infinity": 2.0**8 / 2**62 / (1 + 2.0**-53)},
    ),
    "fractions of weights": ([0.5, 0.5], [0.25, 0.75], {"total_variation": 0.25, "chi_square": 2 / 15}),
}


@pytest.mark.parametrize(("reference", "current", "expected"), EDGE_CASES.values(), ids=EDGE_CASES.keys())
def test_edge_cases(reference, current, expected):
    for name, value in expected.items():
        assert of_counts(ALL[name], reference, current) == pytest.approx(value, rel=1e-15), name


def test_one_bin_decides_nothing():
    for function in (drift.chi_square, drift.g_test):
        found = function([2.0] * 9, [2.0] * 5)
        assert (found.statistic, found.pvalue, found.degrees_of_freedom) == (0.0, 1.0, 0)


def test_an_empty_bin_without_smoothing_is_infinite_one_way():
    assert of_counts(drift.kl_divergence, [1, 1], [2, 0], smoothing="none") == math.inf
    assert of_counts(drift.kl_divergence, [2, 0], [1, 1], smoothing="none") == pytest.approx(math.log(2))


def test_clipped_shares_sum_to_one():
    # Shares 1 and 0 raised to 0.25 become 0.8 and 0.2.
    expected = 0.8 * math.log(0.8 / 0.5) + 0.2 * math.log(0.2 / 0.5)
    assert of_counts(drift.kl_divergence, [4, 0], [2, 2], smoothing=0.25) == pytest.approx(expected)


REFUSED = {
    "no counts": (([0, 0], [1, 1]), {"counts": True}, InputError, "at least one value; got 0 and 2"),
    "empty counts": (([], []), {"counts": True}, InputError, "at least one value; got 0 and 0"),
    "lengths": (([1], [1, 1]), {"counts": True}, InputError, "must have as many bins; got 1 and 2"),
    "negative": (([1, -1], [1, 1]), {"counts": True}, InputError, "at least 0; got -1 at index 1"),
    "NaN": (([1.0], [np.nan]), {"counts": True}, InputError, "`current` must hold counts, finite"),
    "infinite": (([1.0], [np.inf]), {"counts": True}, InputError, "got inf at index 0"),
    "two dimensions": ((np.ones((2, 2)), [1]), {"counts": True}, InputError, "got 2 dimensions"),
    "words": ((["a"], [1]), {"counts": True}, InputTypeError, "`reference` must hold counts; got <U1"),
    "missing": (([1, None], [1, 1]), {"counts": True}, InputTypeError, "must hold counts; got object"),
    "empty reference": (([], [1.0]), {}, InputError, "at least one finite value; got none"),
    "empty current": (([1.0], []), {}, InputError, "at least one value; got 1 and 0"),
    "strategy": (([1.0], [1.0]), {"strategy": "sturges"}, UnknownNameError, "got 'sturges'"),
    "mixed kinds": ((["a"], [1.0]), {}, InputTypeError, "`current` must hold strings as `reference` does"),
    "mixed the other way": (([1.0], ["a"]), {}, InputTypeError, "'current' must hold numbers; got string"),
    "times of two kinds": (
        (np.array([1], "M8[s]"), np.array([1], "m8[s]")),
        {},
        InputTypeError,
        "`current` must hold datetime[s] as `reference` does; got duration[s]: times must be of one kind",
    ),
}


@every
@pytest.mark.parametrize(("samples", "options", "error", "text"), REFUSED.values(), ids=REFUSED.keys())
def test_refusals(function, samples, options, error, text):
    with pytest.raises(error) as caught:
        function(*samples, **options)
    assert text in str(caught.value)


@pytest.mark.parametrize("function", [drift.kl_divergence, drift.jensen_shannon])
@pytest.mark.parametrize("base", [1.0, 0.5, math.inf, math.nan])
def test_bases_are_above_one(function, base):
    with pytest.raises(InputError) as caught:
        function([1], [1], counts=True, base=base)
    assert f"`base` must be above 1; got {base}" in str(caught.value)


def test_smoothings_are_checked():
    with pytest.raises(UnknownNameError, match="or a number; got 'add'"):
        drift.kl_divergence([1], [1], counts=True, smoothing="add")
