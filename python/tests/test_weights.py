# SPDX-License-Identifier: Apache-2.0
"""Every format against gguf.quants and NumPy: codes, weights back, products."""

import math
import threading

import gguf
import numpy as np
import pytest
from hypothesis import given, strategies as st

import quantbench as qb
from test_catalog import block_formats

BLOCKS = dict(block_formats())


def group_of(row):
    return 32 if row.in_groups else None


def unit_of(row):
    return row.weights if row.in_blocks else 32


def normal(n, k, seed):
    return np.random.default_rng(seed).normal(size=(n, k)).astype(np.float32)


@pytest.mark.parametrize("name", BLOCKS)
@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 2**32), st.floats(-12, 12))
def test_weights_back_are_ggufs(name, n, units, seed, magnitude):
    row = qb.formats()[name]
    w = normal(n, units * row.weights, seed) * np.float32(10.0**magnitude)
    try:
        q = qb.quantize(w, name)
    except ValueError as error:
        assert "scale" in str(error) and magnitude > 3, error  # it overflows float16
        return
    assert np.array_equal(qb.dequantize(q), gguf.quants.dequantize(q.values, BLOCKS[name]))


@pytest.mark.parametrize("name", BLOCKS)
def test_codes_are_ggufs(name):
    row = qb.formats()[name]
    w = normal(6, 4 * row.weights, 1)
    try:
        wanted = gguf.quants.quantize(w, BLOCKS[name])
    except NotImplementedError:
        pytest.skip(f"the gguf package decodes {name} but has no encoder of it")
    assert np.array_equal(qb.quantize(w, name).values, wanted)


@pytest.mark.parametrize("name, most", [("s8", 127), ("s4", 7), ("s8g", 127), ("s4g", 7)])
def test_symmetric_formats_are_numpys(name, most):
    w = normal(5, 96, 2)
    group = group_of(qb.formats()[name])
    runs = w.reshape(5, -1, group or 96)
    absmax = np.abs(runs).max(-1, keepdims=True)
    scale = absmax / np.float32(most)
    if group:
        scale = scale.astype(np.float16).astype(np.float32)
    codes = np.clip(np.rint(runs * (np.float32(most) / absmax)), -most, most)
    assert np.array_equal(qb.dequantize(qb.quantize(w, name, group)), (codes * scale).reshape(5, 96))


