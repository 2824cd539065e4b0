"""quantbench-compare: verdicts, the noise floor, the gate, baselines, interleaved runs."""

from __future__ import annotations

import json
import stat

import numpy as np
import pytest
from conftest import entries, sample
from quantbench_results import compare
from quantbench_results.load import load

NAMES = [f"absmax/f32/v{i}/n:{4096 << (i % 5)}" for i in range(40)]


def run_of(random, slow=(), factor=1.0, drift=0.0, repetitions=5, **context):
    """A made-up run: per-process drift, per-row placement noise, one-sided interruptions."""
    data = sample(context)
    data["benchmarks"] = []
    for i, name in enumerate(NAMES):
        base = 1000.0 * (i + 1) * (1 + drift) * (factor if name in slow else 1)
        base *= 1 + random.normal(0, 0.004)
        times = [base * (1 + abs(random.normal(0, 0.01))) for _ in range(repetitions)]
        data["benchmarks"] += entries(name, times, roof_pct=50.0 / base * 1000 * (i + 1),
                                      speedup_vs_scalar=8.0)  # fmt: skip
    return data


def sides(write, seed, rounds=6, **kwargs):
    """Interleaved rounds: both sides share a round's drift."""
    random = np.random.default_rng(seed)
    old, new = [], []
    for r in range(rounds):
        drift = random.normal(0, 0.03)
        old.append(load(write(run_of(random, drift=drift), f"a{seed}-{r}.json")))
        new.append(load(write(run_of(random, drift=drift, **kwargs), f"b{seed}-{r}.json")))
    return old, new


def test_same_binary_is_the_same(write):
    changed = total = 0
    for seed in range(5):
        verdicts, _ = compare.compare(*sides(write, seed))
        changed += sum(v.word != "same" for v in verdicts)
        total += len(verdicts)
    assert total == 5 * len(NAMES)
    assert changed <= total / 20


def test_finds_an_injected_slow_down_of_5_percent(write):
    for seed in range(5):
        verdicts, floor = compare.compare(*sides(write, seed, slow={NAMES[7]}, factor=1.05))
        assert floor < 0.05
        found = {v.name: v for v in verdicts}[NAMES[7]]
        assert found.word == "slower", (seed, found)
        assert verdicts[0].name == NAMES[7]
        assert 1.03 < found.ratio < 1.07


def test_one_file_a_side_assumes_noise(write):
    random = np.random.default_rng(3)
    old = [load(write(run_of(random), "a.json"))]
    new = [load(write(run_of(random, drift=0.06), "b.json"))]
    verdicts, floor = compare.compare(old, new)
    assert floor == compare.ASSUMED_NOISE
    assert {v.word for v in verdicts} == {"same"}
    verdicts, _ = compare.compare(old, [load(write(run_of(random, slow=set(NAMES), factor=1.3), "c.json"))])
    assert {v.word for v in verdicts} == {"slower"}


def test_gate_exit_statuses(write, capsys):
    random = np.random.default_rng(4)
    a = write(run_of(random), "a.json")
    slow = write(run_of(random, slow={NAMES[0]}, factor=1.5), "slow.json")
    other = write(run_of(random, cpu_name="Another CPU"), "other.json")
    assert compare.main([str(a), str(a), "--fail-above", "5%"]) == 0
    assert compare.main([str(a), str(slow), "--fail-above", "5%"]) == 1
    assert compare.main([str(a), str(slow), "--fail-above", "80%"]) == 0
    assert compare.main([str(slow), str(a), "--fail-above", "5%"]) == 0  # faster is fine
    assert compare.main([str(a), str(other), "--fail-above", "5%"]) == 2
    assert "not comparable" in capsys.readouterr().err
    assert compare.main([str(a), str(other), "--cross-machine"]) == 0


def test_missing_and_failed_rows_are_not_comparable(write):
    random = np.random.default_rng(5)
    data = run_of(random)
    data["benchmarks"] = [b for b in data["benchmarks"] if b["name"] != NAMES[3]]
    old = [load(write(run_of(random), "a.json"))]
    verdicts, _ = compare.compare(old, [load(write(data, "b.json"))])
    missing = {v.name: v for v in verdicts}[NAMES[3]]
    assert missing.word == "not comparable" and "new" in missing.why


def test_geometric_mean_per_operation(write):
    random = np.random.default_rng(6)
    old = [load(write(run_of(random), "a.json"))]
    new = [load(write(run_of(random, slow=set(NAMES), factor=2.0), "b.json"))]
    mean, count = compare.geometric_means(compare.compare(old, new)[0])["absmax"]
    assert count == len(NAMES) and mean == pytest.approx(2, rel=0.03)


