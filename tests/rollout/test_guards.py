from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from tidewheel.errors import InputError
from tidewheel.project.settings import Guard, Quality, Rollout
from tidewheel.rollout.guards import decide_arm_quality, decide_canary, decide_quality
from tidewheel.rollout.outcomes import outcomes_from_log
from tidewheel.rollout.rates import look_sizes

START = datetime(2013, 4, 1, tzinfo=UTC)
ROLLOUT = Rollout()


def make_log(
    n: int = 600,
    *,
    keys: int = 400,
    failing: float = 0.0,
    slow: float = 0.0,
    non_finite: float = 0.0,
    candidate_share: float = 0.5,
    seed: int = 0,
) -> pl.DataFrame:
    """Draw a log of both arms; `failing`, `slow` and `non_finite` are shares of the candidate's requests."""
    rng = np.random.default_rng(seed)
    of_candidate = rng.random(keys) < candidate_share
    key = rng.integers(0, keys, n)
    hit = of_candidate[key]

    def bad(share: float) -> np.ndarray:
        return hit & (rng.random(n) < share)

    failed, broken = bad(failing), bad(non_finite)
    assigned = np.where(hit, "b", "a")
    return pl.DataFrame(
        {
            "request_id": [f"r{i:06}" for i in range(n)],
            "key": [f"k{i}" for i in key],
            "arm": np.where(hit, "candidate", "baseline"),
            "assigned_model": assigned,
            "model_version": np.where(failed, "a", assigned),
            "score": np.where(broken, np.nan, rng.random(n)),
            "latency_ms": np.where(bad(slow), 80.0, 5.0),
            "error": pl.Series([None] * n, dtype=pl.String),
            "generation": np.full(n, 3),
            "at_utc": [START + timedelta(minutes=i) for i in range(n)],
            "wall_utc": [START + timedelta(minutes=i) for i in range(n)],
        }
    )


def judge(log: pl.DataFrame, rollout: Rollout = ROLLOUT):  # type: ignore[no-untyped-def]  # a shorthand
    return decide_canary(
        outcomes_from_log(log, candidate="b", champion="a", slow_ms=50.0, from_generation=3), rollout
    )


def test_a_sound_candidate_is_promoted_with_every_bound_in_the_margin() -> None:
    decision = judge(make_log(700))
    assert decision.verdict == "promote"
    assert [bound.verdict for bound in decision.bounds] == ["good"] * 3
    assert all(bound.lower >= -bound.margin for bound in decision.bounds)
    assert "error_rate: the gain is at least -0.0" in decision.reason


@pytest.mark.parametrize(
    ("faults", "metric"),
    [
        ({"failing": 0.6}, "error_rate"),
        ({"slow": 0.9}, "slow_rate"),
        ({"non_finite": 0.6}, "non_finite_rate"),
    ],
    ids=str,
)
def test_harm_is_rolled_back_and_named_even_if_the_rest_is_fine(
    faults: dict[str, float], metric: str
) -> None:
    decision = judge(make_log(300, **faults))  # type: ignore[arg-type]
    assert decision.verdict == "roll back"
    assert decision.reason.startswith(f"{metric}: the gain is at most -0.")


def test_a_broken_candidate_is_rolled_back_within_its_first_looks() -> None:
    assert judge(make_log(48, failing=1.0)).verdict == "roll back"


@pytest.mark.parametrize("n", [0, 1, 10, 31, 100])
def test_no_errors_at_few_requests_never_promote(n: int) -> None:
    assert judge(make_log(n)).verdict in ("hold", "no data")
    assert judge(make_log(n), Rollout(keys_min=1)).verdict in ("hold", "no data")


def test_no_request_in_an_arm_is_no_data() -> None:
    for arm in ("candidate", "baseline"):
        decision = judge(make_log(400).filter(pl.col("arm") != arm))
        assert (decision.verdict, decision.reason) == ("no data", f"no request has come to the {arm} arm")
    assert judge(make_log(0)).verdict == "no data"


def test_hold_says_how_many_keys_would_decide() -> None:
    decision = judge(make_log(160))
    assert decision.verdict == "hold"
    error = decision.bounds[0]
    assert error.verdict == "undecided"
    assert error.n_needed is not None
    assert 130 <= error.n_needed <= 136
    assert f"about {error.n_needed} would decide" in decision.reason


