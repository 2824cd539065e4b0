# SPDX-License-Identifier: Apache-2.0
"""Says what is wrong with a results file, and files away those that are sound.

quantbench-validate FILE...             problems, one a line; exit 1 if any file has an error
quantbench-validate --store FILE...     the same, and keeps sound files in results/<machine>/
quantbench-validate --compact FILE...   the same, and rewrites them in the form in which they are kept
"""

from __future__ import annotations

import datetime
import json
import math
import statistics
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from quantbench_results import files, load, rules
from quantbench_results.cli import Parser, guarded
from quantbench_results.errors import ResultsError
from quantbench_results.rows import Results, Row
from quantbench_results.store import compact, store_path
from quantbench_results.summary import is_arithmetic, share
from quantbench_results.text import printable

# Generous ceilings of any one core, to catch figures that no machine reaches.
MAX_BYTES_PER_SECOND = 1.5e12  # three 64-byte accesses a cycle at 7 GHz are 1.3e12
MAX_OPS_PER_SECOND = 1.6e13  # AMX int8: 2048 operations a cycle at 7 GHz are 1.4e13
MAX_F32_OPS_PER_SECOND = 9e11  # two 512-bit FMAs a cycle are 64 operations: 4.5e11 at 7 GHz
MAX_CLOCK_GHZ = 8.0
MOST_UNMARKED_PERCENT = 110  # of the limit: an interruption of the limit's own loops is less
WORK_TOLERANCE = 0.25  # the counters and Google Benchmark's clock are read apart
SPREAD_TOLERANCE = 0.01  # both sides compute the same from the same figures
LIMIT_TOLERANCE = 0.4  # a limit measured once more in mid-run: 29 % in a committed file
CONTRADICTION = "contradicts itself"

REQUIRED_CONTEXT = (
    "date",
    "num_cpus",
    "profile",
    "verify",
    "seed",
    "threads",
    "caches_measured",
    "limits",
    "complete",
    "arch",
    "cpu_name",
    "cpu_flags",
    "isa_detected",
    "isa_enabled",
    "compiler",
    "compiler_flags",
    "build_type",
    "git_revision",
    "git_dirty",
    "suite_version",
    "virtualised",
    "emulated",
)


# What a suite built from a tarball can't know: a reader should know that, but the figures hold.
MAY_BE_UNKNOWN = ("git_revision", "git_dirty")


@dataclass(frozen=True)
class Finding:
    """One kind of problem, with the rows that have it."""

    level: str
    """error: the file's claims don't hold; warning: a reader should know."""
    what: str
    rows: tuple[str, ...] = ()

    def __str__(self) -> str:
        text = f"{self.level}: {printable(self.what)}"
        if self.rows:
            shown = "; ".join(printable(row) for row in self.rows[:3])
            more = f"; and {len(self.rows) - 3} more" if len(self.rows) > 3 else ""
            text += f" ({len(self.rows)} row{'s'[: len(self.rows) != 1]}: {shown}{more})"
        return text


def validate(results: Results) -> list[Finding]:
    """Everything found, errors first."""
    found = [*_context_findings(results), *_row_findings(results)]
    return sorted(found, key=lambda finding: finding.level != "error")


