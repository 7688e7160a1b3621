"""`DriftReport.to_html`, `_repr_html_` and `to_junit`: structure, escaping, pictures; without a browser."""

import base64
import hashlib
import html
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import polars as pl
import pytest
from hypothesis import given, strategies

from tidewheel import drift
from tidewheel.drift.report import page, pictures
from tidewheel.drift.report.markup import escape
from tidewheel.drift.report.records import Shape
from tidewheel.errors import InputError, UnknownNameError

HOSTILE = "</script><script>alert(1)</script><img src=x onerror='alert(2)'>\"&\x00\ud800"
KNOWN_TAGS = {
    "html", "head", "meta", "title", "style", "body", "main", "h1", "h2", "dl", "div", "dt", "dd", "p", "b", "label",
    "input", "fieldset", "legend", "select", "option", "button", "span", "svg", "path", "circle", "ol", "ul", "li",
    "details", "summary", "table", "tr", "th", "td", "script", "code",
}  # fmt: skip
MEGABYTE = 1_000_000


class Page(HTMLParser):
    """What is on a page: elements with their attributes, and the text of each column's row."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.names, self.rows, self._open = [], [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self._open = tag
        if tag == "li" and "data-i" in dict(attributes):
            self.rows.append("")
        if tag == "h2":
            self.names.append("")

    def handle_endtag(self, tag):
        self._open = None

    def handle_data(self, data):
        if self._open == "h2":
            self.names[-1] += data
        if self.rows and self._open not in {"script", "style"}:
            self.rows[-1] += data

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def samples(rng, n=3_000, shift=0.0):
    """Columns of every verdict, and with hostile text wherever a user's text can be."""
    gaps = [None if u < 0.1 + shift / 3 else u for u in rng.random(n)]
    return {
        "moved": rng.normal(shift, 1, n),
        "same": rng.normal(0, 1, n),
        "between": rng.normal(0.25 * shift, 1, n),
        "empty": pl.Series([None] * n, dtype=pl.Float64),
        HOSTILE.replace("\x00", "").replace("\ud800", ""): rng.choice(
            [HOSTILE[:40], "", "é" * 200], n
        ).astype(object),
        "gaps": pl.Series(gaps),
        "flag": rng.random(n) < 0.5,
        "when": pl.Series(rng.integers(0, 10**6, n)).cast(pl.Datetime("ms")),
    }


@pytest.fixture
def report(rng):
    extra = {HOSTILE.replace("\ud800", "?") + "x" * 300: np.zeros(3_000)}
    return drift.compare(samples(rng), samples(rng, shift=0.9) | extra)


@pytest.fixture
def text(report, tmp_path):
    returned = report.to_html(tmp_path / "page.html")
    assert returned == report.to_html() == (tmp_path / "page.html").read_text(encoding="utf-8")
    return returned


def test_every_column_and_verdict_is_there(report, text):
    found = Page(text)
    assert sorted(found.names) == sorted(column.name for column in report.columns)
    assert {column.verdict for column in report.columns} == {"drifted", "undecided", "not computed", "stable"}
    for name, row in zip(found.names, found.rows, strict=True):
        assert report[name].verdict in row
        assert report[name].sentence in row
    verdicts = [report[name].verdict for name in found.names]
    assert verdicts == sorted(verdicts, key=list(page.VERDICTS).index)


def test_text_of_users_is_text(text):
    found = Page(text)
    assert {tag for tag, _ in found.elements} <= KNOWN_TAGS
    assert len(found.all("script")) == 1
    assert not [key for _, attributes in found.elements for key in attributes if key.startswith("on")]
    assert "alert" not in text.partition("<script>")[2]


def test_nothing_comes_from_elsewhere(text):
    assert not re.search(
        r"\b(src|href|action|srcset|data)=|url\(|@import|https?:|//[a-z]", text.replace("src=x", "")
    )
    policy = next(
        item["content"] for item in Page(text).all("meta") if "content" in item and "src" in item["content"]
    )
    for tag in ("style", "script"):
        inside = text.partition(f"<{tag}>")[2].partition(f"</{tag}>")[0]
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert 'style="' not in text