def test_baselines(write, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(7)
    a, b = write(run_of(random), "a.json"), write(run_of(random), "b.json")
    assert compare.main([str(a), "--save-baseline", "main"]) == 0
    assert (tmp_path / "results/baselines/main.json").exists()
    assert compare.main([str(b), "--baseline", "main"]) == 0
    assert compare.main([str(b), "--baseline", "none"]) == 2
    assert compare.main([str(b), "--baseline", "../evil"]) == 2
    capsys.readouterr()


def test_run_interleaves_two_binaries(write, tmp_path, capsys):
    """Stand-ins for the binaries: scripts that append to a log and write a results file."""
    random = np.random.default_rng(8)
    files = {name: write(run_of(random), f"{name}.json") for name in ("old", "new")}
    binaries = []
    for name, source in files.items():
        script = tmp_path / name
        script.write_text(
            "#!/bin/sh\nfor a; do case $a in --benchmark_out=*) out=${a#*=};; esac; done\n"
            f"echo {name} >> {tmp_path}/log\ncp {source} \"$out\"\n"
        )
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
        binaries.append(str(script))
    assert compare.main(["--run", *binaries, "--rounds", "3"]) == 0
    assert (tmp_path / "log").read_text().split() == ["old", "new", "new", "old", "old", "new"]
    kept = tmp_path / "kept"
    assert compare.main(["--run", *binaries, "--rounds", "2", "--keep", str(kept)]) == 0
    assert sorted(path.name for path in kept.iterdir()) == [
        "new-0.json", "new-1.json", "old-0.json", "old-1.json"]  # fmt: skip
    files = [",".join(str(kept / f"{side}-{i}.json") for i in (0, 1)) for side in ("old", "new")]
    assert compare.main(files) == 0
    assert compare.main(["--run", *binaries, "--keep", str(files and binaries[0])]) == 2
    assert compare.main(["--run", binaries[0], "/nonexistent/quantbench"]) == 2
    assert "can't run" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["{", "[]", '{"context": {}, "benchmarks": 3}', "\x00"])
def test_broken_files_are_errors(write, capsys, text):
    a = write(sample(), "a.json")
    assert compare.main([str(a), str(write(text, "broken.json"))]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_emulated_results_are_refused(write, capsys):
    a = write(sample({"emulated": "yes: timings mean nothing"}), "a.json")
    assert compare.main([str(a), str(a)]) == 2
    assert "no timing" in capsys.readouterr().err


def test_cycles_where_the_clock_is_known(write):
    """Half the clock, twice the time: the same cycles."""

    def run_at(clock):
        data = sample()
        data["benchmarks"] = entries("absmax/f32/avx2/n:64", [4.0 / clock] * 3, clock_ghz=clock)
        return load(write(data, f"at-{clock}.json"))

    old, new = [run_at(4.0)], [run_at(2.0)]
    assert compare.measure_of(old + new) == "cycles"
    assert compare.compare(old, new)[0][0].ratio == pytest.approx(1)
    assert compare.compare(old, new, measure="time")[0][0].ratio == pytest.approx(2)
    assert compare.measure_of([load(write(sample(), "plain.json"))]) == "time"


def test_interruptions_of_some_repetitions_do_not_count(write):
    def rounds(name, factor):
        files = []
        for i in range(6):
            data = sample()
            times = [factor * 100.0 + 0.1 * i, 300.0 + 90 * i, 500.0]
            data["benchmarks"] = entries("absmax/f32/avx2/n:64", times)
            files.append(load(write(data, f"{name}-{i}.json")))
        return files

    (verdict,), _ = compare.compare(rounds("a", 1.0), rounds("b", 1.05))
    assert verdict.word == "slower" and verdict.ratio == pytest.approx(1.05, abs=0.002)


def test_a_row_that_varies_more_must_change_by_more(write):
    old = [[100.0]] * 8
    steady = [[106.0 + 0.1 * i] for i in range(8)]
    wild = [[101.0], [150.0], [103.0], [104.0], [180.0], [105.0], [220.0], [130.0]]
    assert compare.row_noise(old, steady) < 0.01 < 0.05 < compare.row_noise(old, wild)
    assert compare.row_noise([[1.0]], [[1.0]]) is None


def test_percent():
    assert compare.percent("5%") == compare.percent("0.05") == 0.05
    with pytest.raises(ValueError):
        compare.percent("-1%")


def test_hostile_names_are_harmless(write, capsys):
    data = sample()
    data["benchmarks"] += entries("absmax/f32/\x1b[31m<script>/n:64", [1.0, 1.0, 1.0])
    path = write(json.loads(json.dumps(data)))
    assert compare.main([str(path), str(path), "--all"]) == 0
    assert "\x1b" not in capsys.readouterr().out
