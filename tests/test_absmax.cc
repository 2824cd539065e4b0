#include "absmax/absmax.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/check.h"
#include "core/stream.h"
#include "support/absmax_checks.h"
#include "support/guarded.h"
#include "support/inputs.h"
#include "support/variant_test.h"

namespace {

using qb::f16;
using qb::test::Against;
using qb::test::expect_absmax;
using qb::test::Guarded;

QB_VARIANT_TEST_SUITE(AbsmaxF32, qb::absmax::f32);
QB_VARIANT_TEST_SUITE(AbsmaxF16, qb::absmax::f16);

template <class T, class Fn, class Make>
void expect_groups(Fn* kernel, const Make& make) {
  for (const std::size_t len :
       {1, 5, 7, 8, 9, 15, 16, 17, 32, 33, 64, 100, 128, 200, 256, 300, 600})
    for (const std::size_t groups : {1, 7, 8, 9, 11, 16, 35})
      for (const Against side : {Against::end, Against::begin}) {
        const Guarded<T> x(make(groups * len), side);
        Guarded<float> y(groups, side);
        kernel(x.data(), groups, len, y.data());
        for (std::size_t i = 0; i < groups; ++i) expect_absmax<T>({x.data() + i * len, len}, y[i]);
      }
}

template <class T, class Fn>
void expect_largest_anywhere_in_groups(Fn* kernel, T largest) {
  constexpr std::size_t kGroups = 19;
  for (const std::size_t len : {8, 16, 24, 32, 40, 64, 128}) {
    std::vector<T> x(kGroups * len, T{});
    std::vector<float> y(kGroups);
    for (std::size_t at = 0; at < x.size(); ++at) {
      x[at] = largest;
      kernel(x.data(), kGroups, len, y.data());
      x[at] = T{};
      for (std::size_t i = 0; i < kGroups; ++i)
        ASSERT_EQ(y[i], i == at / len ? 4.0f : 0.0f) << "length " << len << " element " << at;
    }
  }
}

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

QB_VARIANT_TEST(AbsmaxF32, EveryLengthBetweenGuardPages) {
  qb::test::check_absmax_every_length(kernel());
}

QB_VARIANT_TEST(AbsmaxF32, LargestAnywhereNegativeOrNan) {
  qb::test::check_absmax_special_anywhere(kernel());
}

QB_VARIANT_TEST(AbsmaxF32, ZerosSubnormalsAndExtremes) {
  constexpr float least = std::numeric_limits<float>::denorm_min();
  constexpr float most = std::numeric_limits<float>::max();
  for (const float v : {0.0f, -0.0f, least, -least, most, -most}) {
    const std::vector<float> x(37, v);
    float y = -1;
    kernel()(x.data(), 1, x.size(), &y);
    expect_absmax<float>(x, y);
    EXPECT_FALSE(std::signbit(y));
  }
}

QB_VARIANT_TEST(AbsmaxF32, Groups) {
  for (const std::size_t len : {1, 5, 32, 64, 128, 200}) {
    const std::size_t groups = 11;
    const Guarded<float> x(qb::test::weights(groups * len, 3), Against::end);
    Guarded<float> y(groups);
    kernel()(x.data(), groups, len, y.data());
    for (std::size_t i = 0; i < groups; ++i) expect_absmax<float>({x.data() + i * len, len}, y[i]);
  }
}

QB_VARIANT_TEST(AbsmaxF16, EveryLengthBetweenGuardPages) {
  for (const std::size_t n : qb::test::lengths())
    for (const Against side : {Against::end, Against::begin}) {
      std::vector<f16> finite = qb::test::half_patterns(n, 5 + unsigned(n));
      for (f16& h : finite)
        if ((unsigned(h) & 0x7c00u) == 0x7c00u) h = f16(unsigned(h) & 0x83ffu);
      const Guarded<f16> x(finite, side);
      Guarded<float> y(1);
      kernel()(x.data(), 1, n, y.data());
      expect_absmax<f16>({x.data(), n}, y[0]);
    }
}

QB_VARIANT_TEST(AbsmaxF16, EveryPatternAlone) {
  for (unsigned bits = 0; bits < 65536; ++bits) {
    std::vector<f16> x(19, f16(0));
    x[bits % 19] = f16(bits);
    float y;
    kernel()(x.data(), 1, x.size(), &y);
    ASSERT_NO_FATAL_FAILURE(expect_absmax<f16>(x, y)) << "pattern " << bits;
  }
}

QB_VARIANT_TEST(AbsmaxF16, Groups) {
  expect_groups<f16>(kernel(), [](std::size_t n) { return qb::test::half_patterns(n, 3); });
}

QB_VARIANT_TEST(AbsmaxF16, LargestAnywhereInEveryGroup) {
  expect_largest_anywhere_in_groups<f16>(kernel(), f16(0xc400));
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
