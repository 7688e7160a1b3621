import numpy as np
import polars as pl
import pytest

from tidewheel.data.profile import AUC_SUSPECT, LeakageSuspect, leakage_suspects
from tidewheel.errors import InputError, InputTypeError, UnknownNameError

N = 2000
RNG = np.random.default_rng(5)
LATE = RNG.random(N) < 0.3
NOISE = RNG.normal(size=N)


def names(suspects: tuple[LeakageSuspect, ...]) -> list[str]:
    return [suspect.column for suspect in suspects]


@pytest.mark.parametrize(
    ("column", "is_suspect"),
    [
        (pl.Series(LATE.astype(float)), True),
        (pl.Series(LATE), True),
        (pl.Series(-100.0 * LATE + NOISE), True),
        (pl.Series(np.where(LATE, "yes", "no")), True),
        (pl.Series(np.where(LATE, "yes", "no"), dtype=pl.Categorical), True),
        (pl.Series(np.where(LATE, 1.0, np.nan)), True),
        (pl.Series([1 if late else None for late in LATE]), True),
        (pl.Series(1_600_000_000_000_000 + LATE.astype(int)).cast(pl.Datetime("us", "UTC")), True),
        (pl.Series(LATE + 2 * NOISE), False),
        (pl.Series(NOISE), False),
        (pl.Series([f"row {number}" for number in range(N)]), False),
        (pl.Series([None] * N, dtype=pl.Float64), False),
        (pl.Series([1.0] * N), False),
        (pl.Series([[1]] * N), False),
    ],
    ids=["copy", "copy as bool", "reversed", "text", "category", "NaN where not", "null where not", "time",
         "honest feature", "noise", "a text for each row", "all missing", "constant", "a type that is not measured"],
)  # fmt: skip
def test_a_column_that_knows_the_label_is_found(column: pl.Series, is_suspect: bool) -> None:
    frame = pl.DataFrame({"late": LATE, "x": column})
    assert names(leakage_suspects(frame, "late", ["x"])) == (["x"] if is_suspect else [])


def test_the_auc_is_that_of_counted_pairs_with_ties() -> None:
    score = RNG.integers(0, 5, size=200) + 2 * LATE[:200]
    late = LATE[:200]
    pairs = [(a > b) + 0.5 * (a == b) for a in score[late] for b in score[~late]]
    frame = pl.DataFrame({"late": late, "x": score})
    found = leakage_suspects(frame, "late", ["x"], known_later=["x"])
    assert found[0].auc == pytest.approx(np.mean(pairs), abs=1e-12)


def test_a_column_missing_where_the_label_is_missing_is_found() -> None:
    cancelled = RNG.random(N) < 0.05
    frame = pl.DataFrame(
        {
            "late": [None if gone else bool(late) for gone, late in zip(cancelled, LATE, strict=True)],
            "departure": [None if gone else value for gone, value in zip(cancelled, NOISE, strict=True)],
            "gust": [None if value > 0 else value for value in NOISE],
        }
    )
    (suspect,) = leakage_suspects(frame, "late", ["departure", "gust"])
    assert suspect.column == "departure"
    assert (
        suspect.reason == "is missing where the label is, with an AUC of 1.000: the event seems to fill it in"
    )


def test_a_name_known_later_is_a_suspect_whatever_it_measures() -> None:
    frame = pl.DataFrame({"late": LATE, "x": NOISE})
    (suspect,) = leakage_suspects(frame, "late", ["x"], known_later=["x", "elsewhere"])
    assert suspect.reason == "known only after the event"
    assert suspect.auc is not None
    assert suspect.auc < AUC_SUSPECT


def test_few_rows_prove_nothing() -> None:
    frame = pl.DataFrame({"late": [True] * 19 + [False] * 500, "x": [1.0] * 19 + [0.0] * 500})
    assert leakage_suspects(frame, "late", ["x"]) == ()
    twenty = pl.concat([frame, pl.DataFrame({"late": [True], "x": [1.0]})])
    assert names(leakage_suspects(twenty, "late", ["x"])) == ["x"]


@pytest.mark.parametrize(
    ("frame", "auc_max", "error", "words"),
    [
        (
            pl.DataFrame({"late": LATE}),
            0.95,
            UnknownNameError,
            "columns must be in the frame, which has late; got x",
        ),
        (
            pl.DataFrame({"late": NOISE, "x": NOISE}),
            0.95,
            InputTypeError,
            "the label `late` must be boolean; got Float64",
        ),
        (pl.DataFrame({"late": LATE, "x": NOISE}), 0.4, InputError, "`auc_max` must be in [0.5, 1]; got 0.4"),
    ],
    ids=["unknown column", "label of numbers", "auc_max"],
)
def test_wrong_calls_are_refused(
    frame: pl.DataFrame, auc_max: float, error: type[InputError], words: str
) -> None:
    with pytest.raises(error) as caught:
        leakage_suspects(frame, "late", ["x"], auc_max=auc_max)
    assert words in str(caught.value)
