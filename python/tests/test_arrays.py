# SPDX-License-Identifier: Apache-2.0
"""Conversion and absmax against ml_dtypes and NumPy."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as hnp

import quantbench as qb
from quantbench._arrays import DTYPES

SHAPES = hnp.array_shapes(min_dims=0, max_dims=3, max_side=70)
BITS = hnp.arrays(np.uint32, SHAPES)


#: (from, to) of every conversion that the library has
CONVERSIONS = [tuple(DTYPES[name] for name in operation.split("_")[1:])
               for operation in qb.operations() if operation.startswith("convert_")]
NARROW = [target for source, target in CONVERSIONS if source == np.float32]
E4M3 = np.dtype(ml_dtypes.float8_e4m3fn)


def same(a, b):
    """Bit for bit, but any NaN is any other."""
    nan, bits = np.isnan(a), np.dtype(f"u{a.dtype.itemsize}")
    return (a.shape == b.shape and np.array_equal(nan, np.isnan(b))
            and np.array_equal(a.view(bits)[~nan], b.view(bits)[~nan]))


def theirs(x, dtype):
    """Of float32. What overflows E4M3 is NaN there, and its largest number here."""
    with np.errstate(over="ignore", invalid="ignore"):
        narrow = x.astype(dtype)
    if dtype == E4M3:
        saturated = np.isnan(narrow) & ~np.isnan(x)
        narrow = np.where(saturated, np.copysign(np.float32(448), x).astype(dtype), narrow)
    return narrow


@given(BITS, st.sampled_from(NARROW))
def test_narrowing_is_theirs(pattern, dtype):
    x = pattern.view(np.float32)
    assert same(qb.convert(x, dtype), theirs(x, dtype))


@pytest.mark.parametrize("dtype", [source for source, target in CONVERSIONS if target == np.float32])
def test_every_number_widens_as_theirs(dtype):
    patterns = np.arange(1 << 8 * dtype.itemsize, dtype=f"u{dtype.itemsize}")
    x = patterns.view(dtype)
    assert same(qb.convert(x, np.float32), x.astype(np.float32))


@given(hnp.arrays(np.float32, SHAPES, elements=st.floats(width=32, allow_nan=False)))
def test_absmax_of_a_tensor(x):
    assert qb.absmax(x) == (np.abs(x).max() if x.size else 0)


@given(st.integers(1, 9), st.integers(0, 5), st.integers(1, 5))
def test_absmax_of_groups(group, rows, groups):
    x = np.random.default_rng(group).normal(size=(rows, groups * group)).astype(np.float16)
    wanted = np.abs(x.reshape(rows, groups, group)).max(-1)
    assert np.array_equal(qb.absmax(x, group), wanted)


def test_strided_input_is_copied():
    x = np.arange(24, dtype=np.float32).reshape(4, 6)[::2, ::3]
    assert np.array_equal(qb.convert(x, np.float16), x.astype(np.float16))


def test_misaligned_input_is_copied():
    x = np.frombuffer(b"\0" + np.arange(6, dtype=np.float32).tobytes(), np.uint8)[1:].view(np.float32)
    assert not x.flags.aligned
    assert np.array_equal(qb.convert(x, np.float16), np.arange(6))
    assert qb.absmax(x) == 5


@pytest.mark.parametrize("dtype", [source for source, _ in CONVERSIONS])
def test_no_axes_and_no_elements(dtype):
    targets = [target for source, target in CONVERSIONS if source == dtype]
    for target in targets:
        assert qb.convert(np.array(1.5, dtype), target) == np.array(1.5, target)
        assert qb.convert(np.zeros((0, 3), dtype), target).shape == (0, 3)


@pytest.mark.parametrize("call, says", [
    (lambda: qb.convert(np.zeros(3, np.float32), "nonsense"), "dtype is 'nonsense', no type"),
    (lambda: qb.absmax(np.zeros(3, ">f4")), "x is of type >f4, not float32"),
    (lambda: qb.dequantize_f16(np.zeros(3, np.int8), 1e9), "is infinite"),
    (lambda: qb.unpack_s4(np.zeros(2, np.uint8), 5), "packed has 2 bytes, but 5 codes take 3"),
    (lambda: qb.convert(np.zeros(3), np.float32), "x is of type float64, not float16 or float32"),
    (lambda: qb.convert(np.zeros(3, np.float32), np.int8), "no conversion from float32 to int8"),
    (lambda: qb.convert(np.zeros(3, np.float16), np.float16), "no conversion from float16"),
    (lambda: qb.absmax(np.zeros((2, 6), np.float32), 4), r"group is 4, .* of \(2, 6\)"),
    (lambda: qb.absmax(np.zeros(6, np.float32), 0), "group is 0, less than 1"),
    (lambda: qb.absmax(np.zeros(6, np.float32), 2.0), "group is 2.0, not a whole number"),
])
def test_refusals(call, says):
    with pytest.raises(ValueError, match=says):
        call()
