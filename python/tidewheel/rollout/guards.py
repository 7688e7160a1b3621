"""Decide whether a candidate is promoted, rolled back or held, from what was counted so far.

What belongs here: the verdicts with their reasons. What does not: counting a log by arm and key
(`rollout.outcomes`), the bounds themselves (`rollout.rates`), acting on a verdict (the flows).

`decide_canary` judges harm (errors, slowness, non-finite answers) in the arms of a canary, `decide_quality`
the loss on shadow pairs whose labels are due, `decide_arm_quality` the loss in the arms themselves, where the
labels that come depend on the answers. Every difference is called a gain and is signed so that up is good:
gain = baseline - candidate for rates and losses, candidate - baseline for AUC. A promotion that should not
have been has a chance of at most alpha over the whole rollout: every guard has to pass, so each may spend all
of it. A roll back that should not have been likewise: any guard may call it, so they share.
"""

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import numpy as np
import polars as pl

from tidewheel.errors import InputError
from tidewheel.measures.metrics import roc_auc
from tidewheel.predictions.retries import PAIR_WITHIN, keep_worst
from tidewheel.project.settings import Guard, Quality, Rollout
from tidewheel.rollout.outcomes import CanaryOutcomes, check_columns
from tidewheel.rollout.rates import (
    Values,
    difference_bounds,
    look_alpha,
    look_sizes,
    ratio_bounds,
    sample_ratio_pvalue,
    units_needed,
)

GuardVerdict = Literal["promote", "roll back", "hold", "no data"]

SAMPLE_RATIO_ALPHA = 0.01
"""Chance of voiding a sound rollout: it costs a look by a person, so it may be rarer than a wrong verdict."""

UNSCORED_SHARE_MAX = 0.01
"""Labelled pairs that lack a score are left out; a candidate may owe its loss to more of them than this."""

_ROUNDING = 1e-9
_LOG_LOSS_FLOOR = 1e-12


@dataclass(frozen=True, slots=True)
class GuardBound:
    """Hold one guard's numbers: means of both arms, the gain with its bounds, and what they were held against.

    `lower` is what a promotion may rely on, `upper` what a roll back may. `n_needed` estimates how many keys
    of each arm (or units) a promotion needs in all if things go on as they went; None where that cannot be
    told or is no use.
    """

    metric: str
    candidate: float
    baseline: float
    gain: float
    lower: float
    upper: float
    margin: float
    harm: float
    n_candidate: int
    n_baseline: int
    verdict: Literal["good", "harmful", "undecided", "no data"]
    n_needed: int | None = None


@dataclass(frozen=True, slots=True)
class GuardDecision:
    """Hold a verdict, its reason in one sentence, and the numbers behind it.

    `is_void` says that the split is not the planned one, so that nothing else may be believed.
    """

    verdict: GuardVerdict
    reason: str
    bounds: tuple[GuardBound, ...] = ()
    n_requests: int = 0
    is_void: bool = False


def decide_canary(outcomes: CanaryOutcomes, rollout: Rollout) -> GuardDecision:
    """Judge a canary by its guards: promote, roll back, hold, or no data.

    Args:
        outcomes: Looks of both arms.
        rollout: `guards` with margin and harm, `alpha`, `keys_min`.

    Returns:
        "no data" while an arm has no request; "hold" and void if the arms' keys are not split evenly; "roll
        back" if at any look some guard's upper bound of the gain is below -harm; "promote" if at the last
        look, and also with all requests since, every guard's lower bound is at -margin or above and each arm
        has `keys_min` keys; "hold" otherwise. Time alone never promotes.
    """
    latest = outcomes.latest
    n_candidate, n_baseline = latest.candidate.n_keys, latest.baseline.n_keys
    if n_candidate == 0 or n_baseline == 0:
        empty = "candidate" if n_candidate == 0 else "baseline"
        return GuardDecision("no data", f"no request has come to the {empty} arm", (), latest.n_requests)
    if not rollout.guards:
        return GuardDecision("hold", "the rollout names no guard, so nothing can pass", (), latest.n_requests)
    bounds = tuple(_guard_bound(guard, outcomes, rollout) for guard in rollout.guards)
    looks = (*outcomes.looks, latest)
    split = min(sample_ratio_pvalue(look.candidate.n_keys, look.baseline.n_keys) for look in looks)
    if split <= SAMPLE_RATIO_ALPHA:
        reason = (
            f"void: {n_candidate} candidate and {n_baseline} baseline keys are not an even split (p = {split:.2g}), "
            "so requests were lost or routed wrongly and no other number may be believed"
        )
        return GuardDecision("hold", reason, bounds, latest.n_requests, is_void=True)
    return _weigh(bounds, min(n_candidate, n_baseline), rollout.keys_min, "keys an arm", latest.n_requests)


