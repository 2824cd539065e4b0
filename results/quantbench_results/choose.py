# SPDX-License-Identifier: Apache-2.0
"""Which variant, and which format, for this shape on this CPU: from measured rows.

`quantbench-choose results.json` prints, per operation and format, the ranking of the variants at
every shape with its margins, where the winner changes along n or m, and for matmul what each format
costs in time and error. `--write-tuning FILE` writes the choice for the dispatcher (QB_TUNING), for
products by their rows of activations: one, few or many. `--layer NxK` answers for one layer
(quantbench_results.layer): which format, in a sentence, and what else is worth a look.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from quantbench_results import dispatch, layer_request, rules, summary
from quantbench_results.cli import Parser, guarded
from quantbench_results.dispatch import usable
from quantbench_results.errors import ResultsError
from quantbench_results.files import write_text
from quantbench_results.load import load
from quantbench_results.rows import Results, Row
from quantbench_results.text import printable, printable_lines

TUNING_VERSION = 2


@dataclass(frozen=True)
class Ranked:
    """One variant at one shape, and how much slower than the best it is."""

    row: Row
    slowdown: float
    """Its median time over that of the best variant: 1 for the best."""
    tied: bool
    """Whether it can't be told from the best."""


def warnings(results: Results) -> list[str]:
    """What a reader must know before trusting the answer: an interrupted run, what is left out."""
    found = []
    if not results.complete:
        found.append("the run was interrupted: what is missing may be what is best")
    left_out: dict[str, list[str]] = {}
    for row in dispatch.unmeasured(results):
        shape = row.shape + (f"/threads:{row.threads}" if row.threads > 1 else "")
        left_out.setdefault(f"{row.op}/{row.format}", []).append(shape)
    if left_out:
        names = [f"{name} ({len(shapes)} shapes)" for name, shapes in left_out.items()]
        shown = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
        found.append(f"left out, since the dispatched variant was not measured: {shown}")
    return found


