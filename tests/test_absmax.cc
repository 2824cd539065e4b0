#include "absmax/absmax.h"

#include <cmath>
#include <limits>

#include "core/check.h"
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

TEST_P(AbsmaxF32, EveryLengthBetweenGuardPages) { qb::test::check_absmax_every_length(kernel()); }

TEST_P(AbsmaxF32, LargestAnywhereNegativeOrNan) {
  qb::test::check_absmax_special_anywhere(kernel());
}

TEST_P(AbsmaxF32, ZerosSubnormalsAndExtremes) {
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

TEST_P(AbsmaxF32, Groups) {
  for (const std::size_t len : {1, 5, 32, 64, 128, 200}) {
    const std::size_t groups = 11;
    const Guarded<float> x(qb::test::weights(groups * len, 3), Against::end);
    Guarded<float> y(groups);
    kernel()(x.data(), groups, len, y.data());
    for (std::size_t i = 0; i < groups; ++i) expect_absmax<float>({x.data() + i * len, len}, y[i]);
  }
}

TEST_P(AbsmaxF16, EveryLengthBetweenGuardPages) {
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

TEST_P(AbsmaxF16, EveryPatternAlone) {
  for (unsigned bits = 0; bits < 65536; ++bits) {
    std::vector<f16> x(19, f16(0));
    x[bits % 19] = f16(bits);
    float y;
    kernel()(x.data(), 1, x.size(), &y);
    ASSERT_NO_FATAL_FAILURE(expect_absmax<f16>(x, y)) << "pattern " << bits;
  }
}

TEST_P(AbsmaxF16, Groups) {
  for (const std::size_t len : {1, 5, 32, 64, 128, 200}) {
    const std::size_t groups = 11;
    const Guarded<f16> x(qb::test::half_patterns(groups * len, 3), Against::end);
    Guarded<float> y(groups);
    kernel()(x.data(), groups, len, y.data());
    for (std::size_t i = 0; i < groups; ++i) expect_absmax<f16>({x.data() + i * len, len}, y[i]);
  }
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
