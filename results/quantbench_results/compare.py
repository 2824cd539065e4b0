# SPDX-License-Identifier: Apache-2.0
"""Did it get faster? Per row the ratio of cycles with a confidence interval, and a verdict.

    quantbench-compare A.json B.json            two results files (or several a side, by commas)
    quantbench-compare --run OLD NEW            two binaries in turns: drift cancels
    quantbench-compare --baseline NAME B.json   against what --save-baseline NAME kept

Cycles are those of the clock that was measured beside each row: clocks drift by more than most
changes are worth. Files without it are compared by time. How a row is judged: comparison.py.
"""

from __future__ import annotations

import argparse
import math
import shlex
import tempfile
from collections.abc import Sequence
from pathlib import Path

from quantbench_results import runs
from quantbench_results.cli import Parser, guarded, joined
from quantbench_results.comparison import (
    MARGIN,
    WORDS,
    Settings,
    Verdict,
    compare,
    geometric_means,
)
from quantbench_results.errors import ResultsError
from quantbench_results.text import printable


def render(verdicts: Sequence[Verdict], settings: Settings, how: str, everything: bool) -> str:
    """The comparison as text: changed rows first."""
    lines = [
        f"new/old, {settings.confidence:.0%} confidence interval, {how}; above 1 is slower",
        "",
    ]
    for v in verdicts:
        name = printable(v.name, 120)
        if not math.isfinite(v.ratio):
            lines.append(f"{v.word:<15} {'':34} {name}  ({printable(v.why, 200)})")
        elif everything or v.word not in ("same", "undecided"):
            numbers = f"{v.ratio:7.3f} [{v.low:6.3f}, {v.high:6.3f}]"
            numbers += f" noise {v.floor:4.0%}" if math.isfinite(v.floor) else " noise ?   "
            lines.append(f"{v.word:<15} {numbers}  {name}")
    counts = {word: sum(v.word == word for v in verdicts) for word in WORDS}
    told = [f"{n} {word}" for word, n in counts.items() if n or word in WORDS[:4]]
    lines += ["", "; ".join(told), ""]
    for op, mean in geometric_means(verdicts, settings.confidence).items():
        interval = f" [{mean.low:.3f}, {mean.high:.3f}]" if math.isfinite(mean.low) else ""
        lines.append(
            f"geometric mean {printable(op, 40)}: {mean.ratio:.3f}{interval} over {mean.rows} rows"
        )
    return "\n".join(lines)


def gate(verdicts: Sequence[Verdict], limit: float) -> tuple[list[str], bool]:
    """What the gate says, and whether it lets the change pass: no row may be slower by more than the
    limit, and none that the old side has may be lost or have failed."""
    slow = sum(v.word == "slower" and v.ratio > 1 + limit for v in verdicts)
    gone = [v for v in verdicts if v.word in ("lost", "failed")]
    undecided = sum(v.word == "undecided" for v in verdicts)
    lines = [f"gate: {slow} rows slower by more than {limit:.1%}"]
    if gone:
        lines.append(f"gate: {len(gone)} rows of the old side lost or failed on the new one")
    if undecided:
        lines.append(
            f"gate: {undecided} rows undecided: more rounds, or a quieter machine, would tell"
        )
    return lines, not slow and not gone


def percent(text: str) -> float:
    """'5%' or '0.05' -> 0.05; ValueError otherwise."""
    value = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    if not 0 <= value < 10:
        raise ValueError(text)
    return value


