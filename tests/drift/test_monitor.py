"""`drift.Monitor`: promises over all looks, late changes, arming again, and its bytes."""

import itertools
import math
import pickle
from functools import lru_cache

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidewheel.drift import Monitor, Profile
from tidewheel.drift.over_time import watching
from tidewheel.drift.over_time.alpha_spending import BLOCKS, Promise, lengths
from tidewheel.drift.profile import serialization
from tidewheel.errors import InputError, InputTypeError, IntegrityError, UnknownNameError

REFERENCE = pl.DataFrame(
    {"x": np.arange(20_000) % 1_000, "s": ["a", "b", "b", "c"] * 5_000, "n": pl.Series([None] * 20_000)}
)
PROFILE = Profile.fit(REFERENCE)


def rows(count, shift=0):
    """Give a table that lies as the reference does, or shifted by so many thousandths of its range."""
    at = (np.arange(count) + 0.5) * 1_000 // max(count, 1) + shift
    names = np.array(["a", "b", "b", "c"])[np.arange(count) % 4]
    return pl.DataFrame({"x": at.astype(int), "s": names, "n": pl.Series([None] * count, dtype=pl.Null)})


@lru_cache
def window(count, shift=0):
    """Count such a table."""
    made = PROFILE.window()
    made.update(rows(count, shift))
    return made


def test_hand_worked_example():
    profile = Profile.fit({"x": [0, 1] * 5_000})
    look = Monitor(profile, alpha=0.08, threshold=0.0).observe({"x": [1] * 400})
    # D = 1/2. Four parts share alpha / 2 for the reference, 0.01 each, and as much for the stream; of that the first
    # look has v(0) = 1/2, one length of four 1/4, and w(1) = 1 - 1/ln(e + 1).
    of_reference = math.sqrt(math.log(2 / 0.01) / (2 * 10_000))
    error = 0.01 / 2 / 4 * (1 - 1 / math.log(math.e + 1))
    of_stream = math.sqrt(math.log(2 / error) / (2 * 400))
    found = look["x"]
    assert found.lower == pytest.approx(0.5 - of_reference - of_stream, rel=1e-12)
    assert (found.part, found.looks, found.rows, found.distance, found.alarm) == ("values", 1, 400, 0.5, True)
    assert look.drifted == ("x",)
    assert found.sentence == (
        "values: over the last look (400 rows) the distance to the reference is 0.5, at least 0.379 beyond sampling error, "
        "which is above 0."
    )


def test_what_a_look_says():
    monitor = Monitor(PROFILE)
    look = monitor.observe(window(1_000))
    assert (look.number, look.rows, look.alarm, look.drifted) == (1, 1_000, False, ())
    # A column without values has a missing share, and nothing else to watch.
    assert monitor.columns == ("x", "s")
    assert look.promise == monitor.promise
    assert "ever alarms with probability at most 0.05" in look.promise
    assert "at least 500 looks on average" in Monitor(PROFILE, promise="run length", run_length=500).promise
    with pytest.raises(UnknownNameError, match="must be one of 'x', 's'; got 'n'"):
        look["n"]


PARTS = {
    "values of numbers": ({"x": np.full(3_000, 10)}, "x", "values"),
    "missing": ({"x": pl.Series([None] * 1_000 + list(range(1_000)) * 2)}, "x", "missing"),
    "nan": ({"x": np.r_[np.full(1_000, np.nan), np.arange(2_000) % 1_000]}, "x", "nan"),
    "infinite": ({"x": np.r_[[np.inf] * 400, [-np.inf] * 400, np.arange(2_200) % 1_000]}, "x", "infinite"),
    "values of strings": ({"s": ["a", "c"] * 1_500}, "s", "values"),
    "unseen": ({"s": ["a", "b", "new", "b", "c"] * 600}, "s", "unseen"),
}


@pytest.mark.parametrize(("changed", "name", "part"), PARTS.values(), ids=PARTS.keys())
def test_each_part_alarms(changed, name, part):
    profile = Profile.fit(REFERENCE.select(pl.col("x").cast(pl.Float64), "s"))
    monitor = Monitor(profile)
    usual = {"x": np.arange(3_000) % 1_000 * 1.0, "s": ["a", "b", "b", "c"] * 750}
    assert not monitor.observe(usual).alarm
    look = monitor.observe(usual | changed)
    assert (look.drifted, look[name].part) == ((name,), part)
    assert look[name].lower <= look[name].distance