@pytest.mark.parametrize("group", [32, 64, 128])
@pytest.mark.parametrize("zeros", [True, False])
def test_zero_points_are_numpys(group, zeros):
    """Codes, scales and zero points of any source, as ONNX's MatMulNBits takes them."""
    rng = np.random.default_rng(5)
    n, groups = 7, 3
    codes = rng.integers(0, 256, (n, groups * group // 2), dtype=np.uint8)
    scales = rng.random((n, groups)).astype(np.float16)
    points = rng.integers(0, 256, (n, 2), dtype=np.uint8)
    q = qb.Quantized("u4h", (n, groups * group), codes, scales, group, points if zeros else None)
    nibbles = np.stack([codes & 15, codes >> 4], -1).reshape(n, groups, group).astype(np.float32)
    zero = np.stack([points & 15, points >> 4], -1).reshape(n, 4)[:, :groups] if zeros else 8
    less = np.broadcast_to(zero, (n, groups)).astype(np.float32)[:, :, None]
    wanted = ((nibbles - less) * scales.astype(np.float32)[:, :, None]).reshape(n, -1)
    assert np.array_equal(qb.dequantize(q), wanted)
    x = normal(3, groups * group, 6)
    assert np.allclose(qb.matmul(x, q, "a32"), x.astype(np.float64) @ wanted.T, rtol=1e-5, atol=1e-4)


def test_zero_points_are_refused():
    q = qb.quantize(normal(2, 64, 1), "u4h", 32)
    assert q.zeros is not None and q.zeros.shape == (2, 1)
    with pytest.raises(ValueError, match=r"zeros are \(2, 2\), not \(2, 1\)"):
        qb.Quantized("u4h", q.shape, q.values, q.scales, 32, np.zeros((2, 2), np.uint8))
    with pytest.raises(ValueError, match="s4g has no zero points"):
        qb.Quantized("s4g", q.shape, q.values, q.scales, 32, q.zeros)


@pytest.mark.parametrize("name", qb.formats())
@pytest.mark.parametrize("arithmetic, error", [("a32", 1e-6), ("a8", 2e-2), ("abf16", 1e-2)])
def test_products_are_numpys(name, arithmetic, error):
    if arithmetic == "a32" and name in ("q5_K", "q6_K"):
        error = 2e-6  # 1.4e-6 were seen
    row = qb.formats()[name]
    w = normal(40, 3 * unit_of(row), 3)
    x = normal(7, w.shape[1], 4)
    q = qb.quantize(w, name, group_of(row))
    try:
        packed = qb.pack(q, arithmetic, threads=2)
    except ValueError as refusal:
        assert row.scales == "none"
        assert f"no {arithmetic} product for {name} weights" in str(refusal)
        return
    wanted = x.astype(np.float64) @ qb.dequantize(q).astype(np.float64).T
    got = packed.matmul(x, threads=2)
    assert got.dtype == np.float32
    assert np.abs(got - wanted).max() <= error * np.abs(wanted).max()
    assert np.array_equal(qb.matmul(x[3], q, arithmetic), packed.matmul(x[3:4])[0])


def test_leading_axes_are_kept():
    q = qb.quantize(normal(6, 64, 5), "q8_0")
    assert qb.matmul(normal(6, 64, 6).reshape(2, 3, 64), q).shape == (2, 3, 6)


def test_a_named_variant_runs():
    q = qb.quantize(normal(6, 64, 5), "q8_0")
    assert qb.pack(q, "a8", "scalar").variant == "scalar"
    with pytest.raises(ValueError, match="no variant 'nonsense'; there are: scalar"):
        qb.pack(q, "a8", "nonsense")


def test_threads_share_packed_weights():
    q = qb.quantize(normal(64, 256, 7), "q4_0")
    packed, x = qb.pack(q), normal(9, 256, 8)
    wanted, got = packed.matmul(x), [None] * 4

    def work(i):
        got[i] = packed.matmul(x)

    workers = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert all(np.array_equal(wanted, y) for y in got)


def test_packed_weights_outlive_their_arrays():
    packed = qb.pack(qb.quantize(normal(6, 64, 5), "f32"), "a32", "scalar")
    assert np.allclose(packed.matmul(np.eye(64, dtype=np.float32)), normal(6, 64, 5).T)


def misplaced(a):
    """The same array one byte behind an aligned address."""
    return np.frombuffer(b"\0" + a.tobytes(), np.uint8)[1:].view(a.dtype).reshape(a.shape)


@pytest.mark.parametrize("name", qb.formats())
def test_arrays_may_lie_anywhere(name):
    """Fortran's order, negative strides, read-only, misaligned, a row repeated: what comes out is
    what comes of an ordinary array."""
    row = qb.formats()[name]
    group = group_of(row)
    w = normal(6, 2 * unit_of(row), 1)
    x = normal(3, w.shape[1], 2)
    read_only = w.copy()
    read_only.flags.writeable = False
    q = qb.quantize(w, name, group)
    for other in (np.asfortranarray(w), w[::-1].copy()[::-1], w[:, ::-1].copy()[:, ::-1], read_only,
                  misplaced(w)):
        assert np.array_equal(qb.quantize(other, name, group).values, q.values)
    elsewhere = qb.Quantized(name, q.shape, misplaced(q.values),
                             None if q.scales is None else misplaced(q.scales), group,
                             None if q.zeros is None else misplaced(q.zeros))
    assert np.array_equal(qb.dequantize(elsewhere), qb.dequantize(q))
    y = qb.matmul(x, q, "a32")
    for other in (np.asfortranarray(x), misplaced(x)):
        assert np.array_equal(qb.matmul(other, elsewhere, "a32"), y)
    assert np.array_equal(qb.matmul(np.broadcast_to(x[:1], (3, x.shape[1])), q, "a32")[2], y[0])


def test_nothing_has_no_size():
    q = qb.quantize(np.zeros((0, 64), np.float32), "q4_0")
    assert qb.matmul(normal(2, 64, 1), q).shape == (2, 0)
    assert math.isnan(q.bits_per_weight) and math.isnan(qb.formats()["q4_0"].bits_per_weight(0))
    assert np.array_equal(qb.matmul(np.zeros((2, 0), np.float32),
                                    qb.quantize(np.zeros((3, 0), np.float32), "q4_0")),
                          np.zeros((2, 3)))


def with_nan():
    w = normal(2, 64, 1)
    w[1, 3] = np.nan
    return w


@pytest.mark.parametrize("call, says", [
    (lambda: qb.quantize(np.zeros((2, 64)), "q4_0"), "w is of type float64, not float32"),
    (lambda: qb.quantize(np.zeros(64, np.float32), "q4_0"), "w has 1 axes, not 2"),
    (lambda: qb.quantize(normal(2, 33, 1), "q4_0"), "w has rows of 33, not a multiple of 32"),
    (lambda: qb.quantize(normal(2, 64, 1), "q3"), "no format 'q3'; there are: f32, f16"),
    (lambda: qb.quantize(normal(2, 64, 1), "s4g"), "s4g needs group"),
    (lambda: qb.quantize(normal(2, 64, 1), "s4g", 48), "group is 48, none of"),
    (lambda: qb.quantize(normal(2, 64, 1), "s4", 32), "s4 has no groups to choose"),
    (lambda: qb.quantize(with_nan(), "q4_0"), r"row 1: .*'x'\[3\] is NaN"),
    (lambda: qb.quantize(normal(2, 64, 1) * np.float32(1e9), "q8_0"), "block 0"),
    (lambda: qb.matmul(normal(2, 32, 1), qb.quantize(normal(2, 64, 1), "q4_0")),
     r"x is \(2, 32\), but the weights take rows of 64"),
    (lambda: qb.matmul(normal(2, 64, 1), qb.quantize(normal(2, 64, 1), "q4_0"), "a16"),
     "no arithmetic 'a16'; there are: a32"),
    (lambda: qb.matmul(normal(2, 64, 1), qb.quantize(normal(2, 64, 1), "q4_0"), threads=0),
     "threads is 0, less than 1"),
    (lambda: qb.matmul(normal(2, 64, 1), qb.quantize(normal(2, 64, 1), "q4_0"), threads=2**40),
     "threads is 1099511627776, more than 4096"),
    (lambda: qb.pack(qb.quantize(normal(2, 64, 1), "q4_0"), expected_m=2**70), "expected_m is .*more"),
    (lambda: qb.pack(qb.quantize(normal(2, 64, 1), "q4_0"), 8), "arithmetic is 8, not a string"),
    (lambda: qb.pack(qb.quantize(normal(2, 64, 1), "q4_0"), variant=None),
     "variant is None, not a string"),
    (lambda: qb.quantize(normal(2, 64, 1), ["q4_0"]), "format is .*, not a string"),
    (lambda: qb.matmul(normal(2, 64, 1), normal(2, 64, 1)), "q is of type ndarray, not Quantized"),
    (lambda: qb.pack(normal(2, 64, 1)), "q is of type ndarray, not Quantized"),
    (lambda: qb.dequantize(normal(2, 64, 1)), "q is of type ndarray, not Quantized"),
    (lambda: qb.Quantized("q4_0", (2, 63), np.zeros((2, 36), np.uint8)),
     r"shape is \(2, 63\), but q4_0 takes rows of a multiple of 32"),
    (lambda: qb.Quantized("q4_0", (2, 64, 1), np.zeros((2, 36), np.uint8)),
     r"shape is \(2, 64, 1\), not \(N, K\)"),
    (lambda: qb.Quantized("q4_0", (2, 64), np.zeros((2, 35), np.uint8)),
     r"values are \(2, 35\), not \(2, 36\)"),
    (lambda: qb.Quantized("s8", (2, 64), np.zeros((2, 64), np.uint8)), "s8 needs scales"),
])
def test_refusals(call, says):
    with pytest.raises(ValueError, match=says):
        call()
