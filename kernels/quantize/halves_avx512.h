// SPDX-License-Identifier: Apache-2.0
// Scales of blocks as floats in memory, AVX-512. Decoders are bound by shuffles, which all run on
// one port: a broadcast of a register is one of them, a broadcast from memory is only a load.
//
// In an anonymous namespace on purpose (docs/decisions/0002-odr.md).
#pragma once

#include <immintrin.h>

#include <cstddef>

namespace qb::quantize {
namespace {

constexpr std::size_t kScalesTogether = 64;

/// The scales of blocks that begin with theirs, at most kScalesTogether. It comes before any code
/// is decoded: a store of a scale between stores of results waits for those that miss the L1 cache.
template <class Block>
inline void widen_scales(const Block* x, std::size_t blocks, float* d) {
  // Behind the scale lie codes; as signalling NaNs they would raise an exception.
  __mmask8 first = 1;
  __asm__("" : "+Yk"(first));  // clang would convert all lanes and blend, if it knew the mask
  for (std::size_t i = 0; i < blocks; ++i) {
    const __m128i halves = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(x + i));
    _mm_store_ss(d + i, _mm_maskz_cvtph_ps(first, halves));
  }
}

/// Decodes blocks by one(block, its scale, results); `len` results each.
template <class Block, class One>
inline void with_scales(const Block* x, std::size_t blocks, std::size_t len, float* y,
                        const One& one) {
  float d[kScalesTogether];
  for (; blocks > 0; x += kScalesTogether, y += kScalesTogether * len) {
    const std::size_t some = blocks < kScalesTogether ? blocks : kScalesTogether;
    widen_scales(x, some, d);
    for (std::size_t i = 0; i < some; ++i) one(x[i], d[i], y + i * len);
    blocks -= some;
  }
}

}  // namespace
}  // namespace qb::quantize
