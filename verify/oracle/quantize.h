// SPDX-License-Identifier: Apache-2.0
// Oracle of symmetric quantization, from the contract (section 3), for any qmax: exact products and
// quotients in double, each rounded once where the contract names a rounding.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>

#include "oracle/absmax.h"
#include "oracle/half.h"
#include "quantbench/types.h"

namespace qb::oracle {

/// rne, then clip to [-qmax, qmax].
inline int code_of(double v, int qmax) {
  return int(std::clamp(std::nearbyint(v), -double(qmax), double(qmax)));
}

/// Production's arithmetic, on f32. A double holds a product of two floats exactly, and a quotient
/// well enough that rounding it to float is the correctly rounded float quotient.
struct QuantizerF32 {
  float inv = 0, scale = 0;

  QuantizerF32(std::span<const float> group, int qmax_) : qmax(qmax_) {
    const double largest = absmax(group);
    if (largest == 0) return;
    const double exact = qmax / largest;
    if (round_to_format(exact, 8, 23) == 0x7f800000u) return;  // infinite: the group is zero
    inv = float(exact);
    scale = float(largest / qmax);
  }
  int code(float x) const { return code_of(float(double(x) * inv), qmax); }

  int qmax;
};

/// f32 back: q * scale, rounded once.
inline float dequantized(int code, float scale) { return float(double(code) * scale); }
/// The same from a stored f16 scale.
inline float dequantized(int code, f16 scale) { return float(double(code) * value(scale)); }

/// The notebook's arithmetic, on f16.
struct QuantizerF16 {
  f16 inv{};

  QuantizerF16(std::span<const f16> group, int qmax_) : qmax(qmax_) {
    const double largest = absmax(group);
    if (largest == 0) return;
    inv = to_f16(std::min(qmax / largest, 65504.0));
  }
  int code(f16 x) const { return code_of(value(to_f16(value(x) * value(inv))), qmax); }

  int qmax;
};

/// f16 back: q / inv, rounded once; 0 where inv is 0.
inline f16 dequantized_f16(int code, f16 inv) {
  return value(inv) == 0 ? f16{} : to_f16(double(code) / value(inv));
}

/// ggml's q8_0 over one block of 32: half rounds away from zero, from the unrounded d.
struct QuantizerQ8_0 {
  f16 d{};
  float id = 0;

  explicit QuantizerQ8_0(std::span<const float> block) {
    const float exact_d = float(absmax(block) / 127);
    d = to_f16(exact_d);
    if (exact_d == 0) return;
    const double inverse = 1.0 / exact_d;
    if (round_to_format(inverse, 8, 23) != 0x7f800000u) id = float(inverse);
  }
  int code(float x) const { return int(std::round(double(float(double(x) * id)))); }
};

}  // namespace qb::oracle
