// SPDX-License-Identifier: Apache-2.0
// The gate on a product's mean squared error against the oracle of the same arithmetic, where
// rounding is all that may remain (contract, section 4, which derives the limit).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <string>

#include "oracle/matmul.h"

namespace qb::oracle {

/// f32 additions behind an output of k products, one after the other at the most. a8 adds integers
/// exactly: one scaled sum a row, or one for each block of 32, or for each group of 16.
inline std::size_t additions(matmul::Arithmetic arithmetic, matmul::Format format, std::size_t k) {
  if (arithmetic != matmul::Arithmetic::a8) return k;
  const ScaleKind scales = info(format).scales;
  return scales == ScaleKind::output ? 1 : scales == ScaleKind::block16 ? k / 16 : k / kBlock;
}

/// Error and signal of some outputs.
class RoundingError {
 public:
  explicit RoundingError(std::size_t additions) : additions_(additions) {}

  /// magnitude: sum |x||w| of the output's k terms.
  void add(double got, double want, double magnitude, std::size_t k) {
    const double random_signs = k ? magnitude * magnitude / double(k) : 0;
    error_ += (got - want) * (got - want);
    signal_ += std::max(want * want, random_signs);
    floor_ += std::ldexp(double(k) * double(k), -252);
    ++outputs_;
  }
  /// The NMSE of the outputs so far; 0 if none is wrong by more than underflow explains.
  double nmse() const { return error_ <= floor_ ? 0 : error_ / signal_; }
  double limit() const {
    constexpr double kRounding = 0x1p-48 / 3;  // variance of one rounding, relative
    constexpr double kOthers = 8;              // of codes, products and scales
    const double certainty = 4 + 128 / double(std::max<std::size_t>(outputs_, 1));
    return certainty * kRounding * (double(additions_) / 2 + kOthers);
  }
  /// Also for an NMSE that is no number.
  bool exceeded() const { return !(nmse() <= limit()); }
  std::string text() const {
    char digits[120];
    std::snprintf(digits, sizeof digits,
                  "NMSE %.3g against the oracle of the same arithmetic, rounding leaves %.3g",
                  nmse(), limit());
    return digits;
  }

 private:
  std::size_t additions_, outputs_ = 0;
  double error_ = 0, signal_ = 0, floor_ = 0;
};

}  // namespace qb::oracle
