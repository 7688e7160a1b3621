"""`compat`: other tools' numbers, against files that the real tools wrote (`benches/peers/make_golden.py`)."""

import json
import math
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peer_cases import CASES
from tidewheel import drift
from tidewheel.drift.peers import compat, evidently, nannyml
from tidewheel.errors import InputError, InputTypeError, UnknownNameError

GOLDEN = {
    tool: json.loads((Path(__file__).parent / "golden" / f"{tool}.json").read_text(encoding="utf-8"))
    for tool in compat.TOOLS
}
#: The tool refuses the method for this kind of column, and says so before it looks at any value.
WRONG_KIND = "StatTestInvalidFeatureTypeError"
ASKED = [
    pytest.param(tool, name, method, answer, id=f"{tool}: {name}: {method}")
    for tool, golden in GOLDEN.items()
    for name, answers in golden["cases"].items()
    for method, answer in answers.items()
    if answer.get("raises") != WRONG_KIND
]


def ask(tool, name, method):
    reference, current = CASES[name]()
    kinds = compat.TOOLS[tool].methods
    chosen = None if method == "default" else {kind: method for kind in kinds if method in kinds[kind]}
    return drift.compare({"x": reference}, {"x": current}, compat=tool, compat_methods=chosen)["x"].peer


@pytest.mark.parametrize(("tool", "name", "method", "answer"), ASKED)
def test_numbers_are_those_of_the_real_tool(tool, name, method, answer):
    peer = ask(tool, name, method)
    if "raises" in answer or answer["score"] == "nan" or answer["method"].endswith("text content drift"):
        # The tool has no number, or one that is not reproduced: ours says which instead of inventing one.
        assert (peer.score, peer.threshold, peer.drifted) == (None, None, None)
        assert tool.lower() in peer.note.lower()
        return
    assert peer.method == answer["method"]
    # Evidently sums Hellinger's terms in the precision of the values.
    relative = 2e-6 if (name, peer.method) == ("float32", "hellinger") else 1e-9
    assert peer.score == pytest.approx(answer["score"], rel=relative, abs=1e-12)
    assert peer.threshold == (answer["threshold"] and pytest.approx(answer["threshold"], rel=1e-9, abs=1e-12))
    assert peer.drifted is answer["drifted"]


def test_the_golden_files_are_of_the_versions_named():
    assert {tool: golden["version"] for tool, golden in GOLDEN.items()} == {
        "evidently": evidently.VERSION,
        "nannyml": nannyml.VERSION,
    }
    assert all(golden["cases"].keys() == CASES.keys() for golden in GOLDEN.values())


def test_hand_worked():
    # Three values of one sample moved by 1: W1 is 1, the deviation of 0, 1, 2 is sqrt(2/3).
    reference, current = {"x": [0.0, 1.0, 2.0]}, {"x": [1.0, 2.0, 3.0]}
    peer = drift.compare(reference, current, compat="evidently", compat_methods={"numeric": "wasserstein"})[
        "x"
    ].peer
    assert peer.score == pytest.approx(math.sqrt(1.5))
    # Ten chunks of one row each, shares 1/2 and 1/2: each chunk is 1/2 away, so the threshold is 1/2.
    names = {"x": ["a", "b"] * 5}
    peer = drift.compare(
        names, {"x": ["b"] * 4}, compat="nannyml", compat_methods={"categorical": "l_infinity"}
    )["x"].peer
    assert (peer.score, peer.threshold, peer.drifted) == (0.5, 0.5, False)


def test_one_row_more_changes_a_threshold():
    # 1,001 rows leave a chunk of one row over, and its distance of nearly 1 sets the threshold.
    thresholds = [ask("nannyml", f"floats, {rows} rows", "default").threshold for rows in ("1,000", "1,001")]
    assert thresholds[1] > 3 * thresholds[0]


def test_our_verdict_is_not_touched(rng):
    table = {"x": rng.normal(size=3_000), "word": rng.choice(["a", "b"], 3_000)}
    later = {"x": rng.normal(0.4, 1, 3_000), "word": rng.choice(["a", "b"], 3_000)}
    plain, beside = drift.compare(table, later), drift.compare(table, later, compat="evidently")
    assert plain["x"].peer is None
    assert [(c.verdict, c.pvalue, c.effect) for c in beside.columns] == [
        (c.verdict, c.pvalue, c.effect) for c in plain.columns
    ]
    assert beside.warnings[:-1] == plain.warnings
    assert beside.warnings[-1].startswith("Evidently 0.7.23 picks a method by the reference's size")
    assert "calls 1 of 2 columns drifted; the verdicts here, which are ours, 1." in beside.warnings[-1]


