# SPDX-License-Identifier: Apache-2.0
"""The page on many machines in a real browser: its field filters, its titles sort, nothing complains."""

from __future__ import annotations

import make_fleet
import pytest
from test_browser import browser  # noqa: F401 - a fixture

from quantbench_results import fleet, fleet_page
from quantbench_results.files import write_text


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fleet")
    make_fleet.make(folder / "results", 24)
    path = folder / "report.html"
    write_text(
        path, fleet_page.fleet_page(fleet.gather(fleet.read(fleet.paths_of([folder / "results"]))))
    )
    return path


@pytest.fixture
def shown(browser, page):  # noqa: F811
    browser.get(page.as_uri())
    return browser


def lines(browser, section):  # noqa: F811
    return browser.execute_script(
        "return [...document.querySelectorAll(arguments[0] + ' tbody tr')].filter(l => !l.hidden)"
        ".map(l => [...l.cells].map(c => c.textContent))", f"#{section}")  # fmt: skip


def test_nothing_is_fetched_and_nothing_complains(shown):
    assert shown.get_log("browser") == []
    assert shown.execute_script("return performance.getEntriesByType('resource').length") == 0
    assert len(lines(shown, "machines")) == 16


def test_the_field_filters_every_table_of_machines(shown):
    field = shown.find_element("id", "find")
    field.send_keys("epyc 7713")
    names = [cells[0] for cells in lines(shown, "machines")]
    assert 0 < len(names) < 16 and all("7713" in name for name in names)
    assert all("7713" in cells[0] for cells in lines(shown, "heat"))
    assert shown.find_element("id", "found").text == f"{len(names)} of 16"
    field.clear()
    field.send_keys(" ")
    assert len(lines(shown, "machines")) == 16


def test_a_click_on_a_title_sorts_numbers_as_numbers_both_ways(shown):
    title = shown.find_element("css selector", "#machines th:nth-child(4)")
    for order, reverse in (("ascending", False), ("descending", True)):
        shown.execute_script("arguments[0].querySelector('button').click()", title)
        assert title.get_attribute("aria-sort") == order
        memory = [float(cells[3].split()[0]) for cells in lines(shown, "machines")]
        assert memory == sorted(memory, reverse=reverse) and len(set(memory)) > 3


def test_the_heat_map_is_coloured_by_share(shown):
    colours = shown.execute_script(
        "return [...document.querySelectorAll('.heat td[class^=h]')].slice(0, 200)"
        ".map(c => [Number(c.textContent), getComputedStyle(c).backgroundColor])")  # fmt: skip
    assert len({colour for _, colour in colours}) > 3
    by_decile = {}
    for share, colour in colours:
        by_decile.setdefault(min(share // 10, 10), set()).add(colour)
    assert sum(len(found) > 1 for found in by_decile.values()) <= len(by_decile) // 2, (
        "rounded at the edge"
    )
