// SPDX-License-Identifier: Apache-2.0
// NumPy's legacy generator, numpy.random.RandomState, as far as the notebook uses it: the same
// seed gives the same numbers. Kept by NumPy for ever (its policy for RandomState), so that it can
// be reproduced here.
#pragma once

#include <cmath>
#include <cstdint>
#include <random>

#include "quantbench/types.h"

namespace qb::numpy {

/// np.random.seed(seed), then rand() and randn().
class RandomState {
 public:
  explicit RandomState(std::uint32_t seed) : words_(seed) {}

  /// One value of rand(): 53 bits of two words, in [0, 1).
  double uniform() {
    const std::uint32_t high = std::uint32_t(words_()) >> 5, low = std::uint32_t(words_()) >> 6;
    return (high * 67108864.0 + low) / 9007199254740992.0;
  }

  /// One value of randn(): the polar method, which makes two at a time and keeps one.
  double normal() {
    if (has_kept_) {
      has_kept_ = false;
      return kept_;
    }
    double x1, x2, r2;
    do {
      x1 = 2.0 * uniform() - 1.0;
      x2 = 2.0 * uniform() - 1.0;
      r2 = x1 * x1 + x2 * x2;
    } while (r2 >= 1.0 || r2 == 0.0);
    const double f = std::sqrt(-2.0 * std::log(r2) / r2);
    kept_ = f * x1;
    has_kept_ = true;
    return f * x2;
  }

 private:
  std::mt19937 words_;
  double kept_ = 0;
  bool has_kept_ = false;
};

/// astype(np.float16) of a double: one rounding, to nearest, ties to even. Not the two of a detour
/// through float, which differ beside every midpoint of two halves.
inline f16 to_float16(double x) {
  const std::uint16_t sign = std::signbit(x) ? 0x8000 : 0;
  if (std::isnan(x)) return f16(std::uint16_t(sign | 0x7e00));
  const double magnitude = std::fabs(x);
  if (magnitude >= 65520.0) return f16(std::uint16_t(sign | 0x7c00));
  // Below 2^-14 all halves are as far apart as just above it.
  const int exponent = magnitude < 0x1p-14 ? -14 : std::ilogb(magnitude);
  const double units = std::nearbyint(std::ldexp(magnitude, 10 - exponent));
  // A normal's leading one, 1024 units, counts as the exponent's last step; so does a carry.
  return f16(std::uint16_t(sign | ((exponent + 14) * 1024 + int(units))));
}

}  // namespace qb::numpy
