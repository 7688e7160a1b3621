"""Entry of the deployable flow `lifecycle`."""

from tidewheel.flows import lifecycle

__all__ = ["lifecycle"]
