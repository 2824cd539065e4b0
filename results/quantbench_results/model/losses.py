# SPDX-License-Identifier: Apache-2.0
"""What each way of storing loses of one matrix: of its weights, and of its outputs for activations.

The matrix is read and looked at some rows at a time, so that memory is bounded. All errors are
normalised mean squared errors: the squares of what differs, summed, over those of the exact values.

    weights       w - w'                       w' is what the stored weights decode to
    output        x (w - w')                   exact activations: what storing costs
    products      y - x w                      y is the product of quantbench's own kernel
    activations   y - x w'                     what the arithmetic alone adds (a8, abf16)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from quantbench_results.model.choices import Storage, package
from quantbench_results.model.reading import F32, Tensor

if TYPE_CHECKING:
    import quantbench as qb

TOKENS = 32
"""Rows of activations that outputs are computed for."""
OUTLIER_SHARE, OUTLIER_FACTOR = 0.005, 20.0
"""Of real activations some channels are many times as large as the others (LLM.int8() found 0.1 % of
channels, 20 times the others and more, from 6.7e9 weights on)."""
_COPIES = 8
"""Arrays of the size of the rows in hand that are alive at once, at most, in bytes of f32."""

NORMAL, OUTLIERS, GIVEN = "normal", "outliers", "given"


class NotUsable(Exception):
    """Why a matrix can't be looked at."""


def activations(k: int, seed: int, given: F32 | None) -> dict[str, F32]:
    """Rows of k activations of each kind: normal, normal with outlier channels, and the user's if they
    have that length. The same for every matrix of that K."""
    rng = np.random.default_rng([seed, k])
    normal = rng.standard_normal((TOKENS, k), dtype=np.float32)
    channels = rng.choice(k, max(1, round(k * OUTLIER_SHARE)), replace=False)
    outliers = normal.copy()
    outliers[:, channels] *= np.float32(OUTLIER_FACTOR)
    found = {NORMAL: normal, OUTLIERS: outliers}
    if given is not None and given.shape[1] == k:
        found[GIVEN] = given
    return found


@dataclass
class Sums:
    """Squares that are summed over a matrix' rows, of one way of storing."""

    weights: float = 0.0
    worst_row: tuple[int, float] = (0, -1.0)
    output: dict[str, float] = field(default_factory=dict)
    products: dict[str, dict[str, float]] = field(default_factory=dict)
    added: dict[str, dict[str, float]] = field(default_factory=dict)

    def look(self, row: int, w: F32, stored: qb.Quantized, x: Mapping[str, F32],
             exact: Mapping[str, NDArray[np.float64]], arithmetics: Iterable[str]) -> None:  # fmt: skip
        """Adds the rows w, of which the first is the matrix' row-th."""
        lost = w - package().dequantize(stored)
        squares = np.einsum("ij,ij->i", lost, lost, dtype=np.float64)
        self.weights += float(squares.sum())
        sizes = np.einsum("ij,ij->i", w, w, dtype=np.float64)
        shares = np.divide(squares, sizes, out=np.zeros_like(squares), where=sizes > 0)
        if (worst := int(shares.argmax())) is not None and shares[worst] > self.worst_row[1]:
            self.worst_row = row + worst, float(shares[worst])
        missing = {kind: rows @ lost.T for kind, rows in x.items()}
        _add(self.output, missing)
        for arithmetic in arithmetics:
            if arithmetic == "a32":
                continue  # its own rounding is 1e-13 of the output: what storing costs is all
            packed = package().pack(stored, arithmetic, expected_m=TOKENS)
            wrong = {kind: packed.matmul(rows) - exact[kind] for kind, rows in x.items()}
            _add(self.products.setdefault(arithmetic, {}), wrong)
            added = {kind: wrong[kind] + missing[kind] for kind in wrong}
            _add(self.added.setdefault(arithmetic, {}), added)


def _add(sums: dict[str, float], arrays: Mapping[str, NDArray[Any]]) -> None:
    for kind, values in arrays.items():
        sums[kind] = sums.get(kind, 0.0) + float(np.square(values, dtype=np.float64).sum())


def look_at(
    tensor: Tensor,
    storages: Iterable[Storage],
    seed: int,
    given: F32 | None,
    memory: int,
    advance: Callable[[int], None],
) -> dict[str, Any]:
    """The record of a matrix: what each way of storing loses of it, and why some do not take it.
    NotUsable if it has values that are not finite. `advance` is told of weights that are done."""
    storages = list(storages)
    refused = {s.name: why for s in storages if (why := s.refusal(tensor.k))}
    sums = {s.name: Sums() for s in storages if s.name not in refused}
    x = activations(tensor.k, seed, given)
    size, outputs = 0.0, {kind: 0.0 for kind in x}
    at_once = max(1, memory // (_COPIES * 4 * tensor.k))
    for begin in range(0, tensor.n, at_once):
        w = _rows(tensor, begin, min(begin + at_once, tensor.n))
        size += float(np.einsum("ij,ij->", w, w, dtype=np.float64))
        exact = {kind: rows.astype(np.float64) @ w.T.astype(np.float64) for kind, rows in x.items()}
        _add(outputs, exact)
        for storage in storages:
            if storage.name not in refused:
                try:
                    stored = package().quantize(w, storage.format, storage.group)
                    sums[storage.name].look(begin, w, stored, x, exact, storage.arithmetics)
                except ValueError as error:
                    refused[storage.name] = str(error)
                    del sums[storage.name]
            advance(len(w) * tensor.k)
    return {
        "name": tensor.name, "n": tensor.n, "k": tensor.k, "stored": tensor.stored,
        "sum_of_squares": size, "refused": refused,
        "formats": {name: _record(found, size, outputs) for name, found in sums.items()},
    }  # fmt: skip


def _rows(tensor: Tensor, begin: int, end: int) -> F32:
    try:
        w = tensor.rows(begin, end)
    except NotImplementedError:
        raise NotUsable(f"the gguf package can't dequantize {tensor.stored}") from None
    except (ValueError, OSError, EOFError) as error:
        raise NotUsable(f"can't be read: {error}") from None
    bad = w.size - int(np.isfinite(w).sum())
    if bad:
        raise NotUsable(f"{bad} of the values in rows {begin} to {end - 1} are not finite")
    return w


def _record(found: Sums, size: float, outputs: Mapping[str, float]) -> dict[str, Any]:
    def shares(sums: Mapping[str, float]) -> dict[str, float]:
        return {kind: _share(value, outputs[kind]) for kind, value in sums.items()}

    products = {name: shares(sums) for name, sums in found.products.items()}
    return {
        "lost_squares": found.weights,
        "nmse": _share(found.weights, size),
        "worst_row": found.worst_row[0],
        "worst_row_nmse": max(found.worst_row[1], 0.0),
        "output": shares(found.output),
        "products": {"a32": shares(found.output), **products},
        "arithmetic_alone": {name: shares(sums) for name, sums in found.added.items()},
    }


def _share(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 0.0
