"""Reads results files: one `Results` per file, one `Row` per benchmark, repetitions together.

A file is Google Benchmark's JSON with quantbench's context and counters. Files come from strangers:
whatever is wrong with one is a `ResultsError` that names the file and the fault.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import math
import os
import re
import statistics
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SCHEMA_VERSION = 1
MAX_FILE_BYTES = 256 << 20
MAX_NAME = 400
PEER = "peer:"

# What makes two files those of one machine, set up and compiled alike. Not here: what changes from
# run to run (load, date, measured limits), and the suite's revision.
MACHINE_KEYS = (
    "arch",
    "cpu_name",
    "cpu_family_model_stepping",
    "cpu_flags",
    "num_cpus",
    "caches_sysfs",
    "compiler",
    "compiler_flags",
    "build_type",
    "isa_enabled",
    "virtualised",
    "emulated",
    "governor",
    "huge_pages",
)

_NANOSECONDS = {"ns": 1.0, "us": 1e3, "ms": 1e6, "s": 1e9}
# Of a benchmark's entry, what is no counter.
_ENTRY_KEYS = frozenset(
    "name family_index per_family_instance_index run_name run_type repetitions repetition_index "
    "threads iterations real_time cpu_time time_unit label error_occurred error_message "
    "aggregate_name aggregate_unit skipped skip_message big_o rms".split()
)


class ResultsError(Exception):
    """A results file that can't be used: which file, and what is wrong with it."""

    def __init__(self, path: Path | str, problem: str):
        super().__init__(f"{printable(str(path))}: {printable(problem)}")
        self.path = Path(path)
        self.problem = problem


@dataclass(frozen=True)
class Row:
    """One benchmark: its name taken apart, and what each repetition measured."""

    name: str
    op: str
    format: str
    variant: str
    shape: str
    threads: int
    times_ns: tuple[float, ...] = ()
    """Real time of one call, per repetition; empty if the row failed."""
    counters: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """Per counter, a value per repetition (the same order as times_ns)."""
    label: str = ""
    error: str = ""
    """Why the row failed; empty if it didn't."""

    @property
    def failed(self) -> bool:
        return bool(self.error)

    @property
    def best_ns(self) -> float:
        """The least time of a call: interruptions only ever add."""
        return min(self.times_ns, default=math.nan)

    @property
    def median_ns(self) -> float:
        return statistics.median(self.times_ns) if self.times_ns else math.nan

    def counter(self, key: str) -> float | None:
        """The counter's median over the repetitions, or None if the row lacks it."""
        values = self.counters.get(key)
        return statistics.median(values) if values else None

    def at_best(self, key: str) -> float | None:
        """The counter in the repetition that took the least time, or None."""
        values = self.counters.get(key)
        if not values or len(values) != len(self.times_ns):
            return self.counter(key)
        return values[min(range(len(values)), key=self.times_ns.__getitem__)]

    @property
    def is_peer(self) -> bool:
        """Other people's kernel, timed beside ours."""
        return self.variant.startswith(PEER)

    @property
    def dims(self) -> dict[str, int]:
        """The shape's numbers: {"m": 1, "n": 4096, "k": 4096}, {"n": 65536}."""
        return {
            key: int(value) for key, value in re.findall(r"([a-z]+):(\d{1,18})(?=/|$)", self.shape)
        }

    @property
    def cold(self) -> bool:
        return "cold" in self.shape.split("/")

    @property
    def is_matmul(self) -> bool:
        return "k" in self.dims and "ops_per_second" in self.counters

    @property
    def verified(self) -> bool:
        """Whether the outputs were compared with the oracle's before timing."""
        return "mismatches" in self.counters

    @property
    def emulated(self) -> bool:
        return "emulated" in self.label

    @property
    def claims_timing(self) -> bool:
        """False for rows of a smoke run or of an emulator."""
        return "no timing claim" not in self.label

    @property
    def key(self) -> tuple[str, str, str, int]:
        """What rows that can replace each other share."""
        return (self.op, self.format, self.shape, self.threads)


