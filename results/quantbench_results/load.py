# SPDX-License-Identifier: Apache-2.0
"""Reads results files: one `Results` per file, one `Row` per benchmark, repetitions together.

A file is Google Benchmark's JSON with quantbench's context and counters. Files come from strangers:
whatever is wrong with one is a `ResultsError` that names the file and the fault.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from quantbench_results.errors import ResultsError
from quantbench_results.rows import Results, Row, split_name
from quantbench_results.text import printable

SCHEMA_VERSION = 1
MAX_FILE_BYTES = 256 << 20
MAX_NAME = 400
# Beyond these no number of a benchmark is one; within them no arithmetic of the tools overflows.
MOST = 1e30
LEAST = 1e-60

_NANOSECONDS = {"ns": 1.0, "us": 1e3, "ms": 1e6, "s": 1e9}
# Of a benchmark's entry, what is no counter.
_ENTRY_KEYS = frozenset(
    "name family_index per_family_instance_index run_name run_type repetitions repetition_index "
    "threads iterations real_time cpu_time time_unit label error_occurred error_message "
    "aggregate_name aggregate_unit skipped skip_message big_o rms".split()
)


def load(path: Path | str) -> Results:
    """Reads one results file; ResultsError if it isn't one."""
    path = Path(path)
    return parse(read_json(path), path)


def load_many(paths: Iterable[Path | str]) -> list[Results]:
    """Reads files, and every results file in folders (of which some may hold none, as those that
    results/*/ names); ResultsError at the first file that is none."""
    files: list[Path] = []
    for path in map(Path, paths):
        files += find_files(path) if path.is_dir() else [path]
    unique = list(dict.fromkeys(files))
    if not unique:
        raise ResultsError("results", "no results file was named or found")
    return [load(path) for path in unique]


def find_files(root: Path) -> list[Path]:
    """The results files in a folder: latest.json, those of one machine, <date>-<revision>.json, and
    those of machines' folders below."""
    patterns = ("latest.json", "????-??-??*.json", "*/????-??-??*.json")
    return sorted(path for pattern in patterns for path in root.glob(pattern) if path.is_file())


def newest(root: Path | str = "results") -> Path:
    """The results file under root that was written last."""
    files = find_files(Path(root))
    if not files:
        raise ResultsError(root, "no results file here; `make bench` makes one")
    return max(files, key=lambda path: path.stat().st_mtime)


def parse(data: Any, path: Path) -> Results:
    """Results from a file's parsed JSON."""
    if not isinstance(data, dict):
        raise ResultsError(path, "not a results file: the JSON is not an object")
    context, entries = data.get("context"), data.get("benchmarks")
    if not isinstance(context, dict) or not isinstance(entries, list):
        raise ResultsError(path, "not a results file: it has no 'context' or no 'benchmarks'")
    version = context.get("schema_version")
    if version is None:
        raise ResultsError(
            path, "not a results file of quantbench: its context has no 'schema_version'"
        )
    if isinstance(version, bool) or version != SCHEMA_VERSION:
        raise ResultsError(
            path,
            f"schema_version is {json.dumps(version)[:40]}, these tools read {SCHEMA_VERSION}",
        )
    return Results(path, context, tuple(_rows(entries, path)))


def read_json(path: Path) -> Any:
    """The JSON of a file; ResultsError if it is none, or far too large."""

    def refuse(constant: str) -> Any:
        raise ValueError(f"{constant} is no number in JSON")

    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise ResultsError(path, f"{size} bytes: more than {MAX_FILE_BYTES} are not read")
        if not path.is_file():
            raise ResultsError(path, "not a regular file")
        return json.loads(path.read_bytes().decode("utf-8"), parse_constant=refuse)
    except OSError as error:
        raise ResultsError(path, error.strerror or str(error)) from None
    except UnicodeDecodeError as error:
        raise ResultsError(path, f"not UTF-8 text (byte {error.start})") from None
    except RecursionError:
        raise ResultsError(path, "nested too deeply") from None
    except ValueError as error:
        raise ResultsError(path, f"not valid JSON, perhaps truncated: {error}") from None