def test_a_late_change_is_not_diluted():
    delays = {}
    for change in (10, 1_000):
        monitor = Monitor(PROFILE, threshold=0.0)
        for _ in range(change):
            assert not monitor.observe(window(1_000)).alarm
        delays[change] = next(n for n in itertools.count(1) if monitor.observe(window(1_000, 60)).alarm)
    assert delays[10] <= delays[1_000] <= 12


def test_a_run_length_does_not_tire():
    delays = set()
    for change in (64, 1_024):
        monitor = Monitor(PROFILE, promise="run length", threshold=0.0)
        for _ in range(change):
            assert not monitor.observe(window(1_000)).alarm
        delays.add(next(n for n in itertools.count(1) if monitor.observe(window(1_000, 60)).alarm))
    assert len(delays) == 1


def test_small_shifts_show_in_long_segments():
    monitor = Monitor(PROFILE, threshold=0.0)
    looks = [monitor.observe(window(1_000, 25)) for _ in range(200)]
    first = next(look for look in looks if look.alarm)
    assert first["x"].looks > BLOCKS
    assert first["x"].lower < 0.025 == pytest.approx(first["x"].distance, abs=0.001)


def test_ids_that_did_not_drift_do_not_alarm(rng):
    # Zipf's ids: every look has many that the reference never showed, and its frequent names are the sample's own choice.
    alarms = 0
    for _ in range(20):
        names = pl.Series([f"id{i}" for i in rng.zipf(1.3, 14_000)])
        monitor = Monitor(Profile.fit({"id": names[:4_000]}), alpha=0.2, threshold=0.0)
        looks = [monitor.observe({"id": names[at : at + 250]}) for at in range(4_000, 14_000, 250)]
        alarms += any(look.alarm for look in looks)
    assert alarms <= 4


def test_thresholds_are_those_of_verdicts():
    monitor = Monitor(PROFILE)
    # D = 0.08 for as long as one likes; D = 0.2 at once.
    assert not any(monitor.observe(window(20_000, 80)).alarm for _ in range(20))
    look = monitor.observe(window(20_000, 200))
    assert look.drifted == ("x",)
    assert look["x"].threshold == 0.1


def test_an_alarm_starts_the_column_anew():
    monitor = Monitor(PROFILE, threshold=0.0)
    alarms = [monitor.observe(window(1_000, 60)).alarm for _ in range(40)]
    # A lasting drift alarms again and again, each time on new rows: not at once, and not at every look.
    assert 2 <= sum(alarms) < 20
    first, second = np.flatnonzero(alarms)[:2]
    assert second > first + 1
    assert monitor.looks == 40
    for _ in range(4):
        monitor.observe(window(1_000, 60))
    monitor.rearm()
    assert monitor.observe(window(1_000))["x"].looks == 1
    assert not any(monitor.observe(window(1_000)).alarm for _ in range(100))


def test_rearming_one_column_leaves_the_others():
    monitor = Monitor(PROFILE)
    for _ in range(3):
        monitor.observe(window(1_000))
    monitor.rearm(["s"])
    assert [len(levels[0]) if levels else 0 for levels in monitor._levels.values()] == [3, 0]
    with pytest.raises(UnknownNameError, match="must be among 'x', 's'; got 'n'"):
        monitor.rearm(["n"])


def test_empty_looks_are_looks():
    monitor = Monitor(PROFILE, threshold=0.0)
    look = monitor.observe(PROFILE.window())
    assert (look.number, look.rows, look.alarm, look["x"].distance, look["x"].lower) == (
        1,
        0,
        False,
        0.0,
        0.0,
    )


@given(st.sampled_from(["ever", "run length"]), st.integers(1, 3_000), st.floats(0.001, 0.5))
@settings(max_examples=30, deadline=None)
def test_the_errors_of_all_looks_add_up_to_the_promise(name, looks, alpha):
    promise = Promise(name, alpha, 500)
    total = sum(
        promise.of_segment(level, look >> level, length)
        for look in range(1, looks + 1)
        for level in range(look.bit_length())
        if look % 2**level == 0
        for length in lengths(level)
        if length <= look >> level
    )
    allowed = alpha / 2 if name == "ever" else looks * (1 - alpha) ** 2 / 1_000
    assert 0 < total <= allowed


def naive_segments(windows):
    """Give the counts of every segment that should be tested when so many looks have been made, by adding windows up."""
    look, found = len(windows), {}
    for level in range(look.bit_length()):
        if look % 2**level == 0:
            for length in lengths(level):
                if length << level <= look:
                    found[level, length] = sum(windows[look - (length << level) :])
    return found


