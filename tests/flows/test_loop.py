"""The loop turns on the small project, in batch: a first model, a quiet month, a month of other buyers, a retraining."""

import shutil
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest
from prefect.client.orchestration import get_client

from small_project import PROJECT, read_rows
from tidewheel.errors import InputError, SettingsError
from tidewheel.evidence.history import Reign, champion_of, reigns
from tidewheel.evidence.records import Decision, Finding
from tidewheel.flows import data, deploy, lifecycle, monitor, retrain, train
from tidewheel.lifecycle.rehearse import check_log, scorer_of, serve_rest
from tidewheel.lifecycle.turn import Turn
from tidewheel.lifecycle.workplace import Workplace
from tidewheel.monitoring.windows import month_of
from tidewheel.predictions.log import append_batch, read_log

FIRST_UTC = datetime(2021, 4, 1, tzinfo=UTC)
MAY_UTC = datetime(2021, 5, 1, tzinfo=UTC)
HARD_GATE = """
[[gates.{stage}.criteria]]
metric = "roc_auc"
comparison = ">="
threshold = {threshold}
"""
JUNE_UTC = datetime(2021, 6, 1, tzinfo=UTC)


class Year:
    """What three turns of the loop did, with the months between them served."""

    def __init__(self, folder: Path) -> None:
        (folder / "tidewheel.toml").write_text(PROJECT, encoding="utf-8")
        self.project = str(folder)
        self.workplace = Workplace.open(folder)
        maturity = self.workplace.settings.labels.maturity_days
        self.turns: list[Turn] = [lifecycle(self.project, FIRST_UTC, "batch")]
        for month_utc, later_utc in [(FIRST_UTC, MAY_UTC), (MAY_UTC, JUNE_UTC)]:
            serve_rest(self.workplace, month_of(month_utc, time_zone="UTC"), FIRST_UTC)
            matured_utc = later_utc.replace(day=1 + int(maturity) + 1)
            if later_utc == JUNE_UTC:
                self.die_in_training(matured_utc)
            self.turns.append(lifecycle(self.project, matured_utc, "batch"))
        self.ended_utc = matured_utc

    def die_in_training(self, now_utc: datetime) -> None:
        """Have a turn die while it trains, as `kill -9` would make it."""

        def die(*given: object, **named: object) -> None:
            raise RuntimeError("killed while training")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("tidewheel.lifecycle.retrain.train", die)
            with pytest.raises(RuntimeError, match="killed while training"):
                lifecycle(self.project, now_utc, "batch")
        self.after_death = self.decisions()

    def findings(self) -> list[Finding]:
        with self.workplace.ledger() as ledger:
            return ledger.findings()

    def decisions(self) -> list[Decision]:
        with self.workplace.ledger() as ledger:
            ledger.verify()
            return ledger.decisions()

    def reigns(self) -> list[Reign]:
        with self.workplace.ledger() as ledger:
            return reigns(ledger)


@pytest.fixture(scope="module")
def year(tmp_path_factory: pytest.TempPathFactory, prefect_api: str) -> Year:
    return Year(tmp_path_factory.mktemp("year"))


def test_the_first_turn_deploys_the_first_model_that_its_gates_let_through(year: Year) -> None:
    first = year.turns[0]
    assert not first.refused
    assert first.steps[0] == "data: version 0"
    assert first.steps[-1] == "deploy: simple is the first model"


def test_a_quiet_month_changes_nothing(year: Year) -> None:
    assert year.turns[1].steps[-1] == "retrain: nothing to do"
    verdicts = {one.verdict for one in year.findings() if one.ends_utc == MAY_UTC}
    assert verdicts == {"stable"}


def test_other_buyers_are_found_and_the_loop_retrains_and_promotes(year: Year) -> None:
    found = {one.kind: one.verdict for one in year.findings() if one.ends_utc == JUNE_UTC}
    assert found["performance"] == "degraded"
    assert year.turns[2].steps[-1] == "deploy: promote"
    assert [reign.name for reign in year.reigns()] == ["simple", "trees-2021-06-03"]


def test_every_decision_has_its_reason_and_its_evidence(year: Year) -> None:
    decisions = {one.action: one for one in year.decisions()}
    assert {"deploy", "nothing", "retrain", "promote"} <= set(decisions)
    assert all(one.reason for one in decisions.values())
    with year.workplace.ledger() as ledger:
        stages = {one.stage: one.verdict for one in ledger.evidence(subject=decisions["promote"].subject)}
        assert stages == dict.fromkeys(["model", "package", "shadow", "canary", "quality"], "pass")
        cited = {row.sequence for row in ledger.rows() if row.sequence in decisions["promote"].evidence}
    assert cited == set(decisions["promote"].evidence) != set()


