"""One stage of the lifecycle for `tidewheel run`, and what it did in words. Importing this imports Prefect."""

from typing import assert_never

from tidewheel.cli.names import StageName
from tidewheel.errors import InputError
from tidewheel.flows import data, deploy, lifecycle, monitor, retrain, train
from tidewheel.lifecycle.ingest import refusal_of
from tidewheel.lifecycle.train import Offer
from tidewheel.lifecycle.waiting import undecided_offer
from tidewheel.lifecycle.workplace import Workplace


def run_stage(workplace: Workplace, stage: StageName, environment: str) -> tuple[list[str], bool]:
    """Run one stage on the wall clock; give what it did, line by line, and whether a gate or a rollout said no."""
    folder = str(workplace.folder)
    match stage:
        case "all":
            turn = lifecycle(folder, environment=environment)
            return list(turn.steps), turn.refused
        case "data":
            version = data(folder, environment=environment)
            refusal = refusal_of(workplace, version)
            return [f"data: version {version}", *([refusal] if refusal else [])], refusal is not None
        case "train":
            offers = train(folder, environment=environment)
            return [_in_words(offer) for offer in offers], not all(offer.passed for offer in offers)
        case "deploy":
            offer = undecided_offer(workplace, retrained=False)
            if offer is None:
                raise InputError(
                    "no model that passed its gates waits for its rollout; `--stage train` makes one, `--stage retrain` "
                    "when it is due"
                )
            facts = deploy(folder, offer, "batch", environment=environment)
            verdict = facts.verdict if facts is not None else "deploy"
            return [f"deploy: {verdict}"], verdict == "refuse"
        case "monitor":
            found = monitor(folder, environment=environment)
            return [f"{finding.kind}: {finding.verdict}, {finding.reason}" for finding in found], False
        case "retrain":
            retrained = retrain(folder, environment=environment)
            if retrained is None:
                return ["nothing to do"], False
            return [_in_words(retrained)], not retrained.passed
        case _:
            assert_never(stage)


def _in_words(offer: Offer) -> str:
    return f"{offer.name}: {offer.verdict} at gate {offer.gate} ({offer.reason})"
