"""Which variant, and which format, for this shape on this CPU: from measured rows.

`quantbench-choose results.json` prints, per operation and format, the ranking of the variants at
every shape with its margins, where the winner changes along n or m, and for matmul what each format
costs in time and error. `--write-tuning FILE` writes the choice for the dispatcher (QB_TUNING).
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from quantbench_results.cli import guarded
from quantbench_results.load import Results, ResultsError, Row, load, printable, write_text

TUNING_VERSION = 1


@dataclass(frozen=True)
class Ranked:
    """One variant at one shape: its time of a call, and how much slower than the fastest it is."""

    row: Row
    slowdown: float
    """Median time over the fastest variant's: 1 for the fastest."""
    tied: bool
    """Whether its repetitions overlap those of the fastest: no margin to speak of."""


def usable(results: Results) -> list[Row]:
    """The rows that a choice may rest on: timed, verified, not failed. ResultsError if none."""
    if not results.claims_timing:
        raise ResultsError(results.path, "emulated or smoke results carry no timing to choose by")
    rows = [row for row in results.rows if not row.failed and row.verified and row.claims_timing]
    if not rows:
        raise ResultsError(results.path, "no verified row to choose by")
    return rows


def rank(rows: Iterable[Row]) -> dict[tuple[str, str, str, int], list[Ranked]]:
    """Per (op, format, shape, threads) the variants, fastest first."""
    groups: dict[tuple[str, str, str, int], list[Row]] = {}
    for row in rows:
        groups.setdefault(row.key, []).append(row)
    ranking = {}
    for key, group in groups.items():
        group = sorted(group, key=lambda row: row.median_ns)
        best = group[0]
        ranking[key] = [
            Ranked(row, row.median_ns / best.median_ns, row.best_ns <= max(best.times_ns))
            for row in group
        ]
    return ranking


@dataclass(frozen=True)
class Crossover:
    """The winner changes between two neighbouring sizes along one dimension."""

    dimension: str
    below: int
    above: int
    winner_below: str
    winner_above: str


def crossovers(ranking: dict[tuple[str, str, str, int], list[Ranked]]) -> dict[str, list[Crossover]]:
    """Per op/format[/fixed dimensions][/threads:T]: where the fastest variant changes along n, or
    for matmul along m. Ties are no change."""
    lines: dict[str, list[tuple[int, list[Ranked]]]] = {}
    for (op, format_, _shape, threads), ranked in ranking.items():
        dims = dict(ranked[0].row.dims)
        along = "m" if "m" in dims else "n"
        if along not in dims:
            continue
        at = dims.pop(along)
        name = "/".join(
            [op, format_, *(f"{key}:{value}" for key, value in dims.items())]
            + (["cold"] if ranked[0].row.cold else [])
            + ([f"threads:{threads}"] if threads > 1 else [])
        )
        lines.setdefault(f"{name}|{along}", []).append((at, ranked))
    found: dict[str, list[Crossover]] = {}
    for name, points in lines.items():
        name, along = name.rsplit("|", 1)
        points.sort(key=lambda point: point[0])
        for (below, left), (above, right) in zip(points, points[1:], strict=False):
            winner, next_winner = left[0].row.variant, right[0].row.variant
            still = any(r.row.variant == winner and (r.tied or r.slowdown == 1) for r in right)
            if winner != next_winner and not still:
                found.setdefault(name, []).append(
                    Crossover(along, below, above, winner, next_winner)
                )
    return found


@dataclass(frozen=True)
class FormatChoice:
    """One weight format at one matmul shape, on its fastest variant."""

    format: str
    variant: str
    ns: float
    slowdown: float
    error: float | None
    """Normalised mean squared error: the kernel's against the exact product of what it was given,
    plus what quantizing the weights lost, where the file has it."""


def formats(ranking: dict[tuple[str, str, str, int], list[Ranked]]) -> dict[str, list[FormatChoice]]:
    """Per matmul shape: the formats, fastest first, peers left out."""
    shapes: dict[str, list[tuple[Row, float | None]]] = {}
    for (op, _format, shape, threads), ranked in ranking.items():
        own = [r.row for r in ranked if not r.row.is_peer]
        if op != "matmul" or not own:
            continue
        errors = [own[0].counter("nmse"), own[0].counter("weights_nmse")]
        known = [e for e in errors if e is not None]
        name = shape + (f"/threads:{threads}" if threads > 1 else "")
        shapes.setdefault(name, []).append((own[0], sum(known) if known else None))
    choices = {}
    for name, rows in shapes.items():
        rows.sort(key=lambda item: item[0].median_ns)
        least = rows[0][0].median_ns
        choices[name] = [
            FormatChoice(row.format, row.variant, row.median_ns, row.median_ns / least, error)
            for row, error in rows
        ]
    return choices


