"""Entry of the deployable flow `train`."""

from tidewheel.flows import train

__all__ = ["train"]
