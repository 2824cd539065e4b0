// SPDX-License-Identifier: Apache-2.0
// What the NEON conversions share: loads of any alignment, and the loop over an array.
//
// Everything is in an anonymous namespace: see docs/decisions/0002-odr.md.
#pragma once

#include <arm_neon.h>

#include "convert/kernels.h"

namespace qb::convert {
namespace {

// Through bytes: the only element type that may alias all others and needs no alignment.
inline uint32x4_t load32(const void* p) {
  return vreinterpretq_u32_u8(vld1q_u8(static_cast<const std::uint8_t*>(p)));
}

/// eight(x, y) converts eight values, one(v, y) one: for arrays shorter than eight.
template <class In, class Out, class Eight, class One>
inline void in_eights(const In* x, std::size_t n, Out* y, Eight eight, One one) {
  std::size_t i = 0;
  for (; i + 32 <= n; i += 32) {
    eight(x + i, y + i);
    eight(x + i + 8, y + i + 8);
    eight(x + i + 16, y + i + 16);
    eight(x + i + 24, y + i + 24);
  }
  for (; i + 8 <= n; i += 8) eight(x + i, y + i);
  if (i == n) return;
  if (n >= 8) return eight(x + n - 8, y + n - 8);  // again what overlaps: the same
  for (; i < n; ++i) one(x[i], y + i);
}

}  // namespace
}  // namespace qb::convert
