# SPDX-License-Identifier: Apache-2.0
"""quantbench-compare: verdicts, the noise floor, the gate, baselines, interleaved runs."""

from __future__ import annotations

import json
import stat

import numpy as np
import pytest
from conftest import entries, failed, sample

from quantbench_results import compare, comparison, runs
from quantbench_results.errors import ResultsError
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


def test_one_file_a_side_decides_nothing(write):
    random = np.random.default_rng(3)
    old = [load(write(run_of(random), "a.json"))]
    new = load(write(run_of(random, slow=set(NAMES), factor=1.8), "b.json"))
    assert {v.word for v in compare.compare(old, [new])} == {"undecided"}
    # Who knows the machine's noise may say so.
    drifted = [load(write(run_of(random, drift=0.06), "b.json"))]
    settings = compare.Settings(noise=0.10)
    assert {v.word for v in compare.compare(old, drifted, settings)} == {"same"}
    assert {v.word for v in compare.compare(old, [new], settings)} == {"slower"}


def test_gate_exit_statuses(write, capsys):
    random = np.random.default_rng(4)
    a = write(run_of(random), "a.json")
    slow = write(run_of(random, slow={NAMES[0]}, factor=1.7), "slow.json")
    other = write(run_of(random, cpu_name="Another CPU"), "other.json")
    noise = ["--noise", "5%"]
    assert compare.main([str(a), str(a), "--fail-above", "5%", *noise]) == 0
    assert compare.main([str(a), str(slow), "--fail-above", "5%", *noise]) == 1
    assert compare.main([str(a), str(slow), "--fail-above", "80%", *noise]) == 0
    assert compare.main([str(slow), str(a), "--fail-above", "5%", *noise]) == 0  # faster is fine
    capsys.readouterr()
    assert compare.main([str(a), str(slow), "--fail-above", "5%"]) == 2
    assert "one run a side tells nothing" in capsys.readouterr().err
    capsys.readouterr()
    assert compare.main([str(a), str(other), "--fail-above", "5%"]) == 2
    error = capsys.readouterr().err
    assert "not comparable" in error and error.splitlines()[0].endswith("differ in cpu_name")
    assert "old: Example CPU E-5 @ 3.00GHz" in error and "new: Another CPU" in error
    assert compare.main([str(a), str(other), "--cross-machine"]) == 0


def test_texts_that_differ_are_shown_in_full(write, capsys):
    random = np.random.default_rng(4)
    flags = " ".join(f"flag{i}" for i in range(200))
    a = write(run_of(random, cpu_flags=flags), "a.json")
    b = write(run_of(random, cpu_flags=flags + " amx_tile"), "b.json")
    assert compare.main([str(a), str(b)]) == 2
    error = capsys.readouterr().err
    assert f"old: {flags}\n" in error and f"new: {flags} amx_tile\n" in error
    assert "only new: amx_tile\n" in error and "only old: nothing\n" in error


def test_the_gate_fails_on_rows_that_are_lost_or_failed(write, capsys):
    random = np.random.default_rng(5)
    whole = run_of(random)
    old = write(whole, "a.json")
    noise = ["--noise", "5%"]
    lost = {**whole, "benchmarks": [b for b in whole["benchmarks"] if b["name"] != NAMES[3]]}
    broken = {**lost, "benchmarks": [*lost["benchmarks"], failed(NAMES[3], "3 mismatches")]}
    for data, word in ((lost, "lost"), (broken, "failed")):
        new = write(data, "b.json")
        capsys.readouterr()
        assert compare.main([str(old), str(new), "--fail-above", "5%"]) == 1
        out = capsys.readouterr().out
        assert "gate: 1 rows of the old side lost or failed" in out
        assert any(line.startswith(word) and NAMES[3] in line for line in out.splitlines())
        assert compare.main([str(old), str(new)]) == 0  # no gate was asked for
        # What only the new side has is no loss.
        assert compare.main([str(new), str(old), "--fail-above", "5%", *noise]) == 0
    # Another size in place of the one that is gone: caches were measured to be larger.
    moved = json.loads(json.dumps(whole).replace(NAMES[3] + '"', 'absmax/f32/v3/n:99999999"'))
    assert compare.main([str(old), str(write(moved, "b.json")), "--fail-above", "5%", *noise]) == 0


