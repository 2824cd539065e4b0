// The checks of an absmax kernel, apart from the tests that run them over every variant, so that a
// deliberately broken kernel can be put through the very same ones (test_broken_variant.cc).
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <span>
#include <vector>

#include "absmax/absmax.h"
#include "oracle/absmax.h"
#include "support/guarded.h"
#include "support/inputs.h"

namespace qb::test {

template <class T>
void expect_absmax(std::span<const T> x, float got) {
  const double want = oracle::absmax(x);
  if (std::isnan(want))
    EXPECT_TRUE(std::isnan(got)) << "length " << x.size() << ": got " << got;
  else
    EXPECT_EQ(want, double(got)) << "length " << x.size();
}

inline void check_absmax_every_length(absmax::absmax_f32_fn* kernel) {
  for (const std::size_t n : lengths())
    for (const Against side : {Against::end, Against::begin}) {
      const Guarded<float> x(weights(n, 7 + unsigned(n)), side);
      Guarded<float> y(1);
      kernel(x.data(), 1, n, y.data());
      expect_absmax<float>({x.data(), n}, y[0]);
    }
}

inline void check_absmax_special_anywhere(absmax::absmax_f32_fn* kernel) {
  constexpr float nan = std::numeric_limits<float>::quiet_NaN();
  constexpr float inf = std::numeric_limits<float>::infinity();
  for (const std::size_t n : {1, 7, 8, 9, 63, 64, 65, 200})
    for (std::size_t at = 0; at < n; ++at)
      for (const float special : {-3.5f, inf, -inf, nan, -nan}) {
        std::vector<float> x(n, 0.25f);
        x[at] = special;
        Guarded<float> y(1);
        kernel(x.data(), 1, n, y.data());
        expect_absmax<float>(x, y[0]);
      }
}

}  // namespace qb::test
