# SPDX-License-Identifier: Apache-2.0
"""Tables of results in Markdown pages: written from one results file between two marks, and never by
hand. A page has either the marks of all results or those of the formats alone.

quantbench-report FILE --readme README.md docs/results.md           writes them
quantbench-report FILE --readme README.md docs/results.md --check   exit status 1 if they aren't those
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from quantbench_results import files, formats, rules, shown, summary
from quantbench_results.errors import ResultsError
from quantbench_results.rows import Results, Row
from quantbench_results.text import in_table

BEGIN = "<!-- results: begin -->"
END = "<!-- results: end -->"
FORMATS_BEGIN = "<!-- formats: begin -->"
FORMATS_END = "<!-- formats: end -->"


def _percent(row: Row) -> str:
    percent = row.counter("roof_pct")
    return f"{percent:.0f} %" if percent else "\N{EN DASH}"


def _times(value: float | None) -> str:
    return summary.times_text(value) if value is None or value < 1.95 else f"{value:.0f}×"


def _over_scalar(row: Row, others: Sequence[Row]) -> float | None:
    """How many times as fast the row is as `scalar`: as it says itself, which was timed beside it,
    or by medians."""
    if counted := row.counter("speedup_vs_scalar"):
        return counted
    scalar = summary.best_of((other for other in others if other.key == row.key), "scalar")
    return rules.figure(scalar) / rules.figure(row) if scalar else None


def _spread(rows: Iterable[Row]) -> str:
    """The widest spread of a line's rows."""
    return f"{100 * max(rules.spread(row) for row in rows):.0f} %"


