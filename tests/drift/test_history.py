"""What a monitor said, kept: as a sequence, a table, words, a page with charts, and bytes."""

import json
import pickle
import re
from datetime import UTC, date, datetime

import numpy as np
import pytest

from tidewheel import drift
from tidewheel.drift.over_time.history_page import MOST_POINTS, draw
from tidewheel.errors import InputError, InputTypeError, UnknownNameError

PROFILE = drift.Profile.fit(
    {"speed": [i % 50 for i in range(50_000)], "lane": ["left", "right"] * 25_000, "<b>": [0.5] * 50_000}
)


def batch(shift: int = 0) -> dict[str, list[object]]:
    return {
        "speed": [shift + i % 50 for i in range(1_000)],
        "lane": ["left", "right"] * 500,
        "<b>": [0.5] * 1_000,
    }


def watched(looks: int = 12, *, drifts_at: int = 9, **settings: int) -> drift.Monitor:
    monitor = drift.Monitor(PROFILE, **settings)
    for hour in range(looks):
        monitor.observe(batch(20 * (hour >= drifts_at)), at=datetime(2024, 3, 1, hour, tzinfo=UTC))
    return monitor


HISTORY = watched().history


def test_it_is_the_sequence_of_what_was_said() -> None:
    monitor = drift.Monitor(PROFILE)
    said = [monitor.observe(batch(shift)) for shift in (0, 0, 20)]
    assert list(monitor.history) == said
    assert monitor.history[-1] == said[-1]
    assert list(monitor.history[1:]) == said[1:]
    assert (monitor.history[1:].dropped, len(monitor.history)) == (1, 3)
    assert monitor.history.alarms == tuple(look for look in said if look.alarm) == (said[2],)
    assert [one.alarm for one in monitor.history.of("speed")] == [False, False, True]
    with pytest.raises(UnknownNameError, match="`column` must be one of 'speed', 'lane', '<b>'; got 'spede'"):
        monitor.history.of("spede")
    with pytest.raises(
        InputTypeError, match=r"`index` must be a whole number or a slice; got 'speed'; `of\(name\)`"
    ):
        monitor.history["speed"]  # type: ignore[call-overload]


def test_a_monitor_keeps_the_last_looks() -> None:
    kept = watched(12, keep_looks=5).history
    assert [look.number for look in kept] == [8, 9, 10, 11, 12]
    assert kept.dropped == 7
    assert dict(kept._facts())["looks"] == "5, after 7 that are not kept"
    assert len(watched(3, keep_looks=0).history) == 0
    for wrong, kind in ((-1, InputError), (2.5, InputTypeError), (2_000_000, InputError)):
        with pytest.raises(kind, match="`keep_looks` must"):
            drift.Monitor(PROFILE, keep_looks=wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("at", "shown"),
    [
        (None, ""),
        ("batch 7", "batch 7"),
        (date(2024, 3, 1), "2024-03-01"),
        (datetime(2024, 3, 1, 5, tzinfo=UTC), "2024-03-01 05:00:00+00:00"),
    ],
)
def test_a_look_has_the_label_that_it_was_given(at: str | date | None, shown: str) -> None:
    assert drift.Monitor(PROFILE).observe(batch(), at=at).at == shown


def test_a_label_of_another_type_is_refused_before_the_look() -> None:
    monitor = drift.Monitor(PROFILE)
    with pytest.raises(InputTypeError, match="`at` must be a text, a date or a time; got 7"):
        monitor.observe(batch(), at=7)  # type: ignore[arg-type]
    assert monitor.looks == 0


def test_the_table_has_a_row_per_look_and_column() -> None:
    table = HISTORY.to_polars()
    assert table.height == 12 * 3
    assert table.columns == [
        "look", "at", "column", "alarm", "part", "looks", "rows", "distance", "lower", "threshold",
    ]  # fmt: skip
    speed = table.filter(column="speed")
    assert speed["alarm"].to_list() == [False] * 9 + [True] * 3
    # 20 of the 50 values lie beyond all of the reference's.
    assert speed["distance"][9] == pytest.approx(0.4)
    assert speed["rows"][9] == 1_000
    assert HISTORY.to_pandas().to_dict("list") == table.to_dict(as_series=False)


