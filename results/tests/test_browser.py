# SPDX-License-Identifier: Apache-2.0
"""The report in a real browser (Debian's Chromium, headless): it opens with no network and without
an error on the console, draws every point, and its filters do what they say.

Skipped where there is no Chromium with its driver; QB_REQUIRE_BROWSER=1 makes that a failure.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import CONTEXT, sample
from selenium import webdriver
from test_report import hostile

from quantbench_results import load, picture
from quantbench_results.charts import label_machines
from quantbench_results.errors import ResultsError
from quantbench_results.files import write_text
from quantbench_results.page import html_page


def test_browser_is_required_to_be_here():
    if os.environ.get("QB_REQUIRE_BROWSER") == "1":
        assert picture.missing() == ""


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    if why := picture.missing():
        pytest.skip(why)
    with picture.browser() as driver:
        driver.execute_cdp_cmd("Network.enable", {})
        driver.execute_cdp_cmd(
            "Network.emulateNetworkConditions",
            {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0},
        )
        yield driver


def write_page(folder: Path, *files: dict) -> Path:
    """A report over these files, as a page on disk."""
    results = [load.parse(data, folder / f"{i}.json") for i, data in enumerate(files)]
    path = folder / "report.html"
    write_text(path, html_page(label_machines(results)))
    return path


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_page(tmp_path_factory.mktemp("one"), sample())


@pytest.fixture(scope="module")
def real_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a committed file, with its long names and many peers."""
    folder = Path(__file__).parents[1] / "intel-xeon-6199f891"
    path = tmp_path_factory.mktemp("real") / "report.html"
    write_text(path, html_page(label_machines([load.load(sorted(folder.glob("*.json"))[-1])])))
    return path


@pytest.fixture(scope="module")
def two_machines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    other = sample({"cpu_name": "Another CPU", "compiler": "Clang 14.0.6"}, 0.5)
    return write_page(tmp_path_factory.mktemp("two"), sample(), other)


def show(driver: webdriver.Chrome, page: Path) -> None:
    """The page as when it was opened, every chart drawn; opened only if it isn't already."""
    if driver.current_url != page.as_uri():
        picture.open_page(driver, page)
        return
    driver.execute_async_script("""
      const done = arguments[arguments.length - 1];
      for (const key of Object.keys(quantbench.report.filters)) quantbench.all(key, true);
      for (const [name, value] of Object.entries({measure: "speed", scale: "log", pace: "time"}))
        document.querySelector(`input[name="${name}"][value="${value}"]`).click();
      scrollTo(0, 0);
      quantbench.drawAll().then(() => done());
    """)


def complaints(driver: webdriver.Chrome) -> list[str]:
    return [entry["message"] for entry in driver.get_log("browser")]


# Per chart: the points that the figure has, and those that can be seen in the picture.
SEEN = """
return quantbench.report.charts.map((chart) => {
  const node = document.getElementById(chart.id);
  const hidden = node.closest("figure").hidden;
  const rows = new Set(chart.figure.data.filter((t) => t.meta.role === "row").map(
    (t) => JSON.stringify(t.meta)));
  const seen = hidden ? [] : [...node.querySelectorAll(".scatterlayer .trace")].filter(
    (g) => rows.has(JSON.stringify(g.__data__[0].trace.meta)));
  return {kind: chart.kind, points: chart.points, hidden,
          drawn: seen.reduce((sum, g) => sum + g.querySelectorAll("path.point").length, 0)};
});
"""


def look(driver: webdriver.Chrome) -> list[dict]:
    """What can be seen of every chart, wherever the page is scrolled to."""
    driver.execute_async_script("quantbench.drawAll().then(arguments[0])")
    return driver.execute_script(SEEN)


def test_opens_offline_with_every_point(browser, page):
    picture.open_page(browser, page)
    charts = look(browser)
    assert {chart["kind"] for chart in charts} == {
        "families", "front", "overview", "speed", "speedup", "roofline"}  # fmt: skip
    for chart in charts:
        assert chart["points"] > 0
        assert chart["drawn"] == chart["points"], chart
    fetched = browser.execute_script(
        "return performance.getEntriesByType('resource').map((entry) => entry.name)"
    )
    assert [name for name in fetched if not name.startswith(("data:", "blob:"))] == []
    assert complaints(browser) == []


def test_draws_as_one_scrolls(browser, page):
    browser.set_window_size(1000, 700)
    picture.load_page(browser, page)
    at_first = browser.execute_script("return quantbench.drawn.size")
    assert at_first < browser.execute_script("return quantbench.report.charts.length")
    last = browser.execute_script(
        "const last = quantbench.report.charts.at(-1).id;"
        "const node = document.getElementById(last);"
        "node.closest('details').open = true; node.scrollIntoView(); return last"
    )
    picture.wait_for(browser, f"return quantbench.drawn.has('{last}')")


