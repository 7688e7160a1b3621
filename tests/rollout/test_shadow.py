import math

import numpy as np
import polars as pl
import pytest

from tidewheel.errors import InputError
from tidewheel.rollout.shadow import compare_pairs


def make_pairs(n: int = 400) -> pl.DataFrame:
    champion = np.random.default_rng(0).uniform(0.1, 0.9, n)
    origin = np.where(np.arange(n) % 4 == 0, "EWR", "JFK")
    return pl.DataFrame(
        {
            "score_champion": champion,
            "score_candidate": np.where(origin == "EWR", 1.0 - champion, champion),
            "origin": origin,
            "carrier": [None, "UA"] * (n // 2),
            "rare": [str(each) for each in range(n)],
        }
    )


def test_counted_by_hand() -> None:
    pairs = pl.DataFrame(
        {
            "score_champion": [0.2, 0.5, 0.7, 0.4, None, 0.1],
            "score_candidate": [0.3, 0.4, 0.8, 0.6, 0.5, math.nan],
        }
    )
    found = compare_pairs(pairs)
    assert (found.pairs, found.unscored, found.raised, found.lowered) == (4, 2, 1, 1)
    assert found.agreement == 0.5
    assert found.mean_difference == pytest.approx((0.1 - 0.1 + 0.1 + 0.2) / 4)
    assert found.mean_absolute_difference == pytest.approx(0.5 / 4)


def test_a_model_agrees_with_itself() -> None:
    pairs = make_pairs().with_columns(score_candidate="score_champion")
    found = compare_pairs(pairs, slice_by=["origin"])
    assert (found.agreement, found.mean_difference, found.raised, found.lowered) == (1.0, 0.0, 0, 0)
    assert found.psi == pytest.approx(0.0, abs=1e-12)
    assert all(each.disagreement == 0.0 for each in found.slices)


def test_slices_are_ranked_by_disagreement_and_small_ones_left_out() -> None:
    found = compare_pairs(make_pairs(), slice_by=["carrier", "origin", "rare"])
    assert [(each.column, each.value) for each in found.slices] == [
        ("origin", "EWR"),
        ("carrier", "(missing)"),
        ("origin", "JFK"),
        ("carrier", "UA"),
    ]
    assert found.slices[0].disagreement == 1.0
    assert found.slices[1].disagreement == pytest.approx(0.5)
    assert len(compare_pairs(make_pairs(), slice_by=["carrier"], slices_max=1).slices) == 1


def test_scores_that_moved_show_in_psi() -> None:
    pairs = make_pairs().with_columns(score_candidate=pl.col("score_champion") * 0.5)
    assert compare_pairs(pairs).psi > 0.2


def test_no_pair_is_told_apart_from_no_difference() -> None:
    found = compare_pairs(make_pairs().with_columns(score_candidate=pl.lit(None, dtype=pl.Float64)))
    assert (found.pairs, found.unscored, found.slices) == (0, 400, ())
    assert math.isnan(found.agreement)
    assert math.isnan(found.psi)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"threshold": 1.5}, r"`threshold` must lie in \[0, 1\]; got 1\.5"),
        ({"slice_by": ["tail"]}, "a table of pairs must have the column `tail`"),
    ],
    ids=["threshold", "column"],
)
def test_wrong_arguments_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        compare_pairs(make_pairs(), **arguments)  # type: ignore[arg-type]


def test_a_request_sent_again_is_one_pair_of_the_same_models() -> None:
    pairs = make_pairs().with_columns(
        request_id=pl.format("r{}", pl.int_range(pl.len()) // 4),
        row=pl.int_range(pl.len()) % 4,
        champion=pl.lit("a"),
        candidate=pl.lit("b"),
    )
    disagreeing = pairs.filter(pl.col("origin") == "EWR").head(10)
    once = compare_pairs(pairs, slice_by=["origin"])
    again = compare_pairs(pl.concat([pairs, *[disagreeing] * 40]), slice_by=["origin"])
    assert (again.pairs, again.raised, again.lowered) == (once.pairs, once.raised, once.lowered)
    assert again.mean_difference == pytest.approx(once.mean_difference)
    assert [each.pairs for each in again.slices] == [each.pairs for each in once.slices]
    other = pairs.with_columns(candidate=pl.lit("c"))
    assert compare_pairs(pl.concat([pairs, other])).pairs == 2 * once.pairs