def test_fewer_keys_than_required_hold() -> None:
    decision = judge(make_log(2000, keys=400), Rollout(keys_min=500))
    assert decision.verdict == "hold"
    assert "500 are required" in decision.reason


def test_an_uneven_split_voids_everything() -> None:
    decision = judge(make_log(3000, keys=1500, candidate_share=0.4, failing=0.9))
    assert (decision.verdict, decision.is_void) == ("hold", True)
    assert decision.reason.startswith("void: ")
    assert judge(make_log(3000, keys=1500)).is_void is False


def test_latencies_that_nobody_took_are_no_data_and_not_fast() -> None:
    decision = judge(make_log(700).with_columns(latency_ms=pl.lit(None, dtype=pl.Float64)))
    assert decision.verdict == "hold"
    assert decision.reason == "slow_rate: nothing to count in one arm or both"


def test_without_guards_nothing_is_promoted() -> None:
    assert judge(make_log(700), Rollout(guards=())).verdict == "hold"


def test_faults_after_the_last_look_take_a_promotion_back() -> None:
    log = make_log(700)
    last = look_sizes(700)[-1]
    late = pl.int_range(pl.len()) >= last
    broken = log.with_columns(error=pl.when(late, pl.col("arm") == "candidate").then(pl.lit("timeout")))
    assert judge(log).verdict == "promote"
    assert judge(broken).verdict == "hold"
    assert judge(log.with_columns(error=pl.when(late).then(pl.lit("timeout")))).bounds[0].n_candidate > 100


def test_the_verdict_depends_on_the_log_alone_not_on_its_order_or_on_other_rollouts() -> None:
    log = make_log(700, failing=0.05)
    others = make_log(700, failing=1.0, seed=1)
    noise = pl.concat(
        [
            others.with_columns(generation=pl.lit(2, dtype=pl.Int64)),
            others.with_columns(arm=pl.lit("champion"), assigned_model=pl.lit("a")),
            others.with_columns(assigned_model=pl.lit("c")),
        ]
    )
    assert judge(pl.concat([noise, log]).sample(fraction=1.0, shuffle=True, seed=1)) == judge(log)


def test_requests_are_counted_by_assigned_arm_and_key() -> None:
    log = make_log(4).with_columns(
        key=pl.Series(["x", "x", "x", "y"]),
        arm=pl.lit("candidate"),
        assigned_model=pl.lit("b"),
        model_version=pl.Series(["b", "a", None, "b"]),
        error=pl.Series([None, None, None, "non-finite score"]),
        score=pl.Series([0.5, 0.5, None, float("inf")]),
        latency_ms=pl.Series([50.0, 50.1, None, 1.0]),
    )
    arm = outcomes_from_log(log, candidate="b", champion="a", slow_ms=50.0).latest.candidate
    order = np.argsort(-arm.n_requests)
    counted = [list(getattr(arm, name)[order]) for name in arm.__slots__]
    assert counted == [[3, 1], [2, 1], [2, 1], [1, 0], [0, 1]]
    assert sorted(arm.shares("slow_rate")) == [0.0, 0.5]


def outcomes_of(log: pl.DataFrame):  # type: ignore[no-untyped-def]  # a shorthand
    return outcomes_from_log(log, candidate="b", champion="a", slow_ms=50.0)


def counted(log: pl.DataFrame, arm: str = "candidate") -> list[tuple[int, ...]]:
    """Give requests, errors, timed, slow and non-finite ones of each key of an arm, most requests first."""
    found = getattr(outcomes_of(log).latest, arm)
    return sorted(
        zip(*(getattr(found, name).tolist() for name in found.__slots__), strict=True), reverse=True
    )


def sends(*changes: dict[str, object]) -> pl.DataFrame:
    """Make sends of one request of the candidate's arm, a minute apart, each with its changes."""
    first = make_log(len(changes)).with_columns(
        request_id=pl.lit("r"),
        row=pl.lit(0, pl.Int64),
        key=pl.lit("k"),
        arm=pl.lit("candidate"),
        assigned_model=pl.lit("b"),
        model_version=pl.lit("b"),
        score=pl.lit(0.5),
        latency_ms=pl.lit(5.0),
    )
    rows = [{**row, **change} for row, change in zip(first.to_dicts(), changes, strict=True)]
    return pl.DataFrame(rows, schema=first.schema)


