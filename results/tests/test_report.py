# SPDX-License-Identifier: Apache-2.0
"""The charts and the report: every row is drawn, nothing is fetched, hostile names stay text."""

from __future__ import annotations

import base64
import gzip
import hashlib
import html.parser
import json
import re
from pathlib import Path

import pytest
from conftest import CONTEXT, SPEED, entries, failed, sample

from quantbench_results import load, report, rules, summary
from quantbench_results.charts import charts_of, label_machines
from quantbench_results.figures import front, roofline, styles
from quantbench_results.markdown import markdown
from quantbench_results.page import html_page
from quantbench_results.tables import side_by_side

ROOT = Path(__file__).parents[2]
EVIL = "<img src=x onerror=alert(1)></script><script>alert(2)</script>"


@pytest.fixture
def machines(write):
    return label_machines([load.load(write(sample()))])


@pytest.fixture
def pair(write):
    other = {"cpu_name": "Another CPU", "compiler": "Clang 14.0.6"}
    return label_machines(
        [load.load(write(sample(), "a.json")), load.load(write(sample(other, 0.5), "b.json"))]
    )


def of_kind(charts, kind):
    return [chart for chart in charts if chart.kind == kind]


def test_every_row_is_a_point(machines):
    rows = machines[0].results.rows
    charts = charts_of(machines)
    timed = [row for row in rows if not row.failed]
    assert sum(chart.points for chart in of_kind(charts, "speed")) == len(timed)
    matmul = [row for row in timed if row.op == "matmul"]
    assert sum(chart.points for chart in of_kind(charts, "roofline")) == len(matmul)
    in_fronts = [t for chart in of_kind(charts, "front") for t in chart.figure.data
                 if t.meta["role"] in ("row", "other")]  # fmt: skip
    assert sum(len(trace.x) for trace in in_fronts) == len(matmul)
    assert {(chart.op, *chart.formats) for chart in of_kind(charts, "speed")} == {
        ("absmax", "f32"), ("convert", "f16.f32"), ("matmul", "a32.q8_0"), ("matmul", "a8.q8_0"),
        ("matmul", "a8.q4_0")}  # fmt: skip
    (overview,) = of_kind(charts, "overview")
    assert overview.points == 2 * 3 + 3 * 2


def test_values_limit_and_caches(machines):
    (chart,) = [c for c in charts_of(machines) if c.title == "absmax f32"
                and c.kind == "speed"]  # fmt: skip
    by_variant = {t.meta["variant"]: t for t in chart.figure.data if t.meta["role"] == "row"}
    assert set(by_variant) == set(SPEED)
    trace = by_variant["avx2"]
    assert list(trace.x) == [4096, 131072, 2097152]
    assert list(trace.y) == pytest.approx([32, 32, 32])
    assert trace.meta["y"]["share"] == [80, 80, 80]
    assert trace.meta["y"]["scalar"] == pytest.approx([8, 8, 8])
    (limit,) = [t for t in chart.figure.data if t.meta["role"] == "limit"]
    assert list(limit.y) == pytest.approx([40, 40, 40])
    # 4 bytes an element: L1 ends at 8 Ki elements, L2 at 256 Ki; L3's 8 Mi are off the axis.
    assert [s.x0 for s in chart.figure.layout.shapes] == pytest.approx([8192, 262144])
    assert [a.text for a in chart.figure.layout.annotations] == ["L1", "L2"]


def test_peers_of_a_page_are_told_apart():
    peers = [f"peer:{name}" for name in "abcdefghijklmnopqrst"]
    looks = {(s["light"], s["symbol"]) for s in styles.styles(["avx2", *peers]).values()}
    assert len(looks) == len(peers) + 1


def test_peaks_near_each_other_share_a_label():
    labels = roofline.peak_labels([("bf16", 8.9e10), ("f32", 1.78e11), ("int4", 7.23e11), ("int8", 7.29e11)])
    assert labels["int4"] == "" and labels["int8"] == "int4, int8: 723 Gop/s to 729 Gop/s"
    assert labels["bf16"] == "bf16: 89.0 Gop/s"


def test_settings_of_several_names_are_lines_not_json(write):
    data = sample({"peers": {"ggml": "0.20.2 (2026-08)", "fp16": "4dfe081"}})
    page = html_page(label_machines([load.load(write(data))]))
    assert "fp16: 4dfe081<br>ggml: 0.20.2 (2026-08)" in page and "{&quot;ggml" not in page


