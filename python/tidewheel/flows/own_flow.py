"""A Prefect flow that returns what its own function returned, and loads no result that the server names.

The server may answer the start of a run with a state that somebody else has set. Prefect then returns the result that this
state names, unpickling it if it says so, whatever our own settings are.
"""

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

from prefect import Flow, State
from prefect.results import ResultRecord  # type: ignore[attr-defined]  # it is there without being listed

from tidewheel.errors import ServiceError

P = ParamSpec("P")
R = TypeVar("R")


class OwnFlow(Flow[P, R]):
    """Be a flow whose calls load no result from anywhere."""

    # Prefect's overloads tell types apart by `return_state`; whoever calls one of our flows sees those (`own_flow`).
    def __call__(self, *args: Any, return_state: bool = False, **kwargs: Any) -> Any:  # type: ignore[override]
        """Run the flow; return its function's result, or its last state if asked for.

        Raises:
            ServiceError: The server says that the run has ended, and this process did not end it.
        """
        state = cast("State[Any]", super().__call__(*args, return_state=True, **kwargs))
        return state if return_state else result_of(state, str(self.name))


def result_of(state: "State[Any]", name: str) -> Any:
    """Return, or raise, what a flow of this process left in its last state.

    Raises:
        ServiceError: The state was set by somebody else: it brings the name of a result at most.
    """
    if isinstance(state.data, ResultRecord):
        value = state.data.result
    elif isinstance(state.data, BaseException):
        value = state.data
    else:
        raise ServiceError(
            f"the flow run of `{name}` must be ended by this process; the Prefect server says that it is {state.name} "
            "already, and no result from elsewhere is loaded; find out who set it, look at `tidewheel status`, then "
            "run again"
        )
    if isinstance(value, BaseException) and not state.is_completed():
        raise value
    return value


def own_flow(name: str) -> Callable[[Callable[P, R]], Flow[P, R]]:
    """Make a flow of a function, as Prefect's `flow` does."""

    def make(function: Callable[P, R]) -> Flow[P, R]:
        return OwnFlow(function, name=name)

    return make
