"""The commands about one's own project: run a turn or a stage, look at what the ledger says, start and stop the server."""

import json
import os
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.markup import escape

from tidewheel.cli.names import StageName
from tidewheel.cli.progress import drawn
from tidewheel.data.contract import check_contract
from tidewheel.errors import InputError, ServiceError
from tidewheel.evidence.gates import criteria_in_force
from tidewheel.evidence.history import champion_of, latest_version
from tidewheel.evidence.records import ModelVersion
from tidewheel.evidence.standing import REPLACED
from tidewheel.evidence.store import Ledger
from tidewheel.lifecycle.waiting import undecided_offer
from tidewheel.lifecycle.workplace import (
    Workplace,
    prefect_folder,
    project_folder,
    services_folder,
)
from tidewheel.operations.ports import check_port
from tidewheel.operations.progress import announce
from tidewheel.operations.runfile import Run, end_former, owner_at_work, reap
from tidewheel.operations.services import (
    prefect_environment,
    ray_address,
    start_prefect,
    start_ray,
    wait_prefect,
    wait_ray,
)
from tidewheel.project.files import PROJECT_FILE
from tidewheel.project.scope import check_scope
from tidewheel.report.terminal import evidence_table, print_view, records_table

ROWS_SHOWN = 10
"""Decisions and findings shown by `status`: the newest ones."""

STATUS_S = 10.0
"""Longest wait for a front's status; it gives up a prediction before that."""


def run_project(project: Path, stage: StageName, environment: str) -> int:
    """Run one turn of the loop, or one stage; exit code 1 when a gate or a rollout said no."""
    workplace = Workplace.open(project, environment)
    for question in check_scope(workplace.settings):
        print_view(f"[yellow]open[/] {escape(question)}")
    check_before(workplace, stage)
    with drawn(), prefect_for(workplace):
        from tidewheel.cli.stages import run_stage  # Prefect reads its address when it is imported

        lines, refused = run_stage(workplace, stage, environment)
    for line in lines or ["nothing new"]:
        print_view(escape(line))
    return 1 if refused else 0


def check_before(workplace: Workplace, stage: StageName) -> None:
    """Look for what would stop a stage before anything is started or written.

    Raises:
        InputError: the source cannot be read or breaks its contract beyond what may be quarantined; or a stage that builds
            on earlier ones finds no ledger.
    """
    if stage not in ("all", "data"):
        with opened(workplace) as ledger:
            latest_version(ledger, workplace.settings.data.name)
    check_source(workplace)


def check_source(workplace: Workplace) -> None:
    """Hold the source against its contract."""
    settings = workplace.settings
    check_contract(workplace.source, settings.contract, place=f"`{settings.data.source}`")


@contextmanager
def prefect_for(workplace: Workplace) -> Iterator[None]:
    """Use the Prefect server that the settings name; without one, start the project's own and end it afterwards."""
    url = workplace.environment.prefect_api_url or os.environ.get("PREFECT_API_URL")
    if url:
        os.environ["PREFECT_API_URL"] = url
        yield
        return
    home = prefect_folder(workplace.folder)
    run = Run.begin(home)
    try:
        announce("start", "Prefect server")
        start_prefect(run)
        os.environ.update(prefect_environment(run))
        wait_prefect(run)
        yield
    finally:
        reap(home)


def show_status(project: Path, environment: str, *, as_json: bool) -> int:
    """Print who answers, and what was decided and found last."""
    workplace = Workplace.open(project, environment)
    with opened(workplace) as ledger:
        champion = champion_of(ledger, workplace.settings.scope.name)
        names = {model.model_id: model.name for model in ledger.model_versions()}
        decisions, findings = ledger.decisions()[-ROWS_SHOWN:], ledger.findings()[-ROWS_SHOWN:]
        plan = ledger.plan(workplace.settings.scope.name)
        rows = ledger.verify()
    waiting = undecided_offer(workplace, retrained=False)
    if as_json:
        content = {
            "champion": asdict(champion) if champion else None,
            "waiting": waiting,
            "plan": asdict(plan) if plan else None,
            "decisions": [asdict(row) for row in decisions],
            "findings": [asdict(row) for row in findings],
            "ledger_rows": rows,
        }
        print(json.dumps(content, indent=2, default=str))
        return 0
    if champion is None:
        print_view("No model answers yet; `tidewheel run` trains and deploys the first.")
    else:
        print_view(f"[bold]{champion.name}[/] ({champion.model_id[:12]}) answers, trained on "
                   f"{champion.data_name}@{champion.data_version}; plan {plan.generation if plan else 0}.")  # fmt: skip
    if waiting is not None:
        print_view(f"[bold]{names[waiting]}[/] ({waiting[:12]}) passed its gates and waits; "
                   "`tidewheel run --stage deploy` rolls it out.")  # fmt: skip
    print_view(records_table("Decisions", [
        (f"{row.at_utc:%Y-%m-%d %H:%M}", row.action, names.get(row.subject, ""), row.actor, row.reason)
        for row in decisions], ("at", "decision", "about", "by", "reason")))  # fmt: skip
    print_view(records_table("Findings", [
        (f"{row.middle_utc:%Y-%m}", row.kind, row.verdict, row.reason) for row in findings],
        ("window", "kind", "verdict", "reason")))  # fmt: skip
    print_view(f"The ledger holds {rows} rows; the chain is whole.")
    return 0


