"""The Prefect flows: each a few lines around the functions of the stages. Needs the extra `lifecycle`.

`data`, `train`, `deploy`, `monitor`, `retrain` and `lifecycle` are what `flows/` deploys, and what you import to run them
yourself.
"""

from tidewheel.flows.ingest import data
from tidewheel.flows.loop import lifecycle
from tidewheel.flows.retraining import retrain
from tidewheel.flows.rollout import deploy
from tidewheel.flows.training import train
from tidewheel.flows.watching import monitor

__all__ = ["data", "deploy", "lifecycle", "monitor", "retrain", "train"]
