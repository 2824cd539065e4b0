# SPDX-License-Identifier: Apache-2.0
"""The part of quantbench-choose that is asked about one layer: its options, and where the rows come
from that it answers by. A file that has the shape is asked; otherwise the shape is measured here."""

from __future__ import annotations

import argparse
import re
import shlex
import sys
from pathlib import Path

from quantbench_results import layer, measure
from quantbench_results.dispatch import usable
from quantbench_results.errors import ResultsError
from quantbench_results.layer import Layer
from quantbench_results.load import load
from quantbench_results.rows import Results
from quantbench_results.text import printable, printable_lines

MEASURED = Path("results/layers")
"""Where rows that were measured for an answer are kept, a file for each layer."""
_UNITS = {"": 1, "k": 1e3, "m": 1e6, "g": 1e9, "ki": 1 << 10, "mi": 1 << 20, "gi": 1 << 30}


def _shape(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"([1-9]\d{0,8})[x×]([1-9]\d{0,8})", text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is no layer; expected outputs x inputs: 11008x4096")
    return int(found[1]), int(found[2])


def row_counts(text: str) -> tuple[int, ...]:
    if not re.fullmatch(r"[1-9]\d{0,5}(,[1-9]\d{0,5})*", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no list of rows; expected 1,128")
    return tuple(dict.fromkeys(map(int, text.split(","))))


def nmse(text: str) -> float:
    """An error budget of the command line."""
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 <= value < 1e30:
        raise argparse.ArgumentTypeError(f"{text!r} is no error; expected a number such as 1e-2")
    return value


def size(text: str) -> float:
    """A number of bytes of the command line: 24000000, 24M, 1.5GiB."""
    found = re.fullmatch(r"(\d{1,15}(?:\.\d{1,9})?)(k|m|g|ki|mi|gi|)b?", text.lower())
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is no size; expected bytes, or 24M, or 24MiB")
    return float(found[1]) * _UNITS[found[2]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "one layer", "which format for a matrix of weights: from the file, or measured here"
    )
    group.add_argument("--layer", type=_shape, metavar="NxK", help="outputs x inputs: 11008x4096")
    group.add_argument(
        "--m", type=row_counts, default=(1, 128), metavar="M,M",
        help="rows of activations: 1 is decoding, more are prompts (default 1,128)",
    )  # fmt: skip
    group.add_argument(
        "--max-error", type=nmse, default=layer.DEFAULT_ERROR, metavar="NMSE",
        help="of the product, weights' included, that a recommendation may have (default %(default)s)",
    )  # fmt: skip
    group.add_argument(
        "--max-bytes", type=size, metavar="BYTES",
        help="that the layer's weights may take: 24M, 24MiB (default: any)",
    )  # fmt: skip
    group.add_argument("--threads", type=int, default=1, help="threads of a product (default 1)")
    group.add_argument(
        "--quantbench", default="", metavar="PROGRAM",
        help=f"measures with this program (default: {measure.BUILT}, or that of PATH)",
    )  # fmt: skip
    group.add_argument(
        "--no-measure", action="store_true", help="ask the file alone, and say how to measure"
    )


def run(args: argparse.Namespace) -> int:
    """Prints the answer; exit status 1 if no format is within the budgets for some number of rows."""
    if args.threads < 1:
        raise ResultsError("--threads", f"is {args.threads}, less than 1")
    wanted = Layer(*args.layer, args.m, args.threads)
    results = _results(args, wanted)
    print(printable_lines(layer.answer(results, wanted, args.max_error, args.max_bytes)))
    within = [
        layer.allowed(layer.candidates(results, wanted, m), args.max_error, args.max_bytes)
        for m in wanted.rows
    ]
    return 0 if all(within) else 1


def _results(args: argparse.Namespace, wanted: Layer) -> Results:
    """The file's rows if it has the shape at every number of rows that is asked about, else rows of
    them all that are measured now, so that what is compared was measured in one run."""
    kept = MEASURED / f"{wanted.text}{f'-threads{wanted.threads}' if wanted.threads > 1 else ''}.json"
    shapes = [measure.shape_of(m, wanted.n, wanted.k, cold=True) for m in wanted.rows]
    results = load(args.results) if args.results else None
    if results and not layer.missing(results, wanted):
        return results
    program = None if args.no_measure else measure.program_here(args.quantbench)
    if program is None:
        raise ResultsError(args.results or "--layer", *_how_to(results, wanted, shapes, kept))
    measured = measure.measure(program, shapes, wanted.threads, kept)
    print(printable(f"measured rows: {kept}"), file=sys.stderr)
    if absent := layer.missing(measured, wanted):
        rows = ", ".join(map(str, absent))
        raise ResultsError(kept, f"the run has no row of {wanted.text} for m = {rows}")
    return measured


def _how_to(
    results: Results | None, wanted: Layer, shapes: list[str], kept: Path
) -> tuple[str, str]:
    """Why there is no answer, and in further lines what the file has and the command that measures."""
    words = measure.command("quantbench", "^matmul/", shapes, wanted.threads, kept)
    how = f"this one is measured by:\n  {shlex.join(words)}\n  quantbench-choose {kept} --layer {wanted.text}"
    if results is None:
        return "no results file named, and no quantbench program here (`make bench` builds it)", how
    rows = ", ".join(str(m) for m in layer.missing(results, wanted))
    usable(results)
    return (
        f"no row of layer {wanted.text} for m = {rows} with {wanted.threads} thread(s)",
        "it has: " + "; ".join(layer.shapes_of(results)) + "\n" + how,
    )