LATER = {"x": np.arange(40.0) + 9, "when": np.arange(40).astype("datetime64[D]")}


def test_the_report_shows_it(tmp_path):
    report = drift.compare({**LATER, "x": np.arange(40.0)}, LATER, compat="evidently")
    peer = report["x"].peer
    assert peer.sentence == (
        "evidently 0.7.23 calls it not drifted: ks 0.2657 against a threshold of 0.05 "
        "(p of Kolmogorov-Smirnov, not corrected over columns)."
    )
    assert report.to_dict()["columns"][0]["peer"] == {
        "tool": "evidently",
        "version": "0.7.23",
        "method": "ks",
        "score": peer.score,
        "threshold": 0.05,
        "drifted": False,
        "note": peer.note,
    }
    rows = report.to_polars().select("column", "peer_method", "peer_threshold", "peer_drifted").rows()
    assert rows == [("x", "ks", 0.05, False), ("when", "", None, None)]
    assert report.to_pandas()["peer_drifted"].tolist() == [False, None]
    assert "not drifted: ks 0.2657 of 0.05" in report.summary()
    assert "no verdict" in report.summary()
    page = report.to_html(tmp_path / "page.html")
    assert "evidently 0.7.23 calls it not drifted: ks 0.2657" in page
    assert "evidently 0.7.23 has no verdict: Evidently leaves out columns of this type." in page
    plain = drift.compare(LATER, LATER)
    assert "peer_tool" not in plain.to_polars().columns
    assert "evidently" not in plain.summary() + plain.to_html()


@pytest.mark.parametrize("tool", compat.TOOLS)
def test_libraries_agree(rng, tool):
    frames = [
        pl.DataFrame(
            {
                "x": rng.normal(shift, 1, 1_500),
                "count": pl.Series([None if i % 9 == 0 else i % 30 for i in range(1_500)], dtype=pl.Int64),
                "word": pl.Series(rng.choice(["a", "b", "c"], 1_500)).cast(pl.Categorical),
                "flag": rng.random(1_500) < 0.3 + shift,
                "gap": pl.Series([None if i % 7 == 0 else f"n{i % 5}" for i in range(1_500)]),
            }
        )
        for shift in (0.0, 0.2)
    ]
    peers = [column.peer for column in drift.compare(*frames, compat=tool).columns]
    assert None not in [peer.score for peer in peers]
    for convert in (
        pl.DataFrame.to_pandas,
        lambda frame: frame.to_pandas(use_pyarrow_extension_array=True),
        pl.DataFrame.to_arrow,
        lambda frame: frame.to_dict(as_series=True),
        lambda frame: dict(zip(frame.columns, frame.to_arrow().columns, strict=True)),
    ):
        report = drift.compare(convert(frames[0]), convert(frames[1]), compat=tool)
        assert [column.peer for column in report.columns] == peers
    masked = np.ma.masked_array(np.arange(60.0), mask=np.arange(60) % 2 == 0)
    odd = {"x": np.arange(60.0)[1::2]}
    wanted = drift.compare(odd, odd, compat="evidently")["x"].peer
    assert drift.compare({"x": masked}, {"x": masked}, compat="evidently")["x"].peer == wanted
    square = rng.normal(size=(50, 2))
    assert drift.compare(square, square, compat=tool)["1"].peer.drifted is False


ERRORS = {
    "tool": (
        {"compat": "whylogs"},
        UnknownNameError,
        "`compat` must be one of 'evidently', 'nannyml' or None; got 'whylogs'",
    ),
    "kind": (
        {"compat": "nannyml", "compat_methods": {"continuous": "wasserstein"}},
        UnknownNameError,
        "`compat_methods` must name kinds of 'numeric', 'categorical'; got 'continuous'",
    ),
    "method": (
        {"compat": "nannyml", "compat_methods": {"categorical": "psi"}},
        UnknownNameError,
        "`compat_methods['categorical']` must be one of 'jensen_shannon', 'hellinger', 'l_infinity', 'chi2' "
        "for nannyml; got 'psi'",
    ),
    "methods alone": (
        {"compat_methods": {"numeric": "ks"}},
        InputError,
        "`compat_methods` needs `compat` to name the tool; got none",
    ),
}


