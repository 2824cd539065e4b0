# SPDX-License-Identifier: Apache-2.0
"""Colours, symbols and dashes of the variants: a hue per family, darker the wider the vectors."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from quantbench_results import summary

# Light and dark colour of each variant: a hue per family, darker the wider the vectors.
_AUTOVEC = (("#d99a2b", "#f2c063"), ("#b4690e", "#e69138"), ("#7a4300", "#c9751a"))
_XSIMD = (("#6aa5e3", "#a9d0fb"), ("#2563eb", "#6aa3ff"), ("#1c3f94", "#4478e6"))
_PEERS = (
    ("#b42318", "#ff8a80"),
    ("#8f3fae", "#dd9bf5"),
    ("#a0526b", "#e6a1b7"),
    ("#7b5b3a", "#cfae8b"),
    ("#5f6f1a", "#b9cc60"),
    ("#1d7a8c", "#7fd3e6"),
    ("#c2410c", "#fdba74"),
    ("#4f46a5", "#b4b0f5"),
)
# With as many symbols as leave no two peers of a page alike: a symbol for each round of the colours.
_PEER_SYMBOLS = ("triangle-up", "triangle-down", "pentagon", "star")
_HAND = {
    "sse4_2": ("#5aa469", "#a5d8ae"),
    "avx2": ("#0b7a4b", "#3ddc97"),
    "neon": ("#0b7a4b", "#3ddc97"),
    "avxvnni": ("#0e7c86", "#4fd6e0"),
    "neon_dotprod": ("#0e7c86", "#4fd6e0"),
    "avx512": ("#6d3fc0", "#b197fc"),
    "neon_fp16": ("#6d3fc0", "#b197fc"),
    "avx512vnni": ("#c2255c", "#ff7eb0"),
    "neon_i8mm": ("#c2255c", "#ff7eb0"),
    "avx512bf16": ("#8a6d00", "#e3c934"),
    "neon_bf16": ("#8a6d00", "#e3c934"),
    "avx512fp16": ("#4a5d23", "#bcd35f"),
    "sve": ("#4a5d23", "#bcd35f"),
    "amx": ("#111827", "#f8fafc"),
}
_SYMBOLS = {
    "scalar": "x-thin-open",
    "autovec": "square",
    "xsimd": "diamond",
    "hand": "circle",
    "peer": "triangle-up",
}
_DASHES = {"scalar": "dot", "autovec": "dot", "xsimd": "dash", "hand": "solid", "peer": "dashdot"}
_FAMILY_ORDER = ("scalar", "autovec", "xsimd", "hand", "peer")
_WIDTHS = ("sse4_2", "neon", "avx2", "fma", "avx512", "sve")


def _width(variant: str) -> int:
    """0 baseline or 128 bits, 1 256 bits, 2 wider."""
    if "avx512" in variant or "sve" in variant:
        return 2
    return 1 if "avx2" in variant or "fma" in variant or variant.endswith("_neon") else 0


def variant_order(variants: Iterable[str]) -> list[str]:
    """scalar first, then by family and width; peers last."""
    hand = list(_HAND)

    def rank(variant: str) -> tuple[int, int, int, str]:
        kind = summary.family(variant)
        known = hand.index(variant) if variant in _HAND else len(hand)
        return (_FAMILY_ORDER.index(kind), known if kind == "hand" else 0, _width(variant), variant)

    return sorted(set(variants), key=rank)


# How a family is drawn where its variants are one: as this variant of it.
FAMILY_STYLES = {"autovec": "autovec_avx2", "xsimd": "xsimd_avx2", "hand": "avx2", "peer": "peer:"}


def styles(variants: Iterable[str]) -> dict[str, dict[str, str]]:
    """Per variant its colour in the light and in the dark, its symbol and its dash."""
    found: dict[str, dict[str, str]] = {}
    peers = itertools.cycle(
        (light, dark, symbol) for symbol in _PEER_SYMBOLS for light, dark in _PEERS
    )
    strangers = itertools.cycle(_PEERS[::-1])
    for variant in variant_order(variants):
        kind = summary.family(variant)
        symbol = _SYMBOLS[kind]
        if kind == "scalar":
            light, dark = "#667085", "#a3acba"
        elif kind == "autovec":
            light, dark = _AUTOVEC[_width(variant)]
        elif kind == "xsimd":
            light, dark = _XSIMD[_width(variant)]
        elif kind == "peer":
            light, dark, symbol = next(peers)
        else:
            light, dark = _HAND.get(variant) or next(strangers)
        found[variant] = {
            "light": light,
            "dark": dark,
            "symbol": symbol,
            "dash": _DASHES[kind],
        }
    return found
