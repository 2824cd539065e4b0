// SPDX-License-Identifier: Apache-2.0
#include "absmax/absmax.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "checks/absmax.h"
#include "core/check.h"
#include "core/stream.h"
#include "support/variant_test.h"

namespace {

using qb::f16;
using qb::test::Against;
using qb::test::expect_absmax;
using qb::test::Guarded;

QB_VARIANT_TEST_SUITE(AbsmaxF32, qb::absmax::f32);
QB_VARIANT_TEST_SUITE(AbsmaxF16, qb::absmax::f16);

/// Large enough for kernels that read several streams: every part of every stream counts.
template <class T, class Fn>
void expect_beyond_the_caches(Fn* kernel, T usual, std::initializer_list<T> specials) {
  const std::size_t n = qb::kStreamBytes / sizeof(T) + 77;
  Guarded<T> x(n);
  std::fill(x.begin(), x.end(), usual);
  Guarded<float> y(1);
  std::vector<std::size_t> places = {0, 1, n - 1, n - 2, n - 70, n - 2500};
  for (std::size_t part = 1; part < 16; ++part)
    for (const std::size_t at : {n / 16 * part - 1000 * part, n / 16 * part + 3})
      places.push_back(at);
  for (const T special : specials)
    for (const std::size_t at : places) {
      x[at] = special;
      kernel(x.data(), 1, n, y.data());
      x[at] = usual;
      expect_absmax<T>(std::span<const T>(&special, 1), y[0]);
    }
  for (const std::size_t len : {32u, 48u, 4096u}) {
    const std::size_t groups = n / len;
    Guarded<float> each(groups);
    for (std::size_t i = 0; i < groups; ++i)
      x[i * len + i % len] = T(i % 3 == 0 ? *specials.begin() : usual);
    kernel(x.data(), groups, len, each.data());
    for (std::size_t i = 0; i < groups; ++i) {
      ASSERT_EQ(each[i], i % 3 == 0 ? 3.0f : 1.0f) << "length " << len << " group " << i;
      x[i * len + i % len] = usual;
    }
  }
}

#define QB_ABSMAX_TESTS(Suite)                                                \
  QB_VARIANT_TEST(Suite, EveryLengthBetweenGuardPages) {                      \
    qb::test::check_absmax_every_length(kernel());                            \
  }                                                                           \
  QB_VARIANT_TEST(Suite, LargestAnywhereNegativeInfiniteOrNan) {              \
    qb::test::check_absmax_special_anywhere(kernel());                        \
  }                                                                           \
  QB_VARIANT_TEST(Suite, ZerosSubnormalsAndExtremes) {                        \
    qb::test::check_absmax_zeros_subnormals_and_extremes(kernel());           \
  }                                                                           \
  QB_VARIANT_TEST(Suite, Groups) { qb::test::check_absmax_groups(kernel()); } \
  QB_VARIANT_TEST(Suite, LargestAnywhereInEveryGroup) {                       \
    qb::test::check_absmax_largest_anywhere(kernel());                        \
  }

QB_ABSMAX_TESTS(AbsmaxF32)
QB_ABSMAX_TESTS(AbsmaxF16)

QB_VARIANT_TEST(AbsmaxF32, BeyondTheCaches) {
  expect_beyond_the_caches<float>(kernel(), 1.0f, {-3.0f, qb::test::kNan});
}

QB_VARIANT_TEST(AbsmaxF16, EveryPatternAlone) {
  for (unsigned bits = 0; bits < 65536; ++bits) {
    std::vector<f16> x(19, f16(0));
    x[bits % 19] = f16(bits);
    float y;
    kernel()(x.data(), 1, x.size(), &y);
    expect_absmax<f16>(x, y, "pattern " + std::to_string(bits) + ": ");
  }
}

QB_VARIANT_TEST(AbsmaxF16, BeyondTheCaches) {
  expect_beyond_the_caches<f16>(kernel(), f16(0x3c00), {f16(0xc200), f16(0xfc01)});
}

TEST(AbsmaxChecked, TensorAndGroups) {
  const std::vector<float> x = {1, -4, 2, 3};
  EXPECT_EQ(qb::absmax::tensor(x), 4);
  EXPECT_EQ(qb::absmax::tensor(std::span<const float>{}), 0);
  std::vector<float> y(2);
  qb::absmax::groups(x, 2, y);
  EXPECT_EQ(y, (std::vector<float>{4, 3}));
}

TEST(AbsmaxChecked, RefusesAndWritesNothing) {
  std::vector<float> x(6, 1.0f), y(3, -1.0f);
  EXPECT_THROW(qb::absmax::groups(x, 4, y), qb::BadArgument);
  EXPECT_THROW(qb::absmax::groups(x, 0, y), qb::BadArgument);
  EXPECT_THROW(qb::absmax::groups(x, 1, y), qb::BadArgument);
  EXPECT_THROW(qb::absmax::groups(x, 2, std::span<float>(x).subspan(3)), qb::BadArgument);
  EXPECT_EQ(y, std::vector<float>(3, -1.0f));
  try {
    qb::absmax::groups(x, 4, y);
  } catch (const qb::BadArgument& e) {
    EXPECT_STREQ(e.what(), "absmax::groups: 'group' = 4 does not divide 'x.size()' = 6");
  }
}

}  // namespace
