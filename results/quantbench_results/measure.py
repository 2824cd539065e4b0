# SPDX-License-Identifier: Apache-2.0
"""Measures products here: runs the quantbench program on named shapes, with the variants alone that
it dispatches to."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from quantbench_results import runs
from quantbench_results.errors import ResultsError
from quantbench_results.load import load
from quantbench_results.rows import Results
from quantbench_results.text import printable

BUILT = Path("build/release/bench/quantbench")
REPETITIONS = 7
"""Of each row: enough for quartiles, and a layer's formats take about a minute."""

_LISTED = re.compile(r"matmul_(?P<arithmetic>[a-z0-9]+)_\S+ +(?P<variant>\S+) .*runs, dispatched to")


def shape_of(m: int, n: int, k: int, cold: bool) -> str:
    """m:1,n:4096,k:4096,cold, as --shape takes it."""
    return f"m:{m},n:{n},k:{k}" + (",cold" if cold else "")


def program_here(named: str) -> str | None:
    """The quantbench program: the one that is named, or that of this folder's build, or of PATH.
    ResultsError if the one that is named is not there."""
    if named:
        return runs.program(named)
    return str(BUILT) if BUILT.is_file() else shutil.which("quantbench")


def dispatched_filter(listing: str, products: Sequence[str] = ()) -> str:
    """From the output of `quantbench --list` the --benchmark_filter of the products' rows whose
    variants are dispatched to, of these products (a8.q4_0, ...) if any are named; empty if there is
    none."""
    variants: dict[str, list[str]] = {}
    for line in listing.splitlines():
        if found := _LISTED.match(line):
            of_arithmetic = variants.setdefault(found["arithmetic"], [])
            if found["variant"] not in of_arithmetic:
                of_arithmetic.append(found["variant"])
    parts = []
    for name, found in variants.items():
        formats = [product.partition(".")[2] for product in products if product.startswith(name + ".")]
        if formats or not products:
            any_of = f"({'|'.join(map(re.escape, formats))})" if formats else "[^/]+"
            parts.append(rf"{name}\.{any_of}/({'|'.join(found)})")
    return f"^matmul/({'|'.join(parts)})/" if parts else ""


def command(
    program: str, filter_: str, shapes: Iterable[str], threads: int, out: Path | str
) -> list[str]:
    """The arguments, program first, that measure these shapes into the file."""
    return [
        program,
        "--no-peers",
        "--no-scalar",
        f"--benchmark_filter={filter_}",
        *(f"--shape={shape}" for shape in shapes),
        f"--threads={threads}",
        f"--benchmark_repetitions={REPETITIONS}",
        f"--benchmark_out={out}",
    ]


def listing(program: str) -> str:
    """What `quantbench --list` prints."""
    done = _run([program, "--list"], capture=True)
    if done.returncode:
        last = (done.stderr or "").strip().splitlines()[-1:] or ["it lists nothing"]
        raise ResultsError(program, f"--list: exit status {done.returncode}: {last[0]}")
    return done.stdout


def measure(
    program: str, shapes: Sequence[str], threads: int, out: Path, products: Sequence[str] = ()
) -> Results:
    """Runs the program, its progress on stderr, and reads the file that it wrote. Rows of kernels that
    were wrong say so in the file; ResultsError if there is no file."""
    filter_ = dispatched_filter(listing(program), products)
    if not filter_:
        raise ResultsError(program, "lists no product that it dispatches to")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResultsError(out.parent, f"can't be made: {error.strerror}") from None
    words = command(program, filter_, shapes, threads, out)
    print(printable("running: " + shlex.join(words), 4000), file=sys.stderr, flush=True)
    done = _run(words, capture=False)
    if done.returncode not in (0, 1, 3) or not out.exists():
        raise ResultsError(program, f"exit status {done.returncode}: it measured nothing")
    return load(out)


def _run(words: Sequence[str], capture: bool) -> subprocess.CompletedProcess[str]:
    """Runs the words; what they print goes to stderr unless it is captured."""
    try:
        if capture:
            return subprocess.run(words, capture_output=True, text=True, errors="replace", check=False)
        return subprocess.run(words, stdout=sys.stderr.fileno(), text=True, check=False)
    except OSError as error:
        raise ResultsError(words[0], f"can't run: {error.strerror}") from None