@given(st.lists(st.integers(0, 9), min_size=1, max_size=200))
@settings(max_examples=40, deadline=None)
def test_segments_are_what_they_are_called(numbers):
    levels, windows = [], []
    for look, number in enumerate(numbers, start=1):
        windows.append(np.array([number, look]))
        found = {
            (level, length): counts
            for level, block, sums in watching.advance(levels, windows[-1], look)
            for length, counts in zip(lengths(level), sums, strict=False)
            if block == look >> level
        }
        expected = naive_segments(windows)
        assert found.keys() == expected.keys()
        assert all((found[key] == expected[key]).all() for key in expected)


@given(st.lists(st.integers(1, 4_000), min_size=1, max_size=30), st.floats(0.01, 0.5))
@settings(max_examples=25, deadline=None)
def test_splitting_windows_never_alarms_on_what_has_not_drifted(sizes, alpha):
    monitor = Monitor(PROFILE, alpha=alpha, threshold=0.0)
    for size in sizes:
        assert not monitor.observe(window(size)).alarm


@given(st.integers(0, 2**32), st.floats(0.001, 0.4), st.floats(0.001, 0.4))
@settings(max_examples=15, deadline=None)
def test_a_larger_alpha_alarms_no_later(seed, one, other):
    rng = np.random.default_rng(seed)
    windows = [window(int(rng.integers(1, 3_000)), int(rng.integers(0, 60))) for _ in range(12)]
    firsts = []
    for alpha in sorted([one, other]):
        monitor = Monitor(PROFILE, alpha=alpha, threshold=0.02)
        firsts.append(next((n for n, one in enumerate(windows) if monitor.observe(one).alarm), 99))
    assert firsts[1] <= firsts[0]


def test_a_shorter_run_length_alarms_no_later():
    firsts = []
    for looks in (10**8, 10**5, 10**2):
        monitor = Monitor(PROFILE, promise="run length", run_length=looks, threshold=0.0)
        firsts.append(next(n for n in itertools.count() if monitor.observe(window(1_000, 60)).alarm))
    assert firsts == sorted(firsts, reverse=True)
    assert firsts[0] > firsts[-1]


def test_a_design_effect_divides_rows():
    plain = Monitor(PROFILE).observe(window(2_000, 300))["x"]
    # Ten times the rows at a design effect of ten are worth the same.
    tenfold = Profile.fit(pl.concat([REFERENCE] * 10))
    clustered = Monitor(tenfold, design_effect=10.0).observe(rows(20_000, 300))["x"]
    assert clustered.lower == pytest.approx(plain.lower, abs=1e-9)
    assert Monitor(PROFILE, design_effect=10.0).observe(window(2_000, 300))["x"].lower < plain.lower


def test_wide_columns_are_grouped(rng):
    reference, shifted = rng.normal(size=300_000), rng.normal(0.5, 1, 50_000)
    monitor = Monitor(Profile.fit({"x": reference}))
    assert 90 < monitor._columns[0].kept <= watching.GROUPS + 4
    found = monitor.observe({"x": shifted})["x"].distance
    ordered = np.sort(reference)
    whole = np.abs(
        np.searchsorted(ordered, np.sort(shifted)) / len(ordered) - np.arange(len(shifted)) / len(shifted)
    ).max()
    assert whole - 0.01 <= found <= whole + 1e-4


def some_monitor(looks=11, **given_settings):
    monitor = Monitor(PROFILE, **given_settings)
    for look in range(looks):
        monitor.observe(window(100 + look, look))
    return monitor


SETTINGS = st.fixed_dictionaries(
    {
        "promise": st.sampled_from(["ever", "run length"]),
        "alpha": st.floats(0.01, 0.9),
        "run_length": st.integers(1, 10**6),
        "threshold": st.one_of(st.none(), st.floats(0, 0.9)),
        "design_effect": st.floats(1, 50),
    }
)


@given(st.integers(0, 40), SETTINGS)
@settings(max_examples=25, deadline=None)
def test_monitors_travel(looks, given_settings):
    monitor = some_monitor(looks, **given_settings)
    for again in (Monitor.from_bytes(PROFILE, monitor.to_bytes()), pickle.loads(pickle.dumps(monitor))):
        assert again == monitor
        assert again.to_bytes() == monitor.to_bytes()
    for _ in range(3):
        assert again.observe(window(700, 300)) == monitor.observe(window(700, 300))
    assert repr(monitor).startswith(f"Monitor(2 columns, {looks + 3} looks, profile ")


