# SPDX-License-Identifier: Apache-2.0
"""Conversion and absmax against ml_dtypes and NumPy."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as hnp

import quantbench as qb

SHAPES = hnp.array_shapes(min_dims=0, max_dims=3, max_side=70)
BITS = hnp.arrays(np.uint32, SHAPES)


def bits(a):
    return a.view(np.uint16 if a.dtype.itemsize == 2 else np.uint32)


def same(a, b):
    """Bit for bit, but any NaN is any other."""
    nan = np.isnan(a)
    return (a.shape == b.shape and np.array_equal(nan, np.isnan(b))
            and np.array_equal(bits(a)[~nan], bits(b)[~nan]))


@given(BITS, st.sampled_from([np.float16, ml_dtypes.bfloat16]))
def test_narrowing_is_theirs(pattern, dtype):
    x = pattern.view(np.float32)
    with np.errstate(over="ignore"):
        assert same(qb.convert(x, dtype), x.astype(dtype))


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_every_half_widens_as_theirs(dtype):
    x = np.arange(65536, dtype=np.uint16).view(dtype)
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


@pytest.mark.parametrize("call, says", [
    (lambda: qb.convert(np.zeros(3), np.float32), "x is of type float64, not float32 or"),
    (lambda: qb.convert(np.zeros(3, np.float32), np.int8), "no conversion from float32 to int8"),
    (lambda: qb.convert(np.zeros(3, np.float16), np.float16), "no conversion from float16"),
    (lambda: qb.absmax(np.zeros((2, 6), np.float32), 4), r"group is 4, .* of \(2, 6\)"),
    (lambda: qb.absmax(np.zeros(6, np.float32), 0), "group is 0, less than 1"),
    (lambda: qb.absmax(np.zeros(6, np.float32), 2.0), "group is 2.0, not a whole number"),
])
def test_refusals(call, says):
    with pytest.raises(ValueError, match=says):
        call()