@dataclass(frozen=True)
class Results:
    """One results file."""

    path: Path
    context: Mapping[str, Any]
    rows: tuple[Row, ...]

    def text(self, key: str, default: str = "unknown") -> str:
        """A value of the context as text."""
        value = self.context.get(key)
        if value is None or value == "":
            return default
        if isinstance(value, bool):
            return "yes" if value else "no"
        return value if isinstance(value, str) else json.dumps(value)

    @property
    def by_name(self) -> dict[str, Row]:
        return {row.name: row for row in self.rows}

    @property
    def complete(self) -> bool:
        return self.context.get("complete") is True

    @property
    def emulated(self) -> bool:
        return self.text("emulated", "no") != "no"

    @property
    def claims_timing(self) -> bool:
        return not self.emulated and self.text("profile") != "smoke"

    @property
    def date(self) -> datetime.datetime | None:
        try:
            return datetime.datetime.fromisoformat(self.text("date"))
        except ValueError:
            return None

    @property
    def revision(self) -> str:
        return self.text("git_revision")

    @property
    def refused(self) -> dict[str, str]:
        """Instruction-set level -> why its variants did not run."""
        prefix = "isa_refused_"
        return {
            key.removeprefix(prefix): self.text(key)
            for key in sorted(self.context)
            if key.startswith(prefix)
        }

    @property
    def caches(self) -> list[tuple[str, int, float | None]]:
        """Measured cache levels: (name, bytes, ns per dependent load)."""
        return [
            (name, int(kib) << 10, float(ns) if ns else None)
            for name, kib, ns in re.findall(
                r"(L\d) (\d{1,9})K(?: (\d{1,6}(?:\.\d{1,6})?) ns)?",
                self.text("caches_measured", ""),
            )
        ]

    @property
    def limits(self) -> dict[str, float]:
        """The limits that were measured in the run: label -> bytes/s or op/s."""
        limits = self.context.get("limits")
        found: dict[str, float] = {}
        for label, value in limits.items() if isinstance(limits, dict) else ():
            try:
                rate = float(value)
            except (TypeError, ValueError, OverflowError):
                continue
            if math.isfinite(rate) and rate > 0:
                found[str(label)] = rate
        return found

    @property
    def machine_id(self) -> str:
        return f"{cpu_slug(self.context)}-{context_hash(self.context)}"


def printable(text: str, most: int = 1000) -> str:
    """The text without control characters, which could fool a terminal, and not too long."""
    clean = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return clean if len(clean) <= most else clean[: most - 1] + "\N{HORIZONTAL ELLIPSIS}"


def split_name(name: str) -> tuple[str, str, str, str, int]:
    """op/format/variant/shape[/threads:T] -> its parts; ValueError if it is no such name."""
    parts = name.split("/")
    threads = 1
    if len(parts) > 4 and (match := re.fullmatch(r"threads:(\d{1,6})", parts[-1])):
        threads = int(match[1])
        parts.pop()
    if len(parts) < 4 or not all(parts):
        raise ValueError("expected op/format/variant/shape[/threads:T]")
    return parts[0], parts[1], parts[2], "/".join(parts[3:]), threads


def load(path: Path | str) -> Results:
    """Reads one results file; ResultsError if it isn't one."""
    path = Path(path)
    return parse(_read_json(path), path)


def load_many(paths: Iterable[Path | str]) -> list[Results]:
    """Reads files, and every results file in folders; ResultsError at the first that is none."""
    files: list[Path] = []
    for path in map(Path, paths):
        files += find_files(path) if path.is_dir() else [path]
    unique = list(dict.fromkeys(files))
    if not unique:
        raise ResultsError("results", "no results file was named or found")
    return [load(path) for path in unique]


def find_files(root: Path) -> list[Path]:
    """The results files under a folder: latest.json and <machine>/<date>-<revision>.json."""
    return sorted(
        path
        for path in [*root.glob("latest.json"), *root.glob("*/????-??-??*.json")]
        if path.is_file()
    )


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


