from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from tidewheel.errors import InputError
from tidewheel.predictions.labels import labels_due
from tidewheel.project.settings import Labels

NOON = datetime(2013, 4, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
LABELS = Labels(column="late", known_at="known", maturity_days=1.0, coverage_min=0.5)

FLIGHTS = pl.DataFrame(
    {
        "id": ["landed", "landing now", "in the air", "cancelled"],
        "late": [True, False, True, None],
        "known": [NOON - HOUR, NOON, NOON + HOUR, None],
        "at": [NOON - 4 * HOUR, NOON - 3 * HOUR, NOON - 2 * HOUR, NOON - HOUR],
    },
    schema_overrides={"known": pl.Datetime("us", "UTC"), "at": pl.Datetime("us", "UTC")},
)


@pytest.mark.parametrize(
    ("now", "due"),
    [
        (NOON - 2 * HOUR, []),
        (NOON, ["landed", "landing now"]),
        (NOON + HOUR, ["landed", "landing now", "in the air"]),
        (NOON + 9999 * HOUR, ["landed", "landing now", "in the air"]),
    ],
    ids=["before all", "at the moment", "later", "never for the cancelled one"],
)
def test_a_label_is_due_when_its_time_has_come(now: datetime, due: list[str]) -> None:
    assert labels_due(FLIGHTS, LABELS, now)["id"].to_list() == due


def test_a_label_whose_time_is_unknown_is_not_due() -> None:
    frame = FLIGHTS.with_columns(known=pl.lit(None, pl.Datetime("us", "UTC")))
    assert labels_due(frame, LABELS, NOON).is_empty()


def test_a_moment_without_a_zone_is_refused() -> None:
    with pytest.raises(InputError, match="`now_utc` must carry a time zone; got 2013-04-01T12:00:00"):
        labels_due(FLIGHTS, LABELS, NOON.replace(tzinfo=None))
