// SPDX-License-Identifier: Apache-2.0
#include <cstring>

#include "checks/matmul_f16.h"
#include "core/check.h"
#include "matmul/matmul.h"
#include "oracle/matmul.h"
#include "support/guarded.h"
#include "support/inputs.h"
#include "support/matmul_test.h"
#include "support/variant_test.h"

namespace {

using qb::f16;
using qb::matmul::Arithmetic;
using qb::matmul::Format;
using qb::matmul::Kernel;
using qb::matmul::PackedWeights;
using qb::matmul::WeightView;
using qb::test::A32;
using qb::test::Against;
using qb::test::check_f16_product;
using qb::test::refusal;

QB_MATMUL_TESTS(MatmulA32_f32, qb::matmul::a32_f32, A32, Format::f32, 1)
QB_MATMUL_TESTS(MatmulA32_f16, qb::matmul::a32_f16, A32, Format::f16, 1)

/// Groups: 1 where k may be anything.
#define QB_A32_TESTS(Suite, operation, format, ...) \
  QB_MATMUL_QUANTIZED_TESTS(Suite, operation, A32, format, __VA_ARGS__)

// Of every format whose codes are scaled: MatmulA32_q4_0 and so on.
#define QB_QUANTIZED_FORMAT(name, ...) \
  QB_A32_TESTS(MatmulA32_##name, qb::matmul::a32_##name, Format::name, __VA_ARGS__)
#include "support/quantized_formats.inc"

QB_VARIANT_TEST_SUITE(MatmulF16F16, qb::matmul::f16_f16);

QB_VARIANT_TEST(MatmulF16F16, EveryShapeToTheBit) {
  for (const qb::test::Shape s : qb::test::shapes(1))
    for (const std::size_t m : qb::test::kRows)
      for (const bool any_finite : {false, true}) check_f16_product(*kernel(), m, s, any_finite);
}

QB_VARIANT_TEST(MatmulF16F16, ManyRowsAndLongSums) {
  check_f16_product(*kernel(), 203, {163, 535}, false);
  for (const std::size_t m : {1, 6}) check_f16_product(*kernel(), m, {130, 4096}, false);
}

QB_VARIANT_TEST(MatmulF16F16, Empty) {
  for (const std::size_t m : {0, 1, 7})
    for (const std::size_t n : {0, 1, 19})
      for (const std::size_t k : {0, 5})
        if (!m || !n || !k) check_f16_product(*kernel(), m, {n, k}, false);
}

QB_VARIANT_TEST(MatmulF16F16, UnpackGivesBack) {
  qb::test::check_repacking<A32>(*kernel(), Format::f16, 1);
}

QB_VARIANT_TEST(MatmulF16F16, OverflowAndNonFinite) {
  // 65504*1 + 16*1 = 65520, the first that rounds to infinity; 65519.99 still rounds to 65504.
  const std::vector<f16> one(3, f16(0x3c00)), x = {f16(0x7bff), f16(0x4c00), f16(0)};
  const WeightView view = qb::matmul::view_f16(one, 1, 3);
  EXPECT_EQ(unsigned(qb::test::multiply(*kernel(), view, x, 1, Against::end, false)[0]), 0x7c00u);
  const std::vector<f16> below = {f16(0x7bff), f16(0x4bff), f16(0)};
  EXPECT_EQ(unsigned(qb::test::multiply(*kernel(), view, below, 1, Against::end, false)[0]),
            0x7bffu);
  const std::vector<f16> opposed = {f16(0x7c00), f16(0xfc00), f16(0)};
  const unsigned nan =
      unsigned(qb::test::multiply(*kernel(), view, opposed, 1, Against::end, false)[0]);
  EXPECT_GT(nan & 0x7fffu, 0x7c00u);
}

// The checked entries.

TEST(MatmulChecked, EveryFormatOnTheBestVariantAndThreads) {
  qb::test::check_entry<A32>(Arithmetic::a32);
}

TEST(MatmulChecked, NamedVariant) {
  const std::vector<float> w = {1, 2, 3, 4}, x = {10, 1};
  std::vector<float> y(2);
  PackedWeights packed(qb::matmul::view_f32(w, 2, 2), Arithmetic::a32, "scalar");
  EXPECT_EQ(packed.variant(), "scalar");
  packed.run(x, 1, y);
  EXPECT_EQ(y, (std::vector<float>{12, 34}));
  EXPECT_THROW(PackedWeights(qb::matmul::view_f32(w, 2, 2), Arithmetic::a32, "none"),
               std::invalid_argument);
}

TEST(MatmulChecked, TheNotebooksProduct) {
  const std::vector<f16> w = {f16(0x3c00), f16(0x4000)}, x = {f16(0x4200), f16(0x3800)};
  std::vector<f16> y(1);
  PackedWeights packed(qb::matmul::view_f16(w, 1, 2), Arithmetic::f16);
  packed.run(x, 1, y);
  EXPECT_EQ(unsigned(y[0]), 0x4400u);  // 3*1 + 0.5*2 = 4
}

TEST(MatmulChecked, ViewsRefuse) {
  using namespace qb::matmul;
  const std::vector<float> f(12), scales(3);
  const std::vector<f16> h(12);
  const std::vector<std::int8_t> q8(96);
  const std::vector<std::uint8_t> q4(96);
  EXPECT_EQ(refusal([&] { view_f32(f, 3, 5); }),
            "matmul::view_f32: 'values' has 12 elements, expected 15");
  EXPECT_THROW(view_f16(h, 5, 3), qb::BadArgument);
  EXPECT_THROW(view_s8(q8, scales, 4, 24), qb::BadArgument);
  EXPECT_THROW(view_s8(q8, scales, 3, 31), qb::BadArgument);
  EXPECT_THROW(view_s4(q4, scales, 3, 62), qb::BadArgument);
  EXPECT_NO_THROW(view_s4(q4, scales, 3, 63));
  EXPECT_EQ(refusal([&] { view_s8g(q8, h, 2, 48, 16); }),
            "matmul::view_s8g: 'group' = 16 is none of 32, 64, 128");
  EXPECT_EQ(refusal([&] { view_s8g(q8, h, 2, 48, 32); }),
            "matmul::view_s8g: 'group' = 32 does not divide 'k' = 48");
  EXPECT_THROW(view_s8g(q8, h, 1, 96, 32), qb::BadArgument);
  EXPECT_THROW(view_s4g(q4, h, 2, 96, 0), qb::BadArgument);
  EXPECT_THROW(view_s4g(q4, h, 1, 96, 32), qb::BadArgument);
  EXPECT_EQ(refusal([&] { view_u4h(q4, h, {}, 2, 96, 48); }),
            "matmul::view_u4h: 'group' = 48 is none of 32, 64, 128");
  EXPECT_EQ(
      refusal([&] { view_u4h(q4, std::span(h).first(6), std::span(q4).first(3), 2, 96, 32); }),
      "matmul::view_u4h: 'zeros' has 3 elements, expected 4");
  EXPECT_THROW(view_u4h(q4, h, {}, 2, 96, 32), qb::BadArgument);
  const std::vector<qb::BlockQ8_0> b8(4);
  const std::vector<qb::BlockQ4_0> b4(4);
  EXPECT_EQ(refusal([&] { view_q8_0(b8, 2, 48); }),
            "matmul::view_q8_0: 'block' = 32 does not divide 'k' = 48");
  EXPECT_THROW(view_q8_0(b8, 3, 64), qb::BadArgument);
  EXPECT_THROW(view_q4_0(b4, 2, 96), qb::BadArgument);
  EXPECT_THROW(view_q4_0(b4, 2, 65), qb::BadArgument);
}

/// Three groups of 64: a row's zero points end with half a byte.
TEST(MatmulChecked, ZeroPointsAreThoseOfTheGroup) {
  using namespace qb::matmul;
  constexpr std::size_t n = 2, k = 192;
  const std::vector<std::uint8_t> codes(n * k / 2, 0xa5);                  // 5, 10, 5, 10, ...
  const std::vector<f16> scales = {f16(0x3c00), f16(0x4000), f16(0x4400),  // 1, 2, 4
                                   f16(0x3800), f16(0x3c00), f16(0x4000)};
  const std::vector<std::uint8_t> zeros = {0x53, 0x0a, 0xf0, 0x08};
  const std::vector<float> ones(k, 1.0f);
  const auto product = [&](const WeightView& view) {
    std::vector<float> y(n);
    PackedWeights(view, Arithmetic::a32).run(ones, 1, y);
    return y;
  };
  const auto sum = [](float scale, float zero) { return 32 * scale * (15 - 2 * zero); };
  const std::vector<float> want = {sum(1, 3) + sum(2, 5) + sum(4, 10),
                                   sum(0.5f, 0) + sum(1, 15) + sum(2, 8)};
  EXPECT_EQ(product(view_u4h(codes, scales, zeros, n, k, 64)), want);
  EXPECT_EQ(product(view_u4h(codes, scales, {}, n, k, 64)),
            (std::vector<float>{sum(1, 8) + sum(2, 8) + sum(4, 8),
                                sum(0.5f, 8) + sum(1, 8) + sum(2, 8)}));
  std::vector<std::byte> beside(sizeof(f16) * scales.size() + zeros.size());
  std::memcpy(beside.data(), scales.data(), sizeof(f16) * scales.size());
  std::memcpy(beside.data() + sizeof(f16) * scales.size(), zeros.data(), zeros.size());
  EXPECT_EQ(product(view(Format::u4h, std::as_bytes(std::span(codes)), beside, n, k, 64)), want);
}

TEST(MatmulChecked, RunRefusesAndWritesNothing) {
  using namespace qb::matmul;
  std::vector<float> w(6, 2.0f), both(9, -1.0f);
  const std::span<float> y = std::span(both).first(2), x = std::span(both).last(6);
  PackedWeights packed(view_f32(w, 2, 3), Arithmetic::a32);
  EXPECT_EQ(refusal([&] { packed.run(x, 1, y); }),
            "matmul::PackedWeights::run: 'x' has 6 elements, expected 3");
  EXPECT_EQ(refusal([&] { packed.run(x, 2, y); }),
            "matmul::PackedWeights::run: 'y' has room for 2 elements, needs 4");
  EXPECT_EQ(refusal([&] { packed.run(x, 2, std::span(both).first(4)); }),
            "matmul::PackedWeights::run: 'x' and 'y' overlap");
  EXPECT_EQ(refusal([&] { packed.run(x, 2, w); }),
            "matmul::PackedWeights::run: 'weights' and 'y' overlap");
  EXPECT_THROW(packed.run(x, 1, y, 0), qb::BadArgument);
  const std::vector<f16> hx(3);
  std::vector<f16> hy(2);
  EXPECT_THROW(packed.run(hx, 1, hy), qb::BadArgument);
  EXPECT_EQ(both, std::vector<float>(9, -1.0f));
  EXPECT_EQ(w, std::vector<float>(6, 2.0f));
  EXPECT_EQ(refusal([&] { PackedWeights(view_f32(w, 2, 3), Arithmetic::a8); }),
            "matmul::operation: no a8 product for f32 weights");
  EXPECT_EQ(refusal([&] { PackedWeights(view_f32(w, 2, 3), Arithmetic::f16); }),
            "matmul::operation: no f16 product for f32 weights");
  std::vector<float> scales(2, 1.0f);
  const std::vector<std::int8_t> codes(6);
  PackedWeights quantized(view_s8(codes, scales, 2, 3), Arithmetic::a32);
  EXPECT_EQ(refusal([&] { quantized.run(std::span(both).first(3), 1, scales); }),
            "matmul::PackedWeights::run: 'scales' and 'y' overlap");
}

}  // namespace
