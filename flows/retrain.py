"""Entry of the deployable flow `retrain`."""

from tidewheel.flows import retrain

__all__ = ["retrain"]
