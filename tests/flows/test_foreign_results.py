"""A run that somebody else sets completed while it is pending: what he names as its result is never loaded."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from prefect import Flow, flow
from prefect.client.orchestration import get_client
from prefect.flow_engine import FlowRunEngine
from prefect.results import ResultRecord, ResultRecordMetadata
from prefect.serializers import PickleSerializer
from prefect.settings import PREFECT_LOCAL_STORAGE_PATH

from tidewheel.errors import InputError, ServiceError
from tidewheel.flows import data, deploy, lifecycle, monitor, rehearsal, retrain, train

FLOWS: list[Flow[Any, Any]] = [data, deploy, lifecycle, monitor, rehearsal, retrain, train]


class Trap:
    """Make a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


def trap(folder: Path) -> ResultRecordMetadata:
    """Write a result that is loaded by unpickling, where the server's clients look for results."""
    metadata = ResultRecordMetadata(storage_key=f"trap-{folder.parent.name}", serializer=PickleSerializer())
    record = ResultRecord(result=Trap(folder), metadata=metadata)
    file = Path(str(PREFECT_LOCAL_STORAGE_PATH.value())) / metadata.storage_key
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(record.serialize())
    return metadata


def set_before_it_begins(monkeypatch: pytest.MonkeyPatch, name: str, data: ResultRecordMetadata) -> None:
    """Set each run of the flow of that name completed while it is pending, as another client of the server can."""
    begin = FlowRunEngine.begin_run
    state = {"type": "COMPLETED", "data": data.model_dump(mode="json")}

    def begin_late(engine: Any) -> Any:
        if engine.flow.name == name:
            with get_client(sync_client=True) as client:
                path = "/flow_runs/{id}/set_state"
                told = client.request(
                    "POST", path, path_params={"id": engine.flow_run.id}, json={"state": state, "force": True}
                )
            assert told.json()["status"] == "ACCEPT"
        return begin(engine)

    monkeypatch.setattr(FlowRunEngine, "begin_run", begin_late)


@pytest.mark.parametrize("one", FLOWS, ids=lambda one: one.name)
def test_what_another_client_names_as_the_result_is_not_loaded(
    one: Flow[Any, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sprung = tmp_path / "sprung"
    set_before_it_begins(monkeypatch, str(one.name), trap(sprung))
    given = {"project": str(tmp_path), "candidate": "x", "model": "x", "model_id": "x", "channel": "batch",
             "first_utc": "2021-04-01T00:00:00Z", "last_utc": "2021-05-01T00:00:00Z"}  # fmt: skip
    needed = {name: given[name] for name in one.parameters.required}
    with pytest.raises(
        ServiceError, match=f"flow run of `{one.name}` must be ended by this process; .* Completed"
    ):
        one(**needed)
    assert not sprung.exists()


def test_nor_is_that_of_a_flow_below_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sprung = tmp_path / "sprung"
    set_before_it_begins(monkeypatch, "monitor", trap(sprung))

    @flow
    def above() -> Any:
        return monitor(str(tmp_path))

    with pytest.raises(ServiceError, match="flow run of `monitor` must be ended by this process"):
        above()
    assert not sprung.exists()


def test_the_trap_springs_where_it_is_loaded(tmp_path: Path) -> None:
    """What the other tests look for does happen where a result is loaded."""
    sprung = tmp_path / "sprung"
    file = Path(str(PREFECT_LOCAL_STORAGE_PATH.value())) / str(trap(sprung).storage_key)
    assert json.loads(file.read_bytes())["metadata"]["serializer"]["type"] == "pickle"
    ResultRecord.deserialize(file.read_bytes())
    assert sprung.is_dir()


def test_our_own_errors_come_through_as_they_are(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"tidewheel\.toml"):
        lifecycle(str(tmp_path))
    state = lifecycle(str(tmp_path), return_state=True)
    assert state.is_failed()
