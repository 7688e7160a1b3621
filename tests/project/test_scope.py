"""The questions that a project file leaves open."""

import tomllib
from importlib.resources import files

import pytest

from project_text import PROJECT, changed
from tidewheel.project.scope import check_scope
from tidewheel.project.settings import Settings

COMPLETE = (
    changed(
        "protected = []",
        'business_metric = "parcels on time"\namount = 0.02\ndecision = "call the driver"\nlabelling = "the scanner"',
    )
    + '[[risks]]\nfailure = "x"\nlikelihood = "low"\nimpact = "low"\nowner = "x"\ndetector = "x"\nresponse = "x"\n'
)

OPEN = {
    "business metric": ('business_metric = "parcels on time"', "", "`scope.business_metric`"),
    "amount": ("amount = 0.02", "", "`scope.amount`"),
    "decision": ('decision = "call the driver"', "", "`scope.decision`"),
    "labelling": ('labelling = "the scanner"', "", "`scope.labelling`"),
    "unit": ('unit = "day"', "", "`data.unit`"),
    "gate": ("[[gates.model.criteria]]", "[[gates.retrain.criteria]]", "`[gates.model]`"),
}


def questions(text: str) -> tuple[str, ...]:
    return check_scope(Settings.model_validate(tomllib.loads(text)))


@pytest.mark.parametrize(("old", "new", "words"), OPEN.values(), ids=OPEN.keys())
def test_one_question_for_what_is_left_out(old: str, new: str, words: str) -> None:
    assert COMPLETE.count(old) == 1
    (question,) = questions(COMPLETE.replace(old, new))
    assert words in question


def test_no_risk_is_a_question() -> None:
    (question,) = questions(COMPLETE.partition("[[risks]]")[0])
    assert "`[[risks]]`" in question


def test_complete_scope_asks_nothing() -> None:
    assert questions(COMPLETE) == ()


def test_the_worked_example_asks_nothing() -> None:
    assert (
        questions((files("tidewheel.examples.flights") / "tidewheel.toml").read_text(encoding="utf-8")) == ()
    )


def test_amount_of_zero_is_an_answer() -> None:
    assert questions(COMPLETE.replace("amount = 0.02", "amount = 0")) == ()


def test_a_bare_project_is_asked_everything_but_its_gate() -> None:
    assert len(questions(PROJECT)) == 5
