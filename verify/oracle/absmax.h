// SPDX-License-Identifier: Apache-2.0
// Oracle of absmax, from the contract (section 2).
#pragma once

#include <cmath>
#include <limits>
#include <span>

#include "oracle/half.h"

namespace qb::oracle {

inline double value(float x) { return x; }

/// max |x_i| as a double; NaN if any is NaN; 0 if empty.
template <class T>
double absmax(std::span<const T> x) {
  double largest = 0;
  for (const T& e : x) {
    const double magnitude = std::fabs(value(e));
    if (std::isnan(magnitude)) return std::numeric_limits<double>::quiet_NaN();
    if (magnitude > largest) largest = magnitude;
  }
  return largest;
}

}  // namespace qb::oracle
