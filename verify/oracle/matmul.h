// SPDX-License-Identifier: Apache-2.0
// Oracle of dequantized matmul, from the contract (sections 3 and 4): codes and scales read from
// the canonical layouts one by one, dequantized with one rounding, summed in double.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstring>
#include <span>
#include <utility>
#include <vector>

#include "matmul/matmul.h"
#include "oracle/half.h"

namespace qb::oracle {

/// Code of weight (n, k), what it is multiplied by, and what is taken off then. For f32 and f16
/// weights the code is the value itself and the scale 1; for the formats with a table the code is
/// the table's value.
struct CodeAndScale {
  double code, scale, minimum = 0;
};

/// Twice the number that four bits are: a sign, two bits of exponent, one of mantissa.
inline double twice_e2m1(int bits) {
  const int exponent = bits / 2 % 4, mantissa = bits % 2;
  const double magnitude = exponent == 0 ? mantissa : std::ldexp(2 + mantissa, exponent - 1);
  return bits < 8 ? magnitude : -magnitude;
}

/// E4M3 without its sign; what is no number there counts on.
inline double magnitude_of_e4m3(int bits) {
  const int exponent = bits % 128 / 8, mantissa = bits % 8;
  return exponent == 0 ? std::ldexp(mantissa, -9) : std::ldexp(8 + mantissa, exponent - 10);
}

/// The number that the index `bits` of iq4_nl and iq4_xs stands for.
inline double iq4(int bits) {
  constexpr int values[] = {-127, -104, -83, -65, -49, -35, -22, -10,
                            1,    13,   25,  38,  53,  69,  89,  113};
  return values[bits];
}

/// Scale and minimum of group g of q4_K, which 12 bytes hold with 6 bits each: those of the first
/// four groups in the low bits of a byte; of the others four bits in bytes of their own, the upper
/// two above those of the first four.
inline std::pair<int, int> six_bits(const std::uint8_t (&bytes)[12], std::size_t g) {
  if (g < 4) return {bytes[g] % 64, bytes[4 + g] % 64};
  return {bytes[4 + g] % 16 + bytes[g - 4] / 64 * 16, bytes[4 + g] / 16 + bytes[g] / 64 * 16};
}

inline CodeAndScale code_and_scale(const matmul::WeightView& view, std::size_t n, std::size_t k) {
  const matmul::Weights& w = view.w;
  const std::size_t at = n * w.k + k;
  const auto half_scale = [&] {
    return value(static_cast<const f16*>(w.scales)[n * (w.k / w.group) + k / w.group]);
  };
  const auto s8 = [&] { return double(static_cast<const std::int8_t*>(w.values)[at]); };
  const auto s4 = [&] {
    const std::uint8_t byte =
        static_cast<const std::uint8_t*>(w.values)[n * ((w.k + 1) / 2) + k / 2];
    const int bits = k % 2 ? byte / 16 : byte % 16;
    return double(bits < 8 ? bits : bits - 16);
  };
  switch (view.format) {
    case matmul::Format::f32:
      return {double(static_cast<const float*>(w.values)[at]), 1.0};
    case matmul::Format::f16:
      return {value(static_cast<const f16*>(w.values)[at]), 1.0};
    case matmul::Format::s8:
      return {s8(), double(static_cast<const float*>(w.scales)[n])};
    case matmul::Format::s4:
      return {s4(), double(static_cast<const float*>(w.scales)[n])};
    case matmul::Format::s8g:
      return {s8(), half_scale()};
    case matmul::Format::s4g:
      return {s4(), half_scale()};
    case matmul::Format::u4h: {
      const std::size_t groups = w.k / w.scale_group, g = k / w.scale_group;
      const int pair = static_cast<const std::uint8_t*>(w.values)[at / 2];
      const double scale = value(static_cast<const f16*>(w.scales)[n * groups + g]);
      const int zeros = w.zeros ? w.zeros[n * ((groups + 1) / 2) + g / 2] : 0x88;
      return {double(k % 2 ? pair / 16 : pair % 16), scale,
              scale * (g % 2 ? zeros / 16 : zeros % 16)};
    }
    case matmul::Format::q8_0: {
      const BlockQ8_0& block = static_cast<const BlockQ8_0*>(w.values)[at / 32];
      return {double(block.qs[at % 32]), value(block.d)};
    }
    case matmul::Format::q4_0: {
      const BlockQ4_0& block = static_cast<const BlockQ4_0*>(w.values)[at / 32];
      const std::size_t j = at % 32;
      return {double(j < 16 ? block.qs[j] % 16 : block.qs[j - 16] / 16) - 8, value(block.d)};
    }
    case matmul::Format::mxfp4: {
      const BlockMxfp4& block = static_cast<const BlockMxfp4*>(w.values)[at / 32];
      const std::size_t j = at % 32;
      return {twice_e2m1(j < 16 ? block.qs[j] % 16 : block.qs[j - 16] / 16),
              std::ldexp(1.0, int(block.e) - 128)};
    }
    case matmul::Format::iq4_nl: {
      const BlockIq4Nl& block = static_cast<const BlockIq4Nl*>(w.values)[at / 32];
      const std::size_t j = at % 32;
      return {iq4(j < 16 ? block.qs[j] % 16 : block.qs[j - 16] / 16), value(block.d)};
    }
    case matmul::Format::q4_1: {
      const BlockQ4_1& block = static_cast<const BlockQ4_1*>(w.values)[at / 32];
      const std::size_t j = at % 32;
      return {double(j < 16 ? block.qs[j] % 16 : block.qs[j - 16] / 16), value(block.d),
              -value(block.m)};
    }
    case matmul::Format::q5_0: {
      const BlockQ5_0& block = static_cast<const BlockQ5_0*>(w.values)[at / 32];
      const std::size_t j = at % 32;
      const int low = j < 16 ? block.qs[j] % 16 : block.qs[j - 16] / 16;
      return {double(low + (block.qh[j / 8] >> j % 8) % 2 * 16 - 16), value(block.d)};
    }
    case matmul::Format::q4_K: {
      const BlockQ4_K& block = static_cast<const BlockQ4_K*>(w.values)[at / 256];
      const std::size_t j = at % 256;
      const auto [scale, minimum] = six_bits(block.packed_scales, j / 32);
      const int byte = block.qs[j / 64 * 32 + j % 32];
      return {double(j % 64 < 32 ? byte % 16 : byte / 16), value(block.d) * scale,
              value(block.dmin) * minimum};
    }
    case matmul::Format::q5_K: {
      const BlockQ5_K& block = static_cast<const BlockQ5_K*>(w.values)[at / 256];
      const std::size_t j = at % 256;
      const auto [scale, minimum] = six_bits(block.packed_scales, j / 32);
      const int byte = block.qs[j / 64 * 32 + j % 32], fifth = (block.qh[j % 32] >> j / 32) % 2;
      return {double((j % 64 < 32 ? byte % 16 : byte / 16) + fifth * 16), value(block.d) * scale,
              value(block.dmin) * minimum};
    }
    case matmul::Format::q6_K: {
      const BlockQ6_K& block = static_cast<const BlockQ6_K*>(w.values)[at / 256];
      const std::size_t j = at % 128, half = at % 256 / 128;
      const int low = block.ql[64 * half + j % 64], high = block.qh[32 * half + j % 32];
      const int code = (j < 64 ? low % 16 : low / 16) + (high >> j / 32 * 2) % 4 * 16;
      return {double(code - 32), value(block.d) * block.scales[at % 256 / 16]};
    }
    case matmul::Format::nvfp4: {
      const BlockNvfp4& block = static_cast<const BlockNvfp4*>(w.values)[at / 64];
      const std::size_t g = at % 64 / 16, j = at % 16;
      const int byte = block.qs[8 * g + j % 8], scale = block.scales[g];
      return {twice_e2m1(j < 8 ? byte % 16 : byte / 16),
              scale == 0x7f ? 0 : magnitude_of_e4m3(scale) / 2};
    }
    case matmul::Format::tq2_0: {
      const BlockTq2_0& block = static_cast<const BlockTq2_0*>(w.values)[at / 256];
      const std::size_t j = at % 256;
      return {double((block.qs[j / 128 * 32 + j % 32] >> j % 128 / 32 * 2) % 4 - 1),
              value(block.d)};
    }
    case matmul::Format::iq4_xs: {
      const BlockIq4Xs& block = static_cast<const BlockIq4Xs*>(w.values)[at / 256];
      const std::size_t g = at % 256 / 32, j = at % 32;
      const int byte = block.qs[16 * g + j % 16], low = block.scales_l[g / 2];
      const int high = (block.scales_h[0] + 256 * block.scales_h[1]) >> (2 * g) & 3;
      const int scale = (g % 2 ? low / 16 : low % 16) + 16 * high;
      return {iq4(j < 16 ? byte % 16 : byte / 16), value(block.d) * (scale - 32)};
    }
  }
  return {};
}

/// Output n's k weights, dequantized: code times scale less the minimum, rounded once to f32.
inline std::vector<double> weights_of_output(const matmul::WeightView& view, std::size_t n) {
  std::vector<double> row(view.w.k);
  for (std::size_t k = 0; k < row.size(); ++k) {
    const auto [code, scale, minimum] = code_and_scale(view, n, k);
    row[k] = double(float(code * scale - minimum));
  }
  return row;
}

/// What a8 may lose of each of them is measured by |code * scale| + |minimum|: both are multiplied
/// with the activations, apart.
inline std::vector<double> magnitudes_of_output(const matmul::WeightView& view, std::size_t n) {
  std::vector<double> row(view.w.k);
  for (std::size_t k = 0; k < row.size(); ++k) {
    const auto [code, scale, minimum] = code_and_scale(view, n, k);
    row[k] = std::fabs(code * scale) + std::fabs(minimum);
  }
  return row;
}

/// A dot product and the sum of its terms' magnitudes.
struct Product {
  double value = 0, magnitude = 0;
};

/// sum x[k]*w[k]. Four partial sums, which a compiler may keep in flight together. magnitudes: of
/// the weights, where it is more than their own.
template <class T>
Product product(std::span<const T> x, std::span<const double> w,
                std::span<const double> magnitudes = {}) {
  double sum[4] = {}, magnitude[4] = {};
  for (std::size_t k = 0; k < w.size(); ++k) {
    const double term = double(x[k]) * w[k];
    sum[k % 4] += term;
    magnitude[k % 4] += std::fabs(magnitudes.empty() ? term : double(x[k]) * magnitudes[k]);
  }
  return {(sum[0] + sum[1]) + (sum[2] + sum[3]),
          (magnitude[0] + magnitude[1]) + (magnitude[2] + magnitude[3])};
}

/// How far an f32 sum of k products may lie from the exact one: gamma*sum|x||w| and the floor.
inline double bound(const Product& p, std::size_t k) {
  return std::ldexp(double(k) + 4, -24) * p.magnitude + std::ldexp(double(k), -126);
}

/// Values of halves, exact in f32.
inline std::vector<float> values_of(std::span<const f16> x) {
  std::vector<float> v;
  v.reserve(x.size());
  for (const f16 h : x) v.push_back(float(value(h)));
  return v;
}

/// The notebook's product of two rows, as values_of gives them: terms (exact in f32) added in f32
/// in k order, rounded once to f16. A NaN sum gives the pattern 0x7e00.
inline f16 product_f16(std::span<const float> x, std::span<const float> w) {
  float sum = 0;
  for (std::size_t k = 0; k < w.size(); ++k) sum += x[k] * w[k];
  return std::isnan(sum) ? f16(0x7e00) : to_f16(sum);
}

}  // namespace qb::oracle