def _read_json(path: Path) -> Any:
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
    for index, entry in enumerate(entries):
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
            raise ResultsError(path, f"benchmarks[{index}] is no entry with a name")
        name = entry.get("run_name", entry["name"])
        if not isinstance(name, str) or len(name) > MAX_NAME:
            raise ResultsError(path, f"benchmarks[{index}]: the name is no text of a sane length")
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
        str(entry.get("error_message") or entry.get("skip_message") or "failed without a message")
        for entry in entries
        if entry.get("error_occurred") or entry.get("skipped")
    ]
    if errors:
        return Row(
            name, op, format_, variant, shape, threads, label=_label(entries[0]), error=errors[0]
        )
    seen = [entry.get("repetition_index", 0) for entry in entries]
    if len({repr(index) for index in seen}) != len(seen):
        raise ResultsError(path, f"row '{name}': a repetition comes twice")
    counters: dict[str, tuple[float, ...]] = {}
    for key in entries[0]:
        if key not in _ENTRY_KEYS and all(_is_number(entry.get(key)) for entry in entries):
            counters[key] = tuple(_number(entry, key, name, path) for entry in entries)
    times = tuple(_time_ns(entry, name, path) for entry in entries)
    return Row(name, op, format_, variant, shape, threads, times, counters, _label(entries[0]))


def _label(entry: Mapping[str, Any]) -> str:
    label = entry.get("label", "")
    return label if isinstance(label, str) else ""


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


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
    return number


def _time_ns(entry: Mapping[str, Any], name: str, path: Path) -> float:
    unit = entry.get("time_unit", "ns")
    if not isinstance(unit, str) or unit not in _NANOSECONDS:
        raise ResultsError(path, f"row '{name}': time_unit is none of {', '.join(_NANOSECONDS)}")
    time = _number(entry, "real_time", name, path) * _NANOSECONDS[unit]
    if not 0 < time < math.inf:
        raise ResultsError(path, f"row '{name}': real_time is not positive")
    return time


def cpu_slug(context: Mapping[str, Any]) -> str:
    """The CPU's name fit for a folder: "AMD EPYC 7B13" -> "amd-epyc-7b13"."""
    name = str(context.get("cpu_name", ""))
    name = re.sub(r"\((r|tm|c)\)|\b(cpu|processor)\b|@.*", " ", name, flags=re.IGNORECASE)
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:48].strip("-")
    return slug or "unknown-cpu"


def context_hash(context: Mapping[str, Any]) -> str:
    """Eight hex digits that machines set up and compiled alike share (see MACHINE_KEYS)."""
    facts = json.dumps([[key, context.get(key)] for key in MACHINE_KEYS], sort_keys=True)
    return hashlib.sha256(facts.encode()).hexdigest()[:8]


def store_path(context: Mapping[str, Any], root: Path | str = "results") -> Path:
    """Where a file with this context is kept: <root>/<cpu>-<hash>/<date>-<revision>.json."""
    date = re.fullmatch(r"(\d{4}-\d\d-\d\d)T(\d\d):(\d\d):(\d\d)\S*", str(context.get("date", "")))
    when = f"{date[1]}T{date[2]}{date[3]}{date[4]}" if date else "0000-00-00"
    revision = re.sub(r"[^0-9A-Za-z._-]", "", str(context.get("git_revision", "")))[:16].strip(".")
    if str(context.get("git_dirty", "no")) == "yes":
        revision += "-dirty"
    folder = f"{cpu_slug(context)}-{context_hash(context)}"
    return Path(root) / folder / f"{when}-{revision or 'unknown'}.json"


def write_text(path: Path | str, text: str) -> None:
    """Writes a whole file or none: beside it first, then renamed."""
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, beside = tempfile.mkstemp(prefix=path.name + ".", suffix=".tmp", dir=path.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8", errors="replace") as file:
                file.write(text)
            os.chmod(beside, 0o644)
            os.replace(beside, path)
        except BaseException:
            os.unlink(beside)
            raise
    except OSError as error:
        raise ResultsError(path, f"can't write: {error.strerror or error}") from None
