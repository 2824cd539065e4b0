# SPDX-License-Identifier: Apache-2.0
"""The scripts of the timed proofs, with a program that only pretends to measure."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import entries, sample

ROOT = Path(__file__).parents[2]
COMPARE = ROOT / ".venv/bin/quantbench-compare"
LIST = "absmax_f32               avx2           avx2      runs, dispatched to\n"


@pytest.fixture
def program(tmp_path):
    """Writes the file named OLD_<kind> as its results, and a list of variants."""
    path = tmp_path / "quantbench"
    path.write_text(
        f"#!{sys.executable}\n"
        "import os, shutil, sys\n"
        f"if '--list' in sys.argv: sys.exit(print({LIST!r}, end=''))\n"
        "out = [a.split('=', 1)[1] for a in sys.argv if a.startswith('--benchmark_out=')][0]\n"
        "print(*sys.argv, file=open(os.environ['ARGUMENTS'], 'a'))\n"
        "shutil.copy(os.environ['FILE'], out)\n"
    )
    path.chmod(0o755)
    return path


def run(script: str, program: Path, tmp_path: Path, data, **variables: str):
    file = tmp_path / "made.json"
    file.write_text(json.dumps(data), encoding="utf-8")
    environment = {**os.environ, "FILE": str(file), "ARGUMENTS": str(tmp_path / "arguments"), **variables}
    return subprocess.run([ROOT / "scripts" / script, str(program)], env=environment, check=False,
                          capture_output=True, text=True, timeout=300)  # fmt: skip


@pytest.mark.skipif(not COMPARE.is_file(), reason="no .venv here")
def test_the_comparison_is_proved_in_parts(program, tmp_path):
    data = sample()
    data["benchmarks"] = [e for e in data["benchmarks"] if "error_occurred" not in e]
    variables = {"PARTS": "same", "ROWS": "absmax convert/@/n:1", "COMPARISONS": "1", "ROUNDS": "4",
                 "OUTPUT": str(tmp_path / "proof")}  # fmt: skip
    first = run("prove-comparison.sh", program, tmp_path, data, MOST="1", **variables)
    assert first.returncode == 3, first.stdout + first.stderr
    assert "1 comparisons are still to be made" in first.stdout
    second = run("prove-comparison.sh", program, tmp_path, data, MOST="1", **variables)
    assert second.returncode == 0, second.stdout + second.stderr
    assert "0 of " in second.stdout and second.stdout.endswith("proved\n")
    said = (tmp_path / "arguments").read_text()
    assert "--benchmark_filter=^absmax.*/(avx2)/" in said, "the variants come from the list"
    assert "--benchmark_filter=^convert/(avx2)/n:1" in said
    assert said.count("\n") == 2 * 2 * 4, "what is there is not measured again"


def peers_file(ratio: float, short: float):
    data = sample({"git_revision": "0" * 40})
    data["benchmarks"] = [
        *entries("convert/f16.f32/avx2/n:4096", [1.0], vs_best_peer=ratio),
        *entries("convert/f16.f32/peer:self/n:4096", [1.0], label="verified; our own avx2"),
        *entries("matmul/a8.s8/avx2/m:1/n:32/k:128", [1.0], vs_best_peer=short),
        *entries("matmul/a8.s8/peer:self/m:1/n:32/k:128", [1.0], label="verified; our own avx2"),
    ]
    return data


@pytest.mark.parametrize(("ratio", "status"), [(1.019, 0), (0.97, 1)])
def test_peers_are_proved_but_for_calls_that_are_too_short(program, tmp_path, ratio, status):
    done = run("prove-peers.sh", program, tmp_path, peers_file(ratio, 1.04), RUNS="2",
               FOLDER=str(tmp_path / "runs"))  # fmt: skip
    assert done.returncode == status, done.stdout + done.stderr
    assert "1.040  [1.040, 1.040]  matmul/a8.s8/avx2/m:1/n:32/k:128  (not judged)" in done.stdout
    assert ("proved" if status == 0 else "FAILED") in done.stdout
