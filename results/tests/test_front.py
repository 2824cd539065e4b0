# SPDX-License-Identifier: Apache-2.0
"""The picture of speed against error: which points are on the front, and what is drawn of them."""

from __future__ import annotations

import pytest
from conftest import sample
from test_layer import FORMATS, measured

from quantbench_results import load, report, summary
from quantbench_results.charts import charts_of, label_machines
from quantbench_results.figures import front


def chart_of(data, tmp_path, index=0):
    machines = label_machines([load.parse(data, tmp_path / "a.json")])
    return [chart for chart in charts_of(machines) if chart.kind == "front"][index]


def traces(chart, role):
    return [trace for trace in chart.figure.data if trace.meta["role"] == role]


def test_the_front_is_drawn_through_what_no_faster_point_beats(tmp_path):
    chart = chart_of(measured(), tmp_path)
    assert chart.points == len(FORMATS)
    (line,) = traces(chart, "front")
    errors = {name: error for name, (_, error, _) in FORMATS.items()}
    on_front = ["a8.s4", "a8.q4_0", "a8.iq4_nl", "a8.q8_0", "a32.f32"]
    assert list(line.x) == sorted(line.x, reverse=True), "fastest first"
    assert list(line.y) == pytest.approx([max(errors[name], front.LEAST_ERROR) for name in on_front])
    named = {trace.text[0].strip() for trace in traces(chart, "name")}
    assert {"a8.s4", "a8.q8_0", "a32.f32"} <= named <= set(on_front)


def test_points_grow_with_the_bits_of_a_weight(tmp_path):
    chart = chart_of(measured(), tmp_path)
    sizes = {trace.meta["format"]: trace.marker.size[0] for trace in traces(chart, "row")}
    by_bits = sorted(FORMATS, key=lambda name: FORMATS[name][0])
    assert [sizes[name] for name in by_bits] == sorted(sizes.values())
    assert sizes["a8.q8_0"] > sizes["a8.q4_0"]


def with_a_peer():
    data = measured(rows=(1,))
    for entry in [e for e in data["benchmarks"] if "a8.q4_0" in e["name"]]:
        peer = {k: v for k, v in entry.items()}
        for key in ("name", "run_name"):
            peer[key] = entry[key].replace("/avx2/", "/peer:example/")
        peer["real_time"] = entry["real_time"] / 4
        for key in ("ops_per_second", "bytes_per_second"):
            peer[key] = entry[key] * 4
        data["benchmarks"].append(peer)
    return data


def test_peers_are_beside_ours_and_not_on_our_front(tmp_path):
    chart = chart_of(with_a_peer(), tmp_path)
    (peer,) = [trace for trace in traces(chart, "row") if trace.meta["variant"]]
    assert peer.legendgroup == "peer:example" and peer.name == "example"
    assert chart.points == len(FORMATS) + 1
    (line,) = traces(chart, "front")
    assert peer.x[0] > max(line.x), "the fastest of all, and yet not ours"


def test_every_kernel_of_a_shape_is_in_its_chart(tmp_path):
    """The chart of all variants' errors beside their speeds is this one, when asked for all."""
    chart = chart_of(sample(), tmp_path)
    rows = [row for row in load.parse(sample(), tmp_path / "a.json").rows
            if row.op == "matmul" and row.threads == 1 and row.dims["m"] == 1]  # fmt: skip
    drawn = [x for role in ("row", "other") for trace in traces(chart, role) for x in trace.x]
    assert sorted(drawn) == pytest.approx(sorted(summary.speed(row) / 1e9 for row in rows))
    # Operations of a call: what the page needs to show times.
    assert chart.figure.layout.meta["operations"] == pytest.approx(2 * 1024 * 1024)


def test_a_point_is_the_best_variant(tmp_path):
    chart = chart_of(sample(), tmp_path)
    points = {trace.meta["format"]: trace for trace in traces(chart, "row")
              if not trace.meta["variant"]}  # fmt: skip
    rows = [row for row in load.parse(sample(), tmp_path / "a.json").rows
            if row.op == "matmul" and row.threads == 1 and row.dims["m"] == 1 and not row.is_peer]  # fmt: skip
    for format_, trace in points.items():
        best = max(summary.speed(row) for row in rows if row.format == format_)
        assert trace.x[0] == pytest.approx(best / 1e9)


def test_the_page_shows_it_first(tmp_path, write):
    page = tmp_path / "page"
    assert report.main([str(write(measured())), "--output", str(page)]) == 0
    text = page.with_suffix(".html").read_text(encoding="utf-8")
    assert text.index("Which format: 1×256×512") < text.index("chart-2")
    assert text.index("<figcaption>Which format") < text.index("<h2>Overview")
    assert text.count("<figcaption>Which format") == 2, "a picture for one row, and one for 128"


def test_exact_operations_have_none(tmp_path):
    data = sample()
    data["benchmarks"] = [e for e in data["benchmarks"] if not e["name"].startswith("matmul")]
    machines = label_machines([load.parse(data, tmp_path / "a.json")])
    assert not [chart for chart in charts_of(machines) if chart.kind == "front"]
