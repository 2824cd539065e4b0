// SPDX-License-Identifier: Apache-2.0
// What the portable conversions share: batches of bit patterns, and the loop over an array.
//
// Everything is in an anonymous namespace: see docs/decisions/0002-odr.md.
#pragma once

#include "convert/kernels.h"
#include "core/xsimd_half.h"

namespace qb::convert {
namespace {

using Int = batch<std::int32_t>;
using Float = batch<float>;
constexpr std::size_t kLanes = Int::size;

inline Int bits(Float v) { return bitwise<std::int32_t>(v); }
inline Float value(Int v) { return bitwise<float>(v); }
inline Int load_bits(const float* p) { return bits(Float::load_unaligned(p)); }

/// pair(x, y) converts two batches, one(v, y) a value: for arrays shorter than two batches.
template <class In, class Out, class Pair, class One>
inline void in_pairs(const In* x, std::size_t n, Out* y, Pair pair, One one) {
  constexpr std::size_t step = 2 * kLanes;
  std::size_t i = 0;
  for (; i + 2 * step <= n; i += 2 * step) {
    pair(x + i, y + i);
    pair(x + i + step, y + i + step);
  }
  for (; i + step <= n; i += step) pair(x + i, y + i);
  if (i == n) return;
  if (n >= step) return pair(x + n - step, y + n - step);  // again what overlaps: the same
  for (; i < n; ++i) one(x[i], y + i);
}

}  // namespace
}  // namespace qb::convert
