# SPDX-License-Identifier: Apache-2.0
"""quantbench-formats MODEL: for every weight format what it loses of this model's matrices and how fast
it is on this machine, what to use, and which format for which matrix (a mixed plan)."""

from __future__ import annotations

import argparse
import dataclasses
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import quantbench as qb
from tqdm import tqdm

from quantbench_results import layer_request, measure
from quantbench_results.cli import Parser, guarded
from quantbench_results.errors import ResultsError
from quantbench_results.layer import DEFAULT_ERROR
from quantbench_results.load import load
from quantbench_results.model import choices, losses, passes, reading, speeds, text, totals
from quantbench_results.model.choices import Storage
from quantbench_results.model.plan import Budget, Plan
from quantbench_results.model.reading import F32, Model, Skipped
from quantbench_results.model.store import Store, machine
from quantbench_results.rows import Results
from quantbench_results.text import printable

KEPT = Path("results/models")
PLANNED = (3e-2, DEFAULT_ERROR, 3e-3, 1e-3, 1e-4)
"""Error budgets of the mixed plans unless budgets are asked for."""


def _milliseconds(value: str) -> float:
    try:
        found = float(value)
    except ValueError:
        found = -1
    if not 0 < found < 1e12:
        raise argparse.ArgumentTypeError(f"{value!r} is no time; expected milliseconds")
    return found


def _parser() -> Parser:
    parser = Parser(prog="quantbench-formats", description="Which format for this model, on this CPU?")
    parser.add_argument(
        "model", type=Path, metavar="MODEL",
        help=".safetensors, .safetensors.index.json, .gguf, .npy or .npz",
    )  # fmt: skip
    parser.add_argument("--tensors", default="", metavar="REGEX",
                        help="the matrices to look at (default: all but embeddings)")  # fmt: skip
    parser.add_argument("--transposed", default="", metavar="REGEX",
                        help="matrices that the file has as inputs x outputs")  # fmt: skip
    parser.add_argument("--formats", default="", metavar="REGEX",
                        help="formats to look at, f16 besides (default: all)")  # fmt: skip
    parser.add_argument("--activations", type=Path, metavar="X.npy",
                        help="rows of activations, for matrices of that K")  # fmt: skip
    parser.add_argument("--m", type=layer_request.row_counts, default=(1, 128), metavar="M,M",
                        help="rows of activations to time; plans count the first (default 1,128)")  # fmt: skip
    parser.add_argument("--threads", type=int, default=1, help="threads of a product (default 1)")
    budgets = parser.add_argument_group("mixed plan")
    budgets.add_argument("--max-error", type=layer_request.nmse, metavar="NMSE",
                         help="the fastest within this error of the outputs")  # fmt: skip
    budgets.add_argument("--max-bytes", type=layer_request.size, metavar="BYTES",
                         help="the most exact within this size: 4G, 500MiB")  # fmt: skip
    budgets.add_argument("--max-time", type=_milliseconds, metavar="MS",
                         help="the most exact within this time")  # fmt: skip
    parser.add_argument("--memory", type=layer_request.size, default=512e6, metavar="BYTES",
                        help="for the rows in hand, about (default 512M)")  # fmt: skip
    parser.add_argument("--seed", type=int, default=2135, help="of the activations (default 2135)")
    parser.add_argument("--output", type=Path, metavar="FILE.json",
                        help=f"all that was found (default: {KEPT}/<model>.json)")  # fmt: skip
    parser.add_argument("--quantbench", default="", metavar="PROGRAM",
                        help=f"times with this program (default: {measure.BUILT}, or that of PATH)")  # fmt: skip
    parser.add_argument("--speeds", type=Path, metavar="FILE.json", action="append", default=[],
                        help="rows that were timed before, instead of timing now; may be repeated, the "
                        "fastest of each counts")  # fmt: skip
    parser.add_argument("--check", metavar="PROGRAM",
                        help="hold the plans' times to passes by this model_pass")  # fmt: skip
    parser.add_argument("--table", type=Path, metavar="FILE.json",
                        help="also write the small part that a picture is drawn from")  # fmt: skip
    parser.add_argument("--no-speed", action="store_true", help="errors and sizes alone")
    return parser


