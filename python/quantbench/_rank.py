# SPDX-License-Identifier: Apache-2.0
"""A function of one's own beside our variants of an operation."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from quantbench import _problems as problems
from quantbench._arrays import count, threads_of
from quantbench._catalog import Variant, formats, variants as all_variants

_BATCH = 100e-6  # seconds that a batch lasts at the least
_ROUNDS = (3, 50)


def operations() -> list[str]:
    """The operations that rank() knows: of arrays, and products."""
    names = dict.fromkeys(row.operation for row in all_variants())
    return [*problems.ARRAY_OPERATIONS, *(name for name in names if name.startswith("matmul_"))]


@dataclass(frozen=True)
class Row:
    name: str
    seconds: float  #: of one call, the median over the batches
    own: bool  #: whether it is one of our variants


@dataclass(frozen=True)
class Ranking:
    """What rank() found; print it for a table."""

    operation: str
    shape: tuple[int, ...]
    rows: list[Row]  #: the fastest first
    overhead: float  #: seconds of a call that has next to nothing to do
    overhead_of: str  #: what was called to know that
    vs_best_own: float  #: how many times as fast as our fastest variant the function is
    quartiles: tuple[float, float]  #: of that, over the rounds
    rounds: int
    verified: int  #: how many inputs the results were right on
    work: int  #: elements, or operations of a product

    @property
    def function(self) -> Row:
        return next(row for row in self.rows if not row.own)

    @property
    def best_own(self) -> Row:
        return next(row for row in self.rows if row.own)

    @property
    def vs_best_own_without_calls(self) -> float:
        """The same, had its call from Python cost nothing: an estimate, less the overhead."""
        return self.best_own.seconds / max(self.function.seconds - self.overhead, 1e-12)

    def __str__(self) -> str:
        width = max(len(row.name) for row in self.rows)
        lines = [f"{self.operation} {list(self.shape)}: right on {self.verified} inputs, "
                 f"{self.rounds} rounds in turns"]
        for place, row in enumerate(self.rows, 1):
            mark = "" if row.own else "  <-"
            lines.append(f"{place:3}  {row.name:{width}}  {_time(row.seconds):>9}  "
                         f"{self.work / row.seconds / 1e9:8.3g} G/s  "
                         f"{_times(self.best_own.seconds / row.seconds):>7}{mark}")
        low, high = self.quartiles
        lines.append(f"{self.function.name} is {_times(self.vs_best_own)} times as fast as "
                     f"{self.best_own.name} (quartiles {_times(low)} to {_times(high)}), "
                     "its call from Python included")
        lines.append(f"a call of {self.overhead_of} takes {_time(self.overhead)}, "
                     f"{100 * min(self.overhead / self.function.seconds, 1):.2g} % of that; "
                     f"without it {_times(self.vs_best_own_without_calls)} times")
        return "\n".join(lines)


def _times(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio >= 0.1 else f"{ratio:.2g}"


def _time(seconds: float) -> str:
    for unit, size in (("s", 1), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


class _Loop:
    """Calls of a function on the same arguments."""

    def __init__(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        self._function, self._arguments = function, arguments

    def time(self, calls: int) -> float:
        function, arguments = self._function, self._arguments
        begin = time.perf_counter()
        for _ in range(calls):
            function(*arguments)
        return time.perf_counter() - begin


def _on(function: Callable[..., Any], problem: problems.Problem, out: bool) -> _Loop:
    return _Loop(function, problem.given + (problem.outputs() if out else ()))


def _check(function: Callable[..., Any], problem: problems.Problem, out: bool) -> None:
    """Raises Wrong if the function's results are not the problem's, or if it changed its input."""
    arrays = [a for a in problem.given if isinstance(a, np.ndarray)]
    before = [a.copy() for a in arrays]
    outputs = problem.outputs() if out else ()
    results = function(*problem.given, *outputs)
    if any(a.tobytes() != b.tobytes() for a, b in zip(arrays, before)):
        raise problems.Wrong("it changed its input")
    if out:
        results = outputs
    problem.check(results if isinstance(results, tuple) else (results,))


def _calls(side: problems.Call) -> int:
    """How many calls last as long as a batch should."""
    side.time(1)
    calls = 1
    while (seconds := side.time(calls)) < _BATCH:
        calls = max(2 * calls, int(calls * _BATCH / max(seconds, 1e-9)))
    return calls


def _in_turns(sides: Sequence[problems.Call], budget: float) -> np.ndarray[Any, Any]:
    """Seconds of a call: [side, round, 2]. A round is a batch of each side, and again in the
    reverse order; an untimed call in front brings a side's own data back into the caches."""
    calls = [_calls(side) for side in sides]
    rounds: list[list[list[float]]] = []
    began = time.perf_counter()
    while len(rounds) < _ROUNDS[0] or (len(rounds) < _ROUNDS[1]
                                       and time.perf_counter() - began < budget):
        batches: list[list[float]] = [[] for _ in sides]
        for i in (*range(len(sides)), *reversed(range(len(sides)))):
            sides[i].time(1)
            batches[i].append(sides[i].time(calls[i]) / calls[i])
        rounds.append(batches)
    return np.array(rounds).transpose(1, 0, 2)


