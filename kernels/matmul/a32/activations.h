// SPDX-License-Identifier: Apache-2.0
// Activations of the products with f32 sums, as their tiles read them.
//
// The workspace: up to kPlainRows rows lie one behind the other. More rows come, for every
// S::kDepth k's, in tiles of S::kRows rows (the last may be lower). In a tile the rows stand side
// by side, k by k:
//
//   x[row 0][k], x[row 1][k], ... x[row 0][k+1], x[row 1][k+1], ...
//
// k is filled up with zeros to whole steps.
//
// In an anonymous namespace on purpose: see docs/decisions/0002-odr.md.
#pragma once

#include "matmul/a32/layout.h"

namespace qb::matmul {
namespace {

/// Of so few rows an instruction can address an element of each without a pointer of its own.
constexpr size_t kPlainRows = 4;

inline size_t workspace_bytes(size_t m, size_t, size_t k, size_t) {
  return m * padded(k) * sizeof(float);
}

/// Four floats, which compilers know on every instruction set.
typedef float Four __attribute__((vector_size(16)));

inline Four load_four(const float* p) {
  Four v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
inline void store_four(float* p, Four v) { __builtin_memcpy(p, &v, sizeof v); }

/// k's [0, n) of four rows, x_stride apart, to a tile of `rows` rows: out[k*rows + r] = x[r][k].
inline void put_four_rows(const float* x, size_t x_stride, size_t n, size_t rows, float* out) {
  size_t k = 0;
  for (; k + 4 <= n; k += 4, x += 4, out += 4 * rows) {
    const Four a = load_four(x), b = load_four(x + x_stride);
    const Four c = load_four(x + 2 * x_stride), d = load_four(x + 3 * x_stride);
    const Four ab0 = __builtin_shufflevector(a, b, 0, 4, 1, 5);
    const Four ab1 = __builtin_shufflevector(a, b, 2, 6, 3, 7);
    const Four cd0 = __builtin_shufflevector(c, d, 0, 4, 1, 5);
    const Four cd1 = __builtin_shufflevector(c, d, 2, 6, 3, 7);
    store_four(out, __builtin_shufflevector(ab0, cd0, 0, 1, 4, 5));
    store_four(out + rows, __builtin_shufflevector(ab0, cd0, 2, 3, 6, 7));
    store_four(out + 2 * rows, __builtin_shufflevector(ab1, cd1, 0, 1, 4, 5));
    store_four(out + 3 * rows, __builtin_shufflevector(ab1, cd1, 2, 3, 6, 7));
  }
  for (; k < n; ++k, ++x, out += rows)
    for (size_t r = 0; r < 4; ++r) out[r] = x[r * x_stride];
}

/// k's [0, n) of `rows` rows to a tile. The last four rows of a tile may have been put in part
/// already; a last tile of fewer rows than four goes row by row.
inline void put_tile(const float* x, size_t x_stride, size_t rows, size_t n, float* out) {
  if (rows >= 4) {
    for (size_t r = 0; r < rows; r += 4) {
      const size_t first = least(r, rows - 4);
      put_four_rows(x + first * x_stride, x_stride, n, rows, out + first);
    }
  } else {
    for (size_t r = 0; r < rows; ++r)
      for (size_t k = 0; k < n; ++k) out[k * rows + r] = x[r * x_stride + k];
  }
}

/// n activations as floats: f16 widened, f32 rounded to bf16.
template <class S>
inline void as_floats(const f16* x, size_t n, float* out) {
  S::widen(x, n, out);
}
template <class S>
inline void as_floats(const float* x, size_t n, float* out) {
  for (size_t i = 0; i < n; ++i) out[i] = bf16_to_f32(f32_to_bf16(x[i]));
}

/// Rows [m0, m1) one behind the other.
template <class S, bool rounds, class T>
void put_plain_rows(const T* x, size_t k, size_t m0, size_t m1, float* workspace) {
  for (size_t row = m0; row < m1; ++row) {
    float* const to = workspace + row * padded(k);
    if constexpr (sizeof(T) == sizeof(float) && !rounds)
      __builtin_memcpy(to, x + row * k, k * sizeof(float));
    else
      as_floats<S>(x + row * k, k, to);
    for (size_t i = k; i < padded(k); ++i) to[i] = 0;
  }
}

template <class S, class T, bool rounds = false>
void prepare(const void* activations, size_t m, size_t k, size_t, size_t m0, size_t m1,
             void* workspace) {
  constexpr size_t kDepth = S::kDepth;
  constexpr bool in_place = sizeof(T) == sizeof(float) && !rounds;
  const T* const x = static_cast<const T*>(activations);
  if (m <= kPlainRows)
    return put_plain_rows<S, rounds>(x, k, m0, m1, static_cast<float*>(workspace));
  float room[in_place ? 1 : S::kRows * kDepth];
  for (size_t k0 = 0; k0 < k; k0 += kDepth) {
    const size_t depth = least(kDepth, padded(k) - k0), there = least(depth, k - k0);
    float* const block = static_cast<float*>(workspace) + k0 * m;
    for (size_t first = m0; first < m1; first += S::kRows) {
      const size_t rows = least(S::kRows, m - first);
      float* const tile = block + first * depth;
      const float* from = room;
      if constexpr (in_place)
        from = x + first * k + k0;
      else
        for (size_t r = 0; r < rows; ++r)
          as_floats<S>(x + (first + r) * k + k0, there, room + r * kDepth);
      put_tile(from, in_place ? k : kDepth, rows, there, tile);
      for (size_t i = there * rows; i < depth * rows; ++i) tile[i] = 0;
    }
  }
}

}  // namespace
}  // namespace qb::matmul