def test_opens_within_a_second(browser, page):
    """The first screen, which answers, waits for neither Plotly nor the data."""
    picture.load_page(browser, page)
    times = []
    for _ in range(3):
        browser.refresh()
        picture.wait_for(browser, "return document.readyState === 'complete'")
        entry = "return performance.getEntriesByType('navigation')[0].loadEventEnd"
        picture.wait_for(browser, f"{entry} > 0")
        times.append(browser.execute_script(entry))
    assert min(times) < 1000


def test_sections_open_on_demand_and_links_open_them(browser, page):
    browser.set_window_size(1400, 900)
    picture.load_page(browser, page)
    height = browser.execute_script("return document.documentElement.scrollHeight")
    assert height < 3500
    opened = "return document.querySelector('#op-matmul details').open"
    assert not browser.execute_script(opened)
    first = browser.find_element("css selector", ".answer")
    assert first.is_displayed() and first.location["y"] < 900
    browser.find_element("css selector", 'nav a[href="#op-matmul"]').click()
    picture.wait_for(browser, opened)
    # The heading is not hidden by the bar that stays in sight.
    heading = "document.querySelector('#op-matmul h2').getBoundingClientRect().top"
    bar = "document.querySelector('.filters').getBoundingClientRect().bottom"
    picture.wait_for(browser, f"return {heading} >= {bar} && {heading} < innerHeight / 2")
    browser.execute_script("document.querySelector('.more').open = true; location.hash = ''")
    browser.execute_script("location.hash = '#roofline'")
    picture.wait_for(browser, f"return {heading.replace('op-matmul', 'roofline')} >= {bar}")


def test_no_table_is_cut_on_a_desktop(browser, real_page):
    browser.set_window_size(1400, 900)
    picture.load_page(browser, real_page)
    cut = browser.execute_script("""
      for (const part of document.querySelectorAll("details")) part.open = true;
      return [...document.querySelectorAll("[id^='op-'] .scroll, #formats .scroll")].filter(
        (box) => box.scrollWidth > box.clientWidth).map(
        (box) => `${box.closest("section").id}: ${box.scrollWidth} > ${box.clientWidth}`);
    """)
    assert cut == []


def test_times_and_every_variant(browser, page):
    show(browser, page)
    first = "document.getElementById(quantbench.report.charts.find((c) => c.kind==='front').id)"
    of_first = f"return {first}.data.find((t) => t.meta.role === 'row' && t.meta.format === 'a8.q8_0').x[0]"
    assert browser.execute_script(f"return {first}.layout.xaxis.title.text") == "µs a call"
    time = browser.execute_script(of_first)
    browser.execute_script(f"{first}.scrollIntoView()")
    picture.wait_for(browser, f"return quantbench.near.has({first}.id)")
    click(browser, "pace", "speed")
    assert browser.execute_script(f"return {first}.layout.xaxis.title.text") == "Gop/s"
    speed = browser.execute_script(of_first)
    assert time * speed == pytest.approx(2 * 1024 * 1024 / 1e3)
    others = f"return {first}.querySelectorAll('.scatterlayer path.point').length"
    before = browser.execute_script(others)
    click(browser, "others", "all")
    assert browser.execute_script(others) > before
    click(browser, "others", "best")
    assert browser.execute_script(others) == before
    assert complaints(browser) == []


def box(driver: webdriver.Chrome, name: str, value: str):
    return driver.find_element("css selector", f'input[name="{name}"][value="{value}"]')


def click(driver: webdriver.Chrome, name: str, value: str) -> None:
    """As a user does: on the chip, not on the invisible box in it."""
    chip = driver.execute_script("return arguments[0].parentElement", box(driver, name, value))
    driver.execute_script("document.querySelector('.more').open = true")
    chip.click()


def test_filters(browser, page):
    browser.set_window_size(1300, 900)
    show(browser, page)
    before = look(browser)
    click(browser, "variant", "avx2")
    after = look(browser)
    for old, new in zip(before, after, strict=True):
        if old["kind"] == "speed":
            variants = 5 if old["points"] % 6 else 6
            assert new["drawn"] == old["points"] * (variants - 1) / variants
    click(browser, "variant", "avx2")
    click(browser, "op", "absmax")
    after = look(browser)
    assert sum(chart["hidden"] for chart in after) == 2
    assert not browser.find_element("id", "op-absmax").is_displayed()
    assert browser.find_element("id", "op-convert").is_displayed()
    click(browser, "op", "absmax")
    click(browser, "format", "a8.q4_0")
    shown = [row for row in browser.find_elements("css selector", 'tr[data-format="a8.q4_0"]')
             if row.is_displayed()]  # fmt: skip
    assert shown == []
    click(browser, "format", "a8.q4_0")
    click(browser, "threads", "2")
    roofline = [c for c in look(browser) if c["kind"] == "roofline"]
    assert [chart["hidden"] for chart in roofline] == [False, True]
    browser.find_element("css selector", 'button[data-key="threads"][data-all="on"]').click()
    assert look(browser) == before
    browser.find_element("css selector", 'button[data-key="op"][data-all="off"]').click()
    assert all(chart["hidden"] for chart in look(browser))
    assert complaints(browser) == []


