// SPDX-License-Identifier: Apache-2.0
// Oracle of the products of bf16 activations, from the contract (section 4): activations and
// dequantized weights, each rounded once to bf16. The product itself is oracle/matmul.h's.
#pragma once

#include <cmath>
#include <span>
#include <vector>

#include "oracle/matmul.h"

namespace qb::oracle {

inline double rounded_to_bf16(double x) { return value(to_bf16(x)); }

/// A row of activations.
inline std::vector<double> rounded_activations(std::span<const float> row) {
  std::vector<double> x;
  x.reserve(row.size());
  for (const float e : row) x.push_back(rounded_to_bf16(e));
  return x;
}

/// Output n's weights.
inline std::vector<double> rounded_weights_of_output(const matmul::WeightView& view,
                                                     std::size_t n) {
  std::vector<double> w = weights_of_output(view, n);
  for (double& e : w) e = rounded_to_bf16(e);
  return w;
}

/// bound(), and the products that are lost on a unit that takes subnormal factors for zero. It may
/// do so before it rounds them, so factors just below 2^-126 count as subnormal.
inline double bound_bf16(std::span<const double> x, std::span<const double> w, const Product& p) {
  const auto subnormal = [](double v) { return std::fabs(v) <= 0x1p-126; };
  double flushed = 0;
  for (std::size_t k = 0; k < w.size(); ++k)
    if (subnormal(x[k]) || subnormal(w[k])) flushed += std::fabs(x[k] * w[k]);
  return bound(p, w.size()) + flushed;
}

}  // namespace qb::oracle
