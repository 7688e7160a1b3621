"""The page of a report, and the part of a notebook, in a real Chromium: clicked, typed into and measured."""

import re

import numpy as np
import polars as pl
import pytest

import browser
from browser import Browser
from tidewheel import drift

pytestmark = pytest.mark.browser

WIDTHS = {"desk": 1_100, "tablet": 768, "phone": 390, "small phone": 320}
#: Of all text that is to be seen: the least contrast with its ground, and where it is (WCAG 2.2: 4.5 is enough).
LEAST_CONTRAST = """(() => {
  const parse = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (colour) => {
    const [r, g, b] = parse(colour).slice(0, 3).map((v) => v / 255)
      .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (at) => {
    for (; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if ((parse(colour)[3] ?? 1) === 1) return colour;
    }
    return matchMedia("(prefers-color-scheme: dark)").matches ? "rgb(18, 18, 18)" : "rgb(255, 255, 255)";
  };
  let least = [99, "no text"];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const at = node.parentElement;
    if (!node.data.trim() || !at.checkVisibility() || at.closest("script, style, option")) continue;
    const pair = [light(getComputedStyle(at).color), light(ground(at))].sort((a, b) => b - a);
    const found = (pair[0] + 0.05) / (pair[1] + 0.05);
    if (found < least[0]) least = [found, node.data];
  }
  return least;
})()"""
#: Elements that reach beyond the window, but those inside a table that scrolls by itself.
BEYOND = """[...document.querySelectorAll("body *")].filter((at) => at.checkVisibility() && !at.closest("table, legend")
  && (at.getBoundingClientRect().right > innerWidth + 0.5 || at.getBoundingClientRect().left < -0.5))
  .map((at) => at.outerHTML.slice(0, 80))"""
NAMES = """[...document.querySelectorAll("#rows > li")].filter((at) => at.checkVisibility())
  .map((at) => at.querySelector("h2").textContent)"""


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    opened = Browser(tmp_path_factory.mktemp("chromium"))
    yield opened
    opened.close()


def samples(shift):
    rng = np.random.default_rng(20131017)
    n = 3_000
    return {
        "temperature": rng.normal(shift, 1, n),
        "Wind_10": rng.normal(0, 1, n),
        "wind_9": rng.normal(shift / 4, 1, n),
        "nothing": pl.Series([None] * n, dtype=pl.Float64),
        "carrier": rng.choice(["UA", "B6", "a very long name of a carrier, indeed " * 3], n).astype(object),
        "departed": pl.Series(rng.integers(0, 10**6, n)).cast(pl.Datetime("ms")),
        "a_name_without_any_place_to_break_it_" * 3: rng.random(n) < 0.5,
    }


@pytest.fixture(scope="module")
def report():
    return drift.compare(samples(0.0), samples(0.9) | {"new " * 90: np.zeros(3_000)})