def test_words_and_json_hold_the_alarms() -> None:
    text = str(HISTORY)
    assert text.startswith("3 of 12 looks alarmed. ")
    assert HISTORY.promise in text
    row = next(line for line in text.splitlines() if line.startswith("10 "))
    assert row.split()[:4] == ["10", "2024-03-01", "09:00:00+00:00", "speed"]
    assert repr(HISTORY) == "History(12 looks, 3 with alarms, 3 columns)"
    found = json.loads(HISTORY.to_json())
    assert [look["number"] for look in found["looks"] if look["alarm"]] == [10, 11, 12]
    assert found["looks"][9]["columns"][0]["distance"] == pytest.approx(0.4)


def test_a_quiet_or_empty_history_says_so() -> None:
    assert str(watched(3).history).startswith("0 of 3 looks alarmed.")
    empty = drift.Monitor(PROFILE).history
    assert str(empty).startswith("0 of 0 looks alarmed.")
    assert "<h1>0 of 0 looks alarmed</h1>" in empty.to_html()
    assert empty.to_polars().height == 0
    assert empty.to_pandas().shape == (0, 10)


def test_the_page_has_a_chart_per_column_the_alarmed_first(tmp_path) -> None:
    page = HISTORY.to_html(tmp_path / "looks.html")
    assert (tmp_path / "looks.html").read_text(encoding="utf-8") == page
    names = re.findall(r"<h2>(.*?)</h2>", page)
    assert names == ["speed", "lane", "&lt;b&gt;"]
    assert page.count('<svg class="h l"') == 3
    # Three marks, at the last three of twelve points.
    assert 'd="M9 0V99M10 0V99M11 0V99"' in page
    assert "<script" not in page
    assert "<h1>3 of 12 looks alarmed</h1>" in page
    part = HISTORY._repr_html_()
    assert part.startswith('<div class="tw"><style>')
    assert part.count('<svg class="h l"') == 3
    with pytest.raises(InputError, match="no-such-folder"):
        HISTORY.to_html(tmp_path / "no-such-folder" / "looks.html")


def test_a_chart_of_many_looks_keeps_every_alarm() -> None:
    quiet = drift.ColumnLook("x", False, "values", 1, 100, 0.01, 0.0, 0.1)
    loud = drift.ColumnLook("x", True, "values", 1, 100, 0.4, 0.3, 0.1)
    series = [quiet] * 5_000
    series[1234] = series[4321] = loud
    marks = re.search(r'class="a" d="([^"]*)"', draw(series))
    assert marks is not None
    step = -(-5_000 // MOST_POINTS)
    assert marks[1] == f"M{1234 // step} 0V99M{4321 // step} 0V99"


def test_bytes_keep_the_history() -> None:
    monitor = watched(5, drifts_at=3, keep_looks=4)
    for again in (drift.Monitor.from_bytes(PROFILE, monitor.to_bytes()), pickle.loads(pickle.dumps(monitor))):
        assert again.history == monitor.history
        assert again.to_bytes() == monitor.to_bytes()
        again.observe(batch())
        assert [look.number for look in again.history] == [3, 4, 5, 6]


def test_monitors_are_equal_by_what_they_will_say() -> None:
    assert watched(4, keep_looks=2) == watched(4)
    assert watched(4) != watched(5)


def test_numbers_of_a_look_are_those_of_numpy() -> None:
    # The Kolmogorov-Smirnov distance of 0..49 and 20..69, each value as often.
    one, other = np.arange(50), np.arange(20, 70)
    grid = np.arange(70)
    d = np.abs(np.searchsorted(one, grid, "right") / 50 - np.searchsorted(other, grid, "right") / 50).max()
    assert HISTORY.of("speed")[-1].distance == pytest.approx(d)