def _rows(entries: Sequence[Any], path: Path) -> list[Row]:
    """The entries' repetitions gathered by name, in the order of the file."""
    groups: dict[str, list[dict[str, Any]]] = {}
    medians: dict[str, list[dict[str, Any]]] = {}
    shown: dict[str, str] = {}  # a name as it is, once per row and not once per repetition
    for index, entry in enumerate(entries):
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
            raise ResultsError(path, f"benchmarks[{index}] is no entry with a name")
        name = entry.get("run_name", entry["name"])
        if not isinstance(name, str) or len(name) > MAX_NAME:
            raise ResultsError(path, f"benchmarks[{index}]: the name is no text of a sane length")
        name = shown.get(name) or shown.setdefault(name, printable(name, MAX_NAME))
        kind = entry.get("run_type", "iteration")
        if kind == "iteration":
            groups.setdefault(name, []).append(entry)
        elif entry.get("aggregate_name") == "median":
            medians.setdefault(name, []).append(entry)
    for name, found in medians.items():  # a file of aggregates only
        groups.setdefault(name, found)
    return [_row(name, group, path) for name, group in groups.items()]


def _row(name: str, entries: list[dict[str, Any]], path: Path) -> Row:
    try:
        op, format_, variant, shape, threads = split_name(name)
    except ValueError as error:
        raise ResultsError(path, f"row '{name}': {error}") from None
    errors = [
        printable(str(_error(entry) or "failed without a message"), 4000)
        for entry in entries
        if entry.get("error_occurred") or entry.get("skipped")
    ]
    label = _label(entries[0])
    if errors:
        return Row(name, op, format_, variant, shape, threads, label=label, error=errors[0])
    seen = [entry.get("repetition_index", 0) for entry in entries]
    if len({repr(index) for index in seen}) != len(seen):
        raise ResultsError(path, f"row '{name}': a repetition comes twice")
    counters: dict[str, tuple[float, ...]] = {}
    for key in entries[0]:
        if key in _ENTRY_KEYS:
            continue
        values: list[Any] = [entry.get(key) for entry in entries]
        if all(map(_is_plain, values)):  # nearly all: without a call for each
            counters[_shown_key(key)] = tuple(values)
        elif all(map(_is_number, values)):
            counters[_shown_key(key)] = tuple(
                _number(entry, key, name, path) for entry in entries
            )
    times = tuple(_time_ns(entry, name, path) for entry in entries)
    return Row(name, op, format_, variant, shape, threads, times, counters, label)


def _error(entry: Mapping[str, Any]) -> Any:
    """Why an entry has no time, in the words of older and newer versions of Google Benchmark."""
    return entry.get("error_message") or entry.get("skip_message")


def _label(entry: Mapping[str, Any]) -> str:
    label = entry.get("label", "")
    return printable(label) if isinstance(label, str) else ""


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_plain(value: Any) -> bool:
    """A floating-point number as a benchmark has it, which needs no further look."""
    return type(value) is float and (LEAST <= value <= MOST or value == 0.0)


@functools.lru_cache(maxsize=1024)
def _shown_key(key: str) -> str:
    return printable(key)


def _number(entry: Mapping[str, Any], key: str, name: str, path: Path) -> float:
    value = entry.get(key)
    if not _is_number(value):
        raise ResultsError(path, f"row '{name}': {key} is not a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ResultsError(path, f"row '{name}': {key} is not finite")
    if number and not LEAST <= abs(number) <= MOST:
        raise ResultsError(path, f"row '{name}': {key} is {number:g}, which nothing measures")
    return number


def _time_ns(entry: Mapping[str, Any], name: str, path: Path) -> float:
    unit = entry.get("time_unit", "ns")
    if not isinstance(unit, str) or unit not in _NANOSECONDS:
        raise ResultsError(path, f"row '{name}': time_unit is none of {', '.join(_NANOSECONDS)}")
    time = _number(entry, "real_time", name, path) * _NANOSECONDS[unit]
    if not 0 < time < math.inf:
        raise ResultsError(path, f"row '{name}': real_time is not positive")
    return time
