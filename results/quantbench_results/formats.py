# SPDX-License-Identifier: Apache-2.0
"""Weight formats side by side: what a weight takes, what it loses, and how fast one is written, read
and multiplied by. A line per format, from the rows that the other tables show as well."""

from __future__ import annotations

from dataclasses import dataclass, field

from quantbench_results import dispatch, layer, rules, shown
from quantbench_results.rows import Results, Row

_ARITHMETICS = ("a32", "a8", "abf16", "f16")
_UNQUANTIZED = {"f32": 32.0, "f16": 16.0}
_F32_BYTES = 4


@dataclass
class Format:
    """A weight format, and our rows of it."""

    name: str
    quantize: Row | None = None
    dequantize: Row | None = None
    products: dict[str, dict[str, Row]] = field(default_factory=dict)
    """Per shape, per arithmetic."""

    @property
    def bits(self) -> float | None:
        """Bits a weight, scales included: what dequantizing to f32 reads, or quantizing writes."""
        row = self.dequantize or self.quantize
        moved = row and row.counter("bytes_per_second")
        items = row and row.counter("items_per_second")
        if not moved or not items:
            if self.name in _UNQUANTIZED:
                return _UNQUANTIZED[self.name]
            products = (r for at in self.products.values() for r in at.values())  # no array of it was timed
            return next((bits for r in products if (bits := layer.weight_bits(r))), None)
        return 8 * (moved / items - _F32_BYTES)

    @property
    def nmse(self) -> float | None:
        """What quantizing normal random weights loses, as the products' rows say."""
        rows = [row for at in self.products.values() for row in at.values()]
        found = [lost for row in rows if (lost := row.counter("weights_nmse")) is not None]
        return max(found) if found else None

    def fastest(self, shape: str) -> tuple[str, Row] | None:
        """The arithmetic with the fastest product of that shape, and its row."""
        at = self.products.get(shape, {})
        return min(at.items(), key=lambda item: rules.figure(item[1]), default=None)


def of(results: Results) -> list[Format]:
    """The formats that have products or are dequantized to f32, those of most bits first; none of a
    file without a dispatched variant's rows."""
    found: dict[str, Format] = {}
    if not dispatch.dispatched(results, shown.rows(results)):
        return []

    def named(name: str) -> Format:
        return found.setdefault(name, Format(name))

    arrays, products = shown.by_place(results), shown.products(results)
    place = shown.middle(arrays)
    for (op, format_), at in arrays.items():
        if op == "dequantize" and format_.endswith(".f32"):
            named(format_.removesuffix(".f32")).dequantize = at.get(place)
        if op == "quantize" and format_.startswith("f32."):
            named(format_.removeprefix("f32.")).quantize = at.get(place)
    for format_, by_shape in products.items():
        arithmetic, _, name = format_.partition(".")
        if arithmetic in _ARITHMETICS:
            for shape, row in by_shape.items():
                named(name).products.setdefault(shape, {})[arithmetic] = row
    return sorted(found.values(), key=lambda f: (-(f.bits or 0), f.name))


def answers(formats: list[Format]) -> list[str]:
    """Which format to take for the first and the last shape (one row, most rows), in a line each: the
    fastest of those that lose no more of the weights' energy (NMSE), with what can't be told from it."""
    columns = shapes(formats)
    found = []
    for shape in dict.fromkeys([*columns[:1], *columns[-1:]]):
        parts: dict[str, str] = {}
        for most, words in ((1e-4, "0.01 %"), (1e-2, "1 %")):
            timed = [
                (format_.name, best[1])
                for format_ in formats
                if (format_.nmse or 0) <= most and (best := format_.fastest(shape))
            ]
            if timed:
                fastest = min((row for _, row in timed), key=rules.figure)
                names = [n for n, row in timed if row is fastest or rules.tied(row, fastest)]
                parts.setdefault(", ".join(names), words)
        if parts:
            told = "; ".join(f"{names} if {words} may be lost" for names, words in parts.items())
            found.append(f"- fastest at {shape}: {told}")
    return found


def shapes(formats: list[Format]) -> list[str]:
    """Shapes of products that formats have, in the order of the file."""
    return list(dict.fromkeys(shape for f in formats for shape in f.products))


def cells(format_: Format, peers: shown.Peers, columns: list[str]) -> list[str]:
    """A line of the table, as text."""
    bits, nmse = format_.bits, format_.nmse
    line = [
        format_.name,
        f"{bits:.4g}" if bits else "",
        f"{nmse:.1e}" if nmse else "",
        _array(format_.quantize, peers),
        _array(format_.dequantize, peers),
    ]
    for shape in columns:
        best = format_.fastest(shape)
        line.append(_cell(best[1], "ops_per_second", f"{best[0]} ", peers) if best else "")
    return line


def _array(row: Row | None, peers: shown.Peers) -> str:
    return _cell(row, "items_per_second", "", peers) if row else ""


def _cell(row: Row, counter: str, before: str, peers: shown.Peers) -> str:
    rate, beside = row.counter(counter), peers.cell(row)
    if not rate:
        return ""
    return f"{before}{rate_text(rate / 1e9)}" + (f", {beside}" if beside else "")


def rate_text(value: float) -> str:
    """6.1, 16.4, 125."""
    return f"{value:.0f}" if value >= 99.5 else f"{value:.1f}"


def titles(columns: list[str]) -> list[str]:
    return ["format", "bits", "NMSE", "quantize, G/s", "dequantize, G/s", *columns]


ABOUT = (
    "Bits a weight, scales included. NMSE: what quantizing normal random weights loses (tq2_0 is for "
    "weights of three values). Quantize from "
    "f32 and dequantize to f32: weights a second in L2. Then the fastest arithmetic of each product, in "
    "Gop/s. Behind a speed: how many times that of the fastest of the other projects' kernels on the "
    "same work; ~ marks a tie, \N{SUPERSCRIPT MINUS} a kernel that leaves a part of the work, untimed, to "
    "its caller."
)
