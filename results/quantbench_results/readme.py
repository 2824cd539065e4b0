# SPDX-License-Identifier: Apache-2.0
"""The README's tables of results: written from one results file between two marks, and never by hand.

quantbench-report FILE --readme README.md           writes them
quantbench-report FILE --readme README.md --check   exit status 1 if they aren't those of the file
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from quantbench_results import dispatch, files, rules, summary
from quantbench_results.errors import ResultsError
from quantbench_results.rows import PEER, Results, Row
from quantbench_results.text import md as escaped

BEGIN = "<!-- results: begin -->"
END = "<!-- results: end -->"
SIZE_CLASSES = ("L1", "L2", "L3", "memory")
# Packing is a means, not an answer that a reader of the README came for.
LEFT_OUT = ("repack",)


def dispatched(results: Results) -> dict[dispatch.Key, str]:
    """Per operation, format and class of rows the variant whose rows are shown: the one that is
    dispatched to."""
    found = dispatch.dispatched(results, _shown(results))
    if not found:
        raise ResultsError(results.path, "no row of a hand-written variant to show")
    return found


def _shown(results: Results) -> list[Row]:
    return [
        row
        for row in summary.timed(results.rows)
        if row.threads == 1 and not row.cold and row.op not in LEFT_OUT
    ]


def md(text: object) -> str:
    """Text that is harmless in a table; an underscore within a name needs no escape on a README."""
    return escaped(text).replace("\\_", "_")


def _rate(value: float | None) -> str:
    """6.1, 16.4, 125."""
    if value is None:
        return "\N{EN DASH}"
    return f"{value:.0f}" if value >= 99.5 else f"{value:.1f}"


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


def _ours(results: Results) -> list[Row]:
    variants = dispatched(results)
    return [
        row for row in _shown(results) if variants.get(dispatch.key(results, row)) == row.variant
    ]


def _variants(rows: Iterable[Row]) -> str:
    """The variants of a line's rows, which products may have one of per class of rows."""
    return md(", ".join(dict.fromkeys(row.variant for row in rows)))


def _by_place(results: Results) -> dict[tuple[str, str], dict[str, Row]]:
    """Our array rows: per operation and format, by where the data lies."""
    ours = [row for row in _ours(results) if set(row.dims) == {"n"}]
    groups: dict[tuple[str, str], dict[str, Row]] = {}
    for row in ours:
        # Formats differ in bytes an element, so the lengths, not the bytes, make the columns.
        lengths = sorted({other.dims["n"] for other in ours if other.key[:2] == row.key[:2]})
        place = SIZE_CLASSES[lengths.index(row.dims["n"])] if len(lengths) == 4 else (
            summary.size_class(row, results)
        )  # fmt: skip
        groups.setdefault((row.op, row.format), {})[place] = row
    return groups


def _places(groups: dict[tuple[str, str], dict[str, Row]]) -> list[str]:
    return [place for place in SIZE_CLASSES if any(place in at for at in groups.values())]


def array_table(results: Results) -> list[str]:
    """A line per array operation and format: rate and share of the limit where the data lies."""
    rows = _shown(results)
    groups = _by_place(results)
    if not groups:
        return []
    places = _places(groups)
    middle = "L2" if "L2" in places else places[0]
    lines = []
    for (op, format_), at in groups.items():
        cells = [md(f"{op} {format_}"), _variants(at.values())]
        for place in places:
            row = at.get(place)
            rate = row.counter("items_per_second") if row else None
            cells.append(f"{_rate(rate / 1e9)} G/s, {_percent(row)}" if row and rate else "")
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


def _products(results: Results) -> dict[str, dict[str, Row]]:
    """Our rows of the matmul: per format, by shape."""
    groups: dict[str, dict[str, Row]] = {}
    for row in _ours(results):
        if row.op == "matmul":
            groups.setdefault(row.format, {})[summary.shape_text(row).replace("×", " × ")] = row
    return groups


def matmul_table(results: Results) -> list[str]:
    """A line per format of the matmul: rate, share of the limit and speed-up per shape."""
    rows = _shown(results)
    groups = _products(results)
    if not groups:
        return []
    shapes = list(dict.fromkeys(shape for at in groups.values() for shape in at))
    lines = []
    for format_, at in groups.items():
        cells, errors = [md(format_), _variants(at.values())], []
        for shape in shapes:
            row = at.get(shape)
            rate = row.counter("ops_per_second") if row else None
            if not row or not rate:
                cells.append("")
                continue
            over = _over_scalar(row, rows)
            parts = [_rate(rate / 1e9), _percent(row), *([_times(over)] if over else [])]
            cells.append(", ".join(parts))
            if (error := summary.total_error(row)) is not None:
                errors.append(error)
        cells += [f"{max(errors):.0e}" if errors else "", _spread(at.values())]
        lines.append(cells)
    return [
        *_table(["matmul", "variant", *(md(shape) for shape in shapes), "NMSE", "spread"], lines),
        "Gop/s (2mnk over time), share of the limit, speed-up over `scalar`; m × n × k. NMSE is the "
        "whole error of the product: what quantizing the weights lost, and what the kernel's arithmetic "
        "adds to the exact product of its activations with the dequantized weights.",
        "",
    ]


