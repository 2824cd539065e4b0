# SPDX-License-Identifier: Apache-2.0
"""Google Benchmark's own compare.py reads what a run writes, and what is kept of it.

scripts/install-deps.sh --python installs it (Debian's libbenchmark-tools)."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import sample

from quantbench_results import readme, store

ROOT = Path(__file__).parents[2]
COMPARE = Path(os.environ.get("QB_COMPARE_PY", "/usr/share/benchmark/compare.py"))
PROGRAM = ROOT / "build/release/bench/quantbench"

pytestmark = pytest.mark.skipif(not COMPARE.is_file(), reason="no libbenchmark-tools here")


def compared(old: Path, new: Path) -> str:
    command = [sys.executable, str(COMPARE), "--no-color", "benchmarks", str(old), str(new)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0 and not done.stderr, done.stderr
    return done.stdout


def test_a_change_is_shown_with_its_test(write):
    for data in (sample(), json.loads(store.compact(sample()))):
        slower = json.loads(json.dumps(data))
        for entry in slower["benchmarks"]:
            if "real_time" in entry:
                entry["real_time"] *= 2
                entry["cpu_time"] *= 2
        text = compared(write(data, "old.json"), write(slower, "new.json"))
        assert re.search(r"absmax/f32/avx2/n:4096 +\+1\.0000 +\+1\.0000 +", text)
        assert re.search(r"absmax/f32/avx2/n:4096_pvalue +0\.1000 ", text), "of three repetitions"


def test_the_committed_file_is_read():
    file = readme.named_file(ROOT / "README.md")
    assert "absmax/f32/" in compared(file, file)


@pytest.mark.skipif(not PROGRAM.is_file(), reason="no release build")
def test_what_a_run_writes_is_read(tmp_path):
    out = tmp_path / "run.json"
    subprocess.run(
        [PROGRAM, "--profile=smoke", "--no-peers", "--benchmark_filter=^absmax/f32/",
         "--benchmark_repetitions=3", f"--benchmark_out={out}"],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    text = compared(out, out)
    assert "absmax/f32/scalar/n:2048_pvalue" in text and "absmax/f32/scalar/n:2048_mean" in text
