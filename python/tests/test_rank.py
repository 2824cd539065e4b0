# SPDX-License-Identifier: Apache-2.0
"""rank(): right functions are timed beside ours, wrong ones are told where they are wrong."""

import ctypes

import numpy as np
import pytest

import quantbench as qb
from quantbench._arrays import DTYPES
from test_arrays import theirs

BRIEFLY = {"seconds": 0.01}


def absmax(x):
    return np.abs(x).max(-1)


def quantize_s8(x):
    most = np.abs(x).max(-1, keepdims=True)
    with np.errstate(divide="ignore", over="ignore"):
        inverse = np.where(most > 0, np.float32(127) / most, np.float32(0))
    inverse[~np.isfinite(inverse)] = 0
    codes = np.clip(np.rint(x * inverse), -127, 127).astype(np.int8)
    return codes, np.where(inverse[..., 0] > 0, most[..., 0] / np.float32(127), np.float32(0))


def test_a_function_is_ranked_among_ours():
    ranking = qb.rank(absmax, "absmax_f32", 10_000, **BRIEFLY)
    assert {row.name for row in ranking.rows if row.own} == {
        row.name for row in qb.variants("absmax_f32") if row.runs}
    assert [row.seconds for row in ranking.rows] == sorted(row.seconds for row in ranking.rows)
    assert ranking.function.name == "absmax" and ranking.verified > 20
    assert 0 < ranking.overhead < ranking.function.seconds
    assert ranking.vs_best_own < ranking.vs_best_own_without_calls
    assert "absmax on the smallest input" in str(ranking) and "  <-" in str(ranking)


@pytest.mark.parametrize("op", [op for op in qb.operations() if op.startswith("convert_")])
def test_conversions_by_numpy_and_ml_dtypes(op):
    source, target = (DTYPES[name] for name in op.split("_")[1:])
    convert = theirs if source == np.float32 else lambda x, dtype: x.astype(dtype)
    qb.rank(lambda x: convert(x, target), op, 1000, variants=["scalar"], **BRIEFLY)


def test_two_results_and_rows():
    ranking = qb.rank(quantize_s8, "quantize_f32_s8", (4, 512), variants=["scalar"], **BRIEFLY)
    assert ranking.shape == (4, 512)


def test_every_array_operation_knows_its_own_answer():
    """Each is a problem that our other variants solve; those of no other are dull."""
    def by(variant, op):
        from quantbench import _problems as problems
        shape = (3, 32) if problems.groups(op) else (3, 2 * problems.unit(op) * 8)
        values = problems.normal(np.random.default_rng(1), problems.source_type(op))
        if op in ("pack_s4", "unpack_s4"):
            shape = shape[1:]
        problem = problems.array_problem(op, shape, values)
        call, results = problems._run(op, variant, problem.given, shape)
        call.time(1)
        problem.check(results)

    for op in qb.operations():
        if not op.startswith("matmul_"):
            by(qb.variants(op)[-1].name if qb.variants(op)[-1].runs else "autovec", op)


def test_a_ctypes_function_fills_what_it_is_given():
    memmove = ctypes.CDLL(None).memmove
    memmove.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]

    def absmax_of_one(x, out):
        memmove(out.ctypes.data, np.abs(x).ctypes.data, 4)

    ranking = qb.rank(absmax_of_one, "absmax_f32", 1, out=True, same_shape=True, **BRIEFLY)
    assert "does nothing" in ranking.overhead_of and ranking.verified == 1


def test_a_function_compiled_by_numba():
    numba = pytest.importorskip("numba")

    @numba.njit
    def absmax_of_all(x):
        largest = np.float32(0)
        for value in x:
            magnitude = abs(value)
            if not magnitude <= largest and not np.isnan(largest):
                largest = magnitude
        return largest

    ranking = qb.rank(absmax_of_all, "absmax_f32", 10_000, **BRIEFLY)
    assert ranking.function.name == "absmax_of_all" and ranking.verified > 20


def products():
    return [f"matmul_{arithmetic}_{format}" for format in qb.formats()
            for arithmetic in ("a32", "a8", "abf16")
            if any(v.operation == f"matmul_{arithmetic}_{format}" for v in qb.variants())]


@pytest.mark.parametrize("op", [*products(), "matmul_f16_f16"])
def test_products_of_prepared_weights(op):
    ranking = qb.rank(lambda x, w: (x.astype(np.float32) @ w).astype(x.dtype), op, (2, 24, 512),
                      prepare=lambda q: np.ascontiguousarray(qb.dequantize(q).T),
                      variants=["scalar"], **BRIEFLY)
    assert ranking.work == 2 * 2 * 24 * 512


def changed(x):
    x[0] = 1
    return np.abs(x).max()


@pytest.mark.parametrize("call, says", [
    (lambda: qb.rank(lambda x: x.max(), "absmax_f32"),
     r"float32 \[\d+\]\): its result is .*expected"),
    (lambda: qb.rank(lambda x: np.fmax.reduce(np.abs(x)), "absmax_f32"), "expected .*nan"),
    (lambda: qb.rank(lambda x: np.abs(x), "absmax_f32", (2, 5)),
     r"its result is \(1, 1\), not \(1,\)"),
    (lambda: qb.rank(lambda x: np.abs(x).max(keepdims=True).astype("f8"), "absmax_f32"),
     "is float64, not"),
    (lambda: qb.rank(changed, "absmax_f32"), "it changed its input"),
    (lambda: qb.rank(lambda x: x.astype(np.int8), "quantize_f32_s8"), "it gave 1 results, not 2"),
    (lambda: qb.rank(lambda x, w: x @ w.T, "matmul_a32_q4_0", (1, 8, 32),
                     prepare=lambda q: 1.1 * qb.dequantize(q)), "has an NMSE of 0.01, more than"),
    (lambda: qb.rank(absmax, "absmax_f64"), "no operation 'absmax_f64'"),
    (lambda: qb.rank(absmax, "quantize_f32_q4_K", 300), "rows of a multiple of 256"),
    (lambda: qb.rank(absmax, "quantize_f32_s4g", (8, 48)), "must be 32, 64 or 128"),
    (lambda: qb.rank(absmax, "matmul_a8_q4_0", 64), r"not \(m, n, k\)"),
    (lambda: qb.rank(absmax, "absmax_f32", variants=["avx9"]),
     "no variant 'avx9'; there are: scalar"),
    (lambda: qb.rank(absmax, "absmax_f32", prepare=absmax), "prepare is for products"),
])
def test_refusals(call, says):
    with pytest.raises(ValueError, match=says):
        call()
