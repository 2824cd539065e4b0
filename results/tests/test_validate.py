# SPDX-License-Identifier: Apache-2.0
"""validate.py: every kind of wrong file is named as such, and sound ones are filed away."""

from __future__ import annotations

import json

import pytest
from conftest import CONTEXT, entries, sample

from quantbench_results import load, validate
from quantbench_results.errors import ResultsError
from quantbench_results.store import store_path


def findings(write, data):
    return validate.validate(load.load(write(data)))


def said(found, level, words):
    return [f for f in found if f.level == level and words in str(f)]


def one_row(context=None, *, times=(512.0, 520.0), name="absmax/f32/avx2/n:4096", **counters):
    rates = {"bytes_per_second": 32e9, "items_per_second": 8e9, "roof_pct": 80.0, **counters}
    label = rates.pop("label", "verified:quick")
    rows = entries(name, list(times), label=label, **rates)
    return {"context": {**CONTEXT, **(context or {})}, "benchmarks": rows}


def test_sound_file(write):
    found = findings(write, sample())
    assert not validate.errors(found)
    assert said(found, "warning", "failed, and so was not timed (1 row: absmax/f16/avx2/n:4096)")
    assert findings(write, one_row()) == []


@pytest.mark.parametrize(
    "key", ["cpu_name", "compiler", "git_revision", "emulated", "seed", "limits", "caches_measured"]
)
def test_missing_context(write, key):
    data = one_row()
    del data["context"][key]
    assert said(findings(write, data), "error", f"the context lacks {key}")


@pytest.mark.parametrize(
    ("context", "level", "words"),
    [
        ({"date": "yesterday"}, "error", "ISO 8601"),
        ({"date": "2999-01-01T00:00:00+00:00"}, "error", "future"),
        ({"host_name": "alice-laptop"}, "error", "names the host"),
        ({"executable": "/home/alice/quantbench"}, "warning", "path"),
        ({"complete": False}, "warning", "interrupted"),
        ({"git_dirty": "yes"}, "warning", "changed tree"),
        ({"build_type": "Debug"}, "warning", "not Release"),
        ({"arch": "aarch64", "cpu_flags": "sse sse2 avx"}, "error", "x86 CPU"),
        ({"num_cpus": 0}, "warning", "more threads"),
    ],
)
def test_context_findings(write, context, level, words):
    assert said(findings(write, one_row(context)), level, words)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"roof_pct": 102.5}, "over 102 %"),
        ({"roof_pct": 101.0, "over_limit": 1.0}, "over 102 %"),
        ({"roof_pct": 300.0, "over_limit": 0.0}, "over 102 %"),
        ({"bytes_per_second": 2e12}, "more bytes a second"),
        ({"items_per_second": 8e10}, "contradicts itself"),
        ({"clock_ghz": 80.0}, "8 GHz"),
        ({"bytes_per_second": -1.0}, "negative counter"),
        ({"bytes_per_second": 0.0}, "no rate"),
        ({"of_bound": 1.5}, "beyond the contract's bound"),
        ({"mismatches": 3.0}, "has mismatches"),
        ({"label": "verified:off"}, "not verified"),
    ],
)
def test_row_errors(write, change, words):
    found = findings(write, one_row(**change))
    assert said(found, "error", words), [str(f) for f in found]


def with_limits(*limits, changed=1.0):
    """Rows of one operation and size whose limits were those; the last one's share is changed."""
    data = one_row()
    data["benchmarks"] = []
    for number, limit in enumerate(limits):
        row = one_row(name=f"absmax/f32/v{number}/n:4096", times=(512.0, 512.0), limit_ns=limit,
                      spread_pct=1.0, roof_pct=100 * limit / 512.0)  # fmt: skip
        data["benchmarks"] += row["benchmarks"]
    for entry in data["benchmarks"][-2:]:
        entry["roof_pct"] *= changed
    return data


def test_a_limit_that_moved_in_mid_run_is_warned_about(write):
    assert findings(write, with_limits(256.0, 256.0, 260.0, 250.0)) == []
    (finding,) = findings(write, with_limits(256.0, 256.0, 256.0, 400.0))
    assert finding.level == "warning" and "moved in mid-run" in str(finding)


@pytest.mark.parametrize("limit", [256.0, 0.0])
def test_a_share_that_is_not_that_of_its_limit(write, limit):
    found = findings(write, with_limits(256.0, 256.0, limit, changed=1.5))
    assert said(found, "error", "contradicts itself: its time and its share of the limit")


def test_just_within_the_limit(write):
    assert not findings(write, one_row(roof_pct=102.0))


def test_a_row_that_was_over_its_limit_once_is_warned_about(write):
    found = findings(write, one_row(roof_pct=103.0, over_limit=0.0))
    assert not validate.errors(found)
    assert said(found, "warning", "over 102 %")


