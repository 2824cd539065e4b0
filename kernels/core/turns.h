// SPDX-License-Identifier: Apache-2.0
// How arrays too large for the caches are read on x86: several places, far apart, take turns of 2
// or 4 KiB each.
//
//   place     0           1           2           3
//   x        [1 5 9 ...  |2 6 ...    |3 7 ...    |4 8 ...    ]  the order in which pieces are read
//
// This way L3 still holds more of the data of the last call, and memory serves several streams at
// once. Absmax reads four places by ascending 32-byte loads, which a Zen 4 gains by as long as L3
// holds a part of the data (docs/decisions/0006-streams-and-prefetch.md). Turns of one or two cache
// lines gain nothing, nor do 64-byte loads, which the core reorders across turns. More than sixteen
// places are slower than one.
//
// Everything is in an anonymous namespace: see docs/decisions/0002-odr.md.
#pragma once

#include <immintrin.h>

#include "core/stream.h"
#include "quantbench/types.h"

#if !defined(__AVX2__)
#error "compile with the flags of cmake/Isa.cmake for avx2 at the least"
#endif

namespace qb {
namespace {

constexpr std::size_t kPlaces = 4, kTurnBytes = 2048;

/// The distance between places, in turns, for `turns` turns in all. It is odd, since places at an
/// even distance would share sets of L1.
[[maybe_unused]] constexpr std::size_t turns_apart(std::size_t turns, std::size_t places) {
  return (turns / places - 1) | 1;
}

/// Calls step(g) for every kStep-th of n groups (n large), two steps to a turn. Two places only:
/// with output beside the input four are slower than one.
template <std::size_t kStep, class Step>
[[maybe_unused]] inline __attribute__((always_inline)) void for_turns(std::size_t n, Step step) {
  const std::size_t steps = n / kStep, stride = 2 * turns_apart(steps / 2, 2);
  for (std::size_t i = 0; i < steps; ++i) {
    const std::size_t place = i / 2 % 2, at = i / 4 * 2 + i % 2;
    step((at < stride ? place * stride + at : i) * kStep);
  }
}

/// Per-lane maxima, as integers with the sign cleared, of the first `done` elements of a run too
/// large for the caches. The caller handles the last few KiB.
struct FarMaxima {
  __m256i most = _mm256_setzero_si256();
  std::size_t done = 0;
};

template <class T>
[[maybe_unused, gnu::noinline]] FarMaxima far_maxima(const T* x, std::size_t len) {
  constexpr bool kHalf = sizeof(T) == 2;
  constexpr std::size_t kTurn = kTurnBytes / sizeof(T), kLanes = 32 / sizeof(T);
  const __m256i no_sign = kHalf ? _mm256_set1_epi16(0x7fff) : _mm256_set1_epi32(0x7fffffff);
  const auto greater = [](__m256i a, __m256i b) {
    return kHalf ? _mm256_max_epu16(a, b) : _mm256_max_epu32(a, b);
  };
  const std::size_t stride = turns_apart(len / kTurn, kPlaces) * kTurn;
  __m256i a[4];
  for (auto& v : a) v = _mm256_setzero_si256();
  for (std::size_t j = 0; j < stride; j += kTurn)
    for (std::size_t place = 0; place < kPlaces; ++place) {
      const T* const turn = x + place * stride + j;
      for (std::size_t k = 0; k < kTurn; k += 8 * kLanes)
        for (std::size_t i = 0; i < 4; ++i) {
          __m256i v[2];
          for (std::size_t h = 0; h < 2; ++h) {
            const auto* const p = reinterpret_cast<const __m256i*>(turn + k + (2 * i + h) * kLanes);
            v[h] = _mm256_and_si256(_mm256_loadu_si256(p), no_sign);
            __asm__ volatile("" : "+x"(v[h]));  // in this order
          }
          a[i] = greater(a[i], greater(v[0], v[1]));
        }
    }
  return {greater(greater(a[0], a[1]), greater(a[2], a[3])), kPlaces * stride};
}

}  // namespace
}  // namespace qb
