"""The Prefect flows: each a few lines around a use case of `tidewheel.lifecycle`. Needs the extra `lifecycle`.

`data`, `train`, `deploy`, `monitor`, `retrain` and `lifecycle` are what `flows/` deploys, and what you import to run them
yourself.
"""

from tidewheel.flows.loop import data, deploy, lifecycle, monitor, rehearsal, retrain, train

__all__ = ["data", "deploy", "lifecycle", "monitor", "rehearsal", "retrain", "train"]
