# SPDX-License-Identifier: Apache-2.0
"""summary.py: who is best, and by how much."""

from __future__ import annotations

import math

import pytest
from conftest import CONTEXT, SPEED, entries, sample

from quantbench_results import load, summary


@pytest.fixture
def results(write):
    return load.load(write(sample()))


@pytest.mark.parametrize(
    ("variant", "family"),
    [
        ("scalar", "scalar"),
        ("autovec", "autovec"),
        ("autovec_avx2", "autovec"),
        ("xsimd_neon", "xsimd"),
        ("avx512vnni", "hand"),
        ("peer:ggml", "peer"),
        ("peer:xsimd_x", "peer"),
        ("scalarish", "hand"),
    ],
)
def test_family(variant, family):
    assert summary.family(variant) == family


def test_a_ratio_by_turns_counts_before_that_of_separate_rows(write):
    data = sample()
    for entry in data["benchmarks"]:
        if entry["name"] == "matmul/a8.q4_0/avx2/m:1/n:1024/k:1024":
            entry.update(vs_best_peer=0.93, vs_best_peer_low=0.92, vs_best_peer_high=0.94)
    over = {s.row.name: s.over for s in summary.standings(load.load(write(data)).rows)}
    assert over["matmul/a8.q4_0/avx2/m:1/n:1024/k:1024"]["peer"] == 0.93
    assert over["matmul/a8.q4_0/avx2/m:32/n:1024/k:1024"]["peer"] == pytest.approx(8 / 7.5)


def test_best_variant_is_ours_and_peers_stand_beside(results):
    best = {b.row.key: b for b in summary.best_variants(results.rows)}
    matmul = best["matmul", "a8.q4_0", "m:1/n:1024/k:1024", 1]
    assert matmul.row.variant == "avx2"
    assert matmul.runner_up is not None and matmul.runner_up.variant == "xsimd_avx2"
    assert matmul.margin == pytest.approx(8 / 7)
    assert matmul.standing.over["scalar"] == pytest.approx(8)
    assert matmul.standing.over["autovec"] == pytest.approx(8 / 6)
    assert matmul.standing.over["xsimd"] == pytest.approx(8 / 7)
    assert matmul.standing.over["peer"] == pytest.approx(8 / 7.5)
    assert "peer" not in best["absmax", "f32", "n:4096", 1].standing.over
    assert len(best) == 2 * 3 + 3 * 2 * 2


def test_failed_and_emulated_rows_do_not_compete(write):
    rows = entries("absmax/f32/avx2/n:8", [1.0], bytes_per_second=32e9, items_per_second=8e9)
    rows += entries(
        "absmax/f32/neon/n:8",
        [0.1],
        label="verified:quick emulated: no timing claim",
        bytes_per_second=1.0,
    )
    found = summary.best_variants(load.load(write({"context": CONTEXT, "benchmarks": rows})).rows)
    assert [b.row.variant for b in found] == ["avx2"]
    assert found[0].runner_up is None and found[0].margin is None


def test_scalar_ratio_of_a_filtered_run(write):
    rows = entries("absmax/f32/avx2/n:8", [1.0], bytes_per_second=1e9, speedup_vs_scalar=5.0)
    found = summary.standings(load.load(write({"context": CONTEXT, "benchmarks": rows})).rows)
    assert found[0].over == {"scalar": 5.0}


def test_limit_speed_error(results):
    row = results.by_name["absmax/f32/avx2/n:4096"]
    assert summary.speed(row) == pytest.approx(32e9)
    assert summary.share(row) == 80
    assert summary.limit(row) == pytest.approx(40e9)
    assert summary.error_text(row) == "exact"
    matmul = results.by_name["matmul/a8.q4_0/avx2/m:1/n:1024/k:1024"]
    assert summary.speed(matmul) == pytest.approx(8e9)
    assert summary.error_text(matmul) == "nmse 5.0e-03"


def test_size_class(results):
    def of(n):
        return summary.size_class(results.by_name[f"absmax/f32/avx2/n:{n}"], results)

    assert [of(4096), of(131072), of(2097152)] == ["L1", "L2", "L3"]


def test_geometric_mean():
    assert summary.geometric_mean([1, 4]) == pytest.approx(2)
    assert math.isnan(summary.geometric_mean([]))


@pytest.mark.parametrize(
    ("value", "text"),
    [(12.34e9, "12.3 GB/s"), (1.2e12, "1.20 TB/s"), (456e6, "456 MB/s"), (3.0, "3.00 B/s"),
     (None, "–"), (math.nan, "–")],
)  # fmt: skip
def test_scaled(value, text):
    assert summary.scaled(value, "B/s") == text


def test_texts(results):
    assert summary.shape_text(results.by_name["absmax/f32/avx2/n:131072"]) == "128 Ki"
    row = results.by_name["matmul/a8.q4_0/avx2/m:1/n:1024/k:1024"]
    assert summary.shape_text(row) == "1×1024×1024"
    assert [summary.times_text(x) for x in (1.234, 12.34, 123.4, None)] == [
        "1.23×", "12.3×", "123×", "–"]  # fmt: skip
    assert [summary.time_text(x) for x in (5, 5e3, 5e6, 5e9)] == ["5 ns", "5 µs", "5 ms", "5 s"]


def test_every_variant_stands(results):
    found = summary.standings(results.rows)
    assert {s.row.variant for s in found} == {*SPEED, "peer:example"}
    assert len(found) == sum(not row.failed for row in results.rows)