def _main(argv: Sequence[str] | None) -> int:
    args = _parser().parse_args(argv)
    if args.threads < 1 or args.seed < 0:
        raise ResultsError("--threads" if args.threads < 1 else "--seed", "is too small")
    storages = _storages(args.formats)
    given = _activations(args.activations)
    timed = [load(path) for path in args.speeds]
    program = None if args.no_speed or timed else measure.program_here(args.quantbench)
    if program is None and not args.no_speed and not timed:
        raise ResultsError("quantbench", "no program here to time with (`make bench` builds it); "
                           "--quantbench names one, --no-speed does without")  # fmt: skip
    output = args.output or KEPT / f"{args.model.name.removesuffix('.json')}.json"
    with reading.opened(args.model, args.tensors, args.transposed) as model:
        store = Store(output, _asked(args, storages))
        skipped = list(model.skipped) + _look(model, storages, args, given, store)
        store.skip(skipped)
    records = store.data["tensors"]
    if not records:
        why = "; ".join(f"{s.name}: {s.why}" for s in skipped[:3])
        raise ResultsError(args.model, f"no matrix could be looked at ({why})")
    results = _rows(records, storages, timed or program, args, output)
    shapes = _shapes(records)
    measured = speeds.fastest([speeds.speeds(r, shapes, args.m, args.threads) for r in results])
    names = speeds.product_names(storages)
    found = totals.totals(records, names, measured, args.m)
    plans = _plans(records, names, measured, args)
    checked = _passes(records, plans, found, args) if args.check else []
    store.finish(measured, found, plans, _about(args, checked, results))
    if args.table:
        store.write_table(args.table)
    max_error = DEFAULT_ERROR if args.max_error is None else args.max_error
    print(_for_terminal(text.lines(records, skipped, found, plans, args.m, max_error)))
    if checked:
        lines = [f"Whole passes, m = {args.m[0]}:", *(entry.text() for entry in checked)]
        print(_for_terminal([*lines, passes.verdict(checked)]))
    print(printable(f"all of it: {output}"))
    if measured and not plans and _budget(args) != Budget():
        print("quantbench-formats: no plan is within these budgets", file=sys.stderr)
        return 1
    return 0


def _for_terminal(lines: list[str]) -> str:
    """Lines for a terminal; the table may be wider than other texts."""
    return "\n".join(printable(line, 2000) for line in lines)


def _storages(regex: str) -> list[Storage]:
    try:
        wanted = re.compile(regex)
    except re.error as error:
        raise ResultsError("--formats", f"no regular expression: {error}") from None
    known = choices.storages()
    if not any(map(wanted.search, known)):
        raise ResultsError("--formats", f"names none of {', '.join(known)}")
    return [s for s in known.values() if wanted.search(s.name) or s.name == choices.LAST_FALLBACK]


def _activations(path: Path | None) -> F32 | None:
    if path is None:
        return None
    try:
        x = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ResultsError(path, f"no array of NumPy: {error}") from None
    if not isinstance(x, np.ndarray) or x.ndim < 2 or x.size == 0 or x.dtype.kind != "f":
        raise ResultsError(path, "no rows of floating-point activations")
    rows = np.ascontiguousarray(x.reshape(-1, x.shape[-1])[:1024], np.float32)
    if not np.isfinite(rows).all():
        raise ResultsError(path, "has values that are not finite")
    return rows


def _asked(args: argparse.Namespace, storages: Sequence[Storage]) -> dict[str, Any]:
    """What the records of matrices depend on."""
    def identity(path: Path | None) -> list[Any]:
        if path is None:
            return []
        stat = path.stat()
        return [path.name, stat.st_size, stat.st_mtime_ns]

    return {
        "model": identity(args.model), "activations": identity(args.activations), "seed": args.seed,
        "tensors": args.tensors, "transposed": args.transposed, "package": qb.__version__,
        "formats": [storage.name for storage in storages],
    }  # fmt: skip