def test_a_suite_built_outside_a_repository_is_warned_about(write, tmp_path):
    data = one_row({"git_revision": "unknown", "git_dirty": "unknown"})
    (finding,) = findings(write, data)
    assert finding.level == "warning" and "git_revision, git_dirty" in str(finding)
    root = tmp_path / "kept"
    path = write(data, "tarball.json")
    assert validate.main(["--store", "--results", str(root), str(path)]) == 0
    assert [p.name for p in root.glob("*/*.json")] == ["2026-01-02T030405-unknown.json"]
    del data["context"]["git_revision"]
    assert said(findings(write, data), "error", "the context lacks git_revision")


def test_unverified(write):
    data = one_row()
    for entry in data["benchmarks"]:
        del entry["mismatches"]
    assert said(findings(write, data), "error", "not verified (1 row")


@pytest.mark.parametrize(
    ("format_", "ops", "error"),
    [("a32.q8_0", 1e12, True), ("a32.q8_0", 4e11, False), ("a8.q8_0", 1e12, False),
     ("a8.q8_0", 2e13, True)],
)  # fmt: skip
def test_impossible_arithmetic(write, format_, ops, error):
    time = 2 * 1024 * 1024 / ops * 1e9
    data = one_row(name=f"matmul/{format_}/amx/m:1/n:1024/k:1024", times=(time, time),
                   ops_per_second=ops, items_per_second=1.0)  # fmt: skip
    assert bool(said(findings(write, data), "error", "operations a second")) == error


def test_matmul_that_contradicts_itself(write):
    data = one_row(name="matmul/a8.q8_0/avx2/m:1/n:1024/k:1024", ops_per_second=8e9)
    assert said(findings(write, data), "error", "contradicts itself")


def test_emulated(write):
    emulated = {"emulated": "yes: timings mean nothing"}
    assert said(findings(write, one_row(emulated)), "error", "claims a timing")
    honest = one_row(emulated, label="verified:quick emulated: no timing claim")
    for entry in honest["benchmarks"]:
        for key in ("roof_pct", "bytes_per_second", "items_per_second"):
            del entry[key]
    assert not validate.errors(findings(write, honest))
    marked = one_row(label="verified:quick emulated: no timing claim")
    assert said(findings(write, marked), "error", "the context says otherwise")


def test_smoke(write):
    assert said(findings(write, one_row({"profile": "smoke"})), "error", "in a smoke run")
    honest = one_row({"profile": "smoke"}, label="verified:quick smoke: no timing claim")
    assert not validate.errors(findings(write, honest))


def test_no_rows(write):
    assert said(findings(write, {"context": CONTEXT, "benchmarks": []}), "error", "no rows")


def test_finding_lists_few_rows():
    finding = validate.Finding("error", "x", tuple("abcdef"))
    assert str(finding) == "error: x (6 rows: a; b; c; and 3 more)"


def test_exit_status(write, capsys):
    good, bad = write(one_row(), "good.json"), write(one_row(roof_pct=300.0), "bad.json")
    broken = write("{", "broken.json")
    assert validate.main([str(good)]) == 0
    assert "valid, 1 rows" in capsys.readouterr().out
    assert validate.main([str(good), str(bad)]) == 1
    assert "over 102 %" in capsys.readouterr().out
    assert validate.main([str(broken), str(bad)]) == 2
    captured = capsys.readouterr()
    assert "not valid JSON" in captured.err and "over 102 %" in captured.out


def test_store(write, tmp_path, capsys):
    root = tmp_path / "kept"
    path = write(one_row())
    assert validate.main(["--store", "--results", str(root), str(path)]) == 0
    (stored,) = root.glob("*/*.json")
    assert stored == store_path(CONTEXT, root)
    assert json.loads(stored.read_text()) == json.loads(path.read_text())
    assert load.load(stored).rows == load.load(path).rows
    assert validate.main(["--store", "--results", str(root), str(path)]) == 0  # the same again
    other = write(one_row(roof_pct=70.0), "other.json")
    capsys.readouterr()
    assert validate.main(["--store", "--results", str(root), str(other)]) == 2
    assert "not overwritten" in capsys.readouterr().err
    assert json.loads(stored.read_text())["benchmarks"][0]["roof_pct"] == 80


def test_store_refuses(write, tmp_path):
    root = tmp_path / "kept"
    bad = write(one_row(roof_pct=300.0), "bad.json")
    assert validate.main(["--store", "--results", str(root), str(bad)]) == 1
    with pytest.raises(ResultsError, match="over 102"):
        validate.store(load.load(bad), root)
    smoke = write(one_row({"profile": "smoke"}, label="smoke: no timing claim"), "smoke.json")
    assert validate.main(["--store", "--results", str(root), str(smoke)]) == 0
    assert not root.exists()