def test_the_log_holds_each_row_once_by_the_model_of_its_time(year: Year) -> None:
    log = read_log(year.workplace.log_uri)
    assert log["request_id"].is_unique().all()
    champion = log.filter(pl.col("arm") == "champion", pl.col("at_utc") < year.ended_utc)
    simple, trees = year.reigns()
    assert set(champion["model_version"]) == {simple.model_id}
    assert set(log.filter(pl.col("arm") == "candidate")["model_version"]) == {trees.model_id}
    with year.workplace.ledger() as ledger:
        scorers = {one.model_id: scorer_of(ledger.model_version(one.model_id)) for one in (simple, trees)}
    check_log(year.workplace.log_uri, "order_id", read_rows(), [simple, trees], scorers)


def test_another_turn_at_the_same_time_finds_nothing_new(year: Year) -> None:
    known = year.findings()
    assert monitor(year.project, year.ended_utc) == []
    assert retrain(year.project, year.ended_utc) is None
    assert year.findings() == known


def test_gate_and_drift_tables_are_artifacts(year: Year) -> None:
    with get_client(sync_client=True) as client:
        keys = {artifact.key for artifact in client.read_artifacts()}
    assert {"gate-data", "gate-model", "gate-shadow", "drift-2021-04", "drift-2021-05"} <= keys


def test_a_champion_is_not_deployed_again(year: Year) -> None:
    with year.workplace.ledger() as ledger:
        champion = champion_of(ledger, "orders")
    assert champion is not None
    with pytest.raises(InputError, match="is the champion already"):
        deploy(year.project, champion.model_id, "batch", year.ended_utc)


def test_without_a_running_server_a_rollout_over_http_says_how_to_start_one(year: Year) -> None:
    simple = year.reigns()[0]
    with pytest.raises(Exception, match="start it with `tidewheel serve up`"):
        deploy(year.project, simple.model_id, "http", year.ended_utc)
    with year.workplace.ledger() as ledger:
        plan = ledger.plan("orders")
    assert plan is not None
    assert plan.candidate is None


def test_a_refused_model_is_recorded_and_never_deployed(small_project: Path) -> None:
    file = small_project / "tidewheel.toml"
    hard = HARD_GATE.format(stage="model", threshold=0.99)
    file.write_text(file.read_text(encoding="utf-8") + hard, encoding="utf-8")
    project = str(small_project)
    turn = lifecycle(project, FIRST_UTC, "batch")
    assert turn.refused
    workplace = Workplace.open(project)
    with workplace.ledger() as ledger:
        assert champion_of(ledger, "orders") is None
        refusals = [one for one in ledger.decisions() if one.action == "refuse"]
        assert len(refusals) == len(workplace.settings.model.candidates)
        assert all("0.99" in one.reason for one in refusals)
    with pytest.raises(InputError, match="gate model: fail"):
        deploy(project, refusals[0].subject, "batch", FIRST_UTC)


def test_a_version_holds_only_what_was_known(small_project: Path) -> None:
    project = str(small_project)
    noon_utc = datetime(2021, 2, 1, 12, tzinfo=UTC)
    version = data(project, noon_utc)
    with Workplace.open(project).ledger() as ledger:
        (kept,) = ledger.data_versions("orders")
    assert kept.delta_version == version
    rows = pl.read_delta(kept.uri, version=version)
    assert rows["ordered_at_utc"].max() < noon_utc  # type: ignore[operator]
    late = rows.filter(pl.col("ordered_at_utc") > datetime(2021, 2, 1, 6, 0, 1, tzinfo=UTC))
    assert late.height > 0
    assert late["late"].null_count() == late.height
    assert rows["late"].null_count() == late.height


def test_unknown_candidates_and_versions_are_named(small_project: Path) -> None:
    project = str(small_project)
    data(project, FIRST_UTC)
    with pytest.raises(InputError, match="forest"):
        train(project, 0, ["forest"], FIRST_UTC)
    with pytest.raises(InputError, match="orders@7"):
        train(project, 7, None, FIRST_UTC)


def test_a_project_without_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"tidewheel\.toml"):
        lifecycle(str(tmp_path), FIRST_UTC)


def test_reigns_follow_each_other(year: Year) -> None:
    assert all(earlier.from_utc < later.from_utc for earlier, later in pairwise(year.reigns()))


def test_a_turn_that_died_while_training_has_settled_nothing(year: Year) -> None:
    assert "retrain" not in {one.action for one in year.after_death}
    assert [one.action for one in year.decisions()].count("retrain") == 1


@pytest.fixture
def copy(year: Year, tmp_path: Path) -> Path:
    """Copy the project with its past, to do with it as one likes."""
    shutil.copytree(year.project, tmp_path / "copy")
    return tmp_path / "copy"


def change(project: Path, old: str, new: str) -> None:
    file = project / "tidewheel.toml"
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