def _overhead(function: Callable[..., Any], name: str, smallest: problems.Problem | None,
              out: bool) -> tuple[float, str]:
    """Seconds of a call with next to nothing to do, and of what: of the function itself, or if it
    takes no other shape, of one that does nothing."""
    if smallest is None:
        side, what = _Loop(lambda: None, ()), "a Python function that does nothing"
    else:
        side, what = _on(function, smallest, out), f"{name} on the smallest input"
    calls = _calls(side)
    return min(side.time(calls) / calls for _ in range(11)), what


def _default_shape(op: str) -> tuple[int, ...]:
    if op.startswith("matmul_"):
        return (1, 4096, 4096)
    if problems.groups(op):
        return (1 << 15, 32)
    return (1 << 20,)


def _shape(op: str, shape: int | Sequence[int] | None) -> tuple[int, ...]:
    if shape is None:
        return _default_shape(op)
    axes = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
    axes = tuple(count("shape", axis, 1) for axis in axes)
    if op.startswith("matmul_"):
        if len(axes) != 3:
            raise ValueError(f"shape is {axes}, not (m, n, k)")
        return axes
    if not axes:
        raise ValueError("shape is (), but there must be a last axis")
    if axes[-1] % problems.unit(op):
        raise ValueError(f"shape is {axes}, but {op} takes rows of a multiple of "
                         f"{problems.unit(op)}")
    if problems.groups(op) and axes[-1] not in (32, 64, 128):
        raise ValueError(f"shape is {axes}, but the last axis, a group, must be 32, 64 or 128")
    return axes


def _sides(op: str, names: Sequence[str] | None) -> list[Variant]:
    rows = all_variants(op)
    if names is None:
        return [row for row in rows if row.runs]
    known = {row.name: row for row in rows}
    for name in names:
        if name not in known:
            raise ValueError(f"{op} has no variant {name!r}; there are: {', '.join(known)}")
        if not known[name].runs:
            raise ValueError(f"variant {name!r} of {op} can't run here: {known[name].refusal}")
    if not names:
        raise ValueError("variants is empty")
    return [known[name] for name in names]


def _inputs(op: str, axes: tuple[int, ...], seed: int, prepare: Callable[..., Any] | None,
            threads: int) -> tuple[problems.Problem, list[problems.Problem]]:
    """The problem that is timed, and small ones, the smallest first."""
    if not op.startswith("matmul_"):
        if prepare is not None:
            raise ValueError(f"prepare is for products, which {op} is none of")
        rng = np.random.default_rng(seed)
        values = problems.normal(rng, problems.source_type(op))
        timed = problems.array_problem(op, axes, values)
        return timed, list(problems.small_problems(op, axes, rng))

    def product(*mnk: int) -> problems.Problem:
        return problems.product_problem(op, mnk, seed, prepare, threads)

    format = formats()[op.split("_", 2)[2]]
    k = 32 if format.in_groups else format.weights if format.in_blocks else 1
    return product(*axes), [product(1, 1, k), product(1, 3, 3 * k), product(5, 7, 2 * k),
                            product(2, 33, 5 * k)]