FAILED: dict[str, object] = {"error": "timeout", "model_version": "a"}
SLOW: dict[str, object] = {"latency_ms": 90.0}
NON_FINITE: dict[str, object] = {"error": "non-finite score", "model_version": "a"}
UNTIMED: dict[str, object] = {"latency_ms": None}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ([{}] * 20, [(1, 0, 1, 0, 0)]),
        ([{}, FAILED, {}], [(1, 1, 1, 0, 0)]),
        ([FAILED, {}, {}], [(1, 1, 1, 0, 0)]),
        ([{}, {}, SLOW], [(1, 0, 1, 1, 0)]),
        ([SLOW, FAILED, NON_FINITE], [(1, 1, 1, 1, 1)]),
        ([UNTIMED, {}], [(1, 0, 1, 0, 0)]),
        ([UNTIMED, UNTIMED], [(1, 0, 0, 0, 0)]),
        ([{}, {"key": "other"}], [(1, 0, 1, 0, 0)]),
        ([{"generation": 3}, {"generation": 4, **FAILED}], [(1, 1, 1, 0, 0)]),
        ([{"row": 0}, {"row": 1}, {"row": 1, **SLOW}], [(2, 0, 2, 1, 0)]),
        ([{"request_id": "r"}, {"request_id": "s"}], [(2, 0, 2, 0, 0)]),
    ],
    ids=[
        "20 alike",
        "failed later",
        "failed first",
        "slow last",
        "each in another way",
        "timed once",
        "never timed",
        "another key",
        "another plan",
        "rows of one request",
        "two requests",
    ],
)
def test_a_request_sent_again_counts_once_by_its_worst_outcome(
    changes: list[dict[str, object]], expected: list[tuple[int, ...]]
) -> None:
    log = sends(*changes)
    assert counted(log) == expected
    assert counted(log.reverse()) == expected


def test_a_request_sent_again_stands_where_its_first_send_stands_with_that_key() -> None:
    log = make_log(700)
    again = log.filter(pl.col("arm") == "candidate").head(20)
    late = again.with_columns(
        wall_utc=pl.col("wall_utc") + timedelta(days=9), key=pl.lit("another"), error=pl.lit("timeout")
    )
    first = pl.col("request_id").is_in(again["request_id"].implode())
    failed_at_first = log.with_columns(
        error=pl.when(first).then(pl.lit("timeout")).otherwise(pl.col("error"))
    )
    assert judge(pl.concat([log, late])) == judge(failed_at_first)


def test_each_arm_counts_what_was_sent_to_it() -> None:
    log = sends({}, {"arm": "baseline", "assigned_model": "a", "model_version": "a", "key": "other"}, FAILED)
    assert counted(log) == [(1, 1, 1, 0, 0)]
    assert counted(log, "baseline") == [(1, 0, 1, 0, 0)]


def test_sends_of_another_rollout_do_not_make_a_request_worse() -> None:
    log = make_log(700)
    earlier = log.with_columns(
        generation=pl.lit(2, pl.Int64),
        error=pl.lit("timeout"),
        wall_utc=pl.col("wall_utc") - timedelta(days=9),
    )
    assert judge(pl.concat([earlier, log])) == judge(log)


def test_one_caller_who_sends_again_and_again_decides_nothing() -> None:
    """20 sends of one failing request are one failure, not the harm of 20."""
    log = make_log(300)
    one = log.filter(pl.col("arm") == "candidate").head(1).with_columns(error=pl.lit("timeout"))
    many = pl.concat([log, *[one] * 400])
    assert judge(many).n_requests == 300
    assert judge(many).verdict == judge(log).verdict == "hold"


def test_a_log_without_a_column_is_refused() -> None:
    with pytest.raises(InputError, match="a prediction log must have the column `score`; got "):
        judge(make_log(5).drop("score"))


