// SPDX-License-Identifier: Apache-2.0
// Checks of an absmax kernel of f32 or f16 (contract, section 2).
#pragma once

#include <cmath>
#include <limits>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "checks/same.h"
#include "oracle/absmax.h"
#include "support/guarded.h"

namespace qb::test {

template <class T>
using AbsmaxKernel = void(const T*, std::size_t groups, std::size_t len, float*);

template <class T>
void expect_absmax(std::span<const T> x, float got, const std::string& what = {}) {
  const double want = oracle::absmax(x);
  const bool same = std::isnan(want) ? std::isnan(got) : want == double(got) && !std::signbit(got);
  if (!same) fail(what, "absmax of length ", x.size(), " is ", got, ", expected ", want);
}

template <class T>
std::vector<T> finite_values(std::size_t n, unsigned seed) {
  if constexpr (std::is_same_v<T, f16>) {
    std::vector<T> x = half_patterns(n, seed);
    for (f16& h : x)
      if ((unsigned(h) & 0x7c00u) == 0x7c00u) h = f16(unsigned(h) & 0x83ffu);
    return x;
  } else {
    return weights(n, seed);
  }
}

template <class T>
T number(float v) {
  if constexpr (std::is_same_v<T, f16>)
    return std::isnan(v) ? f16(std::signbit(v) ? 0xfe01 : 0x7c01) : oracle::to_f16(v);
  else
    return v;
}

template <class T>
void check_absmax_every_length(AbsmaxKernel<T>* kernel, Effort effort = Effort::thorough) {
  for (const std::size_t n : lengths(effort == Effort::brief ? 512 : 4096))
    for (const Against side : {Against::end, Against::begin}) {
      const Guarded<T> x(finite_values<T>(n, 7 + unsigned(n)), side);
      Guarded<float> y(1);
      kernel(x.data(), 1, n, y.data());
      expect_absmax<T>({x.data(), n}, y[0]);
    }
}

/// The largest magnitude, negative, infinite or NaN, at every place.
template <class T>
void check_absmax_special_anywhere(AbsmaxKernel<T>* kernel) {
  for (const std::size_t n : {1, 7, 8, 9, 63, 64, 65, 200})
    for (std::size_t at = 0; at < n; ++at)
      for (const float special : {-3.5f, kInf, -kInf, kNan, -kNan}) {
        std::vector<T> x(n, number<T>(0.25f));
        x[at] = number<T>(special);
        float y;
        kernel(x.data(), 1, n, &y);
        expect_absmax<T>(x, y, std::to_string(special) + " at [" + std::to_string(at) + "]: ");
      }
}

template <class T>
void check_absmax_zeros_subnormals_and_extremes(AbsmaxKernel<T>* kernel) {
  const float least = std::is_same_v<T, f16> ? 0x1p-24f : kLeast;
  const float most = std::is_same_v<T, f16> ? 65504.0f : kMost;
  for (const float v : {0.0f, -0.0f, least, -least, most, -most}) {
    const std::vector<T> x(37, number<T>(v));
    float y = -1;
    kernel(x.data(), 1, x.size(), &y);
    expect_absmax<T>(x, y);
  }
}

/// Any patterns, NaN and infinities among those of f16, in groups of many counts and lengths.
template <class T>
void check_absmax_groups(AbsmaxKernel<T>* kernel, Effort effort = Effort::thorough) {
  const auto values = [](std::size_t n) {
    if constexpr (std::is_same_v<T, f16>)
      return half_patterns(n, 3);
    else
      return weights(n, 3);
  };
  const std::vector<std::size_t> lengths = {1,  5,  7,   8,   9,   15,  16,  17, 32,
                                            33, 64, 100, 128, 200, 256, 300, 600};
  for (const std::size_t len : lengths)
    for (const std::size_t groups : {0, 1, 7, 8, 9, 11, 16, 35}) {
      if (effort == Effort::brief && groups * len > 4096) continue;
      for (const Against side : {Against::end, Against::begin}) {
        const Guarded<T> x(values(groups * len), side);
        Guarded<float> y(groups, side);
        kernel(x.data(), groups, len, y.data());
        for (std::size_t i = 0; i < groups; ++i)
          expect_absmax<T>({x.data() + i * len, len}, y[i],
                           "group " + std::to_string(i) + " of " + label(groups, len) + ": ");
      }
    }
  Guarded<float> none(3);
  kernel(nullptr, 3, 0, none.data());
  for (const float y : none) expect_absmax<T>({}, y);
}

/// The largest at every place of every group: no group sees another's.
template <class T>
void check_absmax_largest_anywhere(AbsmaxKernel<T>* kernel, Effort effort = Effort::thorough) {
  const std::size_t groups = effort == Effort::brief ? 9 : 19;
  for (const std::size_t len : {8, 16, 24, 32, 40, 64, 128}) {
    std::vector<T> x(groups * len, T{});
    std::vector<float> y(groups);
    for (std::size_t at = 0; at < x.size(); ++at) {
      x[at] = number<T>(-4.0f);
      kernel(x.data(), groups, len, y.data());
      x[at] = T{};
      for (std::size_t i = 0; i < groups; ++i)
        if (y[i] != (i == at / len ? 4.0f : 0.0f))
          fail("-4 at [", at, "] of ", label(groups, len), ": absmax of group ", i, " is ", y[i]);
    }
  }
}

}  // namespace qb::test