def better_variants(results: Results) -> list[str]:
    """Where another of our variants is faster than the dispatched one by more than their spreads."""
    ours = {row.key: row for row in _ours(results)}
    found = []
    for winner in summary.best_variants(_shown(results)):
        row = ours.get(winner.row.key)
        if row is None or row is winner.row or rules.tied(row, winner.row):
            continue
        over = summary.times_text(rules.figure(row) / rules.figure(winner.row))
        where = summary.shape_text(row).replace("×", " × ")
        found.append(f"{md(row.op)} {md(row.format)} {where} {md(winner.row.variant)} {over}")
    if not found:
        return []
    return [
        "Where another of our variants was faster than the dispatched one by more than their spreads "
        "together: " + "; ".join(found) + ".",
        "",
    ]


# What a peer's note says of the work that it does: more than is asked for, or less.
_DOES_MORE = re.compile("computes more|with their places")
_LEAVES_OUT = re.compile("left out")


def _marked(name: str, note: str) -> str:
    more, less = _DOES_MORE.search(note), _LEAVES_OUT.search(note)
    return name + ("⁺" if more else "") + ("⁻" if less else "")


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


class _Peers:
    """The fastest of the other projects' kernels beside each of our rows: by turns, or in older files
    by the medians of rows that were timed one after the other."""

    def __init__(self, results: Results):
        self.by_turns = any(summary.in_turns(row) for row in _ours(results))
        rows = [row for row in _shown(results) if row.is_peer]
        groups = summary.group_by_key(rows)
        self.best = {key: best for key, group in groups.items() if (best := rules.best(group))}
        self.notes = {(row.key, row.variant): row.label for row in rows}

    def cell(self, row: Row) -> str:
        """How many times as fast our row is as which peer; ~ where that is a tie."""
        if self.by_turns:
            found = summary.in_turns(row)
            tie = rules.tied_with_peer(row)
        else:
            peer = self.best.get(row.key)
            found = peer and (
                rules.figure(peer) / rules.figure(row),
                peer.variant.removeprefix(PEER),
            )
            tie = peer is not None and rules.tied(peer, row)
        if not found:
            return ""
        over, name = found
        name = _marked(name, self.notes.get((row.key, PEER + name), ""))
        return f"{'~' if tie else ''}{summary.times_text(over)} {md(name)}"


def peer_tables(results: Results) -> list[str]:
    """The same rows beside the fastest of the other projects' kernels on the same work."""
    peers = _Peers(results)

    def line(name: str, at: dict[str, Row], columns: Sequence[str]) -> list[str] | None:
        cells = [md(name), *(peers.cell(at[c]) if c in at else "" for c in columns)]
        return cells if any(cells[1:]) else None

    def table(title: str, named: dict[str, dict[str, Row]], columns: Sequence[str]) -> list[str]:
        found = [line(name, at, columns) for name, at in named.items()]
        lines = [cells for cells in found if cells]
        return _table([title, *map(md, columns)], lines) if lines else []

    arrays, products = _by_place(results), _products(results)
    shapes = list(dict.fromkeys(shape for at in products.values() for shape in at))
    tables = [
        *table("array operation", {" ".join(key): at for key, at in arrays.items()},
               _places(arrays)),
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
        *([f"Versions and dates: {md(versions)}.", ""] if versions else []),
    ]


def block(results: Results, link: str) -> str:
    """All that stands between the marks."""
    if not results.claims_timing:
        raise ResultsError(results.path, "emulated or smoke results are not shown as results")
    if not results.complete:
        raise ResultsError(results.path, "an interrupted run's results are not shown as results")
    virtual = results.text("virtualised", "no") != "no"
    family = results.text("cpu_family_model_stepping", "")
    cpu = results.text("cpu_name") + (f" (family, model, stepping {family})" if family else "")
    command = "make bench-peers" if any(row.is_peer for row in results.rows) else "make bench"
    lines = [
        BEGIN,
        "## Results",
        "",
        f"`{command}` on {results.text('num_cpus')} {'virtual ' if virtual else ''}cores of an "
        f"{md(cpu)} with {md(results.text('isa_enabled'))}; caches as measured: "
        f"{md(results.text('caches_measured'))}; {md(results.text('compiler'))}; one thread."
        + (
            " In a virtual machine the clock and shared caches drift from minute to minute: shares "
            "of the limit, measured beside each row, are steadier than rates."
            if virtual
            else ""
        )
        + " Medians of the variants that are dispatched to there; *spread* is half of what lies between "
        "the quartiles of the repetitions, at least 1 %, the widest of the line; from "
        f"[{md(link)}]({link}):",
        "",
        *array_table(results),
        *matmul_table(results),
        *better_variants(results),
        *peer_tables(results),
        END,
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


def replaced(text: str, new: str, path: Path) -> str:
    """The README's text with the block between the marks replaced."""
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ResultsError(path, f"no single '{BEGIN}' ... '{END}'")
    head, rest = text.split(BEGIN)
    return head + new + rest.split(END)[1]


def named_file(path: Path) -> Path:
    """The results file that a README's tables say they come from."""
    text = _read(path)
    inside = text[text.find(BEGIN) : text.find(END)]
    link = re.search(r"\]\((results/[^)\s]+\.json)\)", inside)
    if not link:
        raise ResultsError(path, "its results name no results file")
    return path.parent / link[1]


def write(path: Path, results: Results, check: bool = False) -> bool:
    """Writes the block into the README; whether it was as it should be already."""
    try:
        link = results.path.resolve().relative_to(path.resolve().parent).as_posix()
    except ValueError:
        raise ResultsError(
            results.path, f"is not below the folder of {path}: readers can't see it"
        ) from None
    text = _read(path)
    wanted = replaced(text, block(results, link), path)
    if wanted != text and not check:
        files.write_text(path, wanted)
    return wanted == text


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ResultsError(path, f"can't read: {error}") from None