def test_every_chart_by_variant_has_a_legend_beside_it(machines):
    page = html_page(machines)
    sections = re.findall(r'<section id="(op-[^"]*|roofline)".*?</section>', page, re.DOTALL)
    assert len(sections) == 4
    for part in re.findall(r'<section id="(?:op-|roofline).*?</section>', page, re.DOTALL):
        assert part.index('class="legend"') < part.index("<figure>")
        assert 'data-variant="scalar"' in part


def test_the_page_of_a_whole_run_stays_small():
    files = sorted(ROOT.glob("results/intel-xeon-6199f891/*.json"))
    page = html_page(label_machines([load.load(files[-1])]))
    assert len(page.encode()) < 3.5e6, "two of them plotly"


def test_speedups(machines):
    (chart,) = [c for c in charts_of(machines) if c.title == "absmax f32"
                and c.kind == "speedup"]  # fmt: skip
    trace = next(t for t in chart.figure.data if t.meta["variant"] == "avx2")
    assert list(trace.x) == ["scalar", "best autovec", "best xsimd"]
    assert list(trace.y) == pytest.approx([8, 8 / 6, 8 / 7])


def test_peers_are_in_the_same_pictures(machines):
    for kind in ("speed", "speedup", "front", "roofline"):
        charts = [c for c in charts_of(machines) if c.kind == kind and c.op == "matmul"]
        assert charts
        for chart in charts:
            assert any(t.meta["variant"] == "peer:example" for t in chart.figure.data), kind


def test_error_is_the_whole_error(write):
    """What quantizing the weights lost is in it: a32.s4 does not stand beside f32."""
    data = {"context": CONTEXT, "benchmarks": []}
    for format_, lost in (("a32.f32", 0.0), ("a32.s4", 7e-3)):
        data["benchmarks"] += entries(
            f"matmul/{format_}/avx2/m:1/n:8/k:8", [1.0, 1.0], ops_per_second=1e9,
            bytes_per_second=1e9, nmse=1e-12, weights_nmse=lost,
        )  # fmt: skip
    machines = label_machines([load.load(write(data))])
    (chart,) = of_kind(charts_of(machines), "front")
    found = {t.meta["format"]: t.y[0] for t in chart.figure.data if t.meta["role"] == "row"}
    assert found == {"a32.f32": pytest.approx(front.LEAST_ERROR), "a32.s4": pytest.approx(7e-3)}


def test_roofs(write):
    limits = {
        "bandwidth_1r0w/bytes:16384/threads:1": "1e11",
        "bandwidth_1r1w/bytes:16384/threads:1": "5e10",
        "bandwidth_1r0w/bytes:999999999/threads:1": "2e10",
        "bandwidth_1r0w/bytes:16384/threads:2": "4e11",
        "peak_f32/avx2/threads:1": "1e11",
        "peak_int8/avx2/threads:1": "2e11",
        "bandwidth_broken/bytes:x/threads:1": "1",
        "peak_f32/avx2/threads:2": "nonsense",
    }
    machine = label_machines([load.load(write(sample({"limits": limits})))])[0]
    assert roofline.measured_bandwidths(machine.results, 1) == [("memory", 2e10), ("L1", 1e11)]
    assert roofline.measured_peaks(machine.results, 1) == [("f32 avx2", 1e11), ("int8 avx2", 2e11)]
    assert roofline.measured_peaks(machine.results, 2) == []
    charts = roofline.roofline_charts(machine, summary.standings(machine.results.rows))
    assert [chart.title for chart in charts] == ["1 thread", "2 threads"]
    roofs = [t for t in charts[0].figure.data if t.meta["role"] == "limit"]
    assert len(roofs) == 4
    ridge = next(t for t in roofs if t.name.startswith("memory"))
    assert ridge.y[1] / ridge.x[1] == pytest.approx(20)  # Gop/s over op/byte: GB/s


def test_styles_differ_and_families_share_a_symbol():
    names = ["scalar", "autovec", "autovec_avx2", "autovec_avx512", "xsimd_sse4_2", "xsimd_avx2",
             "xsimd_avx512", "avx2", "avxvnni", "avx512", "avx512vnni", "avx512bf16", "amx",
             "peer:a", "peer:b"]  # fmt: skip
    found = styles.styles(reversed(names))
    assert list(found) == names
    for mode in ("light", "dark"):
        assert len({style[mode] for style in found.values()}) == len(names)
    assert found["peer:a"]["symbol"] == found["peer:b"]["symbol"] != found["avx2"]["symbol"]


