"""Did it get faster? Per row the ratio of cycles with a confidence interval, and a verdict.

    quantbench-compare A.json B.json            two results files (or several a side, by commas)
    quantbench-compare --run OLD NEW            two binaries, interleaved: drift cancels
    quantbench-compare --baseline NAME B.json   against what --save-baseline NAME kept

Cycles are those of the clock that was measured beside each row: clocks drift by more than most
changes are worth. Files without it are compared by time.

A row is called faster or slower only if both hold: the bootstrap confidence interval of the ratio
excludes 1, and the ratio is further from 1 than the noise floor and than twice the error that the
row's own rounds show. The noise floor is estimated from repeated runs where there are any (several
files a side, or --run's rounds); one file a side says nothing about the spread between processes,
so a floor is assumed then (--noise). A U test alone is not asked: with enough repetitions it finds
any two processes different, even of the same binary.
"""

from __future__ import annotations

import argparse
import math
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from quantbench_results.cli import guarded
from quantbench_results.load import MACHINE_KEYS, Results, ResultsError, Row, load, printable, write_text

ASSUMED_NOISE = 0.10
"""Relative spread between two processes that is assumed when it can't be estimated."""
LEAST_NOISE = 0.01
"""A floor under the estimated noise: no timer or placement effect below it is believed."""
BASELINES = Path("results/baselines")
# What must agree for times to be comparable at all, beside the machine.
SETTING_KEYS = ("suite_version", "profile", "seed", "pin")


@dataclass(frozen=True)
class Verdict:
    """One row of the comparison. Ratios are new over old time: above 1 is slower."""

    name: str
    op: str
    ratio: float
    low: float
    high: float
    word: str
    """faster, slower, same, or not comparable (then why says more)."""
    why: str = ""

    @property
    def weight(self) -> float:
        """What matters first: certain and large changes."""
        return abs(math.log(self.ratio)) if self.ratio > 0 and self.word in ("faster", "slower") else 0


def differences(old: Results, new: Results) -> list[str]:
    """Why the two files' times can't be compared; empty if they can."""
    keys = [*MACHINE_KEYS, *SETTING_KEYS]
    return [
        f"{key}: {printable(old.text(key), 60)} / {printable(new.text(key), 60)}"
        for key in keys
        if old.text(key) != new.text(key)
    ]


def measure_of(files: Sequence[Results]) -> str:
    """"cycles" if every row tells the clock that was measured beside it, otherwise "time"."""
    rows = [row for results in files for row in results.rows if not row.failed]
    return "cycles" if rows and all(row.counters.get("clock_ghz") for row in rows) else "time"


def rounds_of(files: Sequence[Results], measure: str) -> dict[str, list[list[float]]]:
    """Per row name: per file the repetitions' values. Rows that failed anywhere are left out."""
    rows: dict[str, list[list[float]]] = {}
    failed = {row.name for results in files for row in results.rows if row.failed}
    for results in files:
        for row in results.rows:
            values = _values(row, measure)
            if values and row.name not in failed and row.claims_timing:
                rows.setdefault(row.name, []).append(values)
    return {name: rounds for name, rounds in rows.items() if len(rounds) == len(files)}


def _values(row: Row, measure: str) -> list[float]:
    if measure == "time":
        return list(row.times_ns)
    if measure == "cycles":
        # The highest clock of the row's repetitions: what interrupts that measurement lowers it.
        return [time * max(row.counters["clock_ghz"]) for time in row.times_ns]
    # Across machines: inverse of a share or a speed-up, so that above 1 is worse there too.
    return [1 / value for value in row.counters.get(measure, ()) if value > 0]


def paired(old: Sequence[object], new: Sequence[object]) -> bool:
    """Whether the sides ran in turns, as far as their numbers tell: round i beside round i."""
    return len(old) == len(new) > 1


def noise_floor(
    left: Mapping[str, list[list[float]]], right: Mapping[str, list[list[float]]], assumed: float
) -> float:
    """The relative change that repeated runs show by themselves: the median over rows of the error
    of the ratio. `assumed` where there are fewer than three rounds."""
    spreads = [row_noise(left[name], right[name]) for name in left.keys() & right.keys()]
    known = [spread for spread in spreads if spread is not None]
    return max(LEAST_NOISE, statistics.median(known)) if known else assumed


def row_noise(old: list[list[float]], new: list[list[float]]) -> float | None:
    """The relative error of a row's ratio, from the spread between its rounds; None if there are
    fewer than three."""
    sides = [[min(values) for values in side] for side in (old, new)]
    if paired(old, new):
        sides = [[b / a for a, b in zip(*sides, strict=True)]]
    errors = []
    for values in sides:
        if len(values) >= 3:
            middle = statistics.median(values)
            spread = 1.4826 * statistics.median(abs(v / middle - 1) for v in values)
            errors.append(spread / math.sqrt(len(values)))
    return math.hypot(*errors) if errors else None


