# SPDX-License-Identifier: Apache-2.0
"""load.py: what is read, and what is refused with which words."""

from __future__ import annotations

import json
import os
import re

import pytest
from conftest import CONTEXT, entries, failed, sample

from quantbench_results import load as ld
from quantbench_results.errors import ResultsError
from quantbench_results.files import write_text
from quantbench_results.store import context_hash, store_path


def test_rows_gather_repetitions(write):
    results = ld.load(write(sample()))
    row = results.by_name["absmax/f32/avx2/n:4096"]
    assert (row.op, row.format, row.variant, row.shape, row.threads) == (
        "absmax",
        "f32",
        "avx2",
        "n:4096",
        1,
    )
    assert len(row.times_ns) == 3
    assert sorted(row.times_ns) == pytest.approx([0.99 * 512, 512, 1.01 * 512])
    assert row.counter("roof_pct") == 80
    assert row.counter("absent") is None
    assert row.verified and not row.failed and row.claims_timing and not row.is_matmul
    assert results.complete and not results.emulated and results.claims_timing


def test_matmul_row(write):
    row = ld.load(write(sample())).by_name[
        "matmul/a8.q4_0/peer:example/m:32/n:1024/k:1024/threads:2"
    ]
    assert row.threads == 2 and row.is_peer and row.is_matmul and not row.cold
    assert row.dims == {"m": 32, "n": 1024, "k": 1024}


def test_failed_row(write):
    row = ld.load(write(sample())).by_name["absmax/f16/avx2/n:4096"]
    assert row.failed and "3 mismatches" in row.error and row.times_ns == ()


def test_skipped_row_of_a_newer_google_benchmark(write):
    row = failed("absmax/f32/avx2/n:8", "")
    del row["error_occurred"], row["error_message"]
    row |= {"skipped": True, "skip_message": "not on this CPU"}
    loaded = ld.load(write({"context": CONTEXT, "benchmarks": [row]})).rows[0]
    assert loaded.failed and loaded.error == "not on this CPU"


def test_context(write):
    results = ld.load(write(sample()))
    assert results.caches == [("L1", 32 << 10, 1.3), ("L2", 1 << 20, 4.1), ("L3", 32 << 20, 15.0)]
    assert results.limits == {"bandwidth_1r0w/bytes:16384/threads:1": 1.6e11}
    assert results.refused == {"avx512": "the CPU lacks avx512f"}
    assert results.date is not None and results.date.year == 2026


def test_aggregates_only(write):
    entry = entries("absmax/f32/avx2/n:8", [4.0])[0]
    entry |= {
        "name": entry["name"] + "_median",
        "run_type": "aggregate",
        "aggregate_name": "median",
    }
    row = ld.load(write({"context": CONTEXT, "benchmarks": [entry]})).rows[0]
    assert row.name == "absmax/f32/avx2/n:8" and row.times_ns == (4.0,)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("a/b/c/n:1", ("a", "b", "c", "n:1", 1)),
        ("a/b/c/m:1/n:2/k:3/cold", ("a", "b", "c", "m:1/n:2/k:3/cold", 1)),
        ("a/b/peer:x/m:1/n:2/k:3/threads:16", ("a", "b", "peer:x", "m:1/n:2/k:3", 16)),
    ],
)
def test_split_name(name, parts):
    assert ld.split_name(name) == parts


@pytest.mark.parametrize("name", ["", "a/b/c", "a//c/n:1", "BM_Foo"])
def test_split_name_refuses(name):
    with pytest.raises(ValueError, match="op/format/variant/shape"):
        ld.split_name(name)


def change(entry_change=None, **context):
    data = sample(context)
    if entry_change:
        data["benchmarks"][0] |= entry_change
    return data


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ("", "not valid JSON"),
        (json.dumps(sample())[:2000], "perhaps truncated"),
        ("[" * 200000, "nested too deeply"),
        ("[]", "not an object"),
        ({"hello": 1}, "no 'context' or no 'benchmarks'"),
        ({"context": {}, "benchmarks": []}, "has no 'schema_version'"),
        (change(schema_version=99), "schema_version is 99"),
        (change(schema_version=True), "schema_version is true"),
        ({"context": CONTEXT, "benchmarks": [1]}, "benchmarks[0]"),
        ({"context": CONTEXT, "benchmarks": [{"name": 3}]}, "benchmarks[0]"),
        (change({"run_name": "BM_Foo"}), "op/format/variant/shape"),
        (change({"run_name": "x" * 5000}), "sane length"),
        (change({"real_time": -1}), "not positive"),
        (change({"real_time": "fast"}), "not a number"),
        (change({"real_time": 10**400}), "not finite"),
        (change({"time_unit": "years"}), "time_unit"),
        (change({"time_unit": []}), "time_unit"),
        (change({"repetition_index": 1}), "comes twice"),
        ('{"context": {"schema_version": 1}, "benchmarks": [NaN]}', "NaN"),
        ('{"a": ' + "9" * 10000 + "}", "not valid JSON"),
    ],
)
def test_refusals_name_file_and_fault(write, data, problem):
    path = write(data)
    with pytest.raises(ResultsError, match=re.escape(problem)) as caught:
        ld.load(path)
    assert str(path) in str(caught.value)