def test_code_in_sentences_is_set_as_code():
    (column,) = drift.compare({"`x`<": [1.0] * 9}, {"`x`<": [1.0] * 9}).columns
    shown = page.render_page([column], [], ["name a `unit` for `<b>`, or `none"])
    assert "name a <code>unit</code> for <code>&lt;b&gt;</code>, or `none</p>" in shown
    assert "<h2>`x`&lt;</h2>" in shown


def test_controls_have_labels_and_pictures_words(text):
    found = Page(text)
    assert len(found.all("label")) == len(found.all("input")) + len(found.all("select"))
    assert all("aria-label" in svg or svg.get("aria-hidden") == "true" for svg in found.all("svg"))
    assert found.all("html") == [{"lang": "en"}]


def luminance(colour):
    """Relative luminance of `rrggbb` (WCAG 2.2)."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_enough_in_light_and_dark(text):
    found = re.findall(r"--(\w+): light-dark\(#(\w{6}), #(\w{6})\);", text)
    light, dark = {name: one for name, one, _ in found}, {name: two for name, _, two in found}
    assert len(light) == text.count("light-dark(") - 1
    for colours in (light, dark):
        for ground in (colours["ground"], colours["panel"]):
            words = [name for name in colours if name not in {"ground", "panel", "line", "area"}]
            assert all(contrast(colours[name], ground) >= 4.5 for name in words)
        assert contrast(colours["now"], colours["area"]) >= 3


def test_a_thousand_columns_stay_small(rng, tmp_path):
    one, other = ({f"feature_{i}": rng.normal(i % 3 * s, 1, 2_000) for i in range(1_000)} for s in (0.0, 0.2))
    drift.compare(one, other).to_html(tmp_path / "wide.html")
    assert (tmp_path / "wide.html").stat().st_size < 2 * MEGABYTE


def test_a_notebook_gets_the_most_urgent_without_scripts(rng, report):
    shown = report._repr_html_()
    found = Page(shown)
    assert not found.all("script")
    assert "reference</span>" in shown.partition("<ol")[0]
    assert found.names[0] == max(report.columns, key=page.strength).name
    many = {f"c{i}": [float(i)] * 5 for i in range(50)}
    shown = drift.compare(many, many)._repr_html_()
    assert len(Page(shown).rows) == page.NOTEBOOK_COLUMNS
    assert "20 more columns" in shown


def test_an_empty_report_is_a_page():
    assert "0 of 0 columns drifted" in drift.compare({}, {}).to_html()


@pytest.mark.parametrize("write", ["to_html", "to_junit"])
def test_a_file_that_cannot_be_written_is_named(report, tmp_path, write):
    with pytest.raises(InputError, match=r"cannot write .*nowhere"):
        getattr(report, write)(tmp_path / "nowhere" / "file")


# Shapes and pictures


def test_shapes_are_numpys_counts(rng):
    reference, current = rng.normal(size=4_000), rng.normal(1, 1, 3_000)
    shape = drift.compare({"x": reference}, {"x": current})["x"].shape
    bins = len(shape.reference_counts) - 2
    edges = [-np.inf, *(shape.low + shape.width * np.arange(bins + 1)), np.inf]
    for values, counts in ((reference, shape.reference_counts), (current, shape.current_counts)):
        assert np.histogram(values, edges)[0].tolist() == list(counts)
    beyond = pictures.outside(shape)
    assert max(beyond) < 0.02


def test_shapes_are_the_same_for_many_rows(rng):
    # More rows than are sorted: the counts come from the cells of the search, a value lies at most a cell off.
    reference, current = rng.normal(size=60_000), rng.normal(0.3, 1, 50_000)
    reference[:5], reference[5:9] = np.nan, np.inf
    shape = drift.compare({"x": reference}, {"x": current})["x"].shape
    edges = [-1e300, *(shape.low + shape.width * np.arange(len(shape.reference_counts) - 1)), 1e300]
    for values, counts in ((reference, shape.reference_counts), (current, shape.current_counts)):
        expected = np.histogram(values[np.isfinite(values)], edges)[0]
        assert sum(counts) == expected.sum()
        assert np.abs(expected - counts).max() <= 0.003 * len(values)


def test_shapes_of_names(rng):
    words = [["a"] * 5 + ["b"] * 3 + [f"rare{i:02}" for i in range(12)], ["b"] * 4 + ["new"] * 2]
    shape = drift.compare({"w": words[0]}, {"w": words[1]})["w"].shape
    assert shape.names[:3] == ("a", "b", "rare00")
    assert (shape.reference_counts[-1], shape.current_counts) == (4, (0, 4, *[0] * 8, 2))


def numbers(*counts, low=0.0, width=1.0, dtype="float64"):
    return Shape(counts, counts[::-1], (), low, width, dtype)


def test_a_picture_by_hand():
    drawn = pictures.draw(numbers(1, 0, 2, 2, 0, low=-0.5))
    # Shares 2/5 are the highest: full height. Runs of one height are drawn at once.
    assert 'class="r" d="M0 99V99h1V0h2V99z"' in drawn
    assert 'class="c" d="M0 99V0h2V99h1V99"' in drawn
    assert "<span>0</span><span>2</span>" in drawn


ENDS = {
    "numbers": (numbers(*[1] * 12, low=-0.0004, width=0.04), ("0", "0.4")),
    "whole": (numbers(*[1] * 12, low=1989.5, width=1.0), ("1990", "1999")),
    "large": (numbers(*[1] * 12, low=123_456.2, width=1000.0), ("123,456", "133,456")),
    "day": (numbers(*[1] * 12, low=15_705.5, width=1.0, dtype="date[D]"), ("2013-01-01", "2013-01-10")),
    "instant": (numbers(*[1] * 12, low=0.0, width=6e9, dtype="datetime[us]"), ("1970-01-01 00:00", "1970-01-01 16:40")),
    "years": (numbers(*[1] * 12, low=0.0, width=1e17, dtype="datetime[ns]"), ("1970-01-01", "2001-09-09")),
    "beyond the calendar": (numbers(*[1] * 12, low=0.0, width=1e18, dtype="datetime[s]"), ("0 s", "1e+19 s")),
    "duration": (numbers(*[1] * 12, low=0.0, width=3600.0, dtype="duration[s]"), ("0 h", "10 h")),
}  # fmt: skip


@pytest.mark.parametrize(("shape", "ends"), ENDS.values(), ids=ENDS.keys())
def test_ends_as_a_reader_would_write_them(shape, ends):
    assert pictures.describe_ends(shape) == ends


def test_intervals_have_their_threshold_in_the_middle():
    drawn = pictures.draw_effect(drift.Effect("D", 0.1, 0.0, 0.3, 0.1))
    assert 'd="M0 6H75"' in drawn
    assert 'cx="50"' in drawn


@given(strategies.text(strategies.characters(exclude_categories=["Cs", "Cc"])))
def test_escaping_is_the_standard_librarys(text):
    assert escape(text) == html.escape(text).replace("\ufffe", "\ufffd").replace("\uffff", "\ufffd")


def test_escaping():
    assert escape("<&>\"'") == "&lt;&amp;&gt;&quot;&#x27;"
    assert escape("a\x00b\x1bc\ud800\ttab") == "a\ufffdb\ufffdc?\ttab"


# JUnit


@pytest.mark.parametrize("fail_on", ["drifted", "undecided"])
def test_junit_has_a_case_per_column(report, tmp_path, fail_on):
    path = tmp_path / "junit.xml"
    assert report.to_junit(path, fail_on=fail_on) == path.read_text(encoding="utf-8")
    (suite,) = ElementTree.parse(path).getroot()
    cases = {case.get("name"): case for case in suite.iter("testcase")}
    assert list(cases) == [column.name for column in report.columns]
    failing = {"drifted"} if fail_on == "drifted" else {"drifted", "undecided"}
    for column in report.columns:
        failure = cases[column.name].find("failure")
        assert (failure is not None) == (column.verdict in failing)
        assert failure is None or failure.get("message") == column.sentence
        assert (cases[column.name].find("skipped") is not None) == (column.verdict == "not computed")
    assert suite.get("failures") == str(len(suite.findall("testcase/failure")))
    assert {item.get("name"): item.get("value") for item in suite.iter("property")}[
        "reference"
    ] == "3,000 rows"


def test_junit_refuses_other_names(report, tmp_path):
    with pytest.raises(UnknownNameError, match="'drifted', 'undecided'; got 'stable'"):
        report.to_junit(tmp_path / "junit.xml", fail_on="stable")
    assert not list(Path(tmp_path).iterdir())