def rank(rows: Iterable[Row]) -> dict[tuple[str, str, str, int], list[Ranked]]:
    """Per (op, format, shape, threads) the variants, the best first."""
    ranking = {}
    for key, group in summary.group_by_key(rows).items():
        ordered = rules.ranked(group)
        ties = rules.ties_of_best(ordered)
        least = rules.figure(ordered[0])
        ranking[key] = [
            Ranked(row, rules.figure(row) / least, row is ordered[0] or row in ties)
            for row in ordered
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


def crossovers(
    ranking: dict[tuple[str, str, str, int], list[Ranked]],
) -> dict[str, list[Crossover]]:
    """Per op/format[/fixed dimensions][/threads:T]: where the fastest variant changes along n, or
    for matmul along m. Where one variant wins or ties on both sides, nothing changes."""
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
            still = _wins(right, winner) or _wins(left, next_winner)
            if winner != next_winner and not still:
                found.setdefault(name, []).append(
                    Crossover(along, below, above, winner, next_winner)
                )
    return found


def _wins(ranked: Sequence[Ranked], variant: str) -> bool:
    """Whether the variant is the best at that shape or can't be told from it."""
    return any(r.row.variant == variant and r.tied for r in ranked)


@dataclass(frozen=True)
class FormatChoice:
    """One weight format at one matmul shape, on its fastest variant."""

    format: str
    variant: str
    ns: float
    slowdown: float
    tied: bool
    """Whether its time can't be told from that of the fastest format."""
    error: float | None
    """The whole normalised mean squared error (summary.total_error)."""


def formats(
    ranking: dict[tuple[str, str, str, int], list[Ranked]],
) -> dict[str, list[FormatChoice]]:
    """Per matmul shape: the formats, fastest first, peers and loaded kernels left out."""
    shapes: dict[str, list[Row]] = {}
    for (op, _, shape, threads), ranked in ranking.items():
        own = [r.row for r in ranked if r.row.is_ours]
        if op == "matmul" and own:
            name = shape + (f"/threads:{threads}" if threads > 1 else "")
            shapes.setdefault(name, []).append(own[0])
    choices = {}
    for name, rows in shapes.items():
        ordered = rules.ranked(rows)
        least = rules.figure(ordered[0])
        ties = rules.ties_of_best(ordered)
        choices[name] = [
            FormatChoice(
                row.format, row.variant, rules.figure(row), rules.figure(row) / least,
                row in ties, summary.total_error(row),
            )
            for row in ordered
        ]  # fmt: skip
    return choices


def tuning(results: Results) -> dict[str, object]:
    """What QB_TUNING reads: per operation, and for products per class of rows, the variant with the
    least geometric mean of slow-downs over all its single-thread rows.

    Only variants that have every one of these rows compete. An operation or class of which the
    dispatched variant was not measured at every shape, or that has no rows, is left out: the
    dispatcher keeps its default order there.
    """
    variants: dict[str, str | dict[str, str]] = {}
    for (symbol, rows), ranked in _of_symbols(results).items():
        if not (best := _best_throughout(ranked)):
            continue
        if not rows:
            variants[symbol] = best
        elif isinstance(classes := variants.setdefault(symbol, {}), dict):
            classes[rows] = best
    if not variants:
        raise ResultsError(results.path, "no operation with complete single-thread rows")
    return {
        "quantbench_tuning": TUNING_VERSION,
        "cpu": {"name": results.text("cpu_name"), "isa_detected": results.text("isa_detected")},
        "from": {"date": results.text("date"), "git_revision": results.revision},
        "row_classes": results.row_classes,
        "variants": variants,
    }


def _of_symbols(results: Results) -> dict[tuple[str, str], list[list[Ranked]]]:
    """Per operation's symbol and class of rows: the ranking at each of its shapes."""
    symbols = results.context.get("operations")
    if not isinstance(symbols, dict) or not symbols:
        raise ResultsError(results.path, "no 'operations' in the context: written by an old suite")

    def key(row: Row) -> tuple[str, str] | None:
        symbol = symbols.get(f"{row.op}/{row.format}")
        # Packing is a means of the variant that multiplies, not chosen for itself.
        if row.threads != 1 or not isinstance(symbol, str) or row.op == "repack":
            return None
        return symbol, results.row_class(row)

    unknown = {key(row) for row in dispatch.unmeasured(results)}
    found: dict[tuple[str, str], list[list[Ranked]]] = {}
    for ranked in rank(row for row in usable(results) if row.is_ours).values():
        where = key(ranked[0].row)
        if where and where not in unknown:
            found.setdefault(where, []).append(ranked)
    return dict(sorted(found.items()))


def _best_throughout(shapes: Sequence[Sequence[Ranked]]) -> str | None:
    """Of the variants that were timed at every one of these shapes the one with the least geometric
    mean of slow-downs."""
    slowdowns: dict[str, list[float]] = {}
    for ranked in shapes:
        for r in ranked:
            slowdowns.setdefault(r.row.variant, []).append(r.slowdown)
    complete = {v: s for v, s in slowdowns.items() if len(s) == len(shapes)}
    return min(complete, key=lambda v: math.fsum(map(math.log, complete[v])), default=None)


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
    return printable_lines([
        f"{results.text('cpu_name')}, {results.text('isa_enabled')}, {results.text('date')}",
        *_variant_lines(ranking, most),
        *_crossover_lines(ranking),
        *_format_lines(ranking),
    ])  # fmt: skip


def _variant_lines(ranking: dict[tuple[str, str, str, int], list[Ranked]], most: int) -> list[str]:
    lines = ["\nWhich variant: best first, times slower than the best (~ is a tie)"]
    for (op, format_, shape, threads), ranked in ranking.items():
        tail = f"/threads:{threads}" if threads > 1 else ""
        best = ranked[0].row
        share = best.counter("roof_pct")
        runners = ", ".join(
            f"{r.row.variant} {'~' if r.tied else ''}{r.slowdown:.2f}x" for r in ranked[1:most]
        )
        lines.append(
            f"  {op}/{format_}/{shape}{tail}: {best.variant} {summary.time_text(rules.figure(best))} "
            + summary.spread_text(best)
            + (f" ({share:.0f} % of the limit)" if share is not None else "")
            + (f"; then {runners}" if runners else "")
        )
    return lines


def _crossover_lines(ranking: dict[tuple[str, str, str, int], list[Ranked]]) -> list[str]:
    lines = ["\nWhere the winner changes"]
    for name, crossings in crossovers(ranking).items():
        for c in crossings:
            lines.append(
                f"  {name}: {c.winner_below} up to {c.dimension}={c.below}, "
                f"{c.winner_above} from {c.dimension}={c.above}"
            )
    return lines if len(lines) > 1 else [*lines, "  nowhere, in these rows"]


def _format_lines(ranking: dict[tuple[str, str, str, int], list[Ranked]]) -> list[str]:
    by_shape = formats(ranking)
    lines = ["\nWhich format: fastest first (~ is a tie), with the whole error of its product (NMSE)"] * bool(
        by_shape
    )
    for name, choices in by_shape.items():
        lines.append(f"  matmul {name}")
        for choice in choices:
            error = f"{choice.error:.1e}" if choice.error is not None else "unknown"
            lines.append(
                f"    {choice.format:<12} {choice.variant:<14} {summary.time_text(choice.ns):>9} "
                f"{'~' if choice.tied else ''}{choice.slowdown:.2f}x".rjust(7) + f"  nmse {error}"
            )
    return lines


def _parser() -> Parser:
    parser = Parser(
        prog="quantbench-choose", description="Which variant and which format, on this CPU?"
    )
    parser.add_argument("results", nargs="?", help="a results file of quantbench; --layer needs none")
    parser.add_argument("--op", default="", help="only this operation: matmul, absmax, ...")
    parser.add_argument(
        "--format", default="", dest="format_", help="only this format: a8.q4_0, ..."
    )
    parser.add_argument("--shape", default="", help="only this shape: n:4096 or m:1,n:4096,k:4096")
    parser.add_argument("--most", type=int, default=5, help="variants shown per shape (default 5)")
    parser.add_argument(
        "--write-tuning",
        metavar="FILE",
        help="write the choice for the dispatcher (QB_TUNING=FILE)",
    )
    layer_request.add_arguments(parser)
    return parser


def _main(argv: Sequence[str] | None) -> int:
    parser = _parser()
    args = parser.parse_args(argv)
    if args.layer:
        return layer_request.run(args)
    if not args.results:
        parser.error("name a results file, or a layer: --layer 4096x4096")
    results = load(args.results)
    for warning in warnings(results):
        print(printable(f"quantbench-choose: warning: {args.results}: {warning}"), file=sys.stderr)
    print(answer(results, args.op, args.format_, args.shape, max(1, args.most)))
    if args.write_tuning:
        write_text(args.write_tuning, json.dumps(tuning(results), indent=1) + "\n")
        where = printable(args.write_tuning)
        print(f"\nwritten: {where}; run with QB_TUNING={where}")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    return guarded("quantbench-choose", lambda: _main(argv))


if __name__ == "__main__":
    raise SystemExit(main())
