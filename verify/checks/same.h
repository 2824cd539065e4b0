// SPDX-License-Identifier: Apache-2.0
// Comparisons to the bit, and what else all checks of quantizers share.
#pragma once

#include <cstring>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

#include "checks/failure.h"
#include "oracle/half.h"
#include "quantbench/types.h"
#include "support/inputs.h"

namespace qb::test {

inline constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
inline constexpr float kInf = std::numeric_limits<float>::infinity();
inline constexpr float kMost = std::numeric_limits<float>::max();
inline constexpr float kLeast = std::numeric_limits<float>::denorm_min();

template <class T>
double shown(T v) {
  if constexpr (std::is_same_v<T, f16>)
    return oracle::value(v);
  else
    return double(v);
}

/// Every bit equal; names the first element that differs.
template <class Got, class Want>
void expect_same(const Got& got, const Want& want, const std::string& what) {
  if (got.size() != want.size()) fail(what, ": ", got.size(), " elements, expected ", want.size());
  using T = std::remove_cvref_t<decltype(want[0])>;
  if (got.size() == 0 || std::memcmp(got.data(), want.data(), want.size() * sizeof(T)) == 0) return;
  for (std::size_t i = 0; i < want.size(); ++i)
    if (std::memcmp(&got[i], &want[i], sizeof(T)) != 0)
      fail(what, ": [", i, "] of ", want.size(), " is ", shown(got[i]), ", expected ",
           shown(want[i]));
}

inline std::string label(std::size_t groups, std::size_t len) {
  return std::to_string(groups) + " groups of " + std::to_string(len);
}

inline std::vector<float> joined(const std::vector<std::vector<float>>& groups) {
  std::vector<float> all;
  for (const auto& g : groups) all.insert(all.end(), g.begin(), g.end());
  return all;
}

inline std::vector<f16> halves(const std::vector<float>& x) {
  std::vector<f16> h;
  for (const float v : x) h.push_back(oracle::to_f16(v));
  return h;
}

/// Ordinary inputs.
template <class X>
std::vector<X> inputs(std::size_t n, unsigned seed) {
  if constexpr (std::is_same_v<X, f16>)
    return halves(weights(n, seed));
  else
    return weights(n, seed);
}

template <class T>
std::vector<T> repeated(const std::vector<T>& tile, std::size_t n) {
  std::vector<T> all(n);
  for (std::size_t i = 0; i < n; ++i) all[i] = tile[i % tile.size()];
  return all;
}

}  // namespace qb::test