def _guard_bound(guard: Guard, outcomes: CanaryOutcomes, rollout: Rollout) -> GuardBound:
    """Bound one guard: from below by the last look and all requests since, from above by every look."""
    latest = outcomes.latest
    candidate, baseline = latest.candidate.shares(guard.metric), latest.baseline.shares(guard.metric)
    lower, upper = -1.0, 1.0
    for index, look in enumerate(outcomes.looks):
        lower, bound = _gain_bounds(
            look.candidate.shares(guard.metric),
            look.baseline.shares(guard.metric),
            look_alpha(index, rollout.alpha),
            look_alpha(index, rollout.alpha / len(rollout.guards)),
        )
        upper = min(upper, bound)
    if outcomes.looks:
        # All requests since the look may take a promotion back, never give one: no alpha is spent on them.
        alpha = look_alpha(len(outcomes.looks) - 1, rollout.alpha)
        lower = min(lower, _gain_bounds(candidate, baseline, alpha, alpha)[0])
    return _bound(guard.metric, candidate, baseline, (lower, upper), guard.margin, guard.harm, rollout.alpha)


def _gain_bounds(
    candidate: Values, baseline: Values, alpha_lower: float, alpha_upper: float
) -> tuple[float, float]:
    lowest, highest = difference_bounds(candidate, baseline, alpha_upper, alpha_lower)
    return -highest, -lowest


def _bound(
    metric: str,
    candidate: Values,
    baseline: Values,
    bounds: tuple[float, float],
    margin: float,
    harm: float,
    alpha: float,
) -> GuardBound:
    """Put the numbers of two independent arms into a record, with its own verdict."""
    lower, upper = bounds
    n_candidate, n_baseline = candidate.size, baseline.size
    if n_candidate == 0 or n_baseline == 0:
        return GuardBound(
            metric, math.nan, math.nan, math.nan, -1.0, 1.0, margin, harm, n_candidate, n_baseline, "no data"
        )
    means = float(candidate.mean()), float(baseline.mean())
    verdict = _verdict_of(lower, upper, margin, harm)
    needed = (
        None if verdict != "undecided" else _keys_needed(candidate, baseline, margin, look_alpha(0, alpha))
    )
    return GuardBound(
        metric,
        *means,
        means[1] - means[0],
        lower,
        upper,
        margin,
        harm,
        n_candidate,
        n_baseline,
        verdict,
        needed,
    )


def _verdict_of(
    lower: float, upper: float, margin: float, harm: float, claim: str = "non-inferior"
) -> Literal["good", "harmful", "undecided"]:
    if upper < -harm - _ROUNDING:
        return "harmful"
    is_good = lower >= -margin - _ROUNDING if claim == "non-inferior" else lower > _ROUNDING
    return "good" if is_good else "undecided"


def _keys_needed(
    candidate: Values, baseline: Values, margin: float, alpha: float, most: int = 20_000
) -> int | None:
    """Estimate the keys an arm at which the bound would pass, were later keys like those so far."""

    def passes(n: int) -> bool:
        return _gain_bounds(_stretched(candidate, n), _stretched(baseline, n), alpha, alpha)[0] >= -margin

    refused, enough = min(candidate.size, baseline.size), most
    if not passes(enough):
        return None
    while enough - refused > 1:
        middle = (refused + enough) // 2
        refused, enough = (refused, middle) if passes(middle) else (middle, enough)
    return enough