def test_double_click_leaves_only_that_one(browser, page):
    show(browser, page)
    chip = browser.execute_script(
        "return arguments[0].parentElement", box(browser, "variant", "xsimd_avx2")
    )
    # The events of a double click; a busy machine would take too long between two real ones.
    browser.execute_script(
        "arguments[0].click(); arguments[0].click();"
        "arguments[0].dispatchEvent(new MouseEvent('dblclick', {bubbles: true}))",
        chip,
    )
    checked = browser.find_elements("css selector", 'input[name="variant"]:checked')
    assert [element.get_attribute("value") for element in checked] == ["xsimd_avx2"]


def test_measures_and_scales(browser, page):
    show(browser, page)
    first = "document.getElementById(quantbench.report.charts.find((c) => c.kind==='speed').id)"
    assert browser.execute_script(f"return {first}.layout.yaxis.type") == "log"
    browser.execute_script(f"{first}.scrollIntoView()")
    picture.wait_for(browser, f"return quantbench.near.has({first}.id)")
    click(browser, "scale", "linear")
    assert browser.execute_script(f"return {first}.layout.yaxis.type") == "linear"
    click(browser, "scale", "log")
    for measure, words in (("share", "% of the measured limit"), ("items", "Gitems/s"),
                           ("scalar", "times as fast as scalar")):  # fmt: skip
        click(browser, "measure", measure)
        look(browser)
        title = browser.execute_script(f"return {first}.layout.yaxis.title.text")
        assert title == words
        for chart in look(browser):
            assert chart["drawn"] == chart["points"]
    assert complaints(browser) == []


def test_what_is_seen_is_drawn_at_once_and_the_rest_when_scrolled_to(browser, page):
    browser.set_window_size(1000, 700)
    show(browser, page)
    click(browser, "variant", "avx2")
    browser.execute_script("document.getElementById(quantbench.report.charts[0].id).scrollIntoView()")
    picture.wait_for(browser, "return quantbench.near.has(quantbench.report.charts[0].id)")
    click(browser, "variant", "avx2")
    first, last = browser.execute_script(
        "const {report, drawn} = quantbench;"
        "return [report.charts[0].id, report.charts.at(-1).id].map((id) => drawn.has(id))"
    )
    assert first and not last
    browser.execute_script(
        "document.getElementById(quantbench.report.charts.at(-1).id).scrollIntoView()"
    )
    picture.wait_for(browser, "return quantbench.drawn.has(quantbench.report.charts.at(-1).id)")


def test_hover_tells_the_row(browser, page):
    show(browser, page)
    text = browser.execute_script(
        "const chart = quantbench.report.charts.find((c) => c.kind==='speed');"
        "const node = document.getElementById(chart.id);"
        "const at = node.data.findIndex((t) => t.meta.variant === 'avx2');"
        "Plotly.Fx.hover(node, [{curveNumber: at, pointNumber: 0}]);"
        "return node.querySelector('.hoverlayer').textContent"
    )
    assert "avx2" in text and "80 % of the measured limit" in text and "32.0 GB/s" in text


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colour_schemes_are_readable(browser, page, scheme):
    picture.emulate(browser, scheme=scheme)
    show(browser, page)
    browser.execute_script("document.querySelector('.more').open = true")
    # WCAG contrast of text, and of every variant's colour, on what lies behind it.
    ratios = browser.execute_script("""
      const parse = (c) => { const probe = document.createElement("canvas").getContext("2d");
        probe.fillStyle = c; probe.fillRect(0, 0, 1, 1);
        return [...probe.getImageData(0, 0, 1, 1).data].slice(0, 3); };
      const light = (c) => { const [r, g, b] = parse(c).map((v) => { v /= 255;
        return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
        return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
      const ratio = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p);
        return (x + 0.05) / (y + 0.05); };
      const style = (s, key) => getComputedStyle(document.querySelector(s))[key];
      const page = style("body", "backgroundColor"), card = style("figure", "backgroundColor");
      const text = [ratio(style("body", "color"), page), ratio(style(".soft", "color"), page),
        ratio(style(".note", "color"), style(".note", "backgroundColor")),
        ratio(style("a", "color"), page), ratio(style("table", "color"), card)];
      const tick = document.querySelector(".xtick text");
      text.push(ratio(getComputedStyle(tick).fill, card));
      const marks = [...document.querySelectorAll("svg[data-variant] path:first-child")].map(
        (p) => ratio(p.getAttribute("stroke"), card));
      return {text: Math.min(...text), marks: Math.min(...marks)};
    """)
    picture.emulate(browser)
    assert ratios["text"] >= 4.5
    assert ratios["marks"] >= 2.3