def _parser() -> Parser:
    parser = Parser(
        prog="quantbench-compare",
        description="Compares results: A.json B.json, or --run OLD NEW for two binaries.",
        epilog="exit status: 0 fine; 1 slower by more than --fail-above, or rows lost or failed; 2 "
        "can't be compared",
    )
    parser.add_argument("results", nargs="*", help="old and new; several files a side by commas")
    parser.add_argument(
        "--run",
        nargs=2,
        metavar=("OLD", "NEW"),
        help="two binaries, in turns: paths, or names of programs in this folder or on PATH",
    )
    parser.add_argument("--rounds", type=int, default=8, help="rounds of --run (default 8)")
    parser.add_argument(
        "--args", default="", help="arguments for both binaries of --run, one string"
    )
    parser.add_argument(
        "--keep", type=Path, metavar="FOLDER", help="keep the files of --run's rounds here"
    )
    parser.add_argument("--baseline", metavar="NAME", help="compare with this saved baseline")
    parser.add_argument(
        "--save-baseline", metavar="NAME", help="keep the (new) files as a baseline"
    )
    parser.add_argument(
        "--fail-above",
        type=percent,
        metavar="5%",
        help="exit 1 if a row is slower by more than this, with significance, or is lost or failed",
    )
    parser.add_argument(
        "--margin",
        type=percent,
        help=f"a row whose interval lies within this is 'same' (default {MARGIN:.0%})".replace(
            "%", "%%"
        ),
    )
    parser.add_argument("--noise", type=percent, help="noise floor instead of the estimated one")
    parser.add_argument("--confidence", type=float, default=0.95)
    parser.add_argument(
        "--cross-machine",
        action="store_true",
        help="other CPU, compiler or suite: compare shares of the limit",
    )
    parser.add_argument(
        "--by",
        choices=("roof_pct", "speedup_vs_scalar"),
        default="roof_pct",
        help="what --cross-machine compares (default roof_pct)",
    )
    parser.add_argument("--all", action="store_true", help="show every row")
    return parser


def _check(parser: Parser, args: argparse.Namespace) -> None:
    """Ends with a message where the options don't go together."""
    if not 0.5 <= args.confidence < 1:
        parser.error("--confidence must be in [0.5, 1)")
    if args.rounds < 1:
        parser.error("--rounds must be positive")
    wanted = 0 if args.run else 1 if args.baseline or args.save_baseline else 2
    if len(args.results) != wanted and not (args.save_baseline and len(args.results) == 2):
        parser.error(f"expected {wanted} results files, got {len(args.results)}")


def _sides(args: argparse.Namespace) -> runs.Sides:
    """The runs to compare; both empty if a baseline was only to be kept."""
    if args.run:
        try:
            arguments = shlex.split(args.args)
        except ValueError as error:
            raise ResultsError("--args", f"{args.args}: {error}") from None
        with tempfile.TemporaryDirectory(prefix="quantbench-") as folder:
            return runs.run_in_turns(*args.run, args.rounds, arguments, args.keep or Path(folder))
    new = runs.files_of(args.results[-1])
    old: list = []
    if args.baseline:
        old = runs.load_baseline(args.baseline)
    elif len(args.results) == 2:
        old = runs.files_of(args.results[0])
    if args.save_baseline and new:
        print(f"kept as {runs.save_baseline(args.save_baseline, new)}")
        if not old:
            return [], []
    if not old or not new:
        raise ResultsError("results", "no file was named")
    return old, new


def _main(argv: Sequence[str] | None) -> int:
    parser = _parser()
    args = parser.parse_args(joined(argv, "--args"))
    _check(parser, args)
    old, new = _sides(args)
    if not old:
        return 0
    runs.check_timing([*old, *new])
    if not args.cross_machine:
        runs.check_comparable([*old, *new])
    turns = (bool(args.run) and args.rounds > 1) or runs.took_turns(old, new)
    margin = args.margin if args.margin is not None else args.fail_above or MARGIN
    measure = args.by if args.cross_machine else ""
    settings = Settings(args.confidence, margin, args.noise, measure, turns)
    verdicts = compare(old, new, settings)
    if not any(math.isfinite(v.ratio) for v in verdicts):
        raise ResultsError(new[0].path, "no row is in both")
    how = (
        f"{len(old)} rounds in turns" if turns else f"{len(old)} and {len(new)} files, not in turns"
    )
    lines, passes = gate(verdicts, args.fail_above) if args.fail_above is not None else ([], True)
    print(render(verdicts, settings, how, args.all))
    if lines and passes and args.noise is None and not turns and min(len(old), len(new)) < 2:
        raise ResultsError(
            "--fail-above",
            "one run a side tells nothing of the spread between runs: name several a side, take turns "
            "by --run, or say by --noise what the machine's is",
        )
    print("\n".join(["", *lines]) if lines else "", end="\n" if lines else "")
    return 0 if passes else 1


def main(argv: Sequence[str] | None = None) -> int:
    return guarded("quantbench-compare", lambda: _main(argv))


if __name__ == "__main__":
    raise SystemExit(main())
