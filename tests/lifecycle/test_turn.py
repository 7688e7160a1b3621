"""Turns of the loop without Prefect: what a turn does when the past is awkward."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import polars as pl
import pytest

from small_project import PROJECT, read_rows
from tidewheel.data.sources import read_source
from tidewheel.errors import InputError, InputTypeError, UnknownNameError
from tidewheel.evidence.gates import criteria_of
from tidewheel.evidence.history import champion_of
from tidewheel.evidence.records import Finding
from tidewheel.flows.host import show_rows
from tidewheel.lifecycle.ingest import ingest
from tidewheel.lifecycle.rehearse import serve_rest
from tidewheel.lifecycle.release import release
from tidewheel.lifecycle.retrain import retrain
from tidewheel.lifecycle.train import train
from tidewheel.lifecycle.turn import turn
from tidewheel.lifecycle.waiting import undecided_offer
from tidewheel.lifecycle.watch import watch
from tidewheel.lifecycle.workplace import Workplace
from tidewheel.monitoring.windows import month_of
from tidewheel.predictions.log import append_batch, read_log

APRIL_UTC = datetime(2021, 4, 1, tzinfo=UTC)
MAY_UTC = datetime(2021, 5, 1, tzinfo=UTC)
FINDING = Finding(
    finding_id="f" * 64,
    kind="performance",
    model_id="m" * 64,
    starts_utc=datetime(2021, 6, 30, 15, tzinfo=UTC),
    ends_utc=datetime(2021, 7, 31, 15, tzinfo=UTC),
    at_utc=datetime(2021, 8, 10, tzinfo=UTC),
    verdict="degraded",
    columns=(),
    measurements=(),
    action="retrain",
    reason="worse",
)
GATE = """
[[gates.{stage}.criteria]]
metric = "roc_auc"
comparison = ">="
threshold = {threshold}
"""


def write(folder: Path, text: str) -> Workplace:
    (folder / "tidewheel.toml").write_text(text, encoding="utf-8")
    return Workplace.open(folder)


def change(folder: Path, old: str, new: str) -> Workplace:
    text = (folder / "tidewheel.toml").read_text(encoding="utf-8")
    assert old in text
    return write(folder, text.replace(old, new))


def with_source(folder: Path, body: str) -> Workplace:
    """Name a source of one's own, in a module that no other test has."""
    module = f"source_{abs(hash(str(folder)))}"
    (folder / f"{module}.py").write_text(body, encoding="utf-8")
    return change(folder, "small_project:read_rows", f"{module}:read_rows")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tidewheel.toml").write_text(PROJECT, encoding="utf-8")
    return tmp_path


def test_a_turn_needs_no_prefect(folder: Path) -> None:
    first = turn(Workplace.open(folder), APRIL_UTC)
    assert first.steps[-1] == "deploy: simple is the first model"


def test_an_environment_that_the_file_lacks_is_named(folder: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"environment 'prod' must be one of those in .*: local"):
        Workplace.open(folder, "prod")
    assert not (folder / "state").exists()


def test_each_use_case_asks_the_source_again(folder: Path) -> None:
    calls = folder / "calls"
    body = (
        f"from pathlib import Path\nfrom small_project import read_rows as rows\n\n"
        f"def read_rows():\n    with Path({str(calls)!r}).open('a') as file:\n        file.write('x')\n    return rows()\n"
    )
    workplace = with_source(folder, body)
    assert workplace.source.height == workplace.source.height
    assert calls.read_text() == "x"
    assert Workplace.open(folder).source.height == workplace.source.height
    assert calls.read_text() == "xx"


def test_a_workplace_keeps_the_rows_of_two_versions(folder: Path) -> None:
    workplace = Workplace.open(folder)
    for month in (4, 5, 6):
        ingest(workplace, datetime(2021, month, 1, tzinfo=UTC))
    with workplace.ledger() as ledger:
        versions = ledger.data_versions("orders")
    heights = [workplace.version_rows(version).height for version in versions]
    assert heights == [version.n_rows for version in versions]
    assert len(workplace._versions) == 2
    assert workplace.version_rows(versions[0]).height == heights[0]
    assert workplace.version_rows(versions[0]) is workplace.version_rows(versions[0])


