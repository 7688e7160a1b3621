"""Words that commands take."""

from typing import Literal

StageName = Literal["all", "data", "train", "deploy", "monitor", "retrain"]
"""What `tidewheel run` runs: one stage, or a whole turn of the loop."""
