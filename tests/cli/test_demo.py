"""The demo, killed in the middle and started again: what it promises, and that nothing of either run is left."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from mlflow import MlflowClient

from command_line import Demo, Told, shell
from tidewheel.evidence.store import Ledger

pytestmark = pytest.mark.timeout(900)


class Finished:
    """A demo that was killed in the shadow of its first rollout, and the one that was started after it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        killed = Demo(folder, "--quick")
        try:
            killed.watch("shadow (http)")
        finally:
            killed.kill()
        again = Demo(folder, "--quick", "--keep-serving")
        try:
            again.watch("data")
            self.runs = [killed, again]
            self.told: Told = again.finish()
        except BaseException:
            again.kill()
            raise
        assert self.told.code == 0, self.told.err
        self.summary: dict[str, Any] = json.loads((folder / "summary.json").read_text(encoding="utf-8"))

    def living(self) -> list[psutil.Process]:
        return [process for run in self.runs for process in run.living()]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Finished]:
    folder = tmp_path_factory.mktemp("demo")
    try:
        yield Finished(folder)
    finally:
        shell("serve", "down", "-p", folder)


def test_the_summary_counts_what_happened(demo: Finished) -> None:
    summary = demo.summary
    assert [row["month"] for row in summary["months"]] == [4, 5, 6, 7, 8]
    requests = summary["requests"]
    assert requests["errors"] == 0
    assert requests["sent"] == requests["answered"] == requests["logged"] >= 4000
    assert summary["promotions"] >= 1
    assert summary["refusals"] >= 1
    assert summary["retrainings"] >= 1
    assert summary["gain"]["low"] < summary["gain"]["auc"] < summary["gain"]["high"]
    assert summary["shadow"]["pairs"] >= 2000
    assert {stage["name"] for stage in summary["stages"]} >= {"data", "serve April", "monitor April"}


def test_every_promotion_and_refusal_has_its_reason_in_the_ledger(demo: Finished) -> None:
    with Ledger.open(demo.folder / "state" / "ledger.sqlite") as ledger:
        ledger.verify()
        decisions = ledger.decisions()
    counted = {"promote": "promotions", "refuse": "refusals", "retrain": "retrainings"}
    for action, name in counted.items():
        rows = [row for row in decisions if row.action == action]
        assert len(rows) == demo.summary[name]
        assert all(row.reason for row in rows)


def test_the_table_the_page_and_the_log_are_there(demo: Finished) -> None:
    assert "Month by month" in demo.told.out
    assert "Mean gain of the loop" in demo.told.out
    assert "Traceback" not in demo.told.err
    page = (demo.folder / "report.html").read_text(encoding="utf-8")
    assert "August" in page


def test_every_model_has_a_run_with_its_data_in_mlflow(demo: Finished) -> None:
    client = MlflowClient(f"sqlite:///{demo.folder / 'state' / 'mlflow.sqlite'}")
    runs = client.search_runs([one.experiment_id for one in client.search_experiments()])
    assert {run.info.run_name for run in runs} >= {
        "random",
        "majority",
        "heuristic",
        "simple",
        "regularised",
        "overfit",
    }
    for run in runs:
        (data,) = run.inputs.dataset_inputs
        assert data.dataset.name == "flights"
        assert len(data.dataset.digest) == 32
        assert run.data.tags["delta_version"].isdigit()
        (whole,) = [
            value
            for value in run.data.tags.values()
            if len(value) == 64 and value.startswith(data.dataset.digest)
        ]
        assert int(whole, 16) > 0


def test_evidence_names_every_gate_of_the_champion(demo: Finished) -> None:
    told = json.loads(shell("evidence", "-p", demo.folder, "--json").out)
    passed = {row["evidence"]["stage"] for row in told["evidence"] if row["evidence"]["verdict"] == "pass"}
    assert {"data", "model", "package", "shadow", "canary", "quality"} <= passed
    assert all(row["stands"] for row in told["evidence"])
    assert {row["evidence"]["data_name"] for row in told["evidence"]} == {"flights"}


def test_serve_down_leaves_nothing_of_either_run(demo: Finished) -> None:
    killed, again = demo.runs
    assert killed.living() == []
    assert again.living() != []
    assert shell("serve", "down", "-p", demo.folder).code == 0
    assert demo.living() == []
