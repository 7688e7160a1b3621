"""A front on the session's real Ray head, with a ledger and a log of its own, asked as callers ask it."""

import http.client
import json
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from served_models import IMPORT_FOLDERS, Models, plan_of, served_settings
from small_project import PROJECT
from tidewheel.evidence.records import Plan
from tidewheel.evidence.store import Ledger
from tidewheel.predictions.log import read_log
from tidewheel.serving.control_ray import LOAD, Control, FrontAddress

ROW = {"load": 0.3, "size": 4.0, "shop": "north"}


class Server:
    """One deployed front with a ledger and a log of its own."""

    def __init__(self, control: Control, models: Models, folder: Path, **serving: Any) -> None:
        self.control, self.models, self.folder = control, models, folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "tidewheel.toml").write_text(PROJECT, encoding="utf-8")
        self.settings = served_settings(folder / "tidewheel.toml", **serving)
        self.ledger = Ledger.open(folder / "ledger.sqlite")
        self.plan = self.ledger.swap_plan(plan_of(models.simple), expected_generation=0)

    def deploy(self, load: str = LOAD, *, heuristic: str | None = None) -> None:
        settings = self.settings
        if heuristic is not None:
            baselines = settings.baselines.model_copy(update={"heuristic": heuristic})
            settings = settings.model_copy(update={"baselines": baselines})
        self.front: FrontAddress = self.control.deploy_front(
            settings,
            f"sqlite:///{self.folder}/ledger.sqlite",
            str(self.log),
            replay=True,
            import_folders=IMPORT_FOLDERS,
            load=load,
        )

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def swap(self, **changes: Any) -> Plan:
        """Put a changed plan into the ledger."""
        self.plan = self.ledger.swap_plan(
            replace(self.plan, **changes), expected_generation=self.plan.generation
        )
        return self.plan

    def try_candidate(self, load: str = LOAD, **changes: Any) -> Plan:
        """Start a rollout of the trees."""
        both = plan_of(self.models.simple, self.models.trees)
        given: dict[str, Any] = {"share_canary": 0.3, "share_shadow": 1.0, **changes}
        plan = self.swap(
            candidate=both.candidate, salt=both.salt, packages=both.packages, digests=both.digests, **given
        )
        self.control.deploy_arms(plan, load=load, import_folders=IMPORT_FOLDERS)
        self.control.push_plan(plan)
        return plan

    def end_trial(self) -> None:
        self.control.push_plan(self.swap(candidate=None, share_canary=0.0, share_shadow=0.0))
        self.control.remove_arms(self.plan)

    @property
    def port(self) -> int:
        return int(self.front.url.rsplit(":", 1)[1])

    def ask(
        self, path: str, body: Any = None, method: str | None = None, **headers: str
    ) -> tuple[int, Any, dict[str, str]]:
        """Send one request; bodies that are no bytes go as JSON, and answers that look like it come as values."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            sent = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
            kind = {} if body is None else {"Content-Type": "application/json"}
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method or ("GET" if body is None else "POST"), path, sent, {**kind, **named})
            answer = connection.getresponse()
            text = answer.read()
            found = {name.lower(): value for name, value in answer.getheaders()}
            is_json = found.get("content-type", "").startswith("application/json")
            return answer.status, json.loads(text) if is_json else text.decode(), found
        finally:
            connection.close()

    def predict(self, key: str = "anna", **more: Any) -> Any:
        status, told, _ = self.ask("/predict", {"inputs": [ROW], "key": key, **more})
        assert status == 200, told
        return told

    def requests(self, n: int, name: str) -> list[dict[str, Any]]:
        """Make requests of the project's rows; ids begin with `name`."""
        rows = self.models.rows.head(n)
        inputs = rows.select("load", "size", "shop").iter_rows(named=True)
        return [
            {"inputs": [row], "key": key, "request_id": f"{name}-{index}"}
            for index, (row, key) in enumerate(zip(inputs, rows["customer"], strict=True))
        ]

    def logged(self, name: str) -> pl.DataFrame:
        """Read the log's rows of requests whose ids begin with `name`."""
        self.control.flush_log()
        return read_log(self.log).filter(pl.col("request_id").str.starts_with(f"{name}-"))


def wait_for(condition: Callable[[], object], limit_s: float = 60.0) -> None:
    deadline = time.monotonic() + limit_s
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        pause.wait(0.05)