def test_no_such_file_binary_folder_fifo(tmp_path):
    with pytest.raises(ResultsError, match="No such file"):
        ld.load(tmp_path / "absent.json")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ResultsError, match="not UTF-8"):
        ld.load(tmp_path / "binary")
    with pytest.raises(ResultsError, match="regular file"):
        ld.load(tmp_path)
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(ResultsError, match="regular file"):
        ld.load(tmp_path / "fifo")


def test_huge_file(write, monkeypatch):
    monkeypatch.setattr(ld, "MAX_FILE_BYTES", 100)
    with pytest.raises(ResultsError, match="more than 100"):
        ld.load(write(sample()))


def test_errors_are_printable(write):
    data = change({"run_name": "evil\x1b[2J/\nname"})
    with pytest.raises(ResultsError) as caught:
        ld.load(write(data))
    assert "\x1b" not in str(caught.value) and "\n" not in str(caught.value)


def test_context_of_odd_types_is_harmless(write):
    odd = {
        "limits": [1],
        "caches_measured": 7,
        "emulated": None,
        "date": 3,
        "cpu_name": ["<b>"],
        "git_revision": {"a": 1},
        "isa_refused_x": 4,
    }
    results = ld.load(write(sample(odd)))
    assert results.limits == {} and results.caches == [] and results.date is None
    assert results.refused["x"] == "4"
    assert not results.emulated
    assert ".." not in str(store_path(results.context))


def test_load_many_and_newest(write, tmp_path):
    stored = write(sample(), "example-12345678/2026-01-02T030405-abc.json")
    latest = write(sample(), "latest.json")
    write("[]", "other.json")
    write("{}", "example-12345678/latest.md")
    os.utime(stored, (1, 1))
    assert ld.newest(tmp_path) == latest
    assert sorted(r.path for r in ld.load_many([tmp_path, stored])) == sorted([latest, stored])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ResultsError, match="make bench"):
        ld.newest(tmp_path / "empty")
    with pytest.raises(ResultsError, match="no results file"):
        ld.load_many([tmp_path / "empty"])
    # As results/*/ names them: a machine's folder, and others that hold no results.
    folders = [tmp_path / "empty", tmp_path / "example-12345678"]
    assert [r.path for r in ld.load_many(folders)] == [stored]


def test_store_path():
    path = store_path(CONTEXT, "results")
    assert re.fullmatch(
        r"results/example-e-5-[0-9a-f]{8}/2026-01-02T030405-abc123def456\.json", str(path)
    )
    dirty = store_path({**CONTEXT, "git_dirty": "yes"})
    assert dirty.name.endswith("-dirty.json") and dirty.parent.name == path.parent.name


def test_store_path_stays_under_root():
    hostile = {**CONTEXT, "cpu_name": "../../etc", "git_revision": "../../x", "date": "../../y"}
    path = store_path(hostile, "results")
    assert len(path.parts) == 3 and ".." not in path.parts and "/" not in path.name
    assert path.parent.name.startswith("etc-") and path.name.startswith("0000-00-00-")


def test_context_hash_is_of_the_machine_not_of_the_run():
    base = context_hash(CONTEXT)
    assert context_hash({**CONTEXT, "date": "x", "limits": {}, "git_revision": "y"}) == base
    assert context_hash({**CONTEXT, "compiler": "Clang 14"}) != base
    assert context_hash({**CONTEXT, "cpu_flags": "sse2"}) != base


def test_write_text_is_whole_or_nothing(tmp_path, monkeypatch):
    path = tmp_path / "new" / "file.txt"
    write_text(path, "one")
    assert path.read_text() == "one"

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(ResultsError, match="No space left"):
        write_text(path, "two")
    assert path.read_text() == "one" and list(path.parent.iterdir()) == [path]


def test_failed_rows_need_no_time(write):
    data = {"context": CONTEXT, "benchmarks": [failed("a/b/c/n:1", "wrong")]}
    assert ld.load(write(data)).rows[0].error == "wrong"