def test_follows_a_change_of_scheme(browser, page):
    picture.emulate(browser, scheme="light")
    show(browser, page)
    browser.execute_script("document.getElementById(quantbench.report.charts[0].id).scrollIntoView()")
    picture.wait_for(browser, "return quantbench.near.has(quantbench.report.charts[0].id)")
    colour = "return quantbench.report.charts.map((c) => document.getElementById(c.id)._fullLayout.font.color)"  # noqa: E501
    light = set(browser.execute_script(colour))
    picture.emulate(browser, scheme="dark")
    picture.wait_for(browser, f"return {colour[7:]}[0] !== '{next(iter(light))}'")
    picture.emulate(browser)


@pytest.mark.parametrize("which", ["two_machines", "real_page"])
def test_phone(browser, which, request):
    picture.emulate(browser, width=375, height=800)
    show(browser, request.getfixturevalue(which))
    widest = browser.execute_script("return document.documentElement.scrollWidth")
    charts = browser.execute_script(
        "return quantbench.report.charts.map((c) => {"
        "const box = document.getElementById(c.id).getBoundingClientRect();"
        "return [box.left, box.right]})"
    )
    bar = browser.execute_script("return document.querySelector('.filters').offsetHeight")
    picture.emulate(browser)
    assert widest <= 375
    assert all(0 <= left and right <= 375 for left, right in charts)
    assert bar <= 180  # the legend, which stays in sight, doesn't cover a small screen


def test_paper(browser, page, tmp_path):
    show(browser, page)
    pdf = picture.print_pdf(browser)
    assert pdf.startswith(b"%PDF") and len(pdf) > 50_000
    # Back on the screen everything is as it was.
    assert browser.execute_script("return quantbench.state.paper") is False
    if shutil.which("pdftotext"):
        (tmp_path / "page.pdf").write_bytes(pdf)
        text = subprocess.run(
            ["pdftotext", tmp_path / "page.pdf", "-"], capture_output=True, check=True, text=True
        ).stdout
        assert "Roofline" in text and "of the measured limit" in text
    assert complaints(browser) == []


def test_machines_side_by_side(browser, two_machines):
    show(browser, two_machines)
    charts = look(browser)
    side = [chart for chart in charts if chart["kind"] == "machines"]
    assert len(side) == 5
    for chart in charts:
        assert chart["drawn"] == chart["points"]
    click(browser, "machine", "Another CPU")
    for old, new in zip(charts, look(browser), strict=True):
        if old["kind"] == "machines":
            assert new["drawn"] == old["points"] / 2
    assert complaints(browser) == []


def test_hostile_names_run_nothing(browser, tmp_path):
    path = write_page(tmp_path, hostile(), hostile())
    picture.open_page(browser, path)
    assert complaints(browser) == []
    links = "return document.querySelectorAll('svg a, img, i, .chart b').length"
    assert browser.execute_script(links) == 0
    for chart in look(browser):
        assert chart["drawn"] == chart["points"]
    # The policy that forbids scripts that are not the page's own holds.
    browser.execute_script(
        "const s = document.createElement('script'); s.textContent = 'window.ran = 1';"
        "document.body.append(s)"
    )
    assert browser.execute_script("return window.ran") is None
    complaints(browser)


def test_page_without_a_chart(browser, tmp_path):
    picture.open_page(browser, write_page(tmp_path, {"context": CONTEXT, "benchmarks": []}))
    assert complaints(browser) == []


def test_picture(browser, tmp_path):
    results = load.parse(sample(), tmp_path / "a.json")
    for scheme, (kind, words) in itertools.product(
        ("light", "dark"), {"families": "matmul m = 1", "front": "activations in 8 bits"}.items()
    ):
        svg = picture.draw(browser, label_machines([results])[0], scheme, kind)
        assert svg.startswith("<svg") and words in svg and "NaN" not in svg
        assert "http://" not in svg.replace("http://www.w3.org/", "")


def test_missing_browser_is_named(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert "chromium" in picture.missing()
    with pytest.raises(ResultsError, match="chromium"), picture.browser():
        pass