def tuning(results: Results) -> dict[str, object]:
    """What QB_TUNING reads: per operation the variant with the least geometric mean of slow-downs
    over all its single-thread rows. Only variants that have every one of these rows compete."""
    symbols = results.context.get("operations")
    if not isinstance(symbols, dict) or not symbols:
        raise ResultsError(results.path, "no 'operations' in the context: written by an old suite")
    slowdowns: dict[str, dict[str, list[float]]] = {}
    shapes: dict[str, int] = {}
    for (op, format_, _shape, threads), ranked in rank(
        row for row in usable(results) if not row.is_peer
    ).items():
        symbol = symbols.get(f"{op}/{format_}")
        # Packing is a means of the variant that multiplies, not chosen for itself.
        if threads != 1 or not isinstance(symbol, str) or op == "repack":
            continue
        shapes[symbol] = shapes.get(symbol, 0) + 1
        for r in ranked:
            slowdowns.setdefault(symbol, {}).setdefault(r.row.variant, []).append(r.slowdown)
    variants = {}
    for symbol, by_variant in sorted(slowdowns.items()):
        complete = {v: s for v, s in by_variant.items() if len(s) == shapes[symbol]}
        if complete:
            variants[symbol] = min(complete, key=lambda v: math.fsum(map(math.log, complete[v])))
    if not variants:
        raise ResultsError(results.path, "no operation with complete single-thread rows")
    return {
        "quantbench_tuning": TUNING_VERSION,
        "cpu": {"name": results.text("cpu_name"), "isa_detected": results.text("isa_detected")},
        "from": {"date": results.text("date"), "git_revision": results.revision},
        "variants": variants,
    }


def time_text(ns: float) -> str:
    """1234.5 ns, 12.3 us, ..."""
    for unit, scale in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if ns >= scale:
            return f"{ns / scale:.3g} {unit}"
    return f"{ns:.3g} ns"


def answer(results: Results, op: str, format_: str, shape: str, most: int) -> str:
    """The whole answer as text; ResultsError if nothing is left of the rows."""
    wanted = shape.replace(",", "/")
    rows = [
        row
        for row in usable(results)
        if (not op or row.op == op)
        and (not format_ or row.format == format_)
        and (not wanted or row.shape == wanted)
    ]
    if not rows:
        raise ResultsError(results.path, "no row has this operation, format and shape")
    ranking = rank(rows)
    lines = [f"{results.text('cpu_name')}, {results.text('isa_enabled')}, {results.text('date')}"]
    lines.append("\nWhich variant: fastest first, times slower than the fastest (~ is within noise)")
    for (row_op, row_format, row_shape, threads), ranked in ranking.items():
        tail = f"/threads:{threads}" if threads > 1 else ""
        best = ranked[0].row
        share = best.counter("roof_pct")
        runners = ", ".join(
            f"{r.row.variant} {'~' if r.tied else ''}{r.slowdown:.2f}x" for r in ranked[1:most]
        )
        lines.append(
            f"  {row_op}/{row_format}/{row_shape}{tail}: {best.variant} {time_text(best.median_ns)}"
            + (f" ({share:.0f} % of the limit)" if share is not None else "")
            + (f"; then {runners}" if runners else "")
        )
    changes = crossovers(ranking)
    lines.append("\nWhere the winner changes")
    for name, crossings in changes.items():
        for c in crossings:
            lines.append(
                f"  {name}: {c.winner_below} up to {c.dimension}={c.below}, "
                f"{c.winner_above} from {c.dimension}={c.above}"
            )
    if not changes:
        lines.append("  nowhere, in these rows")
    by_shape = formats(ranking)
    if by_shape:
        lines.append("\nWhich format: fastest first, with the error of its product (NMSE)")
    for name, choices in by_shape.items():
        lines.append(f"  matmul {name}")
        for choice in choices:
            error = f"{choice.error:.1e}" if choice.error is not None else "unknown"
            lines.append(
                f"    {choice.format:<12} {choice.variant:<14} {time_text(choice.ns):>9} "
                f"{choice.slowdown:5.2f}x  nmse {error}"
            )
    return printable_lines(lines)


def printable_lines(lines: Sequence[str]) -> str:
    """The lines without characters that could fool a terminal: names come from the file."""
    return "\n".join(printable(part, 400) for line in lines for part in line.split("\n"))


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="quantbench-choose", description="Which variant and which format, on this CPU?"
    )
    parser.add_argument("results", help="a results file of quantbench")
    parser.add_argument("--op", default="", help="only this operation: matmul, absmax, ...")
    parser.add_argument("--format", default="", dest="format_", help="only this format: a8.q4_0, ...")
    parser.add_argument("--shape", default="", help="only this shape: n:4096 or m:1,n:4096,k:4096")
    parser.add_argument("--most", type=int, default=5, help="variants shown per shape (default 5)")
    parser.add_argument(
        "--write-tuning", metavar="FILE", help="write the choice for the dispatcher (QB_TUNING=FILE)"
    )
    args = parser.parse_args(argv)

    def body() -> int:
        results = load(args.results)
        print(answer(results, args.op, args.format_, args.shape, max(1, args.most)))
        if args.write_tuning:
            chosen = tuning(results)
            write_text(args.write_tuning, json.dumps(chosen, indent=1) + "\n")
            print(f"\nwritten: {args.write_tuning}; run with QB_TUNING={args.write_tuning}")
        return 0

    return guarded("quantbench-choose", body)


if __name__ == "__main__":
    raise SystemExit(main())