def _stretched(values: Values, n: int) -> Values:
    """Make a sample of `n` values with the shares of `values`."""
    return np.sort(values)[(np.arange(n) * values.size) // n]


def _weigh(bounds: tuple[GuardBound, ...], n: int, n_min: int, unit: str, n_requests: int) -> GuardDecision:
    """Turn the bounds of all guards into one verdict; harm wins over everything else."""
    harmful = [bound for bound in bounds if bound.verdict == "harmful"]
    if harmful:
        reason = "; ".join(
            f"{bound.metric}: the gain is at most {bound.upper:.4g}, worse than the harm allowed, {-bound.harm:g}"
            for bound in harmful
        )
        return GuardDecision("roll back", reason, bounds, n_requests)
    if n < n_min:
        return GuardDecision("hold", f"{n} {unit} so far, {n_min} are required", bounds, n_requests)
    open_questions = [bound for bound in bounds if bound.verdict != "good"]
    if open_questions:
        return GuardDecision("hold", "; ".join(map(_open_question, open_questions)), bounds, n_requests)
    reason = "; ".join(f"{bound.metric}: the gain is at least {bound.lower:.4g}" for bound in bounds)
    return GuardDecision("promote", reason, bounds, n_requests)


def _open_question(bound: GuardBound) -> str:
    if bound.verdict == "no data":
        return f"{bound.metric}: nothing to count in one arm or both"
    needed = "" if bound.n_needed is None else f"; about {bound.n_needed} would decide if things go on so"
    return (
        f"{bound.metric}: the gain lies in [{bound.lower:.4g}, {bound.upper:.4g}], "
        f"which does not clear {-bound.margin:g} with {min(bound.n_candidate, bound.n_baseline)}{needed}"
    )


def decide_quality(
    pairs: pl.DataFrame, quality: Quality, alpha: float, *, closed_until_utc: datetime | None = None
) -> GuardDecision:
    """Judge the candidate's loss against the champion's on the same requests, once their labels are there.

    For each pair the gain is loss(champion) - loss(candidate), with loss (score - label)^2 for "brier" and
    -log(score of what happened) for "log_loss"; for "roc_auc" it is AUC(candidate) - AUC(champion) within each
    unit, and each unit with labels of both kinds counts once. What a caller sent again is one pair of the same two
    models, the worst one (`predictions.retries`). The mean gain is bounded over independent units by
    `rates.ratio_bounds`, at every number of units together. Where the share of positives differs much from unit to
    unit, the Brier gain swings with it and "roc_auc" needs far fewer units.

    Args:
        pairs: Columns unit, at_utc, score_champion, score_candidate, label (bool or 0/1; null while not due), and those that
            name a pair as far as they are there: request_id, row, champion, candidate.
        quality: Metric, margin, harm, `units_min` (the burn-in before any verdict) and claim.
        alpha: Chance of a wrong promotion ever, and of a wrong roll back ever.
        closed_until_utc: Units with a pair at or after this time still come in and are left out; None counts all.

    Returns:
        "no data" without a labelled pair; "roll back" if the upper bound is below -harm; "promote" if the lower
        bound is at -margin or above (claim "non-inferior") or above 0 ("better"); else "hold", with the units
        needed in all.

    Raises:
        InputError: A column is missing, or a label is neither 0 nor 1.
    """
    check_columns(pairs, ["unit", "at_utc", "score_champion", "score_candidate", "label"], "a table of pairs")
    closed = pairs = keep_worst(pairs, PAIR_WITHIN)
    if closed_until_utc is not None:
        closed = pairs.filter(pl.col("at_utc").max().over("unit") < closed_until_utc)
    labelled = closed.filter(pl.col("label").is_not_null())
    if labelled.height == 0:
        return GuardDecision("no data", f"none of {pairs.height} pairs has a label that is due")
    scores = [pl.col(name).cast(pl.Float64) for name in ("score_champion", "score_candidate")]
    scored = labelled.filter(*(score.is_finite().fill_null(False) for score in scores))
    if labelled.height - scored.height > UNSCORED_SHARE_MAX * labelled.height:
        reason = f"{labelled.height - scored.height} of {labelled.height} labelled pairs lack a score"
        return GuardDecision("hold", reason, (), labelled.height)
    units = _unit_sums(scored, quality.metric)
    if units.height == 0:
        reason = f"no unit of {scored.height} scored pairs has labels of both kinds to rank"
        return GuardDecision("no data", reason, (), scored.height)
    bound = _quality_bound(units, quality, alpha)
    return _weigh((bound,), units.height, quality.units_min, "units", scored.height)


def _unit_sums(scored: pl.DataFrame, metric: str) -> pl.DataFrame:
    """Give each unit's sum of the metric for both models, and how many values the sum has; a unit has one AUC."""
    labels = _labels(scored["label"])
    if metric == "roc_auc":
        ranked = scored.with_columns(label=pl.Series(labels)).filter(
            pl.col("label").min().over("unit") < pl.col("label").max().over("unit")
        )
        return pl.DataFrame(
            [
                {
                    "champion": roc_auc(unit["label"].to_numpy(), unit["score_champion"].to_numpy()),
                    "candidate": roc_auc(unit["label"].to_numpy(), unit["score_candidate"].to_numpy()),
                    "size": 1.0,
                }
                for _, unit in ranked.sort("unit").group_by("unit", maintain_order=True)
            ]
        )
    champion, candidate = (
        _losses(scored[f"score_{name}"], labels, metric) for name in ("champion", "candidate")
    )
    return (
        scored.select("unit", champion=champion, candidate=candidate)
        .group_by("unit", maintain_order=True)
        .agg(pl.col("champion", "candidate").sum(), size=pl.len().cast(pl.Float64))
        .sort("unit")
    )


def _quality_bound(units: pl.DataFrame, quality: Quality, alpha: float) -> GuardBound:
    sizes = units["size"].to_numpy()
    champion, candidate = units["champion"].to_numpy(), units["candidate"].to_numpy()
    gains = candidate - champion if quality.metric == "roc_auc" else champion - candidate
    gain, lower, upper = ratio_bounds(gains, sizes, alpha)
    verdict: Literal["good", "harmful", "undecided"] = "undecided"
    if units.height >= quality.units_min:
        verdict = _verdict_of(lower, upper, quality.margin, quality.harm, quality.claim)
    needed = None
    if verdict == "undecided" and units.height > 1:
        spread = float((gains - gain * sizes).std(ddof=1) / sizes.mean())
        goal = -quality.margin if quality.claim == "non-inferior" else 0.0
        needed = units_needed(gain - goal, spread, alpha)
        needed = None if needed is None else max(needed, quality.units_min)
    means = float(candidate.sum() / sizes.sum()), float(champion.sum() / sizes.sum())
    return GuardBound(
        quality.metric,
        *means,
        gain,
        lower,
        upper,
        quality.margin,
        quality.harm,
        units.height,
        units.height,
        verdict,
        needed,
    )


def decide_arm_quality(
    log: pl.DataFrame,
    quality: Quality,
    alpha: float,
    *,
    candidate: str,
    champion: str,
    from_generation: int = 0,
) -> GuardDecision:
    """Judge the loss of what each arm answered, by keys, for labels that depend on the answer (or as a check).

    Far weaker than pairs: the keys differ between the arms. The unit is the key, which the hash drew. What a caller
    sent again counts once in each arm, by its worst send (`predictions.retries`) among those that have a score.

    Args:
        log: As for `outcomes_from_log`, with a column label (null while not due), and label_at_utc, if it is
            known, to order the rows.
        quality: As for `decide_quality`; only "brier", whose values lie in [0, 1]; `units_min` keys an arm.
        alpha: As for `decide_quality`.
        candidate: Model of the candidate arm.
        champion: Model of the baseline arm.
        from_generation: Generation of the plan with which this rollout began.

    Returns:
        As `decide_quality`.

    Raises:
        InputError: A column is missing, a label is neither 0 nor 1, a score outside [0, 1], or the metric is not
            "brier".
    """
    if quality.metric != "brier":
        raise InputError(
            f"`quality.metric` must be 'brier', whose values lie in [0, 1]; got {quality.metric!r}"
        )
    order = "label_at_utc" if "label_at_utc" in log.columns else "at_utc"
    needed = ["key", "arm", "assigned_model", "score", "generation", "label", "request_id", order]
    check_columns(log, needed, "a labelled log")
    rows = log.filter(
        pl.col("generation") >= from_generation,
        ((pl.col("arm") == "candidate") & (pl.col("assigned_model") == candidate))
        | ((pl.col("arm") == "baseline") & (pl.col("assigned_model") == champion)),
        pl.col("label").is_not_null(),
        pl.col("score").cast(pl.Float64).is_finite().fill_null(False),
    )
    rows = keep_worst(rows, ["arm"]).sort(order, "request_id")
    rows = rows.select("arm", "key", loss=_losses(rows["score"], _labels(rows["label"]), "brier"))
    arms = _key_losses(rows)
    if min(arm.size for arm in arms) == 0:
        return GuardDecision("no data", "no label is due in one arm or both", (), rows.height)
    lower, upper = -1.0, 1.0
    for index, size in enumerate(look_sizes(rows.height)):
        spent = look_alpha(index, alpha)
        lower, bound = _gain_bounds(*_key_losses(rows.head(size)), spent, spent)
        upper = min(upper, bound)
    bound_record = _bound(quality.metric, *arms, (lower, upper), quality.margin, quality.harm, alpha)
    return _weigh(
        (bound_record,), min(arm.size for arm in arms), quality.units_min, "keys an arm", rows.height
    )


def _key_losses(rows: pl.DataFrame) -> tuple[Values, Values]:
    means = rows.group_by("arm", "key").agg(pl.col("loss").mean()).sort("key")
    candidate, baseline = (means.filter(pl.col("arm") == arm)["loss"] for arm in ("candidate", "baseline"))
    return candidate.to_numpy(), baseline.to_numpy()


def _losses(scores: pl.Series, labels: Values, metric: str) -> Values:
    values = scores.cast(pl.Float64).to_numpy()
    if metric == "brier":
        return (values - labels) ** 2
    happened = np.where(labels == 1.0, values, 1.0 - values)
    loss: Values = -np.log(np.clip(happened, _LOG_LOSS_FLOOR, 1.0))
    return loss


def _labels(labels: pl.Series) -> Values:
    values = labels.cast(pl.Float64).to_numpy()
    wrong = np.flatnonzero((values != 0.0) & (values != 1.0))
    if wrong.size:
        raise InputError(f"`label` must be 0 or 1; got {values[wrong[0]]} at index {wrong[0]}")
    return values