def bootstrap(
    old: list[list[float]], new: list[list[float]], confidence: float, draws: int = 2000
) -> tuple[float, float, float]:
    """Ratio new/old and its percentile interval. Of a run among several only the fastest repetition
    counts, since interruptions only ever add; rounds are drawn in pairs where both sides have the
    same number (they ran in turns: drift hits both), otherwise each side by itself. Of one run a
    side the ratio is that of the medians, and repetitions are drawn."""
    random = np.random.default_rng(2135)

    def drawn_medians(values: Sequence[float]) -> np.ndarray:
        """Medians of samples drawn from the values."""
        drawn = np.asarray(values)[random.integers(0, len(values), (draws, len(values)))]
        return np.median(drawn, axis=-1)

    if paired(old, new):
        each = [min(b) / min(a) for a, b in zip(old, new, strict=True)]
        point, ratios = statistics.median(each), drawn_medians(each)
    else:
        sides = [
            [min(values) for values in side] if len(side) > 1 else side[0] for side in (old, new)
        ]
        point = statistics.median(sides[1]) / statistics.median(sides[0])
        ratios = drawn_medians(sides[1]) / drawn_medians(sides[0])
    tail = (1 - confidence) / 2 * 100
    low, high = np.percentile(ratios, [tail, 100 - tail])
    return point, float(min(low, point)), float(max(high, point))


def compare(
    old: Sequence[Results],
    new: Sequence[Results],
    *,
    confidence: float = 0.95,
    noise: float | None = None,
    measure: str = "",
) -> tuple[list[Verdict], float]:
    """Verdicts, those that matter first, and the noise floor that they used. By cycles where the
    files tell the clock, or else by time, unless `measure` says otherwise."""
    measure = measure or measure_of([*old, *new])
    left, right = rounds_of(old, measure), rounds_of(new, measure)
    floor = noise if noise is not None else noise_floor(left, right, ASSUMED_NOISE)
    verdicts = []
    names = dict.fromkeys([*(r.name for f in old for r in f.rows), *(r.name for f in new for r in f.rows)])
    for name in names:
        op = name.split("/", 1)[0]
        if name not in left or name not in right:
            side = "old" if name not in left else "new"
            verdicts.append(Verdict(name, op, math.nan, math.nan, math.nan, "not comparable",
                                    f"missing or failed in the {side} run"))  # fmt: skip
            continue
        ratio, low, high = bootstrap(left[name], right[name], confidence)
        # A row that varies more than others must change by more: twice its own error at least.
        least = max(floor, 2 * (row_noise(left[name], right[name]) or 0)) if noise is None else floor
        word = "same"
        if low > 1 and ratio > 1 + least:
            word = "slower"
        elif high < 1 and ratio < 1 / (1 + least):
            word = "faster"
        verdicts.append(Verdict(name, op, ratio, low, high, word))
    verdicts.sort(key=lambda v: (-v.weight, v.word == "not comparable", v.name))
    return verdicts, floor


def geometric_means(verdicts: Sequence[Verdict]) -> dict[str, tuple[float, int]]:
    """Per operation the geometric mean of the ratios, and of how many rows."""
    logs: dict[str, list[float]] = {}
    for v in verdicts:
        if v.ratio > 0:
            logs.setdefault(v.op, []).append(math.log(v.ratio))
    return {op: (math.exp(statistics.fmean(values)), len(values)) for op, values in logs.items()}


def render(verdicts: Sequence[Verdict], floor: float, confidence: float, everything: bool) -> str:
    """The comparison as text: changed rows first."""
    lines = [
        f"new/old, {confidence:.0%} confidence interval, noise floor {floor:.1%}; above 1 is slower",
        "",
    ]
    shown = [v for v in verdicts if everything or v.word != "same"]
    for v in shown:
        name = printable(v.name, 120)
        if v.word == "not comparable":
            lines.append(f"{v.word:<15} {'':25} {name}  ({v.why})")
        else:
            lines.append(f"{v.word:<15} {v.ratio:7.3f} [{v.low:6.3f}, {v.high:6.3f}]  {name}")
    counts = {word: sum(v.word == word for v in verdicts)
              for word in ("faster", "slower", "same", "not comparable")}  # fmt: skip
    lines += ["", "; ".join(f"{count} {word}" for word, count in counts.items()), ""]
    for op, (mean, count) in geometric_means(verdicts).items():
        lines.append(f"geometric mean {printable(op, 40)}: {mean:.3f} over {count} rows")
    return "\n".join(lines)


def run_interleaved(
    old: str, new: str, rounds: int, arguments: Sequence[str], folder: Path
) -> tuple[list[Results], list[Results]]:
    """Runs both binaries `rounds` times, the order alternating (AB, BA, AB, ...)."""
    found: tuple[list[Results], list[Results]] = ([], [])
    for index in range(rounds):
        pair = [(0, old), (1, new)]
        for side, binary in pair if index % 2 == 0 else reversed(pair):
            out = folder / f"{'old' if side == 0 else 'new'}-{index}.json"
            print(f"round {index + 1}/{rounds}: {binary}", file=sys.stderr)
            try:
                done = subprocess.run(
                    [binary, *arguments, f"--benchmark_out={out}"],
                    stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False,
                )  # fmt: skip
            except OSError as error:
                raise ResultsError(binary, f"can't run: {error.strerror}") from None
            if done.returncode not in (0, 1) or not out.exists():
                last = (done.stderr.strip().splitlines() or ["it wrote no results"])[-1]
                raise ResultsError(binary, f"exit status {done.returncode}: {last}")
            found[side].append(load(out))
    return found


