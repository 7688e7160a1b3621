"""The channel to the running server: rows go over HTTP to Ray Serve, plans to every replica, answers into the log."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import polars as pl

from tidewheel.errors import ServiceError
from tidewheel.evidence.records import Plan
from tidewheel.lifecycle.channels import BatchChannel, Channel, ChannelName, request_rows
from tidewheel.lifecycle.workplace import Workplace
from tidewheel.operations.runfile import Run
from tidewheel.operations.services import ray_address
from tidewheel.predictions.log import read_log
from tidewheel.predictions.retries import IDENTITY
from tidewheel.rollout.facts import RequestCounts
from tidewheel.serving.control_ray import Control, FrontAddress, connect
from tidewheel.serving.replay import replay

CONNECTIONS = 4
"""Requests on their way at once: they keep two cores busy, and more would only wait for each other and look slow."""


class HttpChannel:
    """Answer rows by the project's running server."""

    name: ChannelName = "http"

    def __init__(
        self, workplace: Workplace, control: Control, front: FrontAddress, leases: ExitStack
    ) -> None:
        self._workplace = workplace
        self._control = control
        self._front = front
        self._leases = leases
        self._from_generation = 0

    def apply(self, plan: Plan) -> None:
        """Start the arms that the plan needs, tell every replica, stop the arms it no longer needs, guard the candidate."""
        self._leases.close()
        self._from_generation = self._from_generation or plan.generation
        folders = import_folders(self._workplace)
        self._control.deploy_arms(plan, import_folders=folders)
        self._control.push_plan(plan)
        self._control.remove_arms(keep=plan)
        if plan.candidate is not None:
            self._leases.enter_context(
                self._control.keep_lease(plan.generation, self._workplace.settings.serving.lease_s)
            )

    def answer(self, rows: pl.DataFrame) -> RequestCounts:
        """Send every row as a request of its own, then have the replicas move their log into Delta."""
        result = replay(self._front.predict_url, request_rows(rows, self._workplace), connections=CONNECTIONS)
        self._control.flush_log()
        ids = rows[self._workplace.settings.data.row_id].implode()
        mine = (pl.col("source") == "http") & (pl.col("generation") >= self._from_generation)
        where = mine & pl.col("request_id").is_in(ids)
        logged = read_log(self._workplace.log_uri, where=where, columns=IDENTITY).n_unique()
        answered = result.statuses.get(200, 0)
        return RequestCounts(
            sent=result.sent, answered=answered, errors=result.sent - answered, logged=logged
        )


def import_folders(workplace: Workplace) -> list[str]:
    """List the folders in which a replica finds the user's modules: the project's own, and those of this process."""
    return list(
        dict.fromkeys(
            [str(workplace.folder), *(str(Path(folder).resolve()) for folder in sys.path if folder)]
        )
    )


@contextmanager
def open_channel(name: ChannelName, workplace: Workplace) -> Iterator[Channel]:
    """Open the channel of that name and close it at the end; the front is deployed if the head runs without one.

    Raises:
        ServiceError: the project has no running server, or one that is not for replaying.
    """
    if name == "batch":
        yield BatchChannel(workplace)
        return
    control, front = open_front(workplace)
    with ExitStack() as leases:
        try:
            yield HttpChannel(workplace, control, front, leases)
        finally:
            leases.close()
            control.close()


def open_front(workplace: Workplace) -> tuple[Control, FrontAddress]:
    """Connect to the project's Ray head, and deploy the front there, for replaying, if it is not up yet.

    Raises:
        ServiceError: there is none, it does not answer, or its front takes no event times.
    """
    control, url = open_head(workplace)
    if not control.count_replicas():
        return control, deploy_on(control, workplace, replay=True)
    if not all(replica["replay"] for replica in control.status()):
        control.close()
        raise ServiceError(
            f"the server of {workplace.folder} answers callers and takes no event times, so nothing can be replayed "
            'through it; roll out through the channel "batch", and it follows the new plan by itself'
        )
    return control, FrontAddress(url)


def deploy_front(workplace: Workplace, *, replay: bool) -> FrontAddress:
    """Deploy the front on the project's Ray head, and leave it running.

    Raises:
        ServiceError: there is no head, it does not answer, or the front does not start.
    """
    control, _ = open_head(workplace)
    try:
        return deploy_on(control, workplace, replay=replay)
    finally:
        control.close()


def open_head(workplace: Workplace) -> tuple[Control, str]:
    """Connect to the Ray head that the project's run file names.

    Raises:
        ServiceError: there is none, or it does not answer.
    """
    run = Run.read(workplace.services)
    address = ray_address(run) if run is not None else None
    if address is None:
        raise ServiceError(f"no server of {workplace.folder} is running; start it with `tidewheel serve up`")
    return connect(address), address.url


def deploy_on(control: Control, workplace: Workplace, *, replay: bool) -> FrontAddress:
    """Deploy the front; with `replay` its requests may carry their event time."""
    return control.deploy_front(
        workplace.settings,
        workplace.ledger_url,
        workplace.log_uri,
        replay=replay,
        import_folders=import_folders(workplace),
    )
