"""Rehearse: let the loop live through a year of logged traffic, on an event clock.

Every stage is the one that runs in production, called with the event time it would have run at. Nothing looks ahead: a data
version holds what was known by then, a month is judged once its labels are mature, and a model answers only from its
promotion on. What it amounts to is a `Story`, which the report and `tidewheel demo` show.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl

from tidewheel.errors import InputError, IntegrityError
from tidewheel.evidence.history import Reign, reign_at, reigns
from tidewheel.evidence.records import ModelVersion
from tidewheel.lifecycle.channels import BatchChannel, ChannelName, champion_plan
from tidewheel.lifecycle.host import ALONE, Host
from tidewheel.lifecycle.ingest import ingest
from tidewheel.lifecycle.release import release
from tidewheel.lifecycle.retrain import retrain
from tidewheel.lifecycle.scorecard import Scorecard, Scorer, score_year
from tidewheel.lifecycle.story import MONTHS, StageRun, Story
from tidewheel.lifecycle.train import Offer, train
from tidewheel.lifecycle.watch import watch
from tidewheel.lifecycle.workplace import Workplace
from tidewheel.model.packaging import load_package
from tidewheel.monitoring.windows import Window, month_of
from tidewheel.operations.progress import announce
from tidewheel.predictions.log import read_log
from tidewheel.rollout.facts import RolloutFacts

SCORE_TOLERANCE = 1e-6
"""Scores are logged as decimal text; anything beyond rounding is another model or another row."""


@dataclass
class Rehearsal:
    """Keep the diary of one rehearsal: stages with their times, and rollouts."""

    workplace: Workplace
    requests: int | None
    host: Host
    stages: list[StageRun] = field(default_factory=list)
    rollouts: list[RolloutFacts] = field(default_factory=list)

    @contextmanager
    def stage(self, name: str) -> Iterator[list[str]]:
        """Time a stage; what the block puts into the list is its outcome."""
        outcome: list[str] = []
        began = time.monotonic()
        yield outcome
        self.stages.append(StageRun(name, "; ".join(outcome) or "done", round(time.monotonic() - began, 2)))

    def train(self, names: list[str], at_utc: datetime, delta_version: int) -> list[Offer]:
        """Train and judge candidates at an event time."""
        with self.stage(f"train {', '.join(names)}") as outcome:
            offers = train(
                self.workplace, at_utc, delta_version=delta_version, candidates=names, host=self.host
            )
            outcome.extend(f"{offer.name}: {offer.verdict} at gate {offer.gate}" for offer in offers)
        return offers

    def release(self, offer: Offer, channel: ChannelName, at_utc: datetime) -> RolloutFacts | None:
        """Release a candidate; over HTTP only as many requests as were asked for are sent."""
        with self.stage(f"deploy {offer.name} ({channel})") as outcome:
            requests = self.requests if channel == "http" else None
            step = partial(release, self.workplace, offer.model_id, channel, at_utc, requests)
            facts = self.host.run("release a model", step)
            outcome.append(facts.verdict if facts else "deploy")
        if facts is not None:
            self.rollouts.append(facts)
        return facts


def rehearse(
    workplace: Workplace,
    first_utc: datetime,
    last_utc: datetime,
    requests: int | None = None,
    host: Host = ALONE,
) -> Story:
    """Live through the months from `first_utc` to `last_utc`, and tell what came of it.

    The first model is the simple one; the candidate that the loop retrains is then rolled out over HTTP, every other
    candidate of the project file is offered to the gates once. At the end of each month the loop looks, and retrains
    where its findings say so; the first retrained candidate goes over HTTP too, later ones through the batch channel.

    Args:
        workplace: the project.
        first_utc: event time of the first deployment; rows before it are what the first models learn from.
        last_utc: event time at which the last month ends.
        requests: at most so many requests over HTTP in each of the two rollouts; all rows of their days if None.
        host: who runs the steps.
    """
    began = time.monotonic()
    diary = Rehearsal(workplace, requests, host)
    static = begin(diary, first_utc)
    channel: ChannelName = "http"
    for month in months_between(first_utc, last_utc, workplace.settings.data.time_zone):
        name = MONTHS[month.month - 1]
        with diary.stage(f"serve {name}") as outcome:
            outcome.append(f"{serve_rest(workplace, month, first_utc):,} answers in batch")
        matured_utc = month.ends_utc + timedelta(days=workplace.settings.labels.maturity_days)
        with diary.stage(f"monitor {name}") as outcome:
            found = host.run("look at the log", partial(watch, workplace, matured_utc, host))
            outcome.extend(finding.kind for finding in found if finding.verdict != "stable")
        if month.ends_utc >= last_utc:
            break
        with diary.stage(f"retrain after {name}") as outcome:
            offer = retrain(workplace, matured_utc, host)
            outcome.append(
                "nothing to do" if offer is None else f"{offer.name}: {offer.verdict} at gate {offer.gate}"
            )
        if offer is not None and offer.passed:
            diary.release(offer, channel, matured_utc)
            channel = "batch"
    return tell(diary, static, first_utc, last_utc, time.monotonic() - began)


def begin(diary: Rehearsal, first_utc: datetime) -> datetime:
    """Deploy the simple model, roll out the one that is to be retrained, offer the rest to the gates.

    Raises:
        InputError: the simple model did not pass its gates.

    Returns:
        The event time from which the frozen model of the comparison is taken: the first of the month after.
    """
    model = diary.workplace.settings.model
    simple = diary.workplace.settings.baselines.simple
    with diary.stage("data") as outcome:
        delta_version = diary.host.run("keep a data version", partial(ingest, diary.workplace, first_utc))
        outcome.append(f"version {delta_version}")
    (offer,) = diary.train([simple], first_utc, delta_version)
    if not offer.passed:
        raise InputError(
            f"no model answers: {offer.name}: {offer.verdict} at gate {offer.gate} ({offer.reason})"
        )
    diary.release(offer, "http", first_utc)
    others = [
        candidate.name for candidate in model.candidates if candidate.name not in (simple, model.retrained)
    ]
    for offer in diary.train([model.retrained, *others], first_utc, delta_version):
        if offer.passed:
            diary.release(offer, "http", first_utc)
    return month_of(first_utc, time_zone=diary.workplace.settings.data.time_zone).ends_utc


def serve_rest(workplace: Workplace, month: Window, first_utc: datetime) -> int:
    """Answer the rows of a month that no rollout answered, each by the champion of its event time; say how many."""
    settings = workplace.settings
    event_time, row_id = settings.data.event_time, settings.data.row_id
    rows = workplace.source.filter(
        pl.col(event_time) >= max(month.starts_utc, first_utc), pl.col(event_time) < month.ends_utc
    )
    answered = read_log(workplace.log_uri, columns=["request_id"]).rename({"request_id": row_id})
    rows = rows.join(answered, on=row_id, how="anti")
    announce("serve", f"{rows.height:,} rows in batch", at=MONTHS[month.month - 1])
    with workplace.ledger() as ledger:
        history = reigns(ledger)
        channel = BatchChannel(workplace)
        for reign, until_utc in zip(history, [*(later.from_utc for later in history[1:]), None], strict=True):
            mine = rows.filter(pl.col(event_time) >= reign.from_utc)
            if until_utc is not None:
                mine = mine.filter(pl.col(event_time) < until_utc)
            channel.apply(champion_plan(settings.scope.name, ledger.model_version(reign.model_id)))
            channel.answer(mine)
    return rows.height


def tell(
    diary: Rehearsal, static_utc: datetime, first_utc: datetime, last_utc: datetime, seconds: float
) -> Story:
    """Score the year by who answered when, and put everything that was recorded into a story."""
    workplace = diary.workplace
    with workplace.ledger() as ledger:
        ledger.verify()
        history = reigns(ledger)
        with diary.stage("score the year"):
            card = score(workplace, history, static_utc, first_utc, last_utc)
        return Story(
            project=workplace.settings.scope.name,
            card=card,
            stages=tuple(diary.stages),
            rollouts=tuple(diary.rollouts),
            findings=tuple(ledger.findings()),
            decisions=tuple(sorted(ledger.decisions(), key=lambda decision: decision.at_utc)),
            evidence=tuple(ledger.evidence()),
            names={model.model_id: model.name for model in ledger.model_versions()},
            seconds_start_up=0.0,
            seconds_work=seconds,
        )


def score(
    workplace: Workplace, history: list[Reign], static_utc: datetime, first_utc: datetime, last_utc: datetime
) -> Scorecard:
    """Compare the loop with the model that was in force at `static_utc`, on every labelled row of the year."""
    settings = workplace.settings
    rows = workplace.known_rows(datetime.max.replace(tzinfo=UTC)).filter(
        pl.col(settings.data.event_time) >= first_utc,
        pl.col(settings.data.event_time) < last_utc,
        pl.col(settings.labels.column).is_not_null(),
    )
    with workplace.ledger() as ledger:
        scorers = {reign.model_id: scorer_of(ledger.model_version(reign.model_id)) for reign in history}
    check_log(workplace.log_uri, settings.data.row_id, rows, history, scorers)
    return score_year(
        rows,
        history,
        reign_at(history, static_utc),
        scorers,
        settings,
        gain_from_month=month_of(static_utc, time_zone=settings.data.time_zone).month,
        draws=settings.model.bootstrap_draws,
        seed=settings.model.seed,
    )


def months_between(first_utc: datetime, last_utc: datetime, time_zone: str) -> Iterator[Window]:
    """Give the calendar months from that of `first_utc` to before `last_utc`."""
    month = month_of(first_utc, time_zone=time_zone)
    while month.starts_utc < last_utc:
        yield month
        month = month_of(month.ends_utc, time_zone=time_zone)


def scorer_of(model: ModelVersion) -> Scorer:
    """Load a model for scoring rows."""
    return load_package(Path(model.package), model.files_sha256).scores


def check_log(
    log_uri: str, row_id: str, rows: pl.DataFrame, history: list[Reign], scorers: dict[str, Scorer]
) -> None:
    """Hold what the log says against the packages: an answer of a model must be that model's score.

    Raises:
        IntegrityError: a logged score is not what its model gives for the row.
    """
    log = read_log(log_uri, columns=["request_id", "model_version", "score"]).rename({"request_id": row_id})
    joined = rows.join(log, on=row_id, how="inner")
    for reign in history:
        mine = joined.filter(pl.col("model_version") == reign.model_id)
        if mine.is_empty():
            continue
        apart = np.abs(scorers[reign.model_id](mine) - mine["score"].to_numpy())
        if apart.max() > SCORE_TOLERANCE:
            worst = mine[row_id][int(apart.argmax())]
            raise IntegrityError(
                f"the log's score of {worst} differs by {apart.max():.2g} from what {reign.name} gives"
            )