@given(st.integers(0, 40), st.integers(1, 99))
@settings(max_examples=20, deadline=None)
def test_merged_monitors_see_what_one_would(looks, share):
    parts, whole = [Monitor(PROFILE, threshold=0.9) for _ in range(2)], Monitor(PROFILE, threshold=0.9)
    for _ in range(looks):
        batch = rows(200, 50)
        whole.observe(batch)
        parts[0].observe(batch[:share])
        parts[1].observe(batch[share:])
    parts[0].merge(parts[1])
    assert parts[0] == whole


@given(st.binary(max_size=400))
def test_random_bytes_are_refused(data):
    with pytest.raises(InputError, match="must be a Tidewheel monitor"):
        Monitor.from_bytes(PROFILE, data)


BYTES = some_monitor().to_bytes()


@given(st.data())
def test_cut_and_changed_bytes_are_refused(data):
    whole = BYTES
    with pytest.raises(InputError):
        Monitor.from_bytes(PROFILE, whole[: data.draw(st.integers(0, len(whole) - 1))])
    changed = bytearray(whole)
    changed[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises((InputError, IntegrityError)):
        Monitor.from_bytes(PROFILE, bytes(changed))


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_forged_bodies_are_read_or_refused(data):
    body = bytearray(BYTES[22:-32])
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(body) - 1))
        piece = data.draw(
            st.one_of(st.binary(min_size=1, max_size=9), st.just(b"\xff" * 8), st.just(b"\0" * 8))
        )
        body[at : at + data.draw(st.integers(0, 9))] = piece
    try:
        monitor = Monitor.from_bytes(PROFILE, serialization.seal("monitor", bytes(body)))
    except InputError:
        return
    assert monitor.observe(window(10)).number == monitor.looks


OTHER = Profile.fit({"x": [1.0, 2.0]})
REFUSED = {
    "alpha": (lambda: Monitor(PROFILE, alpha=1.0), InputError, "`alpha` must lie between 0 and 1; got 1.0"),
    "promise": (
        lambda: Monitor(PROFILE, promise="never"),
        UnknownNameError,
        "`promise` must be one of 'ever', 'run length'; got 'never'",
    ),
    "run length": (
        lambda: Monitor(PROFILE, promise="run length", run_length=0),
        InputError,
        "`run_length` must be at least 1 look; got 0",
    ),
    "threshold": (lambda: Monitor(PROFILE, threshold=1.0), InputError, "must lie in [0, 1); got 1.0"),
    "negative threshold": (
        lambda: Monitor(PROFILE, threshold=-0.1),
        InputError,
        "must lie in [0, 1); got -0.1",
    ),
    "design effect": (
        lambda: Monitor(PROFILE, design_effect=0.5),
        InputError,
        "`design_effect` must be at least 1 and finite; got 0.5",
    ),
    "no number at all": (
        lambda: Monitor(PROFILE, design_effect=math.nan),
        InputError,
        "`design_effect` must be at least 1 and finite; got nan",
    ),
    "nothing to watch": (
        lambda: Monitor(Profile.fit(pl.DataFrame({"n": [[1]]}))),
        InputError,
        "must have rows and a column of numbers, times or strings; got Profile(1 columns",
    ),
    "no rows": (lambda: Monitor(Profile.fit({"x": []})), InputError, "must have rows and a column"),
    "window of another profile": (
        lambda: some_monitor().observe(OTHER.window()),
        InputError,
        f"must be one of the profile {PROFILE.id[:12]}; got one of {OTHER.id[:12]}",
    ),
    "no column": (lambda: some_monitor().observe({}), InputError, "must have at least one column; got none"),
    "no table": (
        lambda: some_monitor().observe(7),
        InputTypeError,
        "`batch` must be a polars, pandas or Arrow table",
    ),
    "bytes of another profile": (
        lambda: Monitor.from_bytes(OTHER, some_monitor().to_bytes()),
        InputError,
        f"one of the profile {OTHER.id[:12]}; got one of {PROFILE.id[:12]}",
    ),
    "merging other settings": (
        lambda: some_monitor().merge(some_monitor(alpha=0.01)),
        InputError,
        "must have one profile and the same settings to be merged",
    ),
    "merging other looks": (
        lambda: some_monitor(3).merge(some_monitor(4)),
        InputError,
        "must have had the same looks, and been armed again at the same, to be merged; got 3 and 4 looks",
    ),
}


@pytest.mark.parametrize(("call", "error", "text"), REFUSED.values(), ids=REFUSED.keys())
def test_refusals(call, error, text):
    with pytest.raises(error) as caught:
        call()
    assert text in str(caught.value)


def test_a_refused_window_is_no_look():
    monitor = some_monitor(2)
    before = monitor.to_bytes()
    with pytest.raises(InputError):
        monitor.observe({})
    assert monitor.to_bytes() == before
