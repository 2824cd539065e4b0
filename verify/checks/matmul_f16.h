// SPDX-License-Identifier: Apache-2.0
// Checks of the notebook's product of f16, to the bit (contract, section 4).
#pragma once

#include <vector>

#include "checks/absmax.h"
#include "checks/arithmetics.h"
#include "checks/matmul_run.h"

namespace qb::test {

/// any_finite: every class of numbers; otherwise what trained weights look like.
inline std::vector<f16> f16_values(std::size_t n, std::uint32_t seed, bool any_finite) {
  return any_finite ? finite_values<f16>(n, seed) : halves(weights(n, seed));
}

inline void check_f16_product(const matmul::Kernel& kernel, std::size_t m, Shape s,
                              bool any_finite) {
  const auto seed = std::uint32_t(m * 131 + s.n * 17 + s.k);
  const Against side = seed % 2 ? Against::begin : Against::end;
  const Guarded<f16> w(f16_values(s.n * s.k, seed, any_finite), side);
  const matmul::WeightView view = matmul::view_f16({w.data(), w.size()}, s.n, s.k);
  const std::vector<f16> x = f16_values(m * s.k, seed + 1, any_finite);
  const std::vector<f16> y = multiply(kernel, view, x, m, side, false);
  const std::vector<float> xs = oracle::values_of(x);
  const std::vector<float> ws = oracle::values_of({w.data(), w.size()});
  for (std::size_t i = 0; i<m; i += m> 64 && i + 8 < m ? 7 : 1)  // of many rows a sample
    for (std::size_t j = 0; j < s.n; ++j) {
      const f16 want = oracle::product_f16(std::span(xs).subspan(i * s.k, s.k),
                                           std::span(ws).subspan(j * s.k, s.k));
      if (want != y[i * s.n + j])
        fail("y[", i, ",", j, "] is ", oracle::value(y[i * s.n + j]), ", expected ",
             oracle::value(want), "; m ", m, shape_text(view.w));
    }
  const Against other = side == Against::end ? Against::begin : Against::end;
  if (y != multiply(kernel, view, x, m, other, true))
    fail("in parts another result than in one piece; m ", m, shape_text(view.w));
}

}  // namespace qb::test
