// SPDX-License-Identifier: Apache-2.0
// Oracle of the block formats, from the contract (section 3): a block from 32 values, and element j
// of a block.
#pragma once

#include <algorithm>
#include <cmath>
#include <span>

#include "oracle/int4.h"
#include "oracle/int8.h"
#include "oracle/superblocks.h"

namespace qb::oracle {

inline void encode(std::span<const float> x, BlockQ8_0& to) { to = quantize_q8_0(x); }
inline float decoded(const BlockQ8_0& block, std::size_t j) {
  return dequantized(block.qs[j], block.d);
}

inline void encode(std::span<const float> x, BlockQ4_0& to) { to = quantize_q4_0(x); }
inline float decoded(const BlockQ4_0& block, std::size_t j) { return dequantized(block, j); }

/// Nibble of element j: the first half of a block is low, the second high.
inline int nibble(std::span<const std::uint8_t, kBlock / 2> qs, std::size_t j) {
  return j < kBlock / 2 ? qs[j] % 16 : qs[j - kBlock / 2] / 16;
}
inline void put_nibbles(std::span<const int, kBlock> codes,
                        std::span<std::uint8_t, kBlock / 2> qs) {
  for (std::size_t j = 0; j < kBlock / 2; ++j)
    qs[j] = std::uint8_t(codes[j] + 16 * codes[j + kBlock / 2]);
}

// ---- mxfp4

/// Values of the E2M1 codes: sign, two bits of exponent, one of mantissa.
inline double e2m1(int code) {
  constexpr double magnitude[] = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
  return code < 8 ? magnitude[code] : -magnitude[code - 8];
}

inline void encode(std::span<const float> x, BlockMxfp4& to) {
  double largest = 0;
  for (const float e : x) largest = std::max(largest, std::fabs(double(e)));
  to.e = largest > 0 ? std::uint8_t(std::max(0, std::ilogb(largest) - 2 + 127)) : 0;
  int codes[kBlock];
  for (std::size_t j = 0; j < kBlock; ++j) {
    const auto error = [&](int code) {
      return std::fabs(std::ldexp(e2m1(code), to.e - 127) - double(x[j]));
    };
    int best = 0;
    for (int code = 1; code < 16; ++code)
      if (error(code) < error(best)) best = code;
    codes[j] = best;
  }
  put_nibbles(codes, to.qs);
}
/// Twice the number, an integer; and what it is multiplied by.
inline double table_value(const BlockMxfp4& block, std::size_t j) {
  return 2 * e2m1(nibble(block.qs, j)) + 0.0;  // code 8 is +0 as well
}
inline double scale_of(const BlockMxfp4& block) { return std::ldexp(1.0, block.e - 128); }

// ---- nvfp4

/// What a scale stands for: E4M3 without a sign, of which 0x7f is zero.
inline double nvfp4_scale(std::uint8_t scale) {
  if (scale == 0x7f) return 0;
  const int exponent = scale / 8 % 16, mantissa = scale % 8;
  return exponent ? std::ldexp(8 + mantissa, exponent - 10) : std::ldexp(mantissa, -9);
}
/// The scale nearest to v, half up, of 7 steps at the most below the normal numbers; 0x7e from 248
/// up.
inline std::uint8_t to_nvfp4_scale(float v) {
  if (v < 0x1p-6f) return std::uint8_t(std::min(7, int(v * 512 + 0.5f)));
  if (v >= 248) return 0x7e;
  int best = 8;  // the last whose lower neighbour is not nearer
  for (int scale = 9; scale < 0x78; ++scale) {
    const double below = nvfp4_scale(std::uint8_t(scale - 1));
    const double step = nvfp4_scale(std::uint8_t(scale)) - below;
    if (double(v) >= below + step / 2) best = scale;
  }
  return std::uint8_t(best);
}

inline void encode(std::span<const float> x, BlockNvfp4& to) {
  to = {};
  for (std::size_t g = 0; g < 4; ++g) {
    const std::span<const float> group = x.subspan(16 * g, 16);
    float largest = 0;
    for (const float e : group) largest = std::max(largest, std::fabs(e));
    to.scales[g] = to_nvfp4_scale(largest / 6);
    const double scale = nvfp4_scale(to.scales[g]);
    for (std::size_t j = 0; j < 16; ++j) {
      // Beyond the largest number its distance to x, and that of the others, may round alike.
      const double x_in_reach = std::clamp(double(group[j]), -6 * scale, 6 * scale);
      const auto error = [&](int code) { return std::fabs(scale * e2m1(code) - x_in_reach); };
      int best = 0;
      for (int code = 1; code < 16; ++code)
        if (error(code) < error(best)) best = code;
      to.qs[8 * g + j % 8] = std::uint8_t(to.qs[8 * g + j % 8] + best * (j < 8 ? 1 : 16));
    }
  }
}
inline float decoded(const BlockNvfp4& block, std::size_t j) {
  const int pair = block.qs[j / 16 * 8 + j % 8], code = j % 16 < 8 ? pair % 16 : pair / 16;
  return float(nvfp4_scale(block.scales[j / 16]) * (e2m1(code) + 0.0));
}

// ---- iq4_nl

inline constexpr int kIq4[] = {-127, -104, -83, -65, -49, -35, -22, -10,
                               1,    13,   25,  38,  53,  69,  89,  113};

/// The index whose value is nearest to v; a midpoint goes up.
inline int iq4_code(double v) {
  int code = 0;
  while (code < 15 && v >= (kIq4[code] + kIq4[code + 1]) / 2.0) ++code;
  return code;
}

inline void encode(std::span<const float> x, BlockIq4Nl& to) {
  // Each of these is one rounding to f32.
  const auto product = [](float a, float b) { return float(double(a) * b); };
  const auto sum = [](float a, float b) { return float(double(a) + b); };
  const auto quotient = [](float a, float b) { return float(double(a) / b); };
  to = {};
  float extreme = 0;
  for (const float e : x)
    if (std::fabs(e) > std::fabs(extreme)) extreme = e;
  if (std::fabs(extreme) < 1e-15f) return;
  const float inverse = quotient(1, quotient(extreme, kIq4[0]));
  float sum_xq = 0, sum_qq = 0;
  int codes[kBlock];
  for (std::size_t j = 0; j < kBlock; ++j) {
    const int code = iq4_code(product(inverse, x[j]));
    const float weighted = product(product(x[j], x[j]), float(kIq4[code]));
    sum_xq = sum(sum_xq, product(weighted, x[j]));
    sum_qq = sum(sum_qq, product(weighted, float(kIq4[code])));
    codes[j] = code;
  }
  to.d = to_f16(quotient(sum_xq, sum_qq));
  put_nibbles(codes, to.qs);
}
inline double table_value(const BlockIq4Nl& block, std::size_t j) {
  return kIq4[nibble(block.qs, j)];
}
inline double scale_of(const BlockIq4Nl& block) { return value(block.d); }

// ---- iq4_xs

/// Scale of a group of 32: 0 where no magnitude is 1e-15 or more.
inline float search_iq4_xs(std::span<const float> x) {
  float extreme = 0;
  for (const float e : x)
    if (std::fabs(e) > std::fabs(extreme)) extreme = e;
  if (std::fabs(extreme) < 1e-15f) return 0;
  float scale = 0, best = 0;
  const auto attempt = [&](float inverse, bool first) {
    float xq = 0, qq = 0;
    for (const float e : x) {
      const float q = float(kIq4[iq4_code(inverse * e)]), weighted = e * e * q;
      xq = xq + weighted * e;
      qq = qq + weighted * q;
    }
    if (!first && !(qq > 0 && xq * xq > best * qq)) return;
    scale = xq / qq;
    best = scale * xq;
  };
  attempt(1 / (extreme / float(-kIq4[0])), true);
  for (int i = -7; i <= 7; ++i) attempt(float(kIq4[0] + i) / extreme, false);
  return scale;
}

inline void encode(std::span<const float> x, BlockIq4Xs& to) {
  to = {};
  float scales[8], extreme = 0;
  for (std::size_t g = 0; g < 8; ++g) {
    scales[g] = search_iq4_xs(x.subspan(32 * g, 32));
    if (std::fabs(scales[g]) > std::fabs(extreme)) extreme = scales[g];
  }
  const float d = -extreme / 32;
  to.d = to_f16(d);
  for (std::size_t g = 0; g < 8; ++g) {
    const int s = d == 0 ? 0 : clipped_code(1 / d * scales[g], -32, 31);
    to.scales_l[g / 2] = std::uint8_t(to.scales_l[g / 2] + (s + 32) % 16 * (g % 2 ? 16 : 1));
    to.scales_h[g / 4] = std::uint8_t(to.scales_h[g / 4] + ((s + 32) / 16 << 2 * (g % 4)));
    const float product = d * float(s);
    int codes[32];
    for (std::size_t j = 0; j < 32; ++j)
      codes[j] = iq4_code(product == 0 ? 0 : 1 / product * x[32 * g + j]);
    for (std::size_t j = 0; j < 16; ++j)
      to.qs[16 * g + j] = std::uint8_t(codes[j] + 16 * codes[j + 16]);
  }
}
inline float decoded(const BlockIq4Xs& b, std::size_t j) {
  const std::size_t g = j / 32, l = j % 32;
  const int low = b.scales_l[g / 2] / (g % 2 ? 16 : 1) % 16;
  const int scale = low + 16 * (b.scales_h[g / 4] >> 2 * (g % 4) & 3) - 32;
  const int byte = b.qs[16 * g + l % 16], code = l < 16 ? byte % 16 : byte / 16;
  return float(value(b.d) * scale * kIq4[code]);  // exact in double but for one rounding
}

// ---- any format whose codes index a table

template <class Block>
float decoded(const Block& block, std::size_t j) requires requires {
  scale_of(block);
}
{ return float(table_value(block, j) * scale_of(block)); }

}  // namespace qb::oracle
