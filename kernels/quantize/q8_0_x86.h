// SPDX-License-Identifier: Apache-2.0
// How a call to q8_0 is cut, for AVX2 and AVX-512: blocks one by one up to a cache line, 32 at a
// time past the caches, 16 at a time, and one by one.
//
// In an anonymous namespace on purpose (docs/decisions/0002-odr.md).
#pragma once

#include "core/stream.h"
#include "quantbench/blocks.h"

namespace qb::quantize {
namespace {

/// Encoder::one_by_one(x, blocks, y) takes any number, Encoder::many<stream>(x, blocks, y) a
/// multiple of 16, or of 32 from a cache line on that go past the caches.
template <class Encoder>
inline void quantize_q8_0(const float* x, std::size_t blocks, BlockQ8_0* y) {
  if (past_caches(blocks * kBlock * sizeof *x, blocks * sizeof *y)) {
    std::size_t first = 0;  // 34 bytes a block: some count up to 31 reaches any even alignment
    while (reinterpret_cast<std::uintptr_t>(y + first) % 64 != 0) ++first;
    Encoder::one_by_one(x, first, y);
    x += first * kBlock, y += first, blocks -= first;
    const std::size_t done = blocks / 32 * 32;
    Encoder::template many<true>(x, done, y);
    _mm_sfence();
    x += done * kBlock, y += done, blocks -= done;
  }
  if (const std::size_t done = blocks / 16 * 16) {
    Encoder::template many<false>(x, done, y);
    x += done * kBlock, y += done, blocks -= done;
  }
  Encoder::one_by_one(x, blocks, y);
}

}  // namespace
}  // namespace qb::quantize
