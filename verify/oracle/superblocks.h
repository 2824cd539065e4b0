// SPDX-License-Identifier: Apache-2.0
// Oracle of the block formats whose codes are integers, from the contract (section 3): a group at a
// time, every step one rounding to f32, sums in order.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>

#include "oracle/half.h"
#include "quantbench/blocks.h"

namespace qb::oracle {

/// rne(v), clipped; the lowest for NaN.
inline int clipped_code(float v, int lowest, int highest) {
  if (std::isnan(v)) return lowest;
  return int(std::clamp(std::nearbyint(double(v)), double(lowest), double(highest)));
}

// ---- q4_K, q5_K

/// How the two search (contract, section 3).
struct MinimumSearch {
  int highest;
  float first;
  int tries;
};
inline constexpr MinimumSearch kSearchQ4{15, -1.0f, 20}, kSearchQ5{31, -0.5f, 15};

struct ScaleAndMinimum {
  float scale = 0, minimum = 0;
  std::array<int, 32> codes{};
};

/// 32 values with the weights that their errors have.
class WeightedGroup {
 public:
  WeightedGroup(std::span<const float> x, int highest) : x_(x), highest_(highest) {
    float squares = 0;
    for (const float e : x) squares = squares + e * e;
    average_ = std::sqrt(squares / 32);
    for (std::size_t j = 0; j < 32; ++j) {
      sum_w_ = sum_w_ + weight(j);
      sum_wx_ = sum_wx_ + weight(j) * x_[j];
    }
  }

  std::array<int, 32> codes(float inverse, float least) const {
    std::array<int, 32> codes;
    for (std::size_t j = 0; j < 32; ++j)
      codes[j] = clipped_code(inverse * (x_[j] - least), 0, highest_);
    return codes;
  }

  float error(const ScaleAndMinimum& fit) const {
    float error = 0;
    for (std::size_t j = 0; j < 32; ++j) {
      const float off = (fit.scale * float(fit.codes[j]) - fit.minimum) - x_[j];
      error = error + weight(j) * (off * off);
    }
    return error;
  }

  /// Least squares for these codes; nothing where there is no solution.
  std::optional<ScaleAndMinimum> fit(const std::array<int, 32>& codes) const {
    float wq = 0, wqq = 0, wqx = 0;
    for (std::size_t j = 0; j < 32; ++j) {
      const float product = weight(j) * float(codes[j]);
      wq = wq + product;
      wqq = wqq + product * float(codes[j]);
      wqx = wqx + product * x_[j];
    }
    const float determinant = sum_w_ * wqq - wq * wq;
    if (!(determinant > 0)) return std::nullopt;
    const float least = (wqq * sum_wx_ - wq * wqx) / determinant;
    if (least > 0) return ScaleAndMinimum{wqx / wqq, -0.0f, codes};
    return ScaleAndMinimum{(sum_w_ * wqx - sum_wx_ * wq) / determinant, -least, codes};
  }

 private:
  float weight(std::size_t j) const { return average_ + std::fabs(x_[j]); }