def _verify(function: Callable[..., Any], name: str, op: str, problem: problems.Problem,
            out: bool) -> None:
    """_check(), whose refusal says on what."""
    try:
        _check(function, problem, out)
    except problems.Wrong as wrong:
        given = ", ".join(f"{a.dtype} {list(a.shape)}" if isinstance(a, np.ndarray)
                          else type(a).__name__ for a in problem.given)
        raise problems.Wrong(f"{op}: {name}({given}): {wrong}") from None


def rank(function: Callable[..., Any], op: str, shape: int | Sequence[int] | None = None, *,
         out: bool = False, prepare: Callable[..., Any] | None = None, same_shape: bool = False,
         variants: Sequence[str] | None = None, threads: int = 1, seconds: float = 2,
         seed: int = 0, name: str | None = None) -> Ranking:
    """Verifies a function and times it in turns with our variants of the operation `op`.

    `function` is anything callable on NumPy arrays: Python, Numba, a ctypes function in a lambda.
    It returns its result, a tuple if there are two, or with out=True is given arrays for them
    behind its inputs and fills those. x has the given shape; what is written [...] has its leading
    axes.

        convert_f32_f16       x -> the other type, of x's shape; bfloat16 and fp8 are ml_dtypes'
        absmax_f32            x -> float32 [...]: of each row, of all of x if it has one axis
        quantize_f32_s8       x -> codes, scales [...]; int8, or for s4 two a byte as uint8
        dequantize_s8_f32     codes, scales -> x
        quantize_f32_u4f      x -> codes, scales, zero points; codes and zero points two a byte, the
                              groups' zero points one after the other
        quantize_f32_q4_0     x -> uint8 [..., bytes of a row], blocks as in a GGUF tensor
        dequantize_q4_0_f32   those -> x
        pack_s4, unpack_s4    codes int8 [n] -> uint8 [(n+1)//2], two a byte, and back
        matmul_a8_q4_0        x [m, k], weights -> y [m, n], for a shape of (m, n, k)

    operations() lists all. Weights come as a Quantized, or as what `prepare`, which is not timed,
    makes of one. Results must be right to the bit, but any NaN is any other; a product may have
    four times the error (NMSE) that our plain loops have. They are checked on the timed input and,
    unless same_shape, on a few dozen small ones of difficult lengths and values.

    Ours are called from C++, the function from Python, as its user would. What such a call costs is
    measured on the smallest input there is and reported apart. `threads` are those of our products
    (those of the function, such as a BLAS behind it, are its user's to set), `variants` the names
    of those to time (all that run here), `seconds` the time to spend.

    The function runs in this process, which one that crashes or writes outside its arrays may end.

    Raises ValueError for an operation, shape or variant that does not exist, and Wrong, which is
    one, with the first wrong element if a result is wrong.
    """
    if op not in operations():
        raise ValueError(f"there is no operation {op!r}; quantbench.operations() lists them")
    axes = _shape(op, shape)
    sides = _sides(op, variants)
    called = name or str(getattr(function, "__name__", type(function).__name__))
    timed, small = _inputs(op, axes, seed, prepare, threads_of(threads))
    checked = [timed] if same_shape else [*small, timed]
    for problem in checked:
        _verify(function, called, op, problem, out)

    own = [timed.variant(row.name) for row in sides]
    times = _in_turns([_on(function, timed, out), *own], seconds)
    medians = np.median(times, axis=(1, 2))
    best = 1 + int(np.argmin(medians[1:]))
    ratios = times[best].sum(-1) / times[0].sum(-1)
    overhead, overhead_of = _overhead(function, called, None if same_shape else small[0], out)
    rows = [Row(called, float(medians[0]), False),
            *(Row(row.name, float(t), True) for row, t in zip(sides, medians[1:]))]
    return Ranking(op, axes, sorted(rows, key=lambda row: row.seconds), overhead, overhead_of,
                   float(np.median(ratios)),
                   (float(np.percentile(ratios, 25)), float(np.percentile(ratios, 75))),
                   len(ratios), len(checked), timed.work)
