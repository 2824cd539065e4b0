# SPDX-License-Identifier: Apache-2.0
"""quantbench-choose --layer: the recommendation, the front, and what a file lacks."""

from __future__ import annotations

import json
import stat

import pytest
from conftest import CONTEXT, entries

from quantbench_results import choose, layer, measure
from quantbench_results.layer import Layer
from quantbench_results.load import load

N, K = 256, 512
# Per format: bits a weight, the error of the weights, nanoseconds at m = 1.
FORMATS = {
    "a8.s4": (4, 2e-2, 90.0),
    "a8.q4_0": (4.5, 7e-3, 100.0),
    "a8.iq4_nl": (4.5, 6e-3, 100.5),
    "a32.q4_0": (4.5, 6.9e-3, 150.0),
    "a8.q8_0": (8.5, 3e-5, 200.0),
    "a32.f32": (32, 0.0, 800.0),
}


def product(name, m, bits, error, ns, tail=""):
    ops = 2.0 * m * N * K
    moved = bits / 8 * N * K + 4 * m * (N + K)
    return entries(
        f"matmul/{name}/avx2/m:{m}/n:{N}/k:{K}{tail}",
        [ns, ns * 1.001, ns * 0.999],
        ops_per_second=ops / ns * 1e9,
        bytes_per_second=moved / ns * 1e9,
        weights_nmse=error,
        nmse=1e-13,
    )


def measured(rows=(1, 128), tail="/cold"):
    found = []
    for m in rows:
        for name, (bits, error, ns) in FORMATS.items():
            found += product(name, m, bits, error, ns * m, tail)
    return {"context": CONTEXT, "benchmarks": found}


def test_front_is_what_every_faster_format_loses_more_than(write):
    found = layer.candidates(load(write(measured())), Layer(N, K, (1,)), 1)
    assert [c.row.format for c in found] == sorted(FORMATS, key=lambda name: FORMATS[name][2])
    assert [c.row.format for c in layer.front(found)] == [
        "a8.s4", "a8.q4_0", "a8.iq4_nl", "a8.q8_0", "a32.f32",
    ]  # fmt: skip
    assert [c.bits for c in found] == pytest.approx([FORMATS[c.row.format][0] for c in found])


def test_of_what_ties_the_most_exact_is_recommended(write, capsys):
    assert choose.main([str(write(measured())), "--layer", f"{N}x{K}"]) == 0
    said = capsys.readouterr().out
    assert said.count("use a8.iq4_nl: ") == 2, "at m = 1 and m = 128"
    assert "a tie with a8.q4_0" in said and "a32.q4_0 is next, 1.49 times as long" in said
    (line,) = [line for line in said.splitlines() if "a8.iq4_nl " in line and "100 ns" in line]
    assert line.split()[:5] == ["a8.iq4_nl", "avx2", "4.5", "0.0737", "6.0e-03"]
    assert line.endswith("tie with a8.q4_0")


@pytest.mark.parametrize(
    ("budget", "best"),
    [
        (["--max-error", "1e-4"], "use a8.q8_0"),
        (["--max-error", "1e-9"], "use a32.f32"),
        (["--max-error", "1"], "use a8.s4"),
        (["--max-error", "1", "--max-bytes", "66k"], "use a8.s4"),
    ],
)
def test_budgets_are_kept(write, capsys, budget, best):
    assert choose.main([str(write(measured())), "--layer", f"{N}x{K}", "--m", "1", *budget]) == 0
    assert best in capsys.readouterr().out


@pytest.mark.parametrize(
    ("budget", "why"),
    [
        (["--max-bytes", "1k"], "the smallest is a8.s4"),
        (["--max-error", "1e-4", "--max-bytes", "75k"], "what loses least is a8.iq4_nl"),
    ],
)
def test_budgets_that_nothing_keeps_say_what_comes_nearest(write, capsys, budget, why):
    assert choose.main([str(write(measured())), "--layer", f"{N}x{K}", "--m", "1", *budget]) == 1
    said = capsys.readouterr().out
    assert "no format is within" in said and why in said