def percent(text: str) -> float:
    """'5%' or '0.05' -> 0.05; ValueError otherwise."""
    value = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    if not 0 <= value < 10:
        raise ValueError(text)
    return value


def baseline_path(name: str) -> Path:
    if not name or any(not (c.isalnum() or c in "-_.") for c in name) or name.startswith("."):
        raise ResultsError(name, "a baseline's name is letters, digits, '-', '_' and '.'")
    return BASELINES / f"{name}.json"


def _files(text: str) -> list[Results]:
    return [load(path) for path in text.split(",") if path]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="quantbench-compare",
        description="Compares results: A.json B.json, or --run OLD NEW for two binaries.",
        epilog="exit status: 0 fine; 1 slower by more than --fail-above; 2 can't be compared",
    )
    parser.add_argument("results", nargs="*", help="old and new; several files a side by commas")
    parser.add_argument("--run", nargs=2, metavar=("OLD", "NEW"), help="two binaries, interleaved")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of --run (default 5)")
    parser.add_argument("--args", default="", help="arguments for both binaries of --run, one string")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the files of --run's rounds here")
    parser.add_argument("--baseline", metavar="NAME", help="compare with this saved baseline")
    parser.add_argument("--save-baseline", metavar="NAME", help="keep the (new) file as a baseline")
    parser.add_argument("--fail-above", type=percent, metavar="5%", help="exit 1 if a row is slower "
                        "by more than this, with significance")  # fmt: skip
    parser.add_argument("--noise", type=percent, help="noise floor instead of the estimated one")
    parser.add_argument("--confidence", type=float, default=0.95)
    parser.add_argument("--cross-machine", action="store_true",
                        help="other CPU, compiler or suite: compare shares of the limit")  # fmt: skip
    parser.add_argument("--by", choices=("roof_pct", "speedup_vs_scalar"), default="roof_pct",
                        help="what --cross-machine compares (default roof_pct)")  # fmt: skip
    parser.add_argument("--all", action="store_true", help="show unchanged rows too")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    parser = _parser()
    args = parser.parse_args(argv)
    if not 0.5 <= args.confidence < 1:
        parser.error("--confidence must be in [0.5, 1)")
    if args.rounds < 1:
        parser.error("--rounds must be positive")
    wanted = 0 if args.run else 1 if args.baseline or args.save_baseline else 2
    if len(args.results) != wanted and not (args.save_baseline and len(args.results) == 2):
        parser.error(f"expected {wanted} results files, got {len(args.results)}")

    def body() -> int:
        if args.run:
            with tempfile.TemporaryDirectory(prefix="quantbench-") as folder:
                place = args.keep or Path(folder)
                try:
                    place.mkdir(parents=True, exist_ok=True)
                except OSError as error:
                    raise ResultsError(place, f"can't be made: {error.strerror}") from None
                old, new = run_interleaved(*args.run, args.rounds, args.args.split(), place)
        else:
            new = _files(args.results[-1])
            if args.save_baseline:
                text = Path(args.results[-1].split(",")[0]).read_text(encoding="utf-8")
                write_text(baseline_path(args.save_baseline), text)
                print(f"kept as {baseline_path(args.save_baseline)}")
                if len(args.results) == 1 and not args.baseline:
                    return 0
            old = [load(baseline_path(args.baseline))] if args.baseline else _files(args.results[0])
        if not old or not new:
            raise ResultsError("results", "no file was named")
        for results in (*old, *new):
            if not results.claims_timing:
                raise ResultsError(results.path, "emulated or smoke results carry no timing")
        if not args.cross_machine:
            # Builds of one tree may differ in revision: that is what is compared.
            for results in (*old[1:], *new):
                if found := differences(old[0], results):
                    raise ResultsError(
                        results.path,
                        "not comparable (use --cross-machine): " + "; ".join(found[:4]),
                    )
        verdicts, floor = compare(
            old, new, confidence=args.confidence, noise=args.noise,
            measure=args.by if args.cross_machine else "",
        )  # fmt: skip
        if all(v.word == "not comparable" for v in verdicts):
            raise ResultsError(new[0].path, "no row is in both")
        print(render(verdicts, floor, args.confidence, args.all))
        if args.fail_above is not None:
            bad = [v for v in verdicts if v.word == "slower" and v.ratio > 1 + args.fail_above]
            print(f"\ngate: {len(bad)} rows slower by more than {args.fail_above:.1%}")
            return 1 if bad else 0
        return 0

    return guarded("quantbench-compare", body)


if __name__ == "__main__":
    raise SystemExit(main())
