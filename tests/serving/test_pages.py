"""The documents of the front: the example is made up, and good enough to be sent."""

import json

from hypothesis import given
from hypothesis import strategies as st

from tidewheel.project.settings import Column
from tidewheel.serving.pages import example_row
from tidewheel.serving.requests import Validator

BOUNDS = st.none() | st.integers(-(10**6), 10**6)


@st.composite
def columns(draw: st.DrawFn) -> Column:
    kind = draw(st.sampled_from(["int", "float", "string", "bool", "datetime"]))
    if kind == "string":
        allowed = draw(st.none() | st.lists(st.text(max_size=5), min_size=1, max_size=3).map(tuple))
        return Column(type=kind, allowed=allowed, nullable=draw(st.booleans()))
    if kind not in ("int", "float"):
        return Column(type=kind)
    low, high = draw(BOUNDS), draw(BOUNDS)
    if low is not None and high is not None:
        low, high = min(low, high), max(low, high)
    return Column(
        type=kind,
        minimum=None if low is None else float(low),
        maximum=None if high is None else float(high),
    )


NAMES = st.text(st.characters(categories=["L", "N", "Zs"]), min_size=1, max_size=8)


@given(st.dictionaries(NAMES, columns(), min_size=1, max_size=6))
def test_the_example_keeps_the_contract(contract: dict[str, Column]) -> None:
    row = example_row(contract)
    request = Validator(contract, 10, 100_000, replay=False).parse(json.dumps({"inputs": [row]}).encode())
    assert list(request.rows[0]) == list(contract)
