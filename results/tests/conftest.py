# SPDX-License-Identifier: Apache-2.0
"""Results files made up for the tests."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CONTEXT: dict[str, Any] = {
    "date": "2026-01-02T03:04:05+00:00",
    "num_cpus": 8,
    "schema_version": 1,
    "complete": True,
    "profile": "quick",
    "verify": "quick",
    "seed": 2135,
    "threads": [1, 2],
    "caches_measured": "L1 32K 1.3 ns, L2 1024K 4.1 ns, L3 32768K 15.0 ns",
    "caches_sysfs": "L1 32K, L2 1024K, L3 32768K",
    "arch": "x86-64",
    "cpu_name": "Example CPU E-5 @ 3.00GHz",
    "cpu_family_model_stepping": "6/1/1",
    "cpu_flags": "sse4_2 avx2 fma f16c",
    "microcode": "0x1",
    "compiler": "GNU 12.2.0",
    "compiler_flags": "-O3",
    "build_type": "Release",
    "isa_detected": "sse4.2+avx2+fma+f16c",
    "isa_enabled": "sse4.2+avx2+fma+f16c",
    "isa_best_level": "avx2",
    "isa_refused_avx512": "the CPU lacks avx512f",
    "virtualised": "no",
    "emulated": "no",
    "governor": "performance",
    "huge_pages": "madvise",
    "affinity": "0,1",
    "git_revision": "abc123def456",
    "git_dirty": "no",
    "suite_version": "0.1.0",
    "limits": {"bandwidth_1r0w/bytes:16384/threads:1": "1.6e+11"},
}

SPEED = {"scalar": 1.0, "autovec": 2.0, "autovec_avx2": 6.0, "xsimd_avx2": 7.0, "avx2": 8.0}


def entries(
    name: str, times: list[float], *, label: str = "verified:quick", **counters: float
) -> list[dict[str, Any]]:
    """A row's repetitions as Google Benchmark writes them."""
    return [
        {
            "name": name,
            "run_name": name,
            "run_type": "iteration",
            "repetitions": len(times),
            "repetition_index": index,
            "threads": 1,
            "iterations": 100,
            "real_time": time,
            "cpu_time": time,
            "time_unit": "ns",
            "mismatches": 0.0,
            "label": label,
            **counters,
        }
        for index, time in enumerate(times)
    ]


def failed(name: str, message: str) -> dict[str, Any]:
    """A row that failed verification."""
    return {
        "name": name,
        "run_name": name,
        "run_type": "iteration",
        "repetitions": 1,
        "repetition_index": 0,
        "threads": 1,
        "error_occurred": True,
        "error_message": message,
        "iterations": 0,
        "real_time": 0.0,
        "cpu_time": 0.0,
        "time_unit": "ns",
    }


def sample(context: dict[str, Any] | None = None, scale: float = 1.0) -> dict[str, Any]:
    """A whole file: two array operations and a matmul, every variant, one failed row."""
    rows: list[dict[str, Any]] = []
    for op, format_, bytes_per in (("absmax", "f32", 4), ("convert", "f16.f32", 6)):
        for n in (4096, 131072, 2097152):
            for variant, speed in SPEED.items():
                median = scale * n / speed
                rows += entries(
                    f"{op}/{format_}/{variant}/n:{n}",
                    [median * 1.01, median * 0.99, median],
                    bytes_per_second=n * bytes_per / median * 1e9,
                    items_per_second=n / median * 1e9,
                    roof_pct=10 * speed,
                    speedup_vs_scalar=speed,
                )
    for format_, nmse in (("a32.q8_0", 1e-13), ("a8.q8_0", 3e-5), ("a8.q4_0", 5e-3)):
        for m in (1, 32):
            for threads in (1, 2):
                for variant, speed in {**SPEED, "peer:example": 7.5}.items():
                    ops = 2.0 * m * 1024 * 1024
                    median = scale * ops / speed / threads
                    tail = f"/threads:{threads}" if threads > 1 else ""
                    rows += entries(
                        f"matmul/{format_}/{variant}/m:{m}/n:1024/k:1024{tail}",
                        [median, median * 1.01, median * 0.99],
                        bytes_per_second=1024 * 1024 / median * 1e9,
                        items_per_second=m * 1024 / median * 1e9,
                        ops_per_second=ops / median * 1e9,
                        nmse=nmse,
                        roof_pct=10 * speed,
                        speedup_vs_scalar=speed * threads,
                    )
    rows.append(failed("absmax/f16/avx2/n:4096", "3 mismatches: y[0] is 0.5, expected 0.25"))
    return {"context": {**CONTEXT, **(context or {})}, "benchmarks": rows}


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes JSON (or text as it is) to a file of the test's folder."""

    def _write(data: Any, name: str = "results.json") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")
        return path

    return _write