def _look(
    model: Model, storages: Sequence[Storage], args: argparse.Namespace, given: F32 | None, store: Store
) -> list[Skipped]:
    """Adds the record of every matrix to the store; returns what could not be looked at."""
    skipped = []
    work = sum(tensor.weights for tensor in model.tensors) * len(storages)
    with tqdm(total=work, unit="w", unit_scale=True, file=sys.stderr, dynamic_ncols=True) as bar:
        for tensor in model.tensors:
            bar.set_description(printable(tensor.name, 40))
            begun = bar.n
            record = store.known(tensor.name)
            try:
                record = record or losses.look_at(
                    tensor, storages, args.seed, given, int(args.memory), bar.update
                )
                store.add(record)
            except losses.NotUsable as error:
                skipped.append(Skipped(tensor.name, str(error)))
            except MemoryError:
                why = f"{tensor.n}x{tensor.k} need more memory than there is (--memory)"
                skipped.append(Skipped(tensor.name, why))
            bar.update(tensor.weights * len(storages) - (bar.n - begun))
    return skipped


def _shapes(records: Sequence[totals.Record]) -> list[speeds.Shape]:
    return list(dict.fromkeys((record["n"], record["k"]) for record in records))


def _rows(
    records: Sequence[totals.Record],
    storages: Sequence[Storage],
    source: list[Results] | str | None,
    args: argparse.Namespace,
    output: Path,
) -> list[Results]:
    """The rows of the source: those that were measured before, or a program that measures them now."""
    if not isinstance(source, str):
        return source or []
    kept = output.with_name(output.name.removesuffix(".json") + ".speeds.json")
    return [speeds.measure_here(source, storages, _shapes(records), args.m, args.threads, kept)]


def _budget(args: argparse.Namespace) -> Budget:
    """What was asked for; an empty one if nothing was."""
    return Budget(args.max_error, args.max_bytes, args.max_time and args.max_time * 1e6)


def _plans(
    records: Sequence[totals.Record],
    names: Sequence[str],
    measured: speeds.Speeds,
    args: argparse.Namespace,
) -> list[Plan]:
    """The plan within the budgets that are asked for, none if nothing is; or plans within some errors."""
    if not measured:
        return []
    budget = _budget(args)
    budgets = [Budget(error) for error in PLANNED] if budget == Budget() else [budget]
    matrices = totals.options(records, names, measured, args.m[0])
    found = [plan for b in budgets if (plan := totals.plan.solve(matrices, b))]
    return found


def _passes(
    records: Sequence[totals.Record],
    plans: Sequence[Plan],
    found: Sequence[totals.Total],
    args: argparse.Namespace,
) -> list[passes.Pass]:
    """The plans, and every choice of the front that takes all matrices, each in whole passes."""
    m = args.m[0]
    asked = [(total.choice, total.ns[m], [total.choice] * len(records))
             for total in totals.front(found, m) if not total.elsewhere]  # fmt: skip
    for plan in plans:
        limit = plan.budget.error
        name = f"plan within {limit:g}" if limit is not None else "plan"
        asked.append((name, plan.ns, [option.name for option in plan.chosen]))
    measured = passes.in_turns(args.check, records, [chosen for *_, chosen in asked], m, args.threads)
    return [passes.Pass(name, m, ns, took) for (name, ns, _), took in zip(asked, measured, strict=True)]


def _about(
    args: argparse.Namespace, checked: Sequence[passes.Pass], results: Sequence[Results]
) -> dict[str, Any]:
    return {
        "machine": machine(results[0]) if results else {},
        "m": list(args.m), "threads": args.threads,
        "passes": [dataclasses.asdict(entry) for entry in checked],
    }  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    return guarded("quantbench-formats", lambda: _main(argv))