def test_a_month_in_which_callers_sent_again_is_judged_as_if_they_had_not(
    year: Year, copy: Path, tmp_path: Path
) -> None:
    """Every second row of June is in the log five times more, sometimes with an error, some of them days later."""
    june = month_of(JUNE_UTC, time_zone="UTC")
    matured_utc = datetime(2021, 7, 3, tzinfo=UTC)
    serve_rest(Workplace.open(copy), june, FIRST_UTC)
    shutil.copytree(copy, tmp_path / "again")
    again = Workplace.open(tmp_path / "again")
    log = read_log(again.log_uri, where=(pl.col("at_utc") >= JUNE_UTC) & (pl.col("source") == "batch"))
    for sent in range(1, 6):
        later = pl.col("wall_utc") + timedelta(days=sent)
        append_batch(again.log_uri, log.gather_every(2).with_columns(wall_utc=later, error=pl.lit("timeout")))
    found = [monitor(str(folder), matured_utc) for folder in (copy, tmp_path / "again")]
    assert found[0]
    assert found[0] == found[1]


def test_evidence_for_other_criteria_deploys_nothing(year: Year, copy: Path) -> None:
    change(copy, "[rollout]", HARD_GATE.format(stage="model", threshold=0.1) + "\n[rollout]")
    with pytest.raises(InputError, match="gate model passed, and the criteria of gate model changed"):
        deploy(str(copy), year.reigns()[0].model_id, "batch", year.ended_utc)


def test_a_candidate_that_a_killed_rollout_left_in_the_plan_is_not_returned_to(
    year: Year, copy: Path
) -> None:
    simple = year.reigns()[0].model_id
    with Workplace.open(copy).ledger() as ledger:
        plan = ledger.plan("orders")
        assert plan is not None
        left = replace(plan, candidate="f" * 64, share_canary=0.3, salt="left")
        ledger.swap_plan(left, expected_generation=plan.generation)
    facts = deploy(str(copy), simple, "batch", datetime(2021, 6, 5, tzinfo=UTC))
    assert facts is not None
    with Workplace.open(copy).ledger() as ledger:
        after = ledger.plan("orders")
        ledger.verify()
    assert after is not None
    assert (after.candidate, after.share_canary, after.salt) == (None, 0.0, "")


def test_on_the_wall_clock_a_rollout_replays_the_last_days_and_holds_from_now_on(
    year: Year, copy: Path
) -> None:
    before_utc = datetime.now(UTC)
    facts = deploy(str(copy), year.reigns()[0].model_id, "batch")
    assert facts is not None
    assert facts.began_utc.date() == date(2021, 6, 9)
    assert facts.pairs > 1000
    with Workplace.open(copy).ledger() as ledger:
        assert ledger.decisions()[-1].at_utc >= before_utc


def test_a_rollout_over_days_that_the_model_learned_from_is_refused(year: Year, copy: Path) -> None:
    project = str(copy)
    version = data(project, datetime(2021, 7, 1, tzinfo=UTC))
    (offer,) = train(project, version, ["simple"], datetime(2021, 7, 1, tzinfo=UTC), retraining=True)
    assert offer.passed, offer
    change(copy, "holdout_days = 25", "holdout_days = 5")
    with pytest.raises(InputError, match=r"has learned from rows up to 2021-06-2.*holdout_days must cover"):
        deploy(project, offer.model_id, "batch")


def test_a_baseline_gate_that_fails_stops_training(small_project: Path) -> None:
    change(small_project, "[rollout]", HARD_GATE.format(stage="baseline", threshold=0.99) + "\n[rollout]")
    turn = lifecycle(str(small_project), FIRST_UTC, "batch")
    assert turn.refused
    assert turn.steps[1:] == ("train: simple fail at gate baseline", "train: trees fail at gate baseline")


def test_a_data_gate_that_fails_stops_the_turn(small_project: Path) -> None:
    gate = HARD_GATE.format(stage="data", threshold=1e9).replace("roc_auc", "rows")
    change(small_project, "[rollout]", gate + "\n[rollout]")
    turn = lifecycle(str(small_project), FIRST_UTC, "batch")
    assert turn == Turn(("data: orders@0: gate data: fail",), refused=True)


def test_a_feature_that_tells_the_label_stops_training(small_project: Path) -> None:
    module = f"leaky_{abs(hash(str(small_project)))}"
    code = "import polars as pl\nfrom small_project import read_rows as rows\n\n"
    code += "def read_rows():\n    return rows().with_columns(size=pl.col('late').cast(pl.Float64))\n"
    (small_project / f"{module}.py").write_text(code, encoding="utf-8")
    change(small_project, "small_project:read_rows", f"{module}:read_rows")
    turn = lifecycle(str(small_project), FIRST_UTC, "batch")
    assert turn.refused
    with Workplace.open(small_project).ledger() as ledger:
        (refusal,) = ledger.decisions()
        assert ledger.model_versions() == []
    assert refusal.actor == "leakage check"
    assert "feature size" in refusal.reason