def test_rows_without_an_event_time_are_quarantined_not_lost(folder: Path) -> None:
    body = (
        "import polars as pl\nfrom small_project import read_rows as rows\n\n"
        "def read_rows():\n    at = pl.col('ordered_at_utc')\n    return rows().with_columns("
        "pl.when(pl.int_range(pl.len()) % 500 == 7).then(None).otherwise(at).alias('ordered_at_utc'))\n"
    )
    workplace = with_source(folder, body)
    lost = workplace.source["ordered_at_utc"].null_count()
    assert lost > 10
    assert workplace.known_rows(APRIL_UTC)["ordered_at_utc"].null_count() == lost
    ingest(workplace, APRIL_UTC)
    with workplace.ledger() as ledger:
        (evidence,) = ledger.evidence(stage="data")
    share = next(row for row in evidence.judgements if row.metric == "quarantined_share").measurement
    assert share is not None
    assert share.value * share.n_rows == pytest.approx(lost)


@pytest.mark.parametrize("make", [pl.DataFrame.to_pandas, pl.DataFrame.to_arrow, pl.DataFrame.lazy], ids=str)
def test_a_source_may_return_a_table_of_any_library(
    folder: Path, make: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = read_rows().head(50)
    monkeypatch.setattr("small_project.read_rows", lambda: make(rows))  # type: ignore[operator]
    found = read_source(Workplace.open(folder).settings.data)
    assert found.columns == rows.columns
    assert found["order_id"].to_list() == rows["order_id"].to_list()
    assert found["ordered_at_utc"].dt.epoch("us").to_list() == rows["ordered_at_utc"].dt.epoch("us").to_list()


@pytest.mark.parametrize(("table", "got"), [({"a": [1]}, "dict"), ([1], "list"), (pd.Series([1]), "Series")])
def test_a_source_that_returns_no_table_is_refused(
    folder: Path, table: object, got: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("small_project.read_rows", lambda: table)
    wanted = f"`small_project:read_rows` must return a table of polars, pandas or Arrow; got {got}"
    with pytest.raises(InputTypeError, match=wanted):
        read_source(Workplace.open(folder).settings.data)


def test_the_package_gate_asks_for_the_budget_of_the_scope(folder: Path) -> None:
    before = Workplace.open(folder).settings
    tight = before.model_copy(update={"scope": before.scope.model_copy(update={"latency_ms": 2.5})})
    asked = {row.metric: row.threshold for row in criteria_of(tight, "package")}
    assert asked == {"golden_mismatch": 0, "latency_p95_ms": 2.5}


def test_idle_turns_write_their_answer_once(folder: Path) -> None:
    turn(Workplace.open(folder), APRIL_UTC)
    for day in range(2, 6):
        assert retrain(Workplace.open(folder), datetime(2021, 4, day, tzinfo=UTC)) is None
    with Workplace.open(folder).ledger() as ledger:
        assert [row.action for row in ledger.decisions()].count("nothing") == 1


def test_a_model_trained_by_hand_can_be_deployed(folder: Path) -> None:
    workplace = Workplace.open(folder)
    ingest(workplace, APRIL_UTC)
    offers = train(workplace, APRIL_UTC)
    assert offers[-1].passed
    assert undecided_offer(workplace) is None
    assert undecided_offer(workplace, retrained=False) == offers[-1].model_id


def test_a_waiting_model_whose_criteria_changed_waits_no_more(folder: Path) -> None:
    workplace = Workplace.open(folder)
    ingest(workplace, APRIL_UTC)
    train(workplace, APRIL_UTC)
    harder = change(folder, "[rollout]", GATE.format(stage="model", threshold=0.2) + "\n[rollout]")
    assert undecided_offer(harder, retrained=False) is None
    assert undecided_offer(workplace, retrained=False) is not None


def test_answers_from_before_the_first_model_stop_no_turn(folder: Path) -> None:
    workplace = Workplace.open(folder)
    turn(workplace, APRIL_UTC)
    serve_rest(workplace, month_of(APRIL_UTC), APRIL_UTC)
    log = read_log(workplace.log_uri)
    earlier = log.head(20).with_columns(
        at_utc=pl.lit(datetime(2021, 2, 3, tzinfo=UTC)), request_id=pl.format("early-{}", pl.int_range(20))
    )
    append_batch(workplace.log_uri, earlier)
    found = watch(workplace, datetime(2021, 5, 10, tzinfo=UTC))
    assert {finding.starts_utc for finding in found} == {APRIL_UTC}


def test_a_retraining_that_trained_nothing_spends_nothing(folder: Path) -> None:
    """The label has leaked into a feature by the time of the retraining: no model is made, and the finding stays open."""
    workplace = Workplace.open(folder)
    turn(workplace, APRIL_UTC)
    for at_utc in (APRIL_UTC, MAY_UTC):
        serve_rest(workplace, month_of(at_utc), APRIL_UTC)
    now_utc = datetime(2021, 6, 10, tzinfo=UTC)
    found = watch(workplace, now_utc)
    assert any(finding.verdict == "degraded" for finding in found)
    body = (
        "import polars as pl\nfrom small_project import read_rows as rows\n\n"
        "def read_rows():\n    return rows().with_columns(size=pl.col('late').cast(pl.Float64))\n"
    )
    leaking = with_source(folder, body)
    offer = retrain(leaking, now_utc)
    assert offer is not None
    assert (offer.model_id, offer.verdict, offer.gate) == ("", "fail", "data")
    with leaking.ledger() as ledger:
        assert "retrain" not in {row.action for row in ledger.decisions()}
        champion = champion_of(ledger, "orders")
    assert champion is not None
    again = retrain(Workplace.open(folder), now_utc)
    assert again is not None


@pytest.fixture
def judged(folder: Path) -> tuple[Workplace, str]:
    """Give a project whose first model answers and whose second one has passed its gates."""
    workplace = change(folder, "[rollout.quality]", '[rollout.quality]\nclaim = "better"')
    ingest(workplace, APRIL_UTC)
    simple, trees = train(workplace, APRIL_UTC)
    assert release(workplace, simple.model_id, "batch", APRIL_UTC) is None
    return workplace, trees.model_id


def test_a_canary_without_rows_says_so(judged: tuple[Workplace, str]) -> None:
    workplace, candidate = judged
    newest = workplace.source["ordered_at_utc"].max()
    assert isinstance(newest, datetime)
    facts = release(workplace, candidate, "batch", newest - timedelta(days=13))
    assert facts is not None
    assert (facts.verdict, facts.canary_requests) == ("refuse", 0)
    assert facts.reason.startswith("no row was there for the canary, from ")


def test_a_claim_is_recorded_as_it_was_judged(judged: tuple[Workplace, str]) -> None:
    workplace, candidate = judged
    release(workplace, candidate, "batch", APRIL_UTC)
    with workplace.ledger() as ledger:
        (quality,) = ledger.evidence(subject=candidate, stage="quality")
        (canary,) = ledger.evidence(subject=candidate, stage="canary")
    assert {(row.comparison, row.threshold) for row in quality.judgements} == {(">", 0.0)}
    assert {row.comparison for row in canary.judgements} == {">="}


def test_a_finding_is_told_with_its_project_and_environment(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[dict[str, str]] = []
    monkeypatch.setattr("tidewheel.flows.host.emit_event", lambda *_, payload, **__: told.append(payload))
    write(folder, PROJECT + "\n[environments.prod]\n")
    workplace = Workplace.open(folder, "prod")
    with workplace.ledger() as ledger:
        known = ledger.append(FINDING)
    show_rows(workplace, after=0)
    show_rows(workplace, after=known)
    assert [(one["project"], one["environment"], one["kind"]) for one in told] == [
        (str(folder.resolve()), "prod", "performance")
    ]


def test_a_finding_is_of_the_month_that_its_window_lies_in() -> None:
    # July as a clock in Tokyo tells it.
    assert f"{FINDING.middle_utc:%Y-%m}" == "2021-07"
    assert FINDING.month == 7


def test_a_version_of_nothing_is_refused(folder: Path) -> None:
    with pytest.raises(InputError, match="must have at least one row"):
        ingest(Workplace.open(folder), datetime(1999, 1, 1, tzinfo=UTC))