def show_evidence(project: Path, model: str | None, environment: str, *, as_json: bool) -> int:
    """Print every gate a model met; exit code 1 if evidence that was not judged again since does not stand.

    Raises:
        IntegrityError: a row of the ledger is not as it was written.
    """
    workplace = Workplace.open(project, environment)
    with opened(workplace) as ledger:
        version = find_model(workplace, ledger, model)
        standing = ledger.standing(
            version.model_id, version.data_version, criteria_in_force(workplace.settings)
        )
    if as_json:
        content = {
            "model": asdict(version),
            "evidence": [row._asdict() | {"evidence": asdict(row.evidence)} for row in standing],
        }
        print(json.dumps(content, indent=2, default=str))
    else:
        title = (
            f"{version.name} ({version.model_id[:12]}), made from {version.data_name}@{version.data_version}"
        )
        print_view(evidence_table(standing, title))
    return 0 if all(row.stands or row.why == REPLACED for row in standing) else 1


def find_model(workplace: Workplace, ledger: Ledger, model: str | None) -> ModelVersion:
    """Find a model by id, beginning of an id or name; without one, the champion."""
    if model is not None:
        return ledger.model_version(model)
    champion = champion_of(ledger, workplace.settings.scope.name)
    if champion is None:
        raise InputError(
            f"no model answers for {workplace.settings.scope.name} yet; name one, or run `tidewheel run`"
        )
    return champion


@contextmanager
def opened(workplace: Workplace) -> Iterator[Ledger]:
    """Open the ledger for looking only: a project that has none yet is told so, and nothing is made."""
    if not workplace.has_ledger:
        raise InputError(
            f"{workplace.folder} has no ledger yet; `tidewheel run -p {workplace.folder}` makes it"
        )
    with workplace.ledger() as ledger:
        yield ledger


def start_serving(project: Path, port: int | None, environment: str) -> int:
    """Start Ray and the front with the champion of the environment's ledger; they outlive this command.

    A project has one server on a machine, whatever environment it answers for.
    """
    workplace = Workplace.open(project, environment)
    host, wanted = workplace.settings.serving.host, port or workplace.settings.serving.port

    def refuse_living(run: Run) -> None:
        address = ray_address(run)
        if address is not None:
            raise InputError(
                f"a server of {workplace.folder} runs already at {address.url}; `tidewheel serve down` first"
            )

    # What a killed server left may hold the port that is looked at next.
    end_former(workplace.services, refuse_living)
    if wanted:
        check_port(host, wanted)
    with opened(workplace) as ledger:
        champion = find_model(workplace, ledger, None)
    from tidewheel.lifecycle.server import deploy_front  # brings Ray

    with drawn():
        announce("start", "Ray head")
        run = Run.begin(workplace.services, refuse_living)
        try:
            serving = workplace.settings.serving
            start_ray(run, http_host=host, http_port=wanted, deadline_s=serving.deadline_s)
            wait_ray(run)
            announce("start", f"front with {champion.name}")
            front = deploy_front(workplace, replay=False)
            run.release()
        except BaseException:
            reap(workplace.services)
            raise
    problems = read_status(front.url)["problems"]
    for problem in problems:
        print_view(f"[red]problem[/] {escape(problem)}")
    who = "The server" if problems else f"[bold]{champion.name}[/]"
    print_view(f"{who} answers at {front.predict_url}; documentation at {front.url}/docs")
    return 0


def stop_serving(project: Path) -> int:
    """End everything that this project started: the server, and what a killed `tidewheel run` left.

    The run files alone say what that is: the project file may be broken or gone. A `tidewheel run` at work keeps its own
    Prefect server, which ends with it.

    Raises:
        InputError: There is no project, a `serve up` or a demo is at work in it, or a run file cannot be read.
    """
    folder = project_folder(project)
    if not (folder / PROJECT_FILE).exists() and not services_folder(folder).parent.is_dir():
        raise InputError(f"{folder} must be a project's folder; it has neither {PROJECT_FILE} nor `state`")
    ended = end_former(services_folder(folder))
    working = owner_at_work(prefect_folder(folder))
    if working is None:
        ended += end_former(prefect_folder(folder))
    print_view(f"{len(ended)} processes ended." if ended else "Nothing was running.")
    if working is not None:
        print_view(escape(f"{working} is at work; its Prefect server ends with it."))
    return 0


def ask_serving(project: Path) -> int:
    """Print what the front says of itself; exit code 1 without one."""
    workplace = Workplace.open(project)
    run = Run.read(workplace.services)
    address = ray_address(run) if run is not None else None
    if address is None:
        print_view("No server is running; `tidewheel serve up` starts it.")
        return 1
    print(json.dumps(read_status(address.url), indent=2))
    return 0


def read_status(url: str) -> dict[str, Any]:
    """Ask the front at `url` what one of its replicas does.

    Raises:
        ServiceError: It did not answer.
    """
    # No proxy: this is an address of this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{url}/status", timeout=STATUS_S) as answer:
            status: dict[str, Any] = json.load(answer)
    except (OSError, ValueError) as error:
        raise ServiceError(f"{url}/status did not answer: {error}") from error
    return status
