// SPDX-License-Identifier: Apache-2.0
// Oracle of the formats of groups with zero points, from the contract (section 3): every step one
// rounding to f32.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "oracle/half.h"
#include "oracle/quantize.h"

namespace qb::oracle {

/// Codes, scales and zero points of all groups as they are stored.
template <class S>
struct U4 {
  std::vector<std::uint8_t> q;
  std::vector<S> scale;
  std::vector<std::uint8_t> zero;  ///< empty if there are none

  /// The k'th of the nibbles in `bytes`.
  static int nibble(std::span<const std::uint8_t> bytes, std::size_t k) {
    return k % 2 ? bytes[k / 2] / 16 : bytes[k / 2] % 16;
  }
  static void append(std::vector<std::uint8_t>& bytes, std::size_t k, int nibble) {
    if (k % 2)
      bytes.back() = std::uint8_t(bytes.back() + 16 * nibble);
    else
      bytes.push_back(std::uint8_t(nibble));
  }
};

/// scale, zero point and codes of one group.
struct QuantizerU4 {
  float scale = 0;
  int zero = 0;

  explicit QuantizerU4(std::span<const float> group) {
    double low = 0, high = 0;
    for (const float e : group) {
      low = std::min(low, double(e));
      high = std::max(high, double(e));
    }
    scale = float(float(high - low) / 15.0);
    if (scale > 0) zero = int(std::clamp(std::nearbyint(float(-low / scale)), 0.0f, 15.0f));
  }
  int code(float x) const {
    if (scale == 0) return 0;
    return int(std::clamp(std::nearbyint(float(double(x) / scale)) + float(zero), 0.0f, 15.0f));
  }
};

inline void store(float scale, float& to) { to = scale; }
inline void store(float scale, f16& to) { to = to_f16(scale); }

template <class S>
U4<S> quantize_u4(std::span<const float> x, std::size_t groups, std::size_t len, bool zeros) {
  U4<S> out;
  out.scale.resize(groups);
  for (std::size_t g = 0; g < groups; ++g) {
    const auto group = x.subspan(g * len, len);
    if (zeros) {
      const QuantizerU4 quantizer(group);
      store(quantizer.scale, out.scale[g]);
      out.append(out.zero, g, quantizer.zero);
      for (std::size_t j = 0; j < len; ++j) out.append(out.q, j, quantizer.code(group[j]));
    } else {
      const QuantizerF32 quantizer(group, 7);
      store(quantizer.scale, out.scale[g]);
      for (std::size_t j = 0; j < len; ++j) out.append(out.q, j, quantizer.code(group[j]) + 8);
    }
  }
  return out;
}

/// Element j of all groups of len.
template <class S>
float dequantized_u4(const U4<S>& from, std::size_t len, std::size_t j) {
  const std::size_t g = j / len;
  const int zero = from.zero.empty() ? 8 : from.nibble(from.zero, g);
  return dequantized(from.nibble(from.q, j) - zero, from.scale[g]);
}

}  // namespace qb::oracle
