"""Release a judged model. The first one is installed; a later one earns it in shadow and canary.

The order of a rollout (shadow plan, canary plan, verdict, promotion or return) and what is written down about it; how rows
get answered is in `channels`, how evidence is weighed in `rollout`.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from tidewheel.errors import InputError
from tidewheel.evidence.criteria import Judgement, Verdict
from tidewheel.evidence.gates import criteria_in_force, rollout_sha256
from tidewheel.evidence.history import data_version_of
from tidewheel.evidence.records import DataVersion, Decision, Evidence, ModelVersion, Plan
from tidewheel.evidence.store import Ledger
from tidewheel.lifecycle.channels import Channel, ChannelName
from tidewheel.lifecycle.judge import exact, judge
from tidewheel.lifecycle.server import open_channel
from tidewheel.lifecycle.waiting import STAGES_BEFORE, check_gates
from tidewheel.lifecycle.workplace import Workplace
from tidewheel.measures.measurement import Measurement
from tidewheel.operations.progress import announce
from tidewheel.predictions.log import read_log, read_pairs, recover
from tidewheel.rollout.facts import GuardRow, RequestCounts, RolloutFacts
from tidewheel.rollout.guards import GuardDecision, decide_canary, decide_quality
from tidewheel.rollout.outcomes import outcomes_from_log
from tidewheel.rollout.shadow import ShadowComparison, compare_pairs

GUARD = "rollout guard"
"""The actor of decisions that the sequential guards took."""

VERDICTS: dict[str, Verdict] = {
    "promote": "pass",
    "roll back": "fail",
    "hold": "undecided",
    "no data": "no data",
}

BOUND_VERDICTS: dict[str, Verdict] = {
    "good": "pass",
    "harmful": "fail",
    "undecided": "undecided",
    "no data": "no data",
}

LOOKS = 6
"""Parts in which canary rows are sent: after each the guards are asked, and a harmful canary ends."""


@dataclass(frozen=True)
class Tried:
    """Hold what a trial over both phases gave."""

    comparison: ShadowComparison
    shadow_passed: bool
    quality: GuardDecision | None
    canary: GuardDecision | None
    requests: RequestCounts
    ended_utc: datetime


def release(
    workplace: Workplace,
    model_id: str,
    channel: ChannelName = "http",
    now_utc: datetime | None = None,
    requests: int | None = None,
) -> RolloutFacts | None:
    """Release a model whose gates stand: install it if it is the first, else try it in shadow and canary.

    Args:
        workplace: the project.
        model_id: the model, as the ledger names it.
        channel: "http" asks the running server, "batch" the same package and routing without one.
        now_utc: event time at which the rollout begins; if None, so many days before the source's newest row as it takes.
        requests: at most so many rows, spread evenly over shadow and canary; all rows of these days if None.

    Returns:
        What the rollout showed, or None for a first model, which has nobody to be compared with.

    Raises:
        InputError: the ledger does not know the model, a gate before deployment does not stand, or the model has learned
            from the days that the rollout replays.
        ServiceError: the channel is "http" and no server that takes event times is running.
    """
    with workplace.ledger() as ledger:
        model = ledger.model_version(model_id)
        check_gates(ledger, model, criteria_in_force(workplace.settings))
        plan = ledger.plan(workplace.settings.scope.name)
        if plan is None:
            install(workplace, ledger, model, now_utc or datetime.now(UTC))
            return None
        if plan.champion == model.model_id:
            raise InputError(f"{model.name} ({model.model_id[:12]}) is the champion already")
        recover(workplace.log_uri)
        began_utc = now_utc or last_days(workplace, ledger, model)
        decided_utc = datetime.now(UTC) if now_utc is None else None
        with open_channel(channel, workplace) as way:
            return Rollout(workplace, ledger, way, plan, model, began_utc, decided_utc, requests).run()


def last_days(workplace: Workplace, ledger: Ledger, model: ModelVersion) -> datetime:
    """Say when a rollout on the wall clock begins: so that the source's last days are what it replays.

    Raises:
        InputError: the model has learned from these days.
    """
    rollout, data = workplace.settings.rollout, workplace.settings.data
    newest: datetime = workplace.source[data.event_time].max()  # type: ignore[assignment]
    began_utc = newest + timedelta(microseconds=1) - timedelta(days=rollout.shadow_days + rollout.canary_days)
    version = data_version_of(ledger, model.data_name, model.data_version)
    learned_utc = version.ends_utc - timedelta(days=data.holdout_days)
    if learned_utc > began_utc:
        raise InputError(
            f"a rollout replays the last {rollout.shadow_days + rollout.canary_days:g} days, from {began_utc:%Y-%m-%d} on, "
            f"and {model.name} has learned from rows up to {learned_utc:%Y-%m-%d}; [data].holdout_days must cover them"
        )
    return began_utc


def install(workplace: Workplace, ledger: Ledger, model: ModelVersion, now_utc: datetime) -> Plan:
    """Make a first model champion on the strength of its gates."""
    announce("deploy", f"{model.name} is the first model", at=f"{now_utc:%d %B}")
    reason = "first model; it passed the gates " + ", ".join(STAGES_BEFORE)
    return ledger.swap_plan(
        Plan(
            name=workplace.settings.scope.name,
            generation=1,
            champion=model.model_id,
            packages={model.model_id: model.package},
            digests={model.model_id: model.files_sha256},
        ),
        expected_generation=0,
        decision=Decision("deploy", model.model_id, "deploy flow", reason, now_utc),
    )


class Rollout:
    """Lead one candidate through shadow and canary; every step is a plan in the ledger before anything follows it."""

    def __init__(
        self,
        workplace: Workplace,
        ledger: Ledger,
        channel: Channel,
        plan: Plan,
        candidate: ModelVersion,
        began_utc: datetime,
        decided_utc: datetime | None,
        requests: int | None,
    ) -> None:
        self.workplace = workplace
        self.settings = workplace.settings
        self.ledger = ledger
        self.channel = channel
        # A rollout that was killed leaves its candidate in the plan: what is returned to has none.
        self.before = replace(plan, candidate=None, share_canary=0.0, share_shadow=0.0, salt="")
        self.plan = plan
        self.candidate = candidate
        self.began_utc = began_utc
        self.decided_utc = decided_utc
        self.canary_utc = began_utc + timedelta(days=self.settings.rollout.shadow_days)
        self.ended_utc = self.canary_utc + timedelta(days=self.settings.rollout.canary_days)
        self.requests = requests
        self.counts = RequestCounts()
        self.canary_requests = 0
        self.data: DataVersion = data_version_of(ledger, candidate.data_name, candidate.data_version)

    def run(self) -> RolloutFacts:
        """Try the candidate, decide, and leave a plan without a candidate behind."""
        try:
            tried = self.try_candidate()
        except BaseException:
            self.follow(replace(self.before, generation=self.plan.generation))
            raise
        decision = self.conclude(tried)
        promoted = decision.action == "promote"
        announce(decision.action, self.candidate.name, at=f"{decision.at_utc:%d %B}")
        self.follow(self.plan_after(promoted), decision)
        return self.facts(tried, decision)

    def try_candidate(self) -> Tried:
        """Answer in shadow, then in canary if the shadow gate let it; ask the guards after each part."""
        self.follow(self.plan_with(share_shadow=self.settings.rollout.share_shadow, share_canary=0.0))
        self.answer(self.rows(self.began_utc, self.canary_utc), "shadow", parts=4)
        comparison = compare_pairs(self.pairs(self.canary_utc))
        shadow_passed = self.judge_shadow(comparison)
        if not shadow_passed:
            return Tried(comparison, False, None, None, self.counts, self.canary_utc)
        self.follow(
            self.plan_with(
                share_shadow=self.settings.rollout.share_shadow,
                share_canary=self.settings.rollout.share_canary,
            )
        )
        canary = self.answer(self.rows(self.canary_utc, self.ended_utc), "canary", parts=LOOKS)
        quality = decide_quality(
            self.pairs(self.ended_utc),
            self.settings.rollout.quality,
            self.settings.rollout.alpha,
            # The last days count only once all their labels had time to come: those that come first are not like the rest.
            closed_until_utc=self.ended_utc - timedelta(days=self.settings.labels.maturity_days),
        )
        return Tried(comparison, True, quality, canary, self.counts, self.ended_utc)

    def answer(self, rows: pl.DataFrame, phase: str, *, parts: int) -> GuardDecision | None:
        """Get rows answered in parts; in the canary, stop early only when a guard calls for a roll back."""
        decision = None
        size = max(1, -(-rows.height // parts))
        for start in range(0, rows.height, size):
            announce(f"{phase} ({self.channel.name})", self.candidate.name, done=start, total=rows.height,
                     at=f"{self.began_utc:%B}")  # fmt: skip
            self.counts += self.channel.answer(rows.slice(start, size))
            if phase == "canary":
                decision = self.ask_guards()
                if decision.verdict == "roll back":
                    break
        return decision

    def ask_guards(self) -> GuardDecision:
        """Count the log of this rollout anew and let the guards decide; nothing is remembered between two looks."""
        outcomes = outcomes_from_log(
            read_log(self.workplace.log_uri, where=pl.col("generation") > self.before.generation),
            candidate=self.candidate.model_id,
            champion=self.before.champion,
            slow_ms=self.settings.scope.latency_ms,
            from_generation=self.before.generation + 1,
        )
        self.canary_requests = int(outcomes.latest.candidate.n_requests.sum())
        return decide_canary(outcomes, self.settings.rollout)

    def plan_with(self, *, share_shadow: float, share_canary: float) -> Plan:
        """Make the plan of one phase; the salt names the rollout, so that its keys are drawn afresh."""
        return replace(
            self.before,
            generation=self.plan.generation,
            candidate=self.candidate.model_id,
            share_shadow=share_shadow,
            share_canary=share_canary,
            salt=f"{self.before.generation}:{self.candidate.model_id[:16]}",
            packages={**self.before.packages, self.candidate.model_id: self.candidate.package},
            digests={**self.before.digests, self.candidate.model_id: self.candidate.files_sha256},
        )

    def plan_after(self, promoted: bool) -> Plan:
        """Make the plan that ends the rollout: the candidate as champion, or everything as before."""
        if not promoted:
            return replace(self.before, generation=self.plan.generation)
        kept = (self.before.champion, self.candidate.model_id)
        trial = self.plan_with(share_shadow=0.0, share_canary=0.0)
        return replace(
            trial,
            champion=self.candidate.model_id,
            previous=self.before.champion,
            candidate=None,
            salt="",
            packages={key: folder for key, folder in trial.packages.items() if key in kept},
            digests={key: digest for key, digest in trial.digests.items() if key in kept},
        )

    def follow(self, plan: Plan, decision: Decision | None = None) -> None:
        """Put a plan into the ledger, with the decision that it carries out, then make the channel follow it."""
        self.plan = self.ledger.swap_plan(plan, expected_generation=self.plan.generation, decision=decision)
        self.channel.apply(self.plan)

    def rows(self, from_utc: datetime, until_utc: datetime) -> pl.DataFrame:
        """Give the rows whose event time lies in a phase, thinned evenly to the number of requests asked for."""
        event_time = pl.col(self.settings.data.event_time)
        rows = self.workplace.source.filter(event_time >= from_utc, event_time < until_utc)
        rows = rows.sort(self.settings.data.event_time, self.settings.data.row_id)
        days = self.settings.rollout.shadow_days + self.settings.rollout.canary_days
        if self.requests is None:
            return rows
        wanted = round(self.requests * (until_utc - from_utc) / timedelta(days=days))
        places = np.linspace(0, rows.height - 1, min(max(1, wanted), rows.height)).astype(np.int64)
        return rows[places] if rows.height else rows

    def pairs(self, now_utc: datetime) -> pl.DataFrame:
        """Give the shadow pairs of this rollout, with the labels that are known at `now_utc`."""
        data, labels = self.settings.data, self.settings.labels
        unit = data.unit or data.row_id
        known = self.workplace.known_rows(now_utc).select(
            pl.col(data.row_id).alias("request_id"),
            pl.col(unit).alias("unit"),
            pl.col(labels.column).alias("label"),
        )
        pairs = read_pairs(
            self.workplace.log_uri,
            where=(pl.col("generation") > self.before.generation)
            & (pl.col("candidate") == self.candidate.model_id),
        )
        return pairs.join(known, on="request_id", how="left")

    def judge_shadow(self, comparison: ShadowComparison) -> bool:
        """Judge what the pairs show without labels, at the gate `shadow`."""
        n, n_units = comparison.pairs, max(1, self.settings.rollout.shadow_days)
        measurements = [
            exact("pairs", n, n_rows=n, n_units=n_units),
            exact("agreement", comparison.agreement, n_rows=n, n_units=n_units),
        ]
        judged = judge(
            self.workplace,
            self.ledger,
            "shadow",
            self.candidate.model_id,
            measurements,
            self.data,
            self.canary_utc,
        )
        return judged.verdict == "pass"

    def conclude(self, tried: Tried) -> Decision:
        """Record the evidence of the canary and decide; promote only if harm and quality both allow it."""
        if not tried.shadow_passed:
            return self.decide("refuse", "the gate `shadow` did not pass", (), tried.ended_utc)
        if tried.canary is None or tried.quality is None:
            days = f"{self.canary_utc:%Y-%m-%d} to {self.ended_utc:%Y-%m-%d}"
            return self.decide("refuse", f"no row was there for the canary, from {days}", (), tried.ended_utc)
        sequences = (
            self.record_guard("canary", tried.canary, tried.ended_utc),
            self.record_guard("quality", tried.quality, tried.ended_utc),
        )
        harm, quality = tried.canary, tried.quality
        reason = f"harm: {harm.verdict} ({harm.reason}); quality: {quality.verdict} ({quality.reason})"
        promoted = tried.canary.verdict == tried.quality.verdict == "promote"
        return self.decide("promote" if promoted else "refuse", reason, sequences, tried.ended_utc)

    def decide(self, action: str, reason: str, evidence: tuple[int, ...], at_utc: datetime) -> Decision:
        """Make the decision about the candidate; on the wall clock it holds from now on, not from the replayed days on."""
        return Decision(action, self.candidate.model_id, GUARD, reason, self.decided_utc or at_utc, evidence)

    def record_guard(self, stage: str, decision: GuardDecision, at_utc: datetime) -> int:
        """Append a guard's bounds as evidence, bound to the rollout's settings as its criteria."""
        is_claim_better = stage == "quality" and self.settings.rollout.quality.claim == "better"
        judgements = tuple(
            Judgement(
                metric=f"{bound.metric} gain",
                comparison=">" if is_claim_better else ">=",
                threshold=0.0 if is_claim_better else -bound.margin,
                relative_to="champion",
                measurement=Measurement(
                    f"{bound.metric} gain",
                    bound.gain,
                    bound.lower,
                    bound.upper,
                    1 - self.settings.rollout.alpha,
                    decision.n_requests,
                    bound.n_candidate,
                    "champion",
                ),
                verdict=BOUND_VERDICTS[bound.verdict],
                reason=decision.reason,
            )
            for bound in decision.bounds
        )
        evidence = Evidence(
            stage=stage,
            subject=self.candidate.model_id,
            criteria_sha256=rollout_sha256(self.settings),
            judgements=judgements,
            verdict=VERDICTS[decision.verdict],
            data_name=self.data.name,
            data_version=self.data.delta_version,
            data_sha256=self.data.content_sha256,
            at_utc=at_utc,
        )
        return self.ledger.append(evidence)

    def facts(self, tried: Tried, decision: Decision) -> RolloutFacts:
        """Sum up the rollout."""
        guards = tuple(
            GuardRow(bound.metric, bound.gain, bound.lower, bound.upper, bound.margin)
            for found in (tried.canary, tried.quality)
            if found is not None
            for bound in found.bounds
        )
        return RolloutFacts(
            candidate=self.candidate.model_id,
            champion=self.before.champion,
            name=self.candidate.name,
            channel=self.channel.name,
            began_utc=self.began_utc,
            ended_utc=tried.ended_utc,
            verdict=decision.action,
            reason=decision.reason,
            pairs=tried.comparison.pairs,
            agreement=tried.comparison.agreement,
            canary_requests=self.canary_requests,
            canary_verdict=tried.canary.verdict if tried.canary else "no data",
            guards=guards,
            requests=tried.requests,
        )