  std::span<const float> x_;
  int highest_;
  float average_ = 0, sum_w_ = 0, sum_wx_ = 0;
};

inline ScaleAndMinimum search(std::span<const float> x, const MinimumSearch& how) {
  float low = 0, high = x[0];
  for (const float e : x) {
    low = std::min(low, e);
    high = std::max(high, e);
  }
  if (high == low) return {0, -low, {}};
  const WeightedGroup group(x, how.highest);
  const float inverse = float(how.highest) / (high - low);
  ScaleAndMinimum found{1 / inverse, -low, group.codes(inverse, low)};
  float best = group.error(found);
  for (int i = 0; i <= how.tries; ++i) {
    const float steps = (how.first + 0.1f * float(i)) + float(how.highest);
    const float least = -found.minimum;
    const auto fit = group.fit(group.codes(steps / (high - least), least));
    if (!fit) continue;
    const float error = group.error(*fit);
    if (!(error < best)) continue;
    best = error;
    found = *fit;
  }
  return found;
}

/// Scale and minimum of group g, 6 bits each.
template <class Block>
int scale_bits(const Block& b, std::size_t g) {
  const std::uint8_t* const p = b.packed_scales;
  return g < 4 ? p[g] % 64 : p[g + 4] % 16 + p[g - 4] / 64 * 16;
}
template <class Block>
int minimum_bits(const Block& b, std::size_t g) {
  const std::uint8_t* const p = b.packed_scales;
  return g < 4 ? p[g + 4] % 64 : p[g + 4] / 16 + p[g] / 64 * 16;
}

/// All but the codes, which come back.
template <class Block>
std::array<int, kSuperBlock> encode_with_minimum(std::span<const float> x, const MinimumSearch& how,
                                                 Block& to) {
  std::array<ScaleAndMinimum, 8> found;
  float most_scale = 0, most_minimum = 0;
  for (std::size_t g = 0; g < 8; ++g) {
    found[g] = search(x.subspan(32 * g, 32), how);
    most_scale = std::max(most_scale, found[g].scale);
    most_minimum = std::max(most_minimum, found[g].minimum);
  }
  const auto six_bits = [](float most, float v) {
    const float quotient = most > 0 ? 63 / most * v : 0;
    const int nearest = std::fabs(quotient) < 0x1p22f ? int(std::nearbyint(quotient)) : 0;
    return std::min(63, (nearest % 256 + 256) % 256);
  };
  to = {};
  to.d = to_f16(most_scale / 63);
  to.dmin = to_f16(most_minimum / 63);
  std::array<int, kSuperBlock> codes;
  for (std::size_t g = 0; g < 8; ++g) {
    const int s = six_bits(most_scale, found[g].scale);
    const int m = six_bits(most_minimum, found[g].minimum);
    std::uint8_t* const p = to.packed_scales;
    if (g < 4) {
      p[g] = std::uint8_t(p[g] + s);
      p[g + 4] = std::uint8_t(p[g + 4] + m);
    } else {
      p[g + 4] = std::uint8_t(s % 16 + m % 16 * 16);
      p[g - 4] = std::uint8_t(p[g - 4] + s / 16 * 64);
      p[g] = std::uint8_t(p[g] + m / 16 * 64);
    }
    const float scale = float(value(to.d)) * float(s), minimum = float(value(to.dmin)) * float(m);
    for (std::size_t j = 0; j < 32; ++j)
      codes[32 * g + j] = scale == 0
                              ? found[g].codes[j]
                              : clipped_code((x[32 * g + j] + minimum) / scale, 0, how.highest);
  }
  return codes;
}

template <class Block>
void put_low_nibbles(const std::array<int, kSuperBlock>& codes, Block& to) {
  for (std::size_t j = 0; j < kSuperBlock; ++j) {
    std::uint8_t& byte = to.qs[j / 64 * 32 + j % 32];
    byte = std::uint8_t(byte + codes[j] % 16 * (j / 32 % 2 ? 16 : 1));
  }
}
template <class Block>
int low_nibble(const Block& b, std::size_t j) {
  const int byte = b.qs[j / 64 * 32 + j % 32];
  return j / 32 % 2 ? byte / 16 : byte % 16;
}

inline void encode(std::span<const float> x, BlockQ4_K& to) {
  put_low_nibbles(encode_with_minimum(x, kSearchQ4, to), to);
}
inline void encode(std::span<const float> x, BlockQ5_K& to) {
  const auto codes = encode_with_minimum(x, kSearchQ5, to);
  put_low_nibbles(codes, to);
  for (std::size_t j = 0; j < kSuperBlock; ++j)
    to.qh[j % 32] = std::uint8_t(to.qh[j % 32] + (codes[j] / 16 << j / 32));
}

template <class Block>
float decoded_with_minimum(const Block& b, std::size_t j, int code) {
  const double scale = value(b.d) * scale_bits(b, j / 32);
  const double minimum = value(b.dmin) * minimum_bits(b, j / 32);
  return float(scale * code - minimum);  // exact in double but for one rounding
}
inline float decoded(const BlockQ4_K& b, std::size_t j) {
  return decoded_with_minimum(b, j, low_nibble(b, j));
}
inline float decoded(const BlockQ5_K& b, std::size_t j) {
  const int fifth = b.qh[j % 32] >> j / 32 & 1;
  return decoded_with_minimum(b, j, low_nibble(b, j) + 16 * fifth);
}

// ---- q6_K

struct SignedScale {
  float scale = 0;
  std::array<int, 16> codes;
};

inline SignedScale search_q6(std::span<const float> x) {
  float m = 0;
  for (const float e : x)
    if (std::fabs(e) > std::fabs(m)) m = e;
  SignedScale found;
  found.codes.fill(-32);  // of a group of zeros: stored as 0
  if (std::fabs(m) < 1e-15f) return found;
  float best = 0;
  const auto attempt = [&](float steps, bool first) {
    const float inverse = -steps / m;
    std::array<int, 16> codes;
    float xq = 0, qq = 0;
    for (std::size_t j = 0; j < 16; ++j) {
      codes[j] = clipped_code(inverse * x[j], -32, 31);
      const float q = float(codes[j]), w = x[j] * x[j];
      xq = xq + w * x[j] * q;
      qq = qq + w * q * q;
    }
    if (!first && !(qq > 0 && xq * xq > best * qq)) return;
    found.scale = qq > 0 ? xq / qq : 0;
    best = found.scale * xq;
    found.codes = codes;
  };
  attempt(32, true);
  for (int i = -9; i <= 9; ++i)
    if (i) attempt(32 + 0.1f * float(i), false);
  return found;
}

inline void put_q6(const std::array<int, kSuperBlock>& stored, BlockQ6_K& to) {
  for (std::size_t j = 0; j < kSuperBlock; ++j) {
    const std::size_t half = j / 128, l = j % 32, i = j / 32 % 4;
    std::uint8_t& low = to.ql[64 * half + l + i % 2 * 32];
    low = std::uint8_t(low + stored[j] % 16 * (i < 2 ? 1 : 16));
    std::uint8_t& upper = to.qh[32 * half + l];
    upper = std::uint8_t(upper + (stored[j] / 16 << 2 * i));
  }
}

inline void encode(std::span<const float> x, BlockQ6_K& to) {
  to = {};
  std::array<SignedScale, 16> found;
  float extreme = 0;
  for (std::size_t g = 0; g < 16; ++g) {
    found[g] = search_q6(x.subspan(16 * g, 16));
    if (std::fabs(found[g].scale) > std::fabs(extreme)) extreme = found[g].scale;
  }
  if (std::fabs(extreme) < 1e-15f) return;
  const float inverse = -128 / extreme;
  to.d = to_f16(1 / inverse);
  std::array<int, kSuperBlock> stored;
  for (std::size_t g = 0; g < 16; ++g) {
    to.scales[g] = std::int8_t(clipped_code(inverse * found[g].scale, -128, 127));
    const float scale = float(value(to.d)) * float(to.scales[g]);
    for (std::size_t j = 0; j < 16; ++j)
      stored[16 * g + j] =
          32 + (scale == 0 ? found[g].codes[j] : clipped_code(x[16 * g + j] / scale, -32, 31));
  }
  put_q6(stored, to);
}

inline float decoded(const BlockQ6_K& b, std::size_t j) {
  const std::size_t half = j / 128, l = j % 32, i = j / 32 % 4;
  const int low = b.ql[64 * half + l + i % 2 * 32];
  const int code = (i < 2 ? low % 16 : low / 16) + 16 * (b.qh[32 * half + l] >> 2 * i & 3) - 32;
  return float(float(value(b.d) * b.scales[j / 16]) * code);
}

// ---- q4_1, q5_0, tq2_0: codes from the scale as it is found

/// 1/d, or 0 where that is no number.
inline float finite_inverse(float d) {
  const float inverse = 1 / d;
  return d == 0 || std::isinf(inverse) ? 0 : inverse;
}

inline void encode(std::span<const float> x, BlockQ4_1& to) {
  const auto [low, high] =
      std::pair{*std::min_element(x.begin(), x.end()), *std::max_element(x.begin(), x.end())};
  const float d = (high - low) / 15, inverse = finite_inverse(d);
  to = {to_f16(d), to_f16(low), {}};
  for (std::size_t j = 0; j < kBlock; ++j) {
    const int code = std::min(15, int(std::trunc(double((x[j] - low) * inverse + 0.5f))));
    to.qs[j % 16] = std::uint8_t(to.qs[j % 16] + code * (j < 16 ? 1 : 16));
  }
}
inline float decoded(const BlockQ4_1& b, std::size_t j) {
  const int code = j < 16 ? b.qs[j] % 16 : b.qs[j - 16] / 16;
  return float(value(b.d) * code + value(b.m));
}

inline void encode(std::span<const float> x, BlockQ5_0& to) {
  float m = 0;
  for (const float e : x)
    if (std::fabs(e) > std::fabs(m)) m = e;
  const float d = m / -16, inverse = finite_inverse(d);
  to = {to_f16(d), {}, {}};
  for (std::size_t j = 0; j < kBlock; ++j) {
    const int code = std::min(31, int(std::trunc(double(x[j] * inverse + 16.5f))));
    to.qs[j % 16] = std::uint8_t(to.qs[j % 16] + code % 16 * (j < 16 ? 1 : 16));
    to.qh[j / 8] = std::uint8_t(to.qh[j / 8] + (code / 16 << j % 8));
  }
}
inline float decoded(const BlockQ5_0& b, std::size_t j) {
  const int low = j < 16 ? b.qs[j] % 16 : b.qs[j - 16] / 16;
  return float(value(b.d) * (low + 16 * (b.qh[j / 8] >> j % 8 & 1) - 16));
}

inline void encode(std::span<const float> x, BlockTq2_0& to) {
  float most = 0;
  for (const float e : x) most = std::max(most, std::fabs(e));
  const float inverse = finite_inverse(most);
  to = {};
  to.d = to_f16(most);
  for (std::size_t j = 0; j < kSuperBlock; ++j) {
    const int code = 1 + int(std::round(double(x[j] * inverse)));
    std::uint8_t& byte = to.qs[j / 128 * 32 + j % 32];
    byte = std::uint8_t(byte + (code << j / 32 % 4 * 2));
  }
}
inline float decoded(const BlockTq2_0& b, std::size_t j) {
  return float(value(b.d) * ((b.qs[j / 128 * 32 + j % 32] >> j / 32 % 4 * 2 & 3) - 1));
}

}  // namespace qb::oracle
