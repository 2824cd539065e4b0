// SPDX-License-Identifier: Apache-2.0
// What libraries that leave quantizing or rounding the activations to their caller are given.
#pragma once

#include <algorithm>
#include <vector>

#include "core/scalar_half.h"
#include "peers.h"
#include "quantize/quantize.h"

namespace qb::bench::peers {
namespace {

/// `round` is f32_to_bf16 or f32_to_f16.
template <class T>
std::vector<T> rounded(const float* x, std::size_t count, T (*round)(float)) {
  std::vector<T> y(count);
  std::transform(x, x + count, y.begin(), round);
  return y;
}

/// Codes of 8 bits of the activations, with a scale for each row, and of the weights.
struct Codes {
  std::vector<std::int8_t> x, w;
  std::vector<float> x_scales, w_scales;
};

/// Without VNNI two products are added in 16 bits, which saturate for codes of 8 bits.
[[maybe_unused]] bool saturates() {
  return kHostArch == Arch::x86_64 && !isa::detected().has(Feature::avx_vnni) &&
         !isa::detected().has(Feature::avx512vnni);
}
constexpr double kSevenBits = 2e-3;  ///< error of weights cut towards zero

/// The codes of s8 x s8; the weights are cut to 7 bits where 8 would saturate.
[[maybe_unused]] Codes codes(const Operands& o) {
  const matmul::Weights& w = o.weights.w;
  const auto* code = static_cast<const std::int8_t*>(w.values);
  const auto* scale = static_cast<const float*>(w.scales);
  Codes c{std::vector<std::int8_t>(o.m * w.k),
          {code, code + w.n * w.k},
          std::vector<float>(o.m),
          {scale, scale + w.n}};
  quantize::quantize({o.x, c.x.size()}, w.k, c.x, c.x_scales);
  if (saturates()) {
    for (std::int8_t& q : c.w) q = std::int8_t(q / 2);
    for (float& s : c.w_scales) s *= 2;
  }
  return c;
}

}  // namespace
}  // namespace qb::bench::peers
