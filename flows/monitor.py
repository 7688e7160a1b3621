"""Entry of the deployable flow `monitor`."""

from tidewheel.flows import monitor

__all__ = ["monitor"]
