// SPDX-License-Identifier: Apache-2.0
// What the AVX2 kernels of groups share: their largest magnitudes, eight at once, and the order of
// the two passes over them.
//
// In an anonymous namespace on purpose (docs/decisions/0002-odr.md).
#pragma once

#include <immintrin.h>

#include "core/turns.h"
#include "quantbench/types.h"

#if !defined(__AVX2__) || !defined(__F16C__)
#error "compile with the flags of cmake/Isa.cmake for avx2"
#endif

namespace qb {
namespace {

/// The maximum of magnitudes as integers. Without a sign, integers and floats have the same order;
/// integer maxima run on more pipes, and NaN needs no special case.
[[maybe_unused]] inline __m256i greater(__m256i a, __m256i b) { return _mm256_max_epu32(a, b); }

/// Reduces four registers to one with `op`: each half of the result has lanes a, b, c, d, one for
/// each register. Each of the two steps joins pairs of registers, as a transpose does, and keeps
/// the larger of what it joins.
template <class Op>
[[maybe_unused]] inline __m256i reduce4(__m256i a, __m256i b, __m256i c, __m256i d, Op op) {
  const __m256i ab = op(_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));  // abab
  const __m256i cd = op(_mm256_unpacklo_epi32(c, d), _mm256_unpackhi_epi32(c, d));
  return op(_mm256_unpacklo_epi64(ab, cd), _mm256_unpackhi_epi64(ab, cd));
}
/// Joins two results of reduce4: lane i is `op` over the lanes of register i of eight.
template <class Op>
[[maybe_unused]] inline __m256 reduce8(__m256i low, __m256i high, Op op) {
  return _mm256_castsi256_ps(
      op(_mm256_permute2x128_si256(low, high, 0x20), _mm256_permute2x128_si256(low, high, 0x31)));
}

/// Absmax of four consecutive runs of kLen elements, in each half. kFar: the runs come from memory,
/// where the loads must stay in ascending order, since prefetchers lose the stream otherwise. In
/// cache gcc's own order is faster.
template <std::size_t kLen, bool kFar>
[[maybe_unused]] inline __attribute__((always_inline)) __m256i absmax_of_4(const float* x) {
  const auto magnitude = [](const float* p) {
    __m256i v = _mm256_and_si256(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)),
                                 _mm256_set1_epi32(0x7fffffff));
    if constexpr (kFar) __asm__ volatile("" : "+x"(v));
    return v;
  };
  __m256i g[4];
#pragma GCC unroll 4
  for (std::size_t i = 0; i < 4; ++i) {
    const float* const run = x + i * kLen;
    __m256i a = greater(magnitude(run), magnitude(run + 8));
    __m256i b = greater(magnitude(run + 16), magnitude(run + 24));
    for (std::size_t j = 32; j < kLen; j += 16) {
      a = greater(a, magnitude(run + j));
      b = greater(b, magnitude(run + j + 8));
    }
    g[i] = greater(a, b);
  }
  return reduce4(g[0], g[1], g[2], g[3], greater);
}

/// The pipeline of both passes over groups of kLen elements, a multiple of 16 groups:
///
///   first(x)               maxima of four groups at x, reduced to one set of registers
///   reduce(...)            joins such sets to a vector with a lane for each of eight groups
///   factors(g, v, n)       the divisions: factors of groups g to g+n-1 from the first n lanes of v
///   codes(g, factor, x)    encodes groups g to g+3 at x
///
/// Software pipeline: while groups g to g+7 are encoded, the maxima and factors of the next eight
/// are computed, a part of them after every four groups. This hides the latency of the chain of
/// loads, tree and division. A core retires in order: behind a whole chain in one place it would
/// run out of registers.
///
/// kFar: x comes from memory. The first pass then does not run ahead, which is slower there
/// (measured on a Zen 4), and 2 KiB are encoded at a time.
template <std::size_t kLen, bool kFar, class First, class Reduce, class Factors, class Codes>
[[maybe_unused]] inline __attribute__((always_inline)) void in_two_passes(
    const float* x, std::size_t groups, First first, Reduce reduce, Factors factors, Codes codes) {
  constexpr std::size_t kFour = 4 * kLen;
  alignas(32) float factor[16];
  if constexpr (kFar) {
    constexpr std::size_t kFours = kLen < 128 ? 128 / kLen : 1;
    for_turns<4 * kFours>(groups, [&](std::size_t g) {
      const float* const from = x + g * kLen;
      for (std::size_t i = 0; i < kFours; i += 2) {
        const auto low = first(from + i * kFour);
        const auto high = kFours == 1 ? low : first(from + (i + 1) * kFour);
        _mm256_store_ps(factor + 4 * i, factors(g + 4 * i, reduce(low, high), kFours == 1 ? 4 : 8));
      }
      for (std::size_t i = 0; i < kFours; ++i) codes(g + 4 * i, factor + 4 * i, from + i * kFour);
    });
  } else {
    using Four = decltype(first(x));
    // Fours of groups that the first pass is ahead. Long groups need less; with two vectors a four
    // there are no registers for more.
    constexpr std::size_t kAhead = kLen < 128 && sizeof(Four) == 32 ? 4 : 3, kReduce = 4 - kAhead;
    const float* const last = x + (groups - 4) * kLen;
    const auto first_at = [=](const float* p) { return first(p < last ? p : last); };
    Four two[2] = {first(x), first(x + kFour)};
    auto eight = reduce(two[0], two[1]);
    _mm256_store_ps(factor, factors(0, eight, 8));
    for (std::size_t i = 2; i < kAhead; ++i) two[i % 2] = first_at(x + i * kFour);
    for (std::size_t g = 0; g < groups; g += 8) {
#pragma GCC unroll 2
      for (std::size_t i = 0; i < 2; ++i, x += kFour) {
        if (g + 8 < groups) {
          if (i == kReduce) eight = reduce(two[0], two[1]);
          if (i == 1) _mm256_store_ps(factor + (g + 8) % 16, factors(g + 8, eight, 8));
          two[(i + kAhead) % 2] = first_at(x + kAhead * kFour);
        }
        codes(g + 4 * i, factor + g % 16 + 4 * i, x);
      }
    }
  }
}

}  // namespace
}  // namespace qb