def _table(titles: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    return [
        "| " + " | ".join(titles) + " |",
        "|" + "---|" * len(titles),
        *("| " + " | ".join(line) + " |" for line in lines),
        "",
    ]


def _variants(rows: Iterable[Row]) -> str:
    """The variants of a line's rows, which products may have one of per class of rows."""
    return in_table(", ".join(dict.fromkeys(row.variant for row in rows)))


def array_table(results: Results) -> list[str]:
    """A line per array operation and format: rate and share of the limit where the data lies."""
    rows = shown.rows(results)
    groups = shown.by_place(results)
    if not groups:
        return []
    places = shown.places(groups)
    middle = shown.middle(groups)
    lines = []
    for (op, format_), at in groups.items():
        cells = [in_table(f"{op} {format_}"), _variants(at.values())]
        for place in places:
            row = at.get(place)
            rate = row.counter("items_per_second") if row else None
            cells.append(f"{formats.rate_text(rate / 1e9)} G/s, {_percent(row)}" if row and rate else "")
        central = at.get(middle)
        over = _over_scalar(central, rows) if central else None
        cells += [_times(over) if over else "", _spread(at.values())]
        lines.append(cells)
    ours = [row for at in groups.values() for row in at.values()]
    exact = all(row.counter("mismatches") == 0 for row in ours)
    lengths = ", ".join(
        "/".join(
            summary.binary_text(n)
            for n in sorted({at[place].dims["n"] for at in groups.values() if place in at})
        )
        for place in places
    )
    return [
        *_table(["array operation", "variant", *places, f"× scalar ({middle})", "spread"], lines),
        f"Elements a second, and the share of the limit measured in the same process at the same "
        f"working set ({lengths} elements)."
        + (" Every row is exact: no bit differs from the oracle's." if exact else ""),
        "",
    ]


def matmul_table(results: Results) -> list[str]:
    """A line per format of the matmul: rate, share of the limit and speed-up per shape."""
    rows = shown.rows(results)
    groups = shown.products(results)
    if not groups:
        return []
    shapes = list(dict.fromkeys(shape for at in groups.values() for shape in at))
    lines = []
    for format_, at in groups.items():
        cells, errors = [in_table(format_), _variants(at.values())], []
        for shape in shapes:
            row = at.get(shape)
            rate = row.counter("ops_per_second") if row else None
            if not row or not rate:
                cells.append("")
                continue
            over = _over_scalar(row, rows)
            parts = [formats.rate_text(rate / 1e9), _percent(row), *([_times(over)] if over else [])]
            cells.append(", ".join(parts))
            if (error := summary.total_error(row)) is not None:
                errors.append(error)
        cells += [f"{max(errors):.0e}" if errors else "", _spread(at.values())]
        lines.append(cells)
    return [
        *_table(["matmul", "variant", *(in_table(shape) for shape in shapes), "NMSE", "spread"], lines),
        "Gop/s (2mnk over time), share of the limit, speed-up over `scalar`; m × n × k. NMSE is the "
        "whole error of the product: what quantizing the weights lost, and what the kernel's arithmetic "
        "adds to the exact product of its activations with the dequantized weights.",
        "",
    ]


def format_table(results: Results) -> list[str]:
    """A line per weight format: size, error, speed of every operation beside the peers'."""
    found = formats.of(results)
    columns = formats.shapes(found)
    if not columns:
        return []
    peers = shown.Peers(results)
    lines = [[in_table(cell) for cell in formats.cells(f, peers, columns)] for f in found]
    titles = [in_table(title) for title in formats.titles(columns)]
    return _table(titles, lines)


def better_variants(results: Results) -> list[str]:
    """Where another of our variants is faster than the dispatched one by more than their spreads."""
    ours = {row.key: row for row in shown.ours(results)}
    found = []
    for winner in summary.best_variants(shown.rows(results)):
        row = ours.get(winner.row.key)
        if row is None or row is winner.row or rules.tied(row, winner.row):
            continue
        over = summary.times_text(rules.figure(row) / rules.figure(winner.row))
        where = summary.shape_text(row).replace("×", " × ")
        found.append(f"{in_table(row.op)} {in_table(row.format)} {where} {in_table(winner.row.variant)} {over}")
    if not found:
        return []
    return [
        "Where another of our variants was faster than the dispatched one by more than their spreads "
        "together: " + "; ".join(found) + ".",
        "",
    ]


def _marks(lines: Sequence[str]) -> list[str]:
    """What the marks in these tables mean."""
    text = "\n".join(lines)
    found = [
        *(["⁺ computes more than is asked for: the positions of the extremes as well"]
          if "⁺" in text else []),
        *(["⁻ leaves a part of the work to its caller, which is not timed: quantizing or rounding the "
           "activations, or scales"] if "⁻" in text else []),
    ]  # fmt: skip
    return [". ".join(found) + ".", ""] if found else []


def peer_tables(results: Results) -> list[str]:
    """The same rows beside the fastest of the other projects' kernels on the same work."""
    peers = shown.Peers(results)

    def line(name: str, at: dict[str, Row], columns: Sequence[str]) -> list[str] | None:
        cells = [in_table(name), *(peers.cell(at[c]) if c in at else "" for c in columns)]
        return cells if any(cells[1:]) else None

    def table(title: str, named: dict[str, dict[str, Row]], columns: Sequence[str]) -> list[str]:
        found = [line(name, at, columns) for name, at in named.items()]
        lines = [cells for cells in found if cells]
        return _table([title, *map(in_table, columns)], lines) if lines else []

    arrays, products = shown.by_place(results), shown.products(results)
    shapes = list(dict.fromkeys(shape for at in products.values() for shape in at))
    tables = [
        *table("array operation", {" ".join(key): at for key, at in arrays.items()},
               shown.places(arrays)),
        *table("matmul", products, shapes),
    ]  # fmt: skip
    if not tables:
        return []
    versions = summary.peer_versions(results)
    method = (
        "in turns of batches in one process (the rows' `vs_best_peer`)"
        if peers.by_turns
        else "by the medians of rows that were timed one after the other, not in turns"
    )
    return [
        "How many times as fast these rows are as the fastest of the other projects' kernels on the "
        f"same work, {method}, and which that is (~ is a tie):",
        "",
        *tables,
        *_marks(tables),
        *([f"Versions and dates: {in_table(versions)}.", ""] if versions else []),
    ]


def _source(results: Results, link: str) -> str:
    """The machine, the command and the file, as the head of a sentence."""
    if not results.claims_timing:
        raise ResultsError(results.path, "emulated or smoke results are not shown as results")
    if not results.complete:
        raise ResultsError(results.path, "an interrupted run's results are not shown as results")
    virtual = results.text("virtualised", "no") != "no"
    family = results.text("cpu_family_model_stepping", "")
    cpu = results.text("cpu_name") + (f" (family, model, stepping {family})" if family else "")
    command = "make bench-peers" if any(row.is_peer for row in results.rows) else "make bench"
    return (
        f"[`{command}`]({link}) on {results.text('num_cpus')} {'virtual ' if virtual else ''}cores of an "
        f"{in_table(cpu)} with {in_table(results.text('isa_enabled'))}, one thread"
    )


def block(results: Results, link: str) -> str:
    """All results, between their marks."""
    virtual = results.text("virtualised", "no") != "no"
    lines = [
        BEGIN,
        "# Results",
        "",
        f"{_source(results, link)}; caches as measured: {in_table(results.text('caches_measured'))}; "
        f"{in_table(results.text('compiler'))}."
        + (
            " In a virtual machine the clock and shared caches drift from minute to minute: shares "
            "of the limit, measured beside each row, are steadier than rates."
            if virtual
            else ""
        )
        + " Medians of the variants that are dispatched to there; *spread* is half of what lies between "
        "the quartiles of the repetitions, at least 1 %, the widest of the line.",
        "",
        *array_table(results),
        *matmul_table(results),
        *better_variants(results),
        *peer_tables(results),
        END,
    ]
    return "\n".join(_wrapped(lines))


def formats_block(results: Results, link: str) -> str:
    """The formats alone, between their marks."""
    found = formats.of(results)
    lines = [
        FORMATS_BEGIN,
        "Of the weights' energy:",
        "",
        *(in_table(answer) for answer in formats.answers(found)),
        "",
        f"{_source(results, link)}. {formats.ABOUT}",
        "",
        *format_table(results),
        FORMATS_END,
    ]
    return "\n".join(_wrapped(lines))


def _wrapped(lines: Sequence[str], width: int = 100) -> list[str]:
    """Prose broken at 100 columns; tables and marks as they are."""
    found: list[str] = []
    for line in lines:
        if line.startswith(("|", "<!--", "#")) or len(line) <= width:
            found.append(line)
            continue
        current = ""
        for word in line.split(" "):
            if current and len(current) + 1 + len(word) > width:
                found.append(current)
                current = word
            else:
                current = f"{current} {word}" if current else word
        found.append(current)
    return found


_BLOCKS = ((BEGIN, END, block), (FORMATS_BEGIN, FORMATS_END, formats_block))


def _between_marks(text: str, path: Path) -> tuple[str, str, str, Callable[[Results, str], str]]:
    """The text before the page's marks, with and between them, and behind; and what writes that."""
    for begin, end, writes in _BLOCKS:
        if begin not in text and end not in text:
            continue
        if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
            raise ResultsError(path, f"no single '{begin}' ... '{end}'")
        start, stop = text.index(begin), text.index(end) + len(end)
        return text[:start], text[start:stop], text[stop:], writes
    raise ResultsError(path, f"no '{BEGIN}' ... '{END}', nor '{FORMATS_BEGIN}' ... '{FORMATS_END}'")


def named_file(path: Path) -> Path:
    """The results file that a page's tables say they come from."""
    _, inside, _, _ = _between_marks(_read(path), path)
    link = re.search(r"\]\(((?:\.\./)*results/[^)\s]+\.json)\)", inside)
    if not link:
        raise ResultsError(path, "its results name no results file")
    return path.parent / link[1]


def _project(path: Path) -> Path:
    """The folder of the README that the page belongs to."""
    folder = path.resolve().parent
    return next((at for at in (folder, *folder.parents) if (at / "README.md").is_file()), folder)


def write(path: Path, results: Results, check: bool = False) -> bool:
    """Writes the page's block; whether it was as it should be already."""
    text = _read(path)
    head, _, rest, writes = _between_marks(text, path)
    file, project = results.path.resolve(), _project(path)
    if not file.is_relative_to(project):
        raise ResultsError(file, f"is not below the folder of {path}: readers can't see it")
    link = Path(os.path.relpath(file, path.resolve().parent)).as_posix()
    wanted = head + writes(results, link) + rest
    if wanted != text and not check:
        files.write_text(path, wanted)
    return wanted == text


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ResultsError(path, f"can't read: {error}") from None
