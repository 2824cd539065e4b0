// SPDX-License-Identifier: Apache-2.0
#include "convert/convert.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "checks/convert.h"
#include "core/check.h"
#include "core/stream.h"
#include "support/variant_test.h"

namespace {

using qb::bf16;
using qb::e4m3;
using qb::e5m2;
using qb::f16;
using namespace qb::test;

QB_VARIANT_TEST_SUITE(ConvertF16ToF32, qb::convert::f16_f32);
QB_VARIANT_TEST_SUITE(ConvertF32ToF16, qb::convert::f32_f16);
QB_VARIANT_TEST_SUITE(ConvertBf16ToF32, qb::convert::bf16_f32);
QB_VARIANT_TEST_SUITE(ConvertF32ToBf16, qb::convert::f32_bf16);
QB_VARIANT_TEST_SUITE(ConvertE4m3ToF32, qb::convert::e4m3_f32);
QB_VARIANT_TEST_SUITE(ConvertF32ToE4m3, qb::convert::f32_e4m3);
QB_VARIANT_TEST_SUITE(ConvertE5m2ToF32, qb::convert::e5m2_f32);
QB_VARIANT_TEST_SUITE(ConvertF32ToE5m2, qb::convert::f32_e5m2);

/// Large enough for non-temporal stores, which need an alignment that the output lacks.
template <class In, class Out, class Fn>
void beyond_the_caches(Fn* kernel) {
  const std::size_t bytes = sizeof(Out) > sizeof(In) ? qb::kStreamBytesWriting : qb::kStreamBytes;
  const std::size_t least = bytes / (sizeof(In) + sizeof(Out)) + 1;
  const std::vector<In> x = patterns<In>(least + 200, 5);
  std::vector<Out> y;
  check_convert_misaligned(kernel, least - 2, 0, 1, x, y);
  for (const std::size_t y_at : {0u, 13u})
    check_convert_misaligned(kernel, least + 5 * y_at, 3 * y_at % 8, y_at, x, y);
}

/// A stride over all patterns: coprime to 2^32, so that low and high bits both vary.
std::vector<float> strided_floats() {
  constexpr std::uint32_t kStride = 4093;
  std::vector<float> x;
  x.reserve((std::uint64_t{1} << 32) / kStride + 1);
  for (std::uint64_t b = 0; b < std::uint64_t{1} << 32; b += kStride)
    x.push_back(std::bit_cast<float>(std::uint32_t(b)));
  return x;
}

#define QB_CONVERSION_TESTS(Suite, In, Out)                                                   \
  QB_VARIANT_TEST(Suite, EveryLengthBetweenGuardPages) {                                      \
    qb::test::check_convert_every_length(kernel());                                           \
  }                                                                                           \
  QB_VARIANT_TEST(Suite, MisalignedStarts) { qb::test::check_convert_every_start(kernel()); } \
  QB_VARIANT_TEST(Suite, BeyondTheCaches) { beyond_the_caches<In, Out>(kernel()); }

#define QB_WIDENING_TESTS(Suite, In)    \
  QB_CONVERSION_TESTS(Suite, In, float) \
  QB_VARIANT_TEST(Suite, EveryPattern) { expect_converts(kernel(), all_patterns<In>()); }

#define QB_NARROWING_TESTS(Suite, Out)                                                    \
  QB_CONVERSION_TESTS(Suite, float, Out)                                                  \
  QB_VARIANT_TEST(Suite, EveryRoundingBoundary) {                                         \
    expect_converts(kernel(), qb::test::rounding_boundaries<Out>());                      \
  }                                                                                       \
  QB_VARIANT_TEST(Suite, EveryKindOfNan) { expect_converts(kernel(), qb::test::nans()); } \
  QB_VARIANT_TEST(Suite, OneNanAnywhere) { check_convert_one_nan_anywhere(kernel()); }    \
  QB_VARIANT_TEST(Suite, StrideOverAllPatterns) { expect_converts(kernel(), strided_floats()); }

QB_WIDENING_TESTS(ConvertF16ToF32, f16)
QB_WIDENING_TESTS(ConvertBf16ToF32, bf16)
QB_WIDENING_TESTS(ConvertE4m3ToF32, e4m3)
QB_WIDENING_TESTS(ConvertE5m2ToF32, e5m2)
QB_NARROWING_TESTS(ConvertF32ToF16, f16)
QB_NARROWING_TESTS(ConvertF32ToBf16, bf16)
QB_NARROWING_TESTS(ConvertF32ToE4m3, e4m3)
QB_NARROWING_TESTS(ConvertF32ToE5m2, e5m2)

// Values that the rounding instructions of some CPUs get wrong, in an array long enough for the
// loop that uses these instructions; and values that they get right.
QB_VARIANT_TEST(ConvertF32ToBf16, OneOddValueAnywhere) {
  constexpr std::uint32_t kOdd[] = {0xff800001u, 0x7fc12345u, 0x00000001u, 0x807fffffu,
                                    0x00018000u, 0x80000000u, 0x007f8000u, 0x00800000u,
                                    0x7f7fffffu, 0xff800000u};
  std::vector<float> x = qb::test::weights(600, 3);
  for (std::size_t at = 0; at < 200; ++at) {
    const float before = x[at];
    x[at] = std::bit_cast<float>(kOdd[at % std::size(kOdd)]);
    expect_converts(kernel(), x);
    x[at] = before;
  }
}

// The oracle on literal patterns of IEEE 754 and of the contract.
TEST(ConvertOracle, KnownPatterns) {
  using namespace qb::oracle;
  EXPECT_EQ(value(f16(0x0001)), 0x1p-24);
  EXPECT_EQ(value(f16(0x03ff)), 0x1p-14 - 0x1p-24);
  EXPECT_EQ(value(f16(0xc000)), -2);
  EXPECT_EQ(value(f16(0x7bff)), 65504);
  EXPECT_EQ(value(bf16(0x3f80)), 1);
  EXPECT_EQ(value(bf16(0x0001)), 0x1p-133);
  EXPECT_EQ(widened(f16(0x7c01)), 0x7fc02000u);
  EXPECT_EQ(widened(f16(0xfe01)), 0xffc02000u);
  EXPECT_EQ(widened(bf16(0x7f81)), 0x7fc10000u);
  EXPECT_EQ(widened(f16(0x8000)), 0x80000000u);
  const std::pair<float, unsigned> halves[] = {
      {65519.996f, 0x7bff}, {65520.0f, 0x7c00},     {-65520.0f, 0xfc00},   {0x1p-25f, 0x0000},
      {0x1.000002p-25f, 1}, {-0x1p-25f, 0x8000},    {0x1.8p-24f, 2},       {0x1.002p0f, 0x3c00},
      {0x1.006p0f, 0x3c02}, {0x1.ffap-15f, 0x03ff}, {0x1.ffep-15f, 0x0400}};
  for (const auto& [x, want] : halves) EXPECT_EQ(unsigned(narrowed_f16(x)), want) << x;
  const std::pair<float, unsigned> brains[] = {{0x1.01p0f, 0x3f80},   {0x1.03p0f, 0x3f82},
                                               {3.4e38f, 0x7f80},     {0x1p-134f, 0x0000},
                                               {0x1.8p-133f, 0x0002}, {-0x1.fep127f, 0xff7f}};
  for (const auto& [x, want] : brains) EXPECT_EQ(unsigned(narrowed_bf16(x)), want) << x;
  EXPECT_EQ(unsigned(narrowed_f16(std::bit_cast<float>(0x7f800001u))), 0x7e00u);
  EXPECT_EQ(unsigned(narrowed_f16(std::bit_cast<float>(0xff802000u))), 0xfe01u);
  EXPECT_EQ(unsigned(narrowed_bf16(std::bit_cast<float>(0x7fffffffu))), 0x7fffu);
}

TEST(ConvertOracle, KnownPatternsOf8Bits) {
  using namespace qb::oracle;
  EXPECT_EQ(value(e4m3(0x01)), 0x1p-9);
  EXPECT_EQ(value(e4m3(0x08)), 0x1p-6);
  EXPECT_EQ(value(e4m3(0xfe)), -448);
  EXPECT_EQ(value(e5m2(0x01)), 0x1p-16);
  EXPECT_EQ(value(e5m2(0x7b)), 57344);
  EXPECT_EQ(widened(e4m3(0xff)), 0xffc00000u);
  EXPECT_EQ(widened(e5m2(0x7d)), 0x7fe00000u);
  const std::pair<float, unsigned> e4m3s[] = {
      {464.0f, 0x7e}, {480.0f, 0x7e},    {-INFINITY, 0xfe},    {1.0625f, 0x38}, {1.1875f, 0x3a},
      {0x1p-10f, 0},  {-0x1p-10f, 0x80}, {0x1.000002p-10f, 1}, {0x1.ep-7f, 8}};
  for (const auto& [x, want] : e4m3s) EXPECT_EQ(unsigned(narrowed_e4m3(x)), want) << x;
  const std::pair<float, unsigned> e5m2s[] = {{61439.0f, 0x7b}, {61440.0f, 0x7c}, {1.125f, 0x3c},
                                              {1.375f, 0x3e},   {0x1p-17f, 0},    {-1e9f, 0xfc}};
  for (const auto& [x, want] : e5m2s) EXPECT_EQ(unsigned(narrowed_e5m2(x)), want) << x;
  EXPECT_EQ(unsigned(narrowed_e5m2(std::bit_cast<float>(0xffa00000u))), 0xffu);
}

// Two derivations of rounding, value by value and by walking past midpoints, agree.
template <class Half>
void expect_walk_agrees() {
  std::vector<float> x = qb::test::rounding_boundaries<Half>();
  std::erase_if(x, [](float v) { return std::signbit(v); });
  std::ranges::sort(x);
  for (const std::size_t from : {std::size_t{0}, x.size() / 2, x.size() - 3}) {
    qb::test::Walk<Half> walk(bits(x[from]));
    for (std::size_t i = from; i < x.size(); ++i)
      ASSERT_EQ(walk(bits(x[i])), expected(x[i], Half{}));
  }
}
TEST(ConvertOracle, WalkAgrees) {
  expect_walk_agrees<f16>();
  expect_walk_agrees<bf16>();
  expect_walk_agrees<e4m3>();
  expect_walk_agrees<e5m2>();
}

TEST(ConvertChecked, Converts) {
  const std::vector<f16> h = {f16(0x3c00), f16(0xc000)};
  std::vector<float> x(3, 9.0f);
  qb::convert::widen(h, x);
  EXPECT_EQ(x, (std::vector<float>{1, -2, 9}));
  std::vector<f16> back(3, f16(0));
  qb::convert::narrow(std::span<const float>(x).first(2), back);
  EXPECT_EQ(back, (std::vector<f16>{f16(0x3c00), f16(0xc000), f16(0)}));
  std::vector<bf16> brain(3);
  qb::convert::narrow(x, brain);
  EXPECT_EQ(brain, (std::vector<bf16>{bf16(0x3f80), bf16(0xc000), bf16(0x4110)}));
  qb::convert::widen(std::span<const bf16>(brain).subspan(1), x);
  EXPECT_EQ(x, (std::vector<float>{-2, 9, 9}));
  std::vector<e4m3> fours(3);
  qb::convert::narrow(x, fours);
  EXPECT_EQ(fours, (std::vector<e4m3>{e4m3(0xc0), e4m3(0x51), e4m3(0x51)}));
  qb::convert::widen(fours, x);
  EXPECT_EQ(x, (std::vector<float>{-2, 9, 9}));
  std::vector<e5m2> fives(3);
  qb::convert::narrow(x, fives);
  EXPECT_EQ(fives, (std::vector<e5m2>{e5m2(0xc0), e5m2(0x48), e5m2(0x48)}));
  qb::convert::widen(fives, x);
  EXPECT_EQ(x, (std::vector<float>{-2, 8, 8}));
  qb::convert::widen(std::span<const f16>{}, std::span<float>{});
}

TEST(ConvertChecked, RefusesAndWritesNothing) {
  std::vector<float> x(4, 1.0f), y(3, -1.0f);
  std::vector<f16> h(4, f16(7)), short_h(3, f16(7));
  std::vector<bf16> b(4, bf16(7)), short_b(3, bf16(7));
  EXPECT_THROW(qb::convert::widen(h, y), qb::BadArgument);
  EXPECT_THROW(qb::convert::widen(b, y), qb::BadArgument);
  EXPECT_THROW(qb::convert::narrow(x, short_h), qb::BadArgument);
  EXPECT_THROW(qb::convert::narrow(x, short_b), qb::BadArgument);
  std::vector<e4m3> short_fours(3, e4m3(7));
  EXPECT_THROW(qb::convert::narrow(x, short_fours), qb::BadArgument);
  EXPECT_EQ(short_fours, std::vector<e4m3>(3, e4m3(7)));
  const std::span<f16> inside(reinterpret_cast<f16*>(x.data()) + 7, 4);
  EXPECT_THROW(qb::convert::narrow(x, inside), qb::BadArgument);
  const std::span<const bf16> outer(reinterpret_cast<const bf16*>(x.data()), 2);
  EXPECT_THROW(qb::convert::widen(outer, x), qb::BadArgument);
  EXPECT_EQ(x, std::vector<float>(4, 1.0f));
  EXPECT_EQ(y, std::vector<float>(3, -1.0f));
  EXPECT_EQ(short_h, std::vector<f16>(3, f16(7)));
  EXPECT_EQ(short_b, std::vector<bf16>(3, bf16(7)));
  try {
    qb::convert::narrow(x, short_h);
    FAIL();
  } catch (const qb::BadArgument& e) {
    EXPECT_STREQ(e.what(), "convert::narrow: 'y' has room for 3 elements, needs 4");
  }
}

}  // namespace
