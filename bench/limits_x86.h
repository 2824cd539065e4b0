// SPDX-License-Identifier: Apache-2.0
// Arithmetic peaks of AVX2 and AVX-512: FMA, and vpmaddubsw + vpmaddwd + vpaddd. For the vectors V
// (bytes) and F (floats), whose operations the including limits_<isa>.cc defines in an anonymous
// namespace before it includes this:
//   F floats(float), F fma(F x, F y, F sum)
//   V zero(), V bytes(char), V words(short), V add16(V, V), V add32(V, V)
//   V pairs16(V, V)   vpmaddubsw: products of unsigned and signed bytes, two of them added
//   V pairs32(V, V)   vpmaddwd: products of 16 bits, two of them added
#pragma once

#include "limits_kernels.h"
#include "limits_peak.h"
#include "limits_stream.h"

namespace qb::limits {
namespace {

double f32_peak(std::size_t rounds) {
  chains<12>(rounds, floats(1.0f), floats(0.999f), [](F sum, F x) { return fma(x, x, sum); });
  return double(12 * sizeof(F) / sizeof(float) * 2);
}

double int8_peak(std::size_t rounds) {
  const V ones = words(1);
  chains<8>(rounds, zero(), bytes(3),
            [=](V sum, V x) { return add32(sum, pairs32(pairs16(x, x), ones)); });
  return double(8 * sizeof(V) * 2);
}

// Eight products of nibbles and bytes add up in 16 bits (8 * 2 * 15 * 127 < 32768), so that only
// the eighth addition has to widen.
double int4_peak(std::size_t rounds) {
  const V ones = words(1);
  chains<4>(rounds, zero(), bytes(3), [=](V sum, V& x) {
    V sums = pairs16(x, x);
    for (int product = 1; product < 8; ++product) {
      hide(x);
      sums = add16(sums, pairs16(x, x));
    }
    return add32(sum, pairs32(sums, ones));
  });
  return double(4 * 8 * sizeof(V) * 2);
}

constexpr LimitKernels x86_limits(const char* isa) {
  return {.isa = isa,
          .step_bytes = sizeof(V),
          .loops = kLoops,
          .loop_count = kLoopCount,
          .f32_peak = f32_peak,
          .int8_peak = int8_peak,
          .int4_peak = int4_peak};
}

}  // namespace
}  // namespace qb::limits
