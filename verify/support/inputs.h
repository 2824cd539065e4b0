// SPDX-License-Identifier: Apache-2.0
// Inputs: lengths around every vector width, and values that realistic weights and trouble have.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

#include "quantbench/types.h"

namespace qb::test {

/// 0 to 2*64+1, and neighbourhoods of larger powers of two up to `limit`.
inline std::vector<std::size_t> lengths(std::size_t limit = 4096) {
  std::vector<std::size_t> list;
  for (std::size_t n = 0; n <= 130; ++n) list.push_back(n);
  for (std::size_t p = 256; p <= limit; p *= 2)
    for (const std::size_t n : {p - 1, p, p + 1, p + p / 2 + 7})
      if (n <= limit + 1) list.push_back(n);
  return list;
}

/// Log-normal magnitudes with random signs and a few outliers: what trained weights look like.
inline std::vector<float> weights(std::size_t n, std::uint32_t seed) {
  std::mt19937 words(seed);
  std::normal_distribution<float> normal;
  std::vector<float> x(n);
  for (float& v : x) {
    v = std::exp(normal(words)) * 0.02f;
    if (words() & 1) v = -v;
    if (words() % 97 == 0) v *= 40.0f;
  }
  return x;
}

/// Standard normal values.
inline std::vector<float> normal_values(std::size_t n, std::uint32_t seed) {
  std::mt19937 words(seed);
  std::normal_distribution<float> normal;
  std::vector<float> x(n);
  for (float& v : x) v = normal(words);
  return x;
}

/// Every class of binary16: zeros, subnormals, ties, the largest, infinity and NaN are all there
/// among n patterns drawn over the whole range.
inline std::vector<f16> half_patterns(std::size_t n, std::uint32_t seed) {
  std::mt19937 words(seed);
  std::vector<f16> x(n);
  for (f16& v : x) v = f16(static_cast<std::uint16_t>(words()));
  return x;
}

}  // namespace qb::test