@pytest.fixture(scope="module")
def page(report, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "page.html"
    report.to_html(path)
    return path


@pytest.fixture(scope="module")
def tab(chromium, page):
    return chromium.open(page)


@pytest.fixture
def fresh(chromium, page):
    return chromium.open(page)


def told(tab):
    return tab.run("document.getElementById('told').textContent")


def test_a_page_asks_for_nothing_and_complains_of_nothing(chromium, page):
    tab = chromium.open(page)
    tab.click("#open")
    assert tab.run("document.querySelectorAll('details[open]').length") == len(tab.run(NAMES))
    assert (tab.requests(), tab.complaints()) == ([], [])


def test_the_browser_would_have_noticed(chromium, tmp_path):
    bad = tmp_path / "bad.html"
    bad.write_text(
        "<p style='color: #ccc'>pale</p><img src='nowhere.png' width=3000><script>nothing()</script>"
    )
    tab = chromium.open(bad)
    assert [address.rpartition("/")[2] for address in tab.requests()] == ["nowhere.png"]
    assert any("Uncaught" in text for text in tab.complaints())
    assert tab.run(LEAST_CONTRAST)[0] < 2
    assert len(tab.run(BEYOND)) == 1


def test_the_content_policy_stops_foreign_scripts(chromium, page, tmp_path):
    spoiled = tmp_path / "spoiled.html"
    spoiled.write_text(
        page.read_text(encoding="utf-8").replace("<h1>", "<script>window.spoiled = 1</script><h1>")
    )
    assert chromium.open(spoiled).run("window.spoiled") is None


def test_rows_are_drawn_as_the_report_has_them(tab, report):
    assert sorted(tab.run(NAMES)) == sorted(column.name for column in report.columns)
    assert told(tab) == f"{len(report.columns)} of {len(report.columns)} columns"
    drawn = tab.run("document.querySelectorAll('#rows .p svg, #rows .e > .f svg').length")
    assert drawn >= 2 * sum(column.shape is not None for column in report.columns)
    sizes = tab.run(
        "[...document.querySelectorAll('#rows svg')].map((at) => at.getBoundingClientRect().height)"
    )
    assert min(sizes) > 8


def test_search_by_typing(fresh):
    fresh.type("/")  # the key that leads to the search
    fresh.type("WIND")
    assert sorted(fresh.run(NAMES)) == ["Wind_10", "wind_9"]
    assert told(fresh) == "2 of 7 columns"
    fresh.type("x")
    assert fresh.run(NAMES) == []
    assert fresh.run("document.getElementById('none').checkVisibility()")
    for _ in range(5):
        fresh.press("Backspace", 8)
    assert len(fresh.run(NAMES)) == 7


def test_filter_by_clicking(fresh, report):
    fresh.click(".tools .s input")
    assert set(fresh.run(NAMES)) == {c.name for c in report.columns if c.verdict != "stable"}
    for verdict in ("u", "o"):
        fresh.click(f".tools .{verdict} input")
    assert set(fresh.run(NAMES)) == set(report.drifted)
    fresh.click(".tools .d input")
    assert fresh.run(NAMES) == []


def sorted_by(tab, order):
    tab.run("document.getElementById('sort').focus()")
    tab.press("Home", 36)
    for _ in range(["verdict", "effect", "p", "name", "table order"].index(order)):
        tab.press("ArrowDown", 40)
    return tab.run(NAMES)


def test_sort_by_keyboard(fresh, report):
    at_first = fresh.run(NAMES)
    order = ["drifted", "undecided", "not computed", "stable"]
    assert [report[name].verdict for name in at_first] == sorted(
        (column.verdict for column in report.columns), key=order.index
    )
    assert sorted_by(fresh, "name")[-2:] == ["wind_9", "Wind_10"]  # 9 before 10
    assert sorted_by(fresh, "table order") == [column.name for column in report.columns]
    effects = [report[name].effect for name in sorted_by(fresh, "effect") if report[name].effect]
    strengths = [effect.value / effect.threshold for effect in effects]
    assert strengths == sorted(strengths, reverse=True)
    p = [report[name].pvalue_corrected for name in sorted_by(fresh, "p") if report[name].effect]
    assert p == sorted(p)
    assert sorted_by(fresh, "verdict") == at_first


def test_details_open_by_clicking(fresh, report):
    name = fresh.run(NAMES)[0]
    assert not fresh.run("document.querySelector('#rows details table').checkVisibility()")
    fresh.click("#rows details > summary")
    assert fresh.run("document.querySelector('#rows details table').checkVisibility()")
    shown = fresh.run("document.querySelector('#rows details').innerText")
    assert all(part.test in shown for part in report[name].parts)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS.keys())
def test_nothing_reaches_beyond_the_window_and_all_can_be_read(chromium, page, width, dark):
    tab = chromium.open(page, width=width, dark=dark)
    tab.click("#open")
    assert tab.run("document.documentElement.scrollWidth") <= width
    assert tab.run(BEYOND) == []
    least, text = tab.run(LEAST_CONTRAST)
    assert least >= 4.5, text
    ground = tab.run("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", ground)[:3])) < 200) == dark


def test_a_finger_can_hit_the_controls_of_a_phone(chromium, page):
    tab = chromium.open(page, width=390)
    boxes = tab.run(
        "[...document.querySelectorAll('.tools label, .tools button, .tools select, #rows summary')]"
        ".map((at) => at.getBoundingClientRect().height)"
    )
    assert min(boxes) >= 24  # WCAG 2.2, target size


