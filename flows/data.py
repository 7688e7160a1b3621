"""Entry of the deployable flow `data`."""

from tidewheel.flows import data

__all__ = ["data"]
