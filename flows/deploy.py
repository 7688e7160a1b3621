"""Entry of the deployable flow `deploy`."""

from tidewheel.flows import deploy

__all__ = ["deploy"]