def test_wrong_promotions_and_roll_backs_are_rare_at_the_margin() -> None:
    """The candidate's rise is the margin and the harm at once, in requests that resemble each other within a key."""
    rollout = Rollout(guards=(Guard(metric="error_rate", margin=0.1, harm=0.1),), keys_min=10)
    rng = np.random.default_rng(6)
    wrong = {"promote": 0, "roll back": 0}
    for repeat in range(25):
        log = make_log(700, keys=250, seed=repeat)
        chances = rng.beta(0.1, 0.9, 250)
        fails = rng.random(700) < chances[log["key"].str.slice(1).cast(pl.Int64).to_numpy()]
        failed = pl.Series(fails) & (log["arm"] == "candidate")
        log = log.with_columns(error=pl.when(failed).then(pl.lit("failed")))
        said = {judge(log.head(size), rollout).verdict for size in look_sizes(700)[3:]}
        for verdict in wrong:
            wrong[verdict] += verdict in said
    assert max(wrong.values()) <= 0.05 * 25


def make_pairs(
    days: int = 20, per_day: int = 200, *, gain: float = 0.0, spread: float = 0.004, seed: int = 0
) -> pl.DataFrame:
    """Make pairs whose daily mean Brier gain is `gain` with standard deviation `spread` between days."""
    rng = np.random.default_rng(seed)
    daily = rng.normal(size=days)
    daily = gain + spread * (daily - daily.mean()) / daily.std(ddof=1)
    day = np.repeat(np.arange(days), per_day)
    label = rng.random(days * per_day) < 0.25
    champion = rng.uniform(0.1, 0.4, days * per_day)
    loss = (champion - label) ** 2 - daily[day]
    return pl.DataFrame(
        {
            "unit": [f"2013-04-{each + 1:02}" for each in day],
            "at_utc": [START + timedelta(days=int(each)) for each in day],
            "score_champion": champion,
            "score_candidate": np.where(label, 1 - np.sqrt(loss), np.sqrt(loss)),
            "label": label,
        }
    )


QUALITY = Quality(margin=0.005, harm=0.01)


@pytest.mark.parametrize(
    ("pairs", "quality", "verdict"),
    [
        (make_pairs(20), QUALITY, "promote"),
        (make_pairs(20), Quality(margin=0.002), "hold"),
        (make_pairs(36), Quality(margin=0.002), "promote"),
        (make_pairs(20, gain=0.004), Quality(claim="better"), "promote"),
        (make_pairs(20, gain=0.001), Quality(claim="better"), "hold"),
        (make_pairs(20, gain=-0.02), QUALITY, "roll back"),
        (make_pairs(20, gain=-0.008), QUALITY, "hold"),
        (make_pairs(9), QUALITY, "hold"),
        (make_pairs(9, gain=-0.05), QUALITY, "hold"),
        (make_pairs(20).with_columns(label=pl.lit(None, dtype=pl.Boolean)), QUALITY, "no data"),
        (make_pairs(20).head(0), QUALITY, "no data"),
    ],
    ids=[
        "equal",
        "margin too narrow",
        "more days",
        "better",
        "not surely better",
        "worse",
        "between margin and harm",
        "burn-in",
        "burn-in of a bad one",
        "no label",
        "no pair",
    ],
)
def test_quality_verdicts(pairs: pl.DataFrame, quality: Quality, verdict: str) -> None:
    decision = decide_quality(pairs, quality, 0.05)
    assert decision.verdict == verdict, decision.reason