def errors(findings: Iterable[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.level == "error"]


def _context_findings(results: Results) -> Iterator[Finding]:
    context = results.context
    missing = [key for key in REQUIRED_CONTEXT if context.get(key) in (None, "", "unknown", {}, [])]
    unknown = [key for key in MAY_BE_UNKNOWN if context.get(key) == "unknown"]
    missing = [key for key in missing if key not in unknown]
    if not results.claims_timing:  # limits and caches are measured only for timings
        missing = [key for key in missing if key not in ("limits", "caches_measured")]
    if missing:
        yield Finding("error", f"the context lacks {', '.join(missing)}")
    if unknown:
        yield Finding(
            "warning",
            f"unknown to the suite that wrote it: {', '.join(unknown)} (built outside a repository)",
        )
    if "date" not in missing:
        if results.date is None:
            yield Finding("error", f"date '{results.text('date')[:40]}' is none (ISO 8601)")
        elif _aware(results.date) > _now() + datetime.timedelta(days=1):
            yield Finding("error", f"date {results.text('date')} lies in the future")
    if "host_name" in context:
        yield Finding("error", "the context names the host; remove host_name before sharing")
    if "/" in results.text("executable", ""):
        yield Finding("warning", "executable holds a path of that machine")
    if context.get("complete") is False:
        yield Finding("warning", "the run was interrupted: rows are missing")
    if results.text("git_dirty", "no") not in ("no", "unknown"):
        yield Finding("warning", "built from a changed tree: the revision does not tell what ran")
    if results.text("build_type", "Release") != "Release":
        yield Finding("warning", f"build type {results.text('build_type')} is not Release")
    if results.text("profile") == "smoke":
        yield Finding("warning", "a smoke run makes no claim about time")
    if results.emulated:
        yield Finding("warning", "emulated: no claim about time")
    elif results.text("arch") == "aarch64" and "sse2" in results.text("cpu_flags").split():
        yield Finding("error", "says it was not emulated, but the flags are those of an x86 CPU")
    if not results.rows:
        yield Finding("error", "there are no rows")


def _row_findings(results: Results) -> Iterator[Finding]:
    problems: dict[tuple[str, str], list[str]] = {}
    for row in results.rows:
        for level, what in _row_problems(row, results):
            problems.setdefault((level, what), []).append(row.name)
    if results.claims_timing:
        for level, what, name in _limit_problems(results):
            problems.setdefault((level, what), []).append(name)
    for (level, what), names in problems.items():
        yield Finding(level, what, tuple(names))


def _row_problems(row: Row, results: Results) -> Iterator[tuple[str, str]]:
    if row.failed:
        yield "warning", "failed, and so was not timed"
        return
    if not row.verified or "verified:off" in row.label:
        yield "error", "not verified"
    elif row.counter("mismatches"):
        yield "error", "has mismatches and yet a time"
    of_bound = row.counter("of_bound")
    if of_bound is not None and of_bound > 1:
        yield "error", "its error is beyond the contract's bound and yet it has a time"
    if results.emulated:
        if row.claims_timing or row.counters.keys() & {"roof_pct", "speedup_vs_scalar"}:
            yield "error", "claims a timing, but the run was emulated"
        return
    if row.emulated:
        yield "error", "is marked emulated, but the context says otherwise"
        return
    if not results.claims_timing:
        if row.claims_timing:
            yield "error", "claims a timing in a smoke run"
        return
    cpus = results.context.get("num_cpus")
    if isinstance(cpus, int) and row.threads > cpus:
        yield "warning", "has more threads than the machine has CPUs"
    if len(row.times_ns) < 2:
        yield "warning", "has one repetition: nothing tells its noise"
    yield from _spread_problem(row)
    yield from _share_problem(row)
    yield from _rate_problems(row)


def _spread_problem(row: Row) -> Iterator[tuple[str, str]]:
    """The suite writes each row's spread beside its repetitions: a time changed later betrays itself."""
    said = row.counter("spread_pct")
    if said is None or len(row.times_ns) < 2:  # a file of aggregates only has no repetitions
        return
    if abs(said / (100 * rules.spread(row)) - 1) > SPREAD_TOLERANCE:
        yield "error", f"{CONTRADICTION}: its spread is not that of its repetitions"


def _limit_problems(results: Results) -> Iterator[tuple[str, str, str]]:
    """What the limit takes is the same for every variant of an array operation and size, unless the
    machine changed in mid-run. A row that does not say so (`limit_ns`) and differs was changed later.
    Of products each instruction set has a limit of its own, and old files (without spreads) measured
    limits anew for some rows."""
    groups: dict[tuple[str, str, str, int], list[tuple[float, Row]]] = {}
    for row in results.rows:
        share_ = share(row)
        if share_ and row.times_ns and "spread_pct" in row.counters and not is_arithmetic(row):
            groups.setdefault(row.key, []).append((share_ * rules.figure(row), row))
    for group in groups.values():
        usual = statistics.median(limit for limit, _ in group)
        for limit, row in group if len(group) > 2 else ():
            if max(limit / usual, usual / limit) <= 1 + LIMIT_TOLERANCE:
                continue
            if "limit_ns" in row.counters:
                yield "warning", "its limit is not that of its neighbours: it moved in mid-run", row.name
            else:
                yield "error", f"{CONTRADICTION}: its time and its share of the limit", row.name


def _share_problem(row: Row) -> Iterator[tuple[str, str]]:
    """Each repetition's share is what its limit takes over its time."""
    shares, limits = row.counters.get("roof_pct", ()), row.counters.get("limit_ns", ())
    for share_, limit, time in zip(shares, limits, row.times_ns, strict=False):
        if not abs(share_ * time / (100 * limit) - 1 if limit > 0 else math.inf) <= WORK_TOLERANCE:
            yield "error", f"{CONTRADICTION}: its time and its share of the limit"
            return


def _rate_problems(row: Row) -> Iterator[tuple[str, str]]:
    moved, done = row.counter("bytes_per_second"), row.counter("ops_per_second")
    if not moved and not done:
        yield "error", "has no rate"
    if any(value < 0 for values in row.counters.values() for value in values):
        yield "error", "has a negative counter"
    percent = share(row)
    if percent is None:
        yield "warning", "has no share of a measured limit"
    elif rules.over_limit(row) or percent > MOST_UNMARKED_PERCENT:
        yield "error", f"impossible: over {rules.PERCENT_OF_ERROR} % of its measured limit"
    elif percent > rules.PERCENT_OF_ERROR:
        yield "warning", f"over {rules.PERCENT_OF_ERROR} % of its limit, but not when timed once more"
    if moved and moved > MAX_BYTES_PER_SECOND * row.threads:
        yield "error", "impossible: more bytes a second than any core moves"
    ceiling = MAX_F32_OPS_PER_SECOND if row.format.startswith("a32") else MAX_OPS_PER_SECOND
    if done and done > ceiling * row.threads:
        yield "error", "impossible: more operations a second than any core does"
    clock = row.counter("clock_ghz")
    if clock is not None and not 0 < clock < MAX_CLOCK_GHZ:
        yield "error", f"impossible: a clock beyond {MAX_CLOCK_GHZ:g} GHz"
    dims = row.dims
    if done and {"m", "n", "k"} <= dims.keys():
        work, rate = 2.0 * dims["m"] * dims["n"] * dims["k"], done
    elif set(dims) == {"n"} and row.counter("items_per_second"):
        work, rate = float(dims["n"]), row.counter("items_per_second") or math.nan
    else:
        return
    ratio = rate * rules.figure(row) * 1e-9 / work if work else math.nan
    if not 1 - WORK_TOLERANCE <= ratio <= 1 + WORK_TOLERANCE:
        yield "error", f"{CONTRADICTION}: its rate, its time and its shape do not agree"


def _aware(date: datetime.datetime) -> datetime.datetime:
    return date if date.tzinfo else date.replace(tzinfo=datetime.UTC)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def store(results: Results, root: Path | str = "results") -> Path:
    """Keeps a sound file, in the compact form, at its place under root; ResultsError if it has none."""
    bad = errors(validate(results))
    if bad:
        raise ResultsError(results.path, f"not stored: {bad[0]}")
    if not results.claims_timing:
        raise ResultsError(results.path, "not stored: it makes no claim about time")
    path = store_path(results.context, root)
    data = load.read_json(results.path)
    if path.exists() and compact(load.read_json(path)) != compact(data):
        raise ResultsError(path, f"not overwritten with the different {results.path}")
    files.write_text(path, compact(data))
    return path


def rewrite(results: Results) -> tuple[int, int]:
    """Rewrites a file in the compact form; its bytes before and after. ResultsError, and the file as
    it was, if it would read differently."""
    path = results.path
    before = path.stat().st_size
    text = compact(load.read_json(path))
    if load.parse(json.loads(text), path) != results:
        raise ResultsError(path, "not rewritten: its compact form reads differently")
    files.write_text(path, text)
    return before, len(text.encode())


def _parser() -> Parser:
    parser = Parser(
        prog="quantbench-validate",
        description="Says what is wrong with results files: schema, unverified rows, missing "
        "context, impossible rates. Exit status 1: at least one error; 2: a file can't be read.",
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument(
        "--store",
        action="store_true",
        help="keep each sound file as <results>/<cpu>-<context>/<date>-<revision>.json, without the "
        "aggregates, which follow from the repetitions, and with one row a line",
    )
    parser.add_argument(
        "--compact", action="store_true", help="rewrite the files themselves in that form"
    )
    parser.add_argument(
        "--results",
        type=Path,
        default=Path("results"),
        metavar="FOLDER",
        help="where stored files go (default: %(default)s)",
    )
    return parser


def _main(argv: Sequence[str] | None) -> int:
    options = _parser().parse_args(argv)
    status = 0
    for path in options.files:
        try:
            results = load.load(path)
        except ResultsError as error:
            print(f"quantbench-validate: {error}", file=sys.stderr)
            status = 2
            continue
        bad = _report(results)
        status = max(status, 1 if bad else 0)
        name = printable(str(path))
        if options.store and not bad:
            if results.claims_timing:
                print(f"{name}: stored as {store(results, options.results)}")
            else:
                print(f"{name}: not stored: it makes no claim about time")
        if options.compact:
            before, after = rewrite(results)
            print(f"{name}: {before} bytes, now {after}")
    return status


def _report(results: Results) -> bool:
    """Prints the findings, a line each; whether there is an error among them."""
    name = printable(str(results.path))
    findings = validate(results)
    for finding in findings:
        print(f"{name}: {finding}")
    bad = bool(errors(findings))
    if not bad:
        print(f"{name}: valid, {len(results.rows)} rows")
    return bad


def main(argv: Sequence[str] | None = None) -> int:
    return guarded("quantbench-validate", lambda: _main(argv))


if __name__ == "__main__":
    sys.exit(main())