def test_without_scripts_the_rows_are_there_and_the_controls_are_not(chromium, page, report):
    tab = chromium.open("/dev/null")
    tab.order("Emulation.setScriptExecutionDisabled", value=True)
    tab.go(page)
    for domain in ("DOM", "CSS"):
        tab.order(f"{domain}.enable")
    tree = tab.order("DOM.getDocument")["root"]["nodeId"]
    rows = tab.order("DOM.querySelectorAll", nodeId=tree, selector="#rows > li")["nodeIds"]
    assert len(rows) == len(report.columns)
    tools = tab.order("DOM.querySelector", nodeId=tree, selector=".tools")["nodeId"]
    styles = {
        item["name"]: item["value"]
        for item in tab.order("CSS.getComputedStyleForNode", nodeId=tools)["computedStyle"]
    }
    assert styles["display"] == "none"


# In a notebook

NOTEBOOK = """<!doctype html><meta charset="utf-8"><style>body {{ margin: 23px; background: {ground}; }}</style>
<body {theme}><p>before</p>{part}"""
THEMES = {
    "plain, light": ("", False, False),
    "plain, dark": ("", True, True),
    "Jupyter light, system dark": ('data-jp-theme-light="true"', True, False),
    "Jupyter dark, system light": ('data-jp-theme-light="false"', False, True),
    "VS Code dark, system light": ('class="vscode-dark"', False, True),
}


@pytest.mark.parametrize(("theme", "system", "is_dark"), THEMES.values(), ids=THEMES.keys())
@pytest.mark.parametrize("width", [1_100, 390])
def test_a_notebook_shows_its_part_and_is_left_alone(
    chromium, report, tmp_path, theme, system, is_dark, width
):
    ground = "#111111" if is_dark else "#ffffff"
    text = NOTEBOOK.format(ground=ground, theme=theme, part=report._repr_html_())
    (tmp_path / "notebook.html").write_text(text, encoding="utf-8")
    tab = chromium.open(tmp_path / "notebook.html", width=width, dark=system)
    assert (tab.requests(), tab.complaints()) == ([], [])
    assert tab.run("document.querySelectorAll('.tw .rows > li').length") == len(report.columns)
    assert tab.run(LEAST_CONTRAST.replace("document.body", "document.querySelector('.tw')"))[0] >= 4.5
    own = tab.run("getComputedStyle(document.querySelector('.tw')).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", own)[:3])) < 200) == is_dark
    body = tab.run(
        "(() => { const s = getComputedStyle(document.body); return [s.marginLeft, s.backgroundColor]; })()"
    )
    assert body == ["23px", "rgb(17, 17, 17)" if is_dark else "rgb(255, 255, 255)"]


def test_a_thousand_columns_can_be_searched(chromium, tmp_path):
    one, other = (
        {f"feature_{i:04}": np.arange(50.0) + s * (i % 7 == 0) for i in range(1_000)} for s in (0, 40)
    )
    drift.compare(one, other).to_html(tmp_path / "wide.html")
    tab = chromium.open(tmp_path / "wide.html")
    tab.click("#find")
    tab.type("_0999")
    assert tab.run(NAMES) == ["feature_0999"]
    assert told(tab) == "1 of 1,000 columns"


def test_without_chromium_the_tests_say_what_to_install(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(RuntimeError, match=r"apt-get install chromium.*-m \"not browser\""):
        browser.find_browser()


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS.keys())
def test_segments_are_found_and_fit(chromium, tmp_path, width):
    rng = np.random.default_rng(3)
    shops = ["north", "south", "a very long name of a shop, indeed " * 3]
    tables = [
        {"x": rng.normal(size=900) + at, "y": rng.normal(size=900), "shop": shops * 300} for at in (0, 1)
    ]
    drift.compare(*tables, by="shop").to_html(tmp_path / "page.html")
    tab = chromium.open(tmp_path / "page.html", width=width)
    assert len(tab.run(NAMES)) == 7
    assert tab.run(BEYOND) == []
    assert tab.run(LEAST_CONTRAST)[0] >= 4.5
    tab.click("#find")
    tab.type("SOUTH")
    assert sorted(tab.run(NAMES)) == ["x in south", "y in south"]
    assert told(tab) == "2 of 7 columns"
    assert (tab.requests(), tab.complaints()) == ([], [])