def test_cold_rows_are_preferred(write):
    data = measured(rows=(1,))
    data["benchmarks"] += product("a8.q4_0", 1, 4.5, 7e-3, 10.0)
    found = layer.candidates(load(write(data)), Layer(N, K, (1,)), 1)
    assert {c.row.cold for c in found} == {True}


def test_a_shape_that_is_not_there_is_said_with_the_command(write, capsys):
    path = str(write(measured(rows=(1,))))
    assert choose.main([path, "--layer", f"{N}x{K}", "--no-measure"]) == 2
    said = capsys.readouterr().err
    assert "for m = 128" in said and f"it has: {N}x{K} (m 1)" in said
    assert f"--shape=m:128,n:{N},k:{K},cold" in said


def fake_program(folder, data):
    """A program that lists as quantbench does and, asked to run, writes the data to its file."""
    path = folder / "quantbench"
    (folder / "data.json").write_text(json.dumps(data))
    path.write_text(
        "#!/bin/sh\n"
        'for word in "$@"; do case "$word" in\n'
        "  --list) printf 'matmul_a8_q4_0  avx2    f16c  runs, dispatched to\\n"
        "matmul_a8_q4_0  scalar  any CPU  runs\\n'; exit 0;;\n"
        f'  --benchmark_out=*) cp {folder}/data.json "${{word#*=}}";;\n'
        'esac; done\necho "[1/1] $*"\n'
    )
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_what_a_file_lacks_is_measured(write, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    old = str(write(measured(rows=(1,)), "old.json"))
    program = fake_program(tmp_path, measured())
    assert choose.main([old, "--layer", f"{N}x{K}", "--quantbench", program]) == 0
    said = capfd.readouterr()
    assert "[1/1]" in said.err, "its progress is shown"
    assert "'--benchmark_filter=^matmul/(a8\\.[^/]+/(avx2))/'" in said.err
    assert said.out.count("use a8.iq4_nl") == 2
    kept = tmp_path / "results/layers" / f"{N}x{K}.json"
    assert choose.main([str(kept), "--layer", f"{N}x{K}", "--no-measure"]) == 0


def test_a_run_without_the_shape_is_an_error(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    program = fake_program(tmp_path, measured(rows=(1,)))
    assert choose.main(["--layer", f"{N}x{K}", "--quantbench", program]) == 2
    assert "no row of 256x512 for m = 128" in capfd.readouterr().err


def test_only_dispatchable_variants_are_asked_for():
    listing = (
        "matmul_a8_q4_0   avx512vnni  avx512f  runs, dispatched to\n"
        "matmul_a8_q4_K   avx2        avx2     runs, dispatched to for rows: one\n"
        "matmul_a32_q4_0  scalar      any CPU  runs\n"
        "absmax_f32       avx2        avx2     runs, dispatched to\n"
    )
    assert measure.dispatched_filter(listing) == "^matmul/(a8\\.[^/]+/(avx512vnni|avx2))/"
    assert measure.dispatched_filter("") == ""


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (["--layer", "11008"], "expected outputs x inputs"),
        (["--layer", "0x4"], "expected outputs x inputs"),
        (["--layer", "4x4", "--m", "0"], "expected 1,128"),
        (["--layer", "4x4", "--max-error", "-1"], "is no error"),
        (["--layer", "4x4", "--max-bytes", "many"], "is no size"),
        ([], "name a results file"),
    ],
)
def test_bad_arguments_are_refused(capfd, args, why):
    with pytest.raises(SystemExit) as ended:
        choose.main(args)
    assert ended.value.code == 2 and why in capfd.readouterr().err


def test_no_program_and_no_file_is_said(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/nonexistent")
    assert choose.main(["--layer", "4x4"]) == 2
    assert "no results file named, and no quantbench program here" in capfd.readouterr().err
