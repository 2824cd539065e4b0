// SPDX-License-Identifier: Apache-2.0
// The formats of groups with zero points: every variant against the oracle, and the checked
// entries.
#include <gmock/gmock.h>

#include <string>
#include <vector>

#include "checks/zero_points.h"
#include "core/check.h"
#include "quantize/quantize.h"
#include "support/quantize_entries.h"
#include "support/variant_test.h"

namespace {

using qb::f16;
using namespace qb::test;
using testing::HasSubstr;
using Bytes = std::vector<std::uint8_t>;

template <class S>
void check_round_trip() {
  const std::vector<float> x = weights(5 * 64, 1);
  Bytes q(x.size() / 2), zero(3);
  std::vector<S> scale(5);
  std::vector<float> y(x.size());
  for (const bool zeros : {true, false}) {
    const std::span<std::uint8_t> points(zero.data(), zeros ? zero.size() : 0);
    qb::quantize::quantize(x, 64, q, std::span(scale), points);
    const auto want = qb::oracle::quantize_u4<S>(x, 5, 64, zeros);
    expect_same(q, want.q, "codes");
    expect_same(scale, want.scale, "scale");
    if (zeros) expect_same(zero, want.zero, "zero");
    qb::quantize::dequantize(q, 64, std::span<const S>(scale), points, y);
    expect_same(y, expected_u4_back(want, 64), "back");
  }
  qb::quantize::quantize(std::span<const float>{}, 32, {}, std::span<S>{}, {});
  qb::quantize::dequantize({}, 32, std::span<const S>{}, {}, {});
}

template <class S>
void check_refusals(const char* type, float overflows) {
  std::vector<float> x(128, 1.0f), y(128, -5.0f);
  Bytes q(64, 99), zero(2, 77);
  std::vector<S> scale(4);
  const auto refused = [&](std::span<const float> in, std::size_t group,
                           std::span<std::uint8_t> codes, std::span<S> scales,
                           std::span<std::uint8_t> zeros) {
    return refusal([&] { qb::quantize::quantize(in, group, codes, scales, zeros); });
  };
  EXPECT_THAT(refused(x, 16, q, scale, zero), HasSubstr("'group' = 16 is none of 32, 64 and 128"));
  EXPECT_THAT(refused(std::span(x).first(96), 64, q, scale, zero),
              HasSubstr("'group' = 64 does not divide 'x.size()' = 96"));
  EXPECT_THAT(refused(x, 32, std::span(q).first(63), scale, zero),
              HasSubstr("'q' has room for 63 elements, needs 64"));
  EXPECT_THAT(refused(x, 32, q, std::span(scale).first(3), zero),
              HasSubstr("'scale' has room for 3 elements, needs 4"));
  EXPECT_THAT(refused(x, 32, q, scale, std::span(zero).first(1)),
              HasSubstr("'zero' has room for 1 elements, needs 2"));
  EXPECT_THAT(refused(x, 32, q, scale, std::span(q).first(2)), HasSubstr("'q' and 'zero' overlap"));
  EXPECT_THAT(refused(x, 32, q, scale, overlaid<std::uint8_t>(x, 0, 2)),
              HasSubstr("'x' and 'zero' overlap"));
  x[77] = kNan;
  EXPECT_THAT(refused(x, 32, q, scale, zero), HasSubstr("'x'[77]"));
  x[77] = overflows;
  x[78] = -overflows;
  const std::string message = std::string("the scale of group 2 overflows ") + type;
  EXPECT_THAT(refused(x, 32, q, scale, zero), HasSubstr(message));
  EXPECT_EQ(q, Bytes(64, 99));
  EXPECT_EQ(zero, Bytes(2, 77));

  const auto back = [&](std::span<const std::uint8_t> codes, std::size_t group,
                        std::span<const S> scales, std::span<const std::uint8_t> zeros,
                        std::span<float> to) {
    return refusal([&] { qb::quantize::dequantize(codes, group, scales, zeros, to); });
  };
  EXPECT_THAT(back(q, 48, scale, zero, y), HasSubstr("is none of 32, 64 and 128"));
  EXPECT_THAT(back(q, 32, std::span(scale).first(3), zero, y),
              HasSubstr("'scale' has 3 elements, expected 4"));
  EXPECT_THAT(back(q, 32, scale, std::span(zero).first(1), y),
              HasSubstr("'zero' has 1 elements, expected 2"));
  EXPECT_THAT(back(q, 32, scale, zero, std::span(y).first(127)), HasSubstr("needs 128"));
  EXPECT_THAT(back(q, 32, scale, overlaid<std::uint8_t>(y, 0, 2), y),
              HasSubstr("'zero' and 'y' overlap"));
  if constexpr (sizeof(S) == sizeof(float))
    scale[1] = kInf;
  else
    scale[1] = f16(0x7c00);
  EXPECT_THAT(back(q, 32, scale, zero, y), HasSubstr("'scale'[1]"));
  EXPECT_EQ(y, std::vector<float>(128, -5.0f));
}

#define QB_TEST_FORMAT(format, Scale, ...)                                                \
  QB_VARIANT_TEST_SUITE(Quantize_##format, qb::quantize::quantize_f32_##format);          \
  QB_VARIANT_TEST_SUITE(Dequantize_##format, qb::quantize::dequantize_##format##_f32);    \
  QB_VARIANT_TEST(Quantize_##format, GroupCountsBetweenGuardPages) {                      \
    check_u4_counts<Scale>(kernel());                                                     \
  }                                                                                       \
  QB_VARIANT_TEST(Quantize_##format, TiesExtremesSubnormalsAndZeros) {                    \
    check_u4_hard<Scale>(kernel());                                                       \
  }                                                                                       \
  QB_VARIANT_TEST(Quantize_##format, NonFiniteInputStaysInItsGroup) {                     \
    check_u4_non_finite<Scale>(kernel());                                                 \
  }                                                                                       \
  QB_VARIANT_TEST(Dequantize_##format, GroupCountsBetweenGuardPages) {                    \
    check_u4_dequantize<Scale>(kernel());                                                 \
  }                                                                                       \
  QB_VARIANT_TEST(Dequantize_##format, EveryCodeZeroPointAndScale) {                      \
    check_u4_every_code<Scale>(kernel());                                                 \
  }                                                                                       \
  QB_VARIANT_TEST(Dequantize_##format, PastTheCaches) { check_u4_long<Scale>(kernel()); } \
  TEST(Checked_##format, RoundTrip) { check_round_trip<Scale>(); }
QB_ZERO_POINT_FORMATS(QB_TEST_FORMAT, )

TEST(Checked_u4f, Refusals) { check_refusals<float>("f32", 3e38f); }
TEST(Checked_u4h, Refusals) { check_refusals<f16>("f16", 65520.0f * 15 / 2); }

}  // namespace
