# SPDX-License-Identifier: Apache-2.0
"""quantbench-export: what github-action-benchmark, Bencher and ReFrame document, of the best variants."""

from __future__ import annotations

import json
import math

import pytest
from conftest import CONTEXT, sample

from quantbench_results import export, load


@pytest.fixture
def results(write):
    return load.load(write(sample()))


def run(capsys, *arguments):
    status = export.main([str(argument) for argument in arguments])
    return status, capsys.readouterr()


def test_googlecpp_has_what_github_action_benchmark_reads(write, capsys):
    """Its extractGoogleCppResult takes of every element of `benchmarks` name, real_time, time_unit,
    iterations, cpu_time and threads."""
    status, out = run(capsys, write(sample()), "--to=googlecpp")
    data = json.loads(out.out)
    assert status == 0 and {"date", "num_cpus"} <= data["context"].keys()
    names = [entry["name"] for entry in data["benchmarks"]]
    assert len(set(names)) == len(names) == 2 * 3 + 3 * 2
    assert "absmax/f32/n:4096" in names and not any("avx2" in name for name in names)
    for entry in data["benchmarks"]:
        assert entry["run_type"] == "iteration" and entry["time_unit"] == "ns"
        assert entry["threads"] == 1 and entry["iterations"] >= 1
        assert entry["real_time"] > 0 and entry["cpu_time"] > 0
    (entry,) = (e for e in data["benchmarks"] if e["name"] == "absmax/f32/n:4096")
    assert entry["real_time"] == pytest.approx(4096 / 8), "avx2's median"


def test_googlecpp_is_read_by_google_benchmarks_own_tools(write, capsys, tmp_path):
    path = tmp_path / "out.json"
    status, out = run(capsys, write(sample()), "--to=googlecpp", "--output", path)
    assert status == 0 and out.out.strip() == str(path)
    assert load.read_json(path)["benchmarks"]


def test_bencher_has_its_metric_format(write, capsys):
    """Bencher Metric Format: {benchmark: {measure: {value, lower_value?, upper_value?}}}, measures by
    slug, benchmark names of 1024 characters at most."""
    status, out = run(capsys, write(sample()), "--to=bencher")
    data = json.loads(out.out)
    assert status == 0 and data
    for name, measures in data.items():
        assert 0 < len(name) <= 1024
        assert {"latency", "throughput"} <= measures.keys()
        for measure, metric in measures.items():
            assert measure == measure.lower() and " " not in measure
            assert metric.keys() <= {"value", "lower_value", "upper_value"} and "value" in metric
            assert all(isinstance(v, float) and math.isfinite(v) for v in metric.values())
            assert (
                metric.get("lower_value", 0)
                <= metric["value"]
                <= metric.get("upper_value", math.inf)
            )


def test_figures_are_of_the_best_variants(results):
    found = {figure.name: figure for figure in export.figures(results)}
    assert found["absmax_L1_rate"].unit == "GB/s"
    assert found["absmax_L1_rate"].value == pytest.approx(32, rel=1e-3)
    assert found["absmax_L1_share"].value == 80 and found["absmax_L1_share"].unit == "%"
    assert found["matmul_a8_m_1_rate"].unit == "Gop/s"
    assert {name for name in found if not name.replace("_", "").isalnum()} == set()


def test_references_are_medians_with_a_threshold(write, capsys):
    files = [write(sample(scale=scale), f"{scale}.json") for scale in (1.0, 0.5, 2.0)]
    status, out = run(capsys, *files, "--to=reframe", "--partition=cluster:zen", "--below=0.1")
    data = json.loads(out.out)
    assert status == 0 and list(data) == ["cluster:zen"]
    value, low, high, unit = data["cluster:zen"]["absmax_L1_rate"]
    assert value == pytest.approx(32, rel=1e-3) and (low, high, unit) == (-0.1, None, "GB/s")


@pytest.mark.parametrize("context", [{"emulated": "qemu"}, {"profile": "smoke"}])
def test_what_makes_no_claim_about_time_is_not_exported(write, capsys, context):
    status, out = run(capsys, write(sample(context)), "--to=bencher")
    assert status == 2 and "carry no timing" in out.err and out.out == ""


def test_wrong_arguments(write, capsys):
    path = write(sample())
    with pytest.raises(SystemExit) as left:
        export.main([str(path), str(path), "--to=bencher"])
    assert left.value.code == 2
    with pytest.raises(SystemExit) as left:
        export.main([str(path), "--to=reframe", "--below=2"])
    assert left.value.code == 2
    assert run(capsys, write({"context": CONTEXT, "benchmarks": []}), "--to=bencher")[0] == 2
    capsys.readouterr()
