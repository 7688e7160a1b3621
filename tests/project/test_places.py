"""The places of keys: the scan finds exactly the keys that `tomllib` finds, each on the line where it is written."""

import json
import tomllib
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewheel.project.places import find_places, nearest_line

FLIGHTS = (files("tidewheel.examples.flights") / "tidewheel.toml").read_text(encoding="utf-8")

TEXTS = {
    "empty": "",
    "comments only": "# a = 1\n# [b]",
    "flights": FLIGHTS,
    "quoted keys": '"a.b" = 1\n\'c d\'."e\\u0041" = 2\n["x]".y]\nz = 3',
    "list over lines": "a = [ # ]\n  1, 2, # 3\n  [4, 5],\n]\nb = 6",
    "text that looks like keys": 'a = """\nb = 1\n[c]\n\\""" d = 2\n"""\ne = \'\'\'\nf = "\'\'\'\ng = "[h] # = \\" "',
    "text that ends in quotes": 'a = """"two"""""\nb = \'\'\'\'one\'\'\'\'\nc = ""\nd = """"""\ne = 1',
    "lists of tables": "[[a]]\nb = 1\n[a.c]\nd = 2\n[[a]]\n[[a.e]]\nf = 3\n[[a.e]]\nf = 4\n[a.c]\nd = 5",
    "inline tables": "a = { b = 1, c = { d = 2 }, e.f = [{ g = 3 }, {}] }",
    "table after its child": "[a.b]\nc = 1\n[a]\nd = 2",
    "dates": "a = 1979-05-27 07:32:00\nb = 1979-05-27\nc = 07:32:00\nd = [1979-05-27T07:32:00Z, 1]",
    "Windows line ends": "[a]\r\nb = 1\r\n\r\n[c]\r\nd = [\r\n2]\r\n",
    "no blanks": "[a]#x\nb=[1,2]#y\nc={d=1}",
    "blanks everywhere": "  [ a . b ]  \n\t c  .  d  =  1  # e",
    "numbers": "a = 0x1F\nb = -1_000.5e-3\nc = inf\nd = true\n1 = 2",
}


def keys_of(value: Any, place: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Name every key and list entry, from what `tomllib` read."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield (*place, str(key))
        yield from keys_of(item, (*place, str(key)))


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_finds_the_keys_that_tomllib_finds(text: str) -> None:
    assert set(find_places(text)) == set(keys_of(tomllib.loads(text)))


@pytest.mark.parametrize(
    ("text", "place", "line"),
    [
        (TEXTS["list over lines"], ("b",), 5),
        (TEXTS["list over lines"], ("a", "2", "1"), 3),
        (TEXTS["text that looks like keys"], ("e",), 6),
        (TEXTS["lists of tables"], ("a",), 1),
        (TEXTS["lists of tables"], ("a", "0", "c", "d"), 4),
        (TEXTS["lists of tables"], ("a", "1", "e", "1", "f"), 9),
        (TEXTS["lists of tables"], ("a", "1", "c", "d"), 11),
        (TEXTS["table after its child"], ("a",), 3),
        (TEXTS["Windows line ends"], ("c", "d", "0"), 6),
    ],
)
def test_line(text: str, place: tuple[str, ...], line: int) -> None:
    assert find_places(text)[place] == line


def test_what_is_missing_stands_at_the_table_around_it() -> None:
    places = find_places("[a]\nb = 1\n")
    assert nearest_line(places, ("a", "c", "d")) == 1
    assert nearest_line(places, ("e",)) is None
    assert nearest_line(places, ()) is None


KEYS = st.text(st.sampled_from("ab.#=[]{}\"' \n"), min_size=1, max_size=4)
PLAIN = st.one_of(
    st.integers(-99, 99), st.booleans(), st.text(st.sampled_from("ab=#[]{}'\"\\,\n "), max_size=8)
)
VALUES = st.recursive(
    PLAIN,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=6,
)


def as_toml(value: Any, gap: str) -> str:
    """Write a value in one go; JSON's text is TOML's too. `gap` may hold lines and comments where TOML lets them stand."""
    if isinstance(value, dict):
        return (
            "{" + ", ".join(f"{json.dumps(key)} = {as_toml(item, gap)}" for key, item in value.items()) + "}"
        )
    if isinstance(value, list):
        return "[" + gap + f",{gap}".join(as_toml(item, gap) for item in value) + gap + "]"
    return json.dumps(value)


@given(
    st.lists(
        st.tuples(KEYS, st.booleans(), st.dictionaries(KEYS, VALUES, max_size=3)),
        max_size=4,
        unique_by=lambda table: table[0],
    ),
    st.sampled_from(["", " ", "\n", " # ]}'\"\n  "]),
)
def test_any_text_that_tomllib_accepts(tables: list[tuple[str, bool, dict[str, Any]]], gap: str) -> None:
    text, lines = "", {}
    for name, is_list, content in tables:
        lines[name] = text.count("\n") + 1
        text += f"[[{json.dumps(name)}]]\n" if is_list else f"[{json.dumps(name)}]\n"
        for key, value in content.items():
            # A list inside an inline table may run over lines in TOML 1.0; the table itself may not.
            text += f"{json.dumps(key)} = {as_toml(value, gap)} # x = 1\n"
    places = find_places(text)
    assert set(places) == set(keys_of(tomllib.loads(text)))
    assert {place[0]: line for place, line in places.items() if len(place) == 1} == lines
