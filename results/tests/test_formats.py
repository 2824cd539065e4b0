# SPDX-License-Identifier: Apache-2.0
"""The table of weight formats: size, error and speeds of one format in a line."""

from __future__ import annotations

import pytest
from conftest import CONTEXT, entries, sample

from quantbench_results import formats, load, readme, report, shown


def array(name: str, n: int, bytes_each: float, ns: float) -> list[dict]:
    return entries(
        name,
        [ns] * 3,
        bytes_per_second=n * bytes_each / ns * 1e9,
        items_per_second=n / ns * 1e9,
    )


def q4_0() -> dict:
    """A format with a row of every operation, two arithmetics, and a peer in turns."""
    rows = array("quantize/f32.q4_0/avx2/n:65536", 65536, 4 + 18 / 32, 6553.6)
    rows += array("dequantize/q4_0.f32/avx2/n:65536", 65536, 4 + 18 / 32, 13107.2)
    for format_, ns in (("a32.q4_0", 2000.0), ("a8.q4_0", 1000.0)):
        rows += entries(
            f"matmul/{format_}/avx2/m:1/n:1024/k:1024",
            [ns] * 3,
            label="best peer: peer:ggml",
            ops_per_second=2.0 * 1024 * 1024 / ns * 1e9,
            weights_nmse=7.4e-3,
            vs_best_peer=2.5,
            vs_best_peer_low=2.4,
            vs_best_peer_high=2.6,
        )
    return {"context": CONTEXT, "benchmarks": rows}


def test_a_line_says_size_error_and_speeds(write):
    results = load.load(write(q4_0()))
    (found,) = formats.of(results)
    assert found.bits == pytest.approx(4.5)
    assert found.nmse == pytest.approx(7.4e-3)
    columns = formats.shapes([found])
    line = formats.cells(found, shown.Peers(results), columns)
    assert line == ["q4_0", "4.5", "7.4e-03", "10.0", "5.0", "a8 2097, 2.50× ggml"]
    assert len(line) == len(formats.titles(columns))


def test_the_format_of_most_bits_stands_first(write):
    results = load.load(write(sample()))
    names = [found.name for found in formats.of(results)]
    assert sorted(names) == ["q4_0", "q8_0"]
    data = q4_0()
    data["benchmarks"] += array("dequantize/q8_0.f32/avx2/n:65536", 65536, 4 + 34 / 32, 9000.0)
    assert [found.name for found in formats.of(load.load(write(data)))] == ["q8_0", "q4_0"]


def test_the_answer_names_the_fastest_of_what_loses_little(write):
    data = q4_0()
    for name, ns in (("q8_0", 1500.0), ("s4.g32", 1005.0), ("s4", 500.0)):
        lost = {"q8_0": 3e-5, "s4.g32": 9e-3, "s4": 2.5e-2}[name]
        data["benchmarks"] += entries(
            f"matmul/a8.{name}/avx2/m:1/n:1024/k:1024",
            [ns] * 3,
            ops_per_second=2.0 * 1024 * 1024 / ns * 1e9,
            weights_nmse=lost,
        )
    assert formats.answers(formats.of(load.load(write(data)))) == [
        "- fastest at 1 × 1024 × 1024: q8_0 if 0.01 % may be lost; q4_0, s4.g32 if 1 % may be lost"
    ]


def test_readme_and_page_have_the_table(write, tmp_path):
    path = write(q4_0())
    assert any("| q4_0 | 4.5 |" in line for line in readme.format_table(load.load(path)))
    page = tmp_path / "page"
    assert report.main([str(path), "--output", str(page)]) == 0
    text = page.with_suffix(".html").read_text(encoding="utf-8")
    assert '<section id="formats">' in text and 'href="#formats"' in text


def test_no_table_without_hand_written_rows(write):
    data = q4_0()
    for row in data["benchmarks"]:
        for key in ("name", "run_name"):
            row[key] = row[key].replace("/avx2/", "/scalar/")
    assert formats.of(load.load(write(data))) == []
