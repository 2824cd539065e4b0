# SPDX-License-Identifier: Apache-2.0
"""The picture of a model, from a file of quantbench-formats."""

from __future__ import annotations

import pytest
from conftest import sample

from quantbench_results import load, report
from quantbench_results.charts import label_machines
from quantbench_results.errors import ResultsError
from quantbench_results.figures import front
from quantbench_results.figures.model import model_charts


def total(choice, ns, error, bits):
    return {"choice": choice, "ns": {"1": ns, "128": 100 * ns}, "error": error, "nmse": error,
            "bits": bits, "nbytes": 1000 * bits / 8}  # fmt: skip


def found(**more):
    return {
        "quantbench_model": 1, "complete": True, "m": [1, 128], "threads": 1,
        "tensors": [{"n": 50, "k": 10}, {"n": 50, "k": 10}],
        "totals": [total("a8.q4_0", 100.0, 8e-3, 4.5), total("a8.q8_0", 200.0, 6e-5, 8.5)],
        "plans": [{"ns": 150.0, "error": 1e-3, "nbytes": 800.0,
                   "choices": {"a": "a8.q4_0", "b": "a8.q8_0"}}],
        **more,
    }  # fmt: skip


@pytest.fixture
def machine(tmp_path):
    return label_machines([load.parse(sample(), tmp_path / "a.json")])[0]


def test_formats_and_plans_are_points(write, machine):
    one, many = model_charts(write(found(), "mini.json"), machine)
    rows = [trace for trace in one.figure.data if trace.meta["role"] == "row"]
    assert [trace.x[0] for trace in rows] == pytest.approx([1e7, 5e6, 1e9 / 150])
    (plan,) = [trace for trace in rows if trace.legendgroup == front.PLANS]
    assert "1 a8.q4_0" in plan.hovertext[0] and "6.4 bits" in plan.hovertext[0]
    (line,) = [trace for trace in one.figure.data if trace.meta["role"] == "front"]
    assert len(line.x) == 3, "the plan lies between the formats"
    named = [trace.text[0].strip() for trace in one.figure.data if trace.meta["role"] == "name"]
    assert named == ["a8.q4_0", "a8.q8_0"], "a plan's star is told by the legend"
    assert many.points == 2, "plans are for the first number of rows"
    assert "mini: one token" in one.title and "a prompt of 128" in many.title


def test_the_report_shows_it(write, tmp_path):
    page = tmp_path / "page"
    arguments = [str(write(sample())), "--output", str(page), "--model", str(write(found(), "mini.json"))]
    assert report.main(arguments) == 0
    text = page.with_suffix(".html").read_text(encoding="utf-8")
    assert text.index("Which format for mini: one token") < text.index("<figcaption>Which format: ")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ({}, "no file of quantbench-formats"),
        (found(complete=False), "has no times"),
        (found(totals=[]), "has no times"),
        (found(plans=[{}]), "not whole"),
        (found(m=None), "not whole"),
    ],
)
def test_other_files_are_refused(write, machine, data, why):
    with pytest.raises(ResultsError, match=why):
        model_charts(write(data, "m.json"), machine)