class Page(html.parser.HTMLParser):
    """Counts elements and what they would fetch or run."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[str] = []
        self.fetched: list[str] = []
        self.ids: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        for key, value in attrs:
            if key in ("src", "href", "action", "data") and not (value or "").startswith(
                ("#", "data:")
            ):
                self.fetched.append(f"{tag} {key}={value}")
            assert not key.startswith("on"), f"{tag} {key}"
            if key == "id":
                self.ids.add(value)


def block(page):
    packed = re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1]
    return json.loads(gzip.decompress(base64.b64decode(packed)))


def test_page_is_self_contained(machines):
    page = html_page(machines)
    parsed = Page(page)
    assert parsed.fetched == []
    assert parsed.tags.count("script") == 3
    packed = re.search(r'id="plotly">(.*?)</script>', page, re.DOTALL)[1]
    script = gzip.decompress(base64.b64decode(packed))
    assert b"plotly.js v" in script
    digest = base64.b64encode(hashlib.sha256(script).digest()).decode()
    assert f"'sha256-{digest}'" in page, "the policy lets exactly this script run"
    data = block(page)
    assert {chart["id"] for chart in data["charts"]} <= parsed.ids
    assert data["filters"]["variant"][0] == "scalar"
    assert data["filters"]["threads"] == [1, 2]
    assert "the CPU lacks avx512f" in page
    assert "3 mismatches: y[0] is 0.5, expected 0.25" in page
    assert "Example CPU E-5 @ 3.00GHz" in page


def hostile():
    rows = entries(f"{EVIL.replace('/', '_')}/a<b>b/avx2</td>/n:8".replace("</td>", "<i>"), [1.0],
                   bytes_per_second=1e9, items_per_second=8e9, nmse=1e-3)  # fmt: skip
    rows += entries("matmul/a8.<b>/peer:<a href='http:x'>/m:1/n:8/k:8".replace("http:x", "x"), [1.0],
                    bytes_per_second=1e9, ops_per_second=1e9, roof_pct=1.0, nmse=1e-3)  # fmt: skip
    rows.append(failed("a/b/c/n:1", EVIL))
    context = {**CONTEXT, "cpu_name": EVIL, "compiler": EVIL, "isa_refused_<b>": EVIL,
               "caches_measured": EVIL, "limits": {f"peak_{EVIL}/threads:1": 1e11},
               "cpu_flags": EVIL, EVIL: EVIL, "profile": EVIL, "date": EVIL}  # fmt: skip
    return {"context": context, "benchmarks": rows}


def test_hostile_names_stay_text(write):
    machines = label_machines([load.load(write(hostile()))] * 2)
    page = html_page(machines)
    parsed = Page(page)
    assert parsed.tags.count("script") == 3 and "img" not in parsed.tags and "i" not in parsed.tags
    assert parsed.fetched == []
    for chart in block(page)["charts"]:
        for trace in chart["figure"]["data"]:
            for text in (trace["name"] or "" if "name" in trace else "",
                         *trace.get("hovertext", [])):  # fmt: skip
                assert not re.search(r"<(?!/?b>|br>|extra>|/extra>)", text), text
    text = markdown(machines)
    assert "<img" not in text and "<script" not in text


def test_markdown(machines):
    text = markdown(machines)
    assert "| absmax | f32 | 4 Ki | 1 | avx2 | 32.0 GB/s | ±1 % | 80 % | 1.25× | 8.00× |" in text
    assert "the CPU lacks avx512f" in text and "3 mismatches" in text
    widths = {}
    for line in text.splitlines():
        if line.startswith("|"):
            columns = len(re.findall(r"(?<!\\)\|", line)) - 1
            widths.setdefault(columns, 0)
    assert set(widths) <= {2, 9, 15}


def test_machines_side_by_side(pair):
    charts = of_kind(charts_of(pair), "machines")
    assert len(charts) == 5
    assert {t.meta["machine"] for t in charts[0].figure.data} == {m.label for m in pair}
    table = side_by_side(pair)
    best = table["absmax", "f32", "n:4096", 1]
    assert rules.figure(best[pair[1].label].row) == pytest.approx(
        rules.figure(best[pair[0].label].row) / 2
    )
    page = html_page(pair)
    assert "Machines side by side" in page
    assert "## Side by side" in markdown(pair)


def test_panels_of_several_machines_share_their_axes(pair, write):
    charts = charts_of(pair)
    for kind, axes in (("families", "x"), ("front", "xy"), ("roofline", "xy"), ("overview", "y")):
        by_title = {}
        for chart in of_kind(charts, kind):
            by_title.setdefault(chart.title, []).append(chart.figure.layout)
        assert by_title, kind
        for layouts in by_title.values():
            assert len(layouts) == 2
            for axis in axes:
                ranges = [layout[f"{axis}axis"].range for layout in layouts]
                assert ranges[0] == ranges[1], (kind, axis)
    alone = charts_of(label_machines([pair[0].results]))
    ranges = [c[0].figure.layout.xaxis.range for c in (of_kind(alone, "roofline"), of_kind(charts, "roofline"))]
    assert ranges[0][0] >= ranges[1][0] and ranges[0][1] <= ranges[1][1]


def test_machines_with_different_operations_share_their_lines(write):
    one, other = sample(), sample({"cpu_name": "Another CPU"})
    other["benchmarks"] = [e for e in other["benchmarks"] if not e["name"].startswith("convert")]
    charts = charts_of(label_machines([load.load(write(one, "a.json")), load.load(write(other, "b.json"))]))
    first, second = (chart.figure.layout for chart in of_kind(charts, "overview"))
    assert first.yaxis.categoryarray == second.yaxis.categoryarray and first.height == second.height


def test_labels_are_distinct(write):
    a = load.load(write(sample(), "a.json"))
    b = load.load(write(sample({"compiler": "Clang"}), "b.json"))
    c = load.load(write(sample({"git_revision": "fedcba"}), "c.json"))
    labels = [machine.label for machine in label_machines([a, b, c, a])]
    assert len(set(labels)) == 4
    assert [m.label for m in label_machines([a])] == ["Example CPU E-5 @ 3.00GHz"]


def test_file_without_timings(write):
    rows = entries("absmax/f32/neon/n:8", [1.0], label="verified:quick emulated: no timing claim")
    data = {"context": {**CONTEXT, "emulated": "yes", "complete": False}, "benchmarks": rows}
    machines = label_machines([load.load(write(data))])
    page = html_page(machines)
    assert "timings mean nothing" in page and "interrupted" in page
    assert "no claim about time" in markdown(machines)


def test_no_rows_at_all(write):
    machines = label_machines([load.load(write({"context": CONTEXT, "benchmarks": []}))])
    assert "No row claims a timing" in html_page(machines)
    assert markdown(machines)


def test_loaded_kernels_have_a_table(machines, write):
    assert "oaded kernel" not in html_page(machines) + markdown(machines)
    data = sample()
    data["benchmarks"] += entries(
        "absmax/f32/mine/n:4096",
        [600.0, 610.0, 590.0],
        label="verified:quick; loaded from ./mine.so; best own: avx2",
        bytes_per_second=4096 * 4 / 600e-9,
        roof_pct=66.0,
        vs_best_own=0.85,
    )
    machines = label_machines([load.load(write(data))])
    line = "| absmax/f32/mine/n:4096 | 27.3 GB/s | ±1 % | 66 % | 0.85× | avx2 |"
    assert line in markdown(machines)
    assert "<td>absmax/f32/mine/n:4096</td><td>27.3 GB/s</td>" in html_page(machines)


def test_main_writes_both_files(write, tmp_path, capsys):
    path = write(sample(), "results/latest.json")
    assert report.main(["--results", str(path.parent)]) == 0
    assert (path.parent / "report.html").stat().st_size > 1e6
    assert (path.parent / "report.md").read_text().startswith("# quantbench results")
    assert report.main([str(path), "--output", str(tmp_path / "new/x")]) == 0
    assert (tmp_path / "new/x.html").exists()
    capsys.readouterr()
    assert report.main([str(write("[", "bad.json"))]) == 2
    assert "bad.json: not valid JSON" in capsys.readouterr().err
    assert report.main(["--results", str(tmp_path / "none")]) == 2


def test_index(write, tmp_path):
    write(sample(), "r/example-00000000/2026-01-02T030405-abc.json")
    write("{", "r/broken-00000000/2026-01-02T030405-abc.json")
    assert report.main(["--index", "--results", str(tmp_path / "r")]) == 0
    text = (tmp_path / "r/index.md").read_text()
    assert "example-00000000/2026-01-02T030405-abc.json" in text
    assert "Unreadable" in text and "broken-00000000" in text