def named_pairs(**changes: float) -> pl.DataFrame:
    """Make pairs as the log names them: four rows a request, one pair of models."""
    pairs = make_pairs(20, **changes)
    return pairs.with_columns(
        request_id=pl.format("r{}", pl.int_range(pl.len()) // 4),
        row=pl.int_range(pl.len()) % 4,
        champion=pl.lit("a"),
        candidate=pl.lit("b"),
        wall_utc=pl.col("at_utc"),
        error=pl.lit(None, pl.String),
    )


def test_pairs_of_a_request_sent_again_count_once() -> None:
    pairs = named_pairs()
    expected = decide_quality(pairs, QUALITY, 0.05)
    assert expected.n_requests == pairs.height
    for again in ([pairs] * 3, [pairs, *[pairs.head(100)] * 50]):
        assert decide_quality(pl.concat(again), QUALITY, 0.05) == expected


def test_a_pair_that_lacked_a_score_once_lacks_it() -> None:
    pairs = named_pairs()
    late = pl.col("wall_utc") + timedelta(hours=1)
    failed = pairs.head(100).with_columns(
        wall_utc=late, score_candidate=pl.lit(None, pl.Float64), error=pl.lit("candidate: timeout")
    )
    decision = decide_quality(pl.concat([pairs, failed]), QUALITY, 0.05)
    assert decision.reason == "100 of 4000 labelled pairs lack a score"


def test_pairs_of_other_models_are_pairs_of_their_own() -> None:
    pairs = named_pairs()
    both = pl.concat([pairs, pairs.with_columns(candidate=pl.lit("c"))])
    assert decide_quality(both, QUALITY, 0.05).n_requests == 2 * pairs.height


def test_quality_measures_the_paired_gain_and_says_what_it_needs() -> None:
    decision = decide_quality(make_pairs(20, gain=0.001), Quality(margin=0.001), 0.05)
    bound = decision.bounds[0]
    assert bound.gain == pytest.approx(0.001, abs=1e-12)
    assert bound.gain == pytest.approx(bound.baseline - bound.candidate, abs=1e-12)
    assert (bound.n_candidate, decision.n_requests) == (20, 4000)
    assert bound.n_needed == 35
    assert decision.reason.endswith("about 35 would decide if things go on so")


def test_quality_leaves_out_units_that_still_come_in() -> None:
    pairs = make_pairs(20)
    now = START + timedelta(days=15)
    decision = decide_quality(pairs, QUALITY, 0.05, closed_until_utc=now)
    assert decision.bounds[0].n_candidate == 15
    assert decision == decide_quality(pairs.filter(pl.col("at_utc") < now), QUALITY, 0.05)
    last = pairs.filter(pl.col("at_utc") < now)["unit"].max()
    came_later = pairs.filter(pl.col("unit") == last).head(1)
    came_later = came_later.with_columns(
        at_utc=pl.lit(now, pairs.schema["at_utc"]), label=pl.lit(None, pairs.schema["label"])
    )
    open_unit = decide_quality(pl.concat([pairs, came_later]), QUALITY, 0.05, closed_until_utc=now)
    assert open_unit.bounds[0].n_candidate == 14


def test_quality_waits_when_the_candidate_owes_scores() -> None:
    owing = pl.when(pl.int_range(pl.len()) % 50 == 0).then(float("nan")).otherwise(pl.col("score_candidate"))
    decision = decide_quality(make_pairs(20).with_columns(score_candidate=owing), QUALITY, 0.05)
    assert (decision.verdict, decision.reason) == ("hold", "80 of 4000 labelled pairs lack a score")


def test_log_loss_agrees_with_its_definition() -> None:
    pairs = make_pairs(12).with_columns(score_candidate=pl.lit(0.25))
    bound = decide_quality(pairs, Quality(metric="log_loss"), 0.05).bounds[0]
    share = pairs["label"].mean()
    assert isinstance(share, float)
    assert bound.candidate == pytest.approx(-share * np.log(0.25) - (1 - share) * np.log(0.75))


def rank_pairs(days: int, wrong_candidate: int, wrong_champion: int) -> pl.DataFrame:
    """Make days of 10 late and 10 punctual rows; so many late ones are ranked below all others, day by day one more."""

    def scores(wrong: int) -> list[float]:
        return [0.1] * wrong + [0.9] * (10 - wrong) + [0.5] * 10

    return pl.DataFrame(
        [
            {"unit": day, "at_utc": START, "score_champion": a, "score_candidate": b, "label": row < 10}
            for day in range(days)
            for row, (a, b) in enumerate(
                zip(scores(wrong_champion + day % 2), scores(wrong_candidate), strict=True)
            )
        ]
    )


def test_auc_is_judged_within_units_each_counting_once() -> None:
    quality = Quality(metric="roc_auc", margin=0.01, harm=0.05)
    better = decide_quality(rank_pairs(20, 2, 3), quality, 0.05)
    assert better.verdict == "promote"
    bound = better.bounds[0]
    assert (bound.candidate, bound.baseline, bound.gain) == pytest.approx((0.8, 0.65, 0.15))
    assert decide_quality(rank_pairs(20, 5, 2), quality, 0.05).verdict == "roll back"
    assert decide_quality(rank_pairs(9, 2, 3), quality, 0.05).verdict == "hold"
    one_kind = rank_pairs(20, 2, 3).with_columns(label=pl.col("label") & (pl.col("unit") < 15))
    assert decide_quality(one_kind, quality, 0.05).bounds[0].n_candidate == 15
    none = decide_quality(one_kind.with_columns(label=pl.lit(True)), quality, 0.05)
    assert (none.verdict, none.reason) == (
        "no data",
        "no unit of 400 scored pairs has labels of both kinds to rank",
    )


@pytest.mark.parametrize("worth", [1.0, -1.0], ids=["promotion", "roll back"])
def test_quality_is_wrong_at_most_alpha_at_the_margin_while_peeking(worth: float) -> None:
    quality = Quality(margin=0.004, harm=0.004)
    rng = np.random.default_rng(7)
    wrong = 0
    for _ in range(60):
        daily = rng.normal(-0.004, 0.004, 40)
        pairs = pl.DataFrame(
            {
                "unit": np.arange(40),
                "at_utc": [START + timedelta(days=day) for day in range(40)],
                "score_champion": np.full(40, 0.5),
                "score_candidate": np.sqrt(0.25 - daily),
                "label": np.zeros(40),
            }
        )
        said = {decide_quality(pairs.head(n), quality, 0.05).verdict for n in range(10, 41, 3)}
        wrong += ("promote" if worth > 0 else "roll back") in said
    assert wrong <= 0.05 * 60


def test_labels_other_than_0_and_1_are_refused() -> None:
    pairs = make_pairs(12).with_columns(label=pl.lit(2))
    with pytest.raises(InputError, match=r"`label` must be 0 or 1; got 2\.0 at index 0"):
        decide_quality(pairs, QUALITY, 0.05)
    with pytest.raises(InputError, match="a table of pairs must have the column `unit`"):
        decide_quality(pairs.drop("unit"), QUALITY, 0.05)


def label_log(candidate_score: float, n: int = 2500) -> pl.DataFrame:
    log = make_log(n, keys=1200).with_columns(label=pl.Series(np.random.default_rng(8).random(n) < 0.2))
    return log.with_columns(
        score=pl.when(pl.col("arm") == "candidate").then(candidate_score).otherwise(0.2),
        label_at_utc="at_utc",
    )


@pytest.mark.parametrize(
    ("score", "margin", "verdict"),
    [(0.2, 0.1, "promote"), (0.2, 0.002, "hold"), (0.9, 0.1, "roll back")],
    ids=["equal", "margin too narrow", "worse"],
)
def test_quality_in_the_arms(score: float, margin: float, verdict: str) -> None:
    quality = Quality(margin=margin, harm=0.1)
    decision = decide_arm_quality(label_log(score), quality, 0.05, candidate="b", champion="a")
    assert decision.verdict == verdict, decision.reason


def test_quality_in_the_arms_counts_a_request_sent_again_once() -> None:
    quality = Quality(margin=0.1, harm=0.1)
    log = label_log(0.2).with_columns(row=pl.lit(0, pl.Int64))
    later = log.head(50).with_columns(at_utc=pl.col("at_utc") + timedelta(days=9))
    unanswered = later.with_columns(score=pl.lit(None, pl.Float64))
    sent = pl.concat([log, *[later] * 20, unanswered])
    decision = decide_arm_quality(sent, quality, 0.05, candidate="b", champion="a")
    assert decision == decide_arm_quality(log, quality, 0.05, candidate="b", champion="a")


def test_quality_in_the_arms_refuses_what_it_cannot_bound() -> None:
    with pytest.raises(InputError, match=r"`quality\.metric` must be 'brier'"):
        decide_arm_quality(label_log(0.2), Quality(metric="log_loss"), 0.05, candidate="b", champion="a")
    unlabelled = label_log(0.2).with_columns(label=pl.lit(None, dtype=pl.Boolean))
    assert decide_arm_quality(unlabelled, QUALITY, 0.05, candidate="b", champion="a").verdict == "no data"