def test_a_row_whose_size_comes_and_goes_is_not_lost(write):
    random = np.random.default_rng(5)
    data = [run_of(random) for _ in range(4)]
    for one in data[1:]:
        one["benchmarks"] = [b for b in one["benchmarks"] if b["name"] != NAMES[3]]
    files = [load(write(one, f"{i}.json")) for i, one in enumerate(data)]
    verdicts = {v.name: v for v in compare.compare(files[:2], files[2:])}
    assert verdicts[NAMES[3]].word == "not comparable"


def test_geometric_mean_per_operation(write):
    random = np.random.default_rng(6)
    old = [load(write(run_of(random), "a.json"))]
    new = [load(write(run_of(random, slow=set(NAMES), factor=2.0), "b.json"))]
    mean = compare.geometric_means(compare.compare(old, new))["absmax"]
    assert mean.rows == len(NAMES) and mean.ratio == pytest.approx(2, rel=0.03)


def test_baselines(write, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(7)
    a, b = write(run_of(random), "a.json"), write(run_of(random), "b.json")
    assert compare.main([str(a), "--save-baseline", "main"]) == 0
    assert (tmp_path / "results/baselines/main.json").exists()
    assert compare.main([str(b), "--baseline", "main"]) == 0
    assert compare.main([f"{a},{b},{a}", "--save-baseline", "main"]) == 0
    kept = sorted(path.name for path in (tmp_path / "results/baselines").iterdir())
    assert kept == ["main+2.json", "main+3.json", "main.json"]
    assert compare.main([f"{a},{b}", "--baseline", "main"]) == 0
    assert compare.main([str(a), "--save-baseline", "main"]) == 0
    assert [path.name for path in (tmp_path / "results/baselines").iterdir()] == ["main.json"]
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
    assert comparison.measure_of(old + new) == "cycles"
    assert compare.compare(old, new)[0].ratio == pytest.approx(1)
    assert compare.compare(old, new, compare.Settings(measure="time"))[0].ratio == pytest.approx(2)
    assert comparison.measure_of([load(write(sample(), "plain.json"))]) == "time"


def test_interruptions_of_some_repetitions_do_not_count(write):
    def rounds(name, factor):
        files = []
        for i in range(6):
            data = sample()
            times = [factor * 100.0 + 0.1 * i, 300.0 + 90 * i, 500.0]
            data["benchmarks"] = entries("absmax/f32/avx2/n:64", times)
            files.append(load(write(data, f"{name}-{i}.json")))
        return files

    settings = compare.Settings(turns=True)
    (verdict,) = compare.compare(rounds("a", 1.0), rounds("b", 1.05), settings)
    assert verdict.word == "slower" and verdict.ratio == pytest.approx(1.05, abs=0.002)


def test_files_that_took_turns_are_known_by_their_dates(write):
    random = np.random.default_rng(5)

    def files(name, *minutes):
        return [
            load(write(run_of(random, date=f"2026-01-02T03:{m:02}:00+00:00"), f"{name}{m}.json"))
            for m in minutes
        ]

    assert runs.took_turns(files("a", 0, 3, 4), files("b", 1, 2, 5))
    assert not runs.took_turns(files("a", 0, 1, 2), files("b", 3, 4, 5))
    assert not runs.took_turns(files("a", 0), files("b", 1))
    assert not runs.took_turns(files("a", 0, 2), files("b", 1, 1))  # no telling


def test_programs_are_found_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    for path in (tmp_path / "here", tmp_path / "bin/there"):
        path.parent.mkdir(exist_ok=True)
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
    assert runs.program("here") == "./here"
    assert runs.program("there") == str(tmp_path / "bin/there")
    assert runs.program("/any/path") == "/any/path"
    with pytest.raises(ResultsError, match="no program of that name"):
        runs.program("nowhere")


def test_arguments_that_begin_with_dashes(write, tmp_path, capsys):
    random = np.random.default_rng(8)
    source = write(run_of(random), "source.json")
    script = tmp_path / "binary"
    script.write_text(
        "#!/bin/sh\nfor a; do case $a in --benchmark_out=*) out=${a#*=};; esac; done\n"
        f"printf '%s|' \"$@\" >> {tmp_path}/log\ncp {source} \"$out\"\n"
    )
    script.chmod(0o755)
    for text in ("--x", "--x='a b' --y"):
        assert compare.main(["--run", str(script), str(script), "--rounds", "1", "--args", text]) == 0
    log = (tmp_path / "log").read_text()
    assert log.startswith("--x|--benchmark_out=") and "|--x=a b|--y|--benchmark_out=" in log
    assert compare.main(["--run", str(script), str(script), "--args", "'open"]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("quantbench-compare: --args: 'open")


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