@pytest.mark.parametrize(("arguments", "error", "text"), ERRORS.values(), ids=ERRORS.keys())
def test_errors(arguments, error, text):
    with pytest.raises(error) as raised:
        drift.compare({"x": [1.0]}, {"x": [1.0]}, **arguments)
    assert type(raised.value) is error
    assert str(raised.value) == text


class Stream:
    """A table of which only the Arrow stream is known."""

    def __arrow_c_stream__(self, requested_schema=None):
        return pa.table({"x": [1.0, 2.0]}).__arrow_c_stream__(requested_schema)


def test_a_table_without_raw_values_is_refused():
    with pytest.raises(InputTypeError, match=r"`compat` needs raw values: pass a polars .* got Stream"):
        drift.compare(Stream(), Stream(), compat="nannyml")


NUMBERS = st.floats(width=64, allow_nan=True, allow_infinity=True)
COLUMNS = st.one_of(
    st.tuples(st.lists(NUMBERS, max_size=40), st.lists(NUMBERS, max_size=40), st.just(np.float64)),
    st.tuples(
        st.lists(st.integers(-(2**63), 2**63 - 1), max_size=40),
        st.lists(st.integers(-(2**63), 2**63 - 1), max_size=40),
        st.just(np.int64),
    ),
    st.tuples(
        st.lists(st.one_of(st.none(), st.text(max_size=2)), max_size=40),
        st.lists(st.one_of(st.none(), st.text(max_size=2)), max_size=40),
        st.just(object),
    ),
    st.tuples(st.lists(st.booleans(), max_size=40), st.lists(st.booleans(), max_size=40), st.just(np.bool_)),
)


@settings(max_examples=300, deadline=None)
@given(COLUMNS, st.sampled_from(list(compat.TOOLS)), st.data())
def test_no_column_ends_a_report(column, tool, data):
    reference, current, dtype = column
    methods = {kind: data.draw(st.sampled_from(known)) for kind, known in compat.TOOLS[tool].methods.items()}
    chosen = data.draw(st.sampled_from([None, methods]))
    sides = ({"x": np.array(side, dtype=dtype)} for side in (reference, current))
    peer = drift.compare(*sides, compat=tool, compat_methods=chosen)["x"].peer
    assert (peer.score is None) == (peer.drifted is None)
    assert peer.score is not None or peer.note
    assert peer.score is None or math.isfinite(peer.score)


@pytest.mark.parametrize("tool", compat.TOOLS)
def test_columns_that_nobody_computes(tool):
    frame = pl.DataFrame(
        {
            "nested": [[1], [2, 3]],
            "null": pl.Series([None, None]),
            "when": pl.Series([1, 2]).cast(pl.Datetime("us")),
        }
    )
    report = drift.compare(frame, frame, compat=tool)
    assert [column.peer.score for column in report.columns] == [None] * 3
    assert all(tool in column.peer.note.lower() for column in report.columns)


EXTREMES = {
    "beyond the range": (np.arange(60) - 29.5) / 30 * 1.7e308,
    "least floats": np.arange(60) * 5e-324,
    "12,000 least floats": np.arange(12_000) % 7 * 5e-324,
    "few floats apart": 1e16 + np.arange(60.0) * 2,
}


@pytest.mark.parametrize("values", EXTREMES.values(), ids=EXTREMES.keys())
@pytest.mark.parametrize("tool", compat.TOOLS)
def test_values_that_numpy_cannot_bin(tool, values):
    for method in compat.TOOLS[tool].methods["numeric"]:
        for reference, current in ((values, np.arange(60.0)), (np.arange(60.0), values), (values, values)):
            chosen = {"numeric": method}
            peer = drift.compare({"x": reference}, {"x": current}, compat=tool, compat_methods=chosen)[
                "x"
            ].peer
            assert peer.score is None or (math.isfinite(peer.score) and math.isfinite(peer.threshold))
            assert peer.score is not None or f"{tool}" in peer.note.lower()
