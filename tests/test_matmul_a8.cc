// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <limits>

#include "core/check.h"
#include "matmul/matmul.h"
#include "oracle/matmul_a8.h"
#include "support/guarded.h"
#include "support/inputs.h"
#include "support/matmul_test.h"
#include "support/variant_test.h"

namespace {

using qb::matmul::Arithmetic;
using qb::matmul::Format;
using qb::matmul::Kernel;
using qb::matmul::PackedWeights;
using qb::matmul::WeightView;
using qb::test::A8;
using qb::test::Against;
using qb::test::Codes;
using qb::test::refusal;
using qb::test::TestWeights;

/// The longest row whose sums fit int32, every product at its largest.
void check_longest(const Kernel& kernel, Format format, std::size_t) {
  const std::size_t k = qb::matmul::kLongestInt8Row;
  for (const Codes codes : {Codes::largest, Codes::smallest})
    for (const std::size_t m : {1, 4})
      qb::test::check_product(kernel,
                              qb::test::Case<A8>(TestWeights(format, 3, k, 1, 2, codes),
                                                 std::vector<float>(m * k, -1.0f), m),
                              Against::end);
}

/// Groups: 1 where k may be anything.
#define QB_A8_TESTS(Suite, operation, format, ...)                     \
  QB_MATMUL_QUANTIZED_TESTS(Suite, operation, A8, format, __VA_ARGS__) \
  QB_TEST_EACH_GROUP(Suite, ExtremesDoNotSaturate, qb::test::check_saturation, format, __VA_ARGS__)

// Of every format whose codes are scaled: MatmulA8_q4_0 and so on.
#define QB_QUANTIZED_FORMAT(name, ...) \
  QB_A8_TESTS(MatmulA8_##name, qb::matmul::a8_##name, Format::name, __VA_ARGS__)
#include "support/quantized_formats.inc"
QB_TEST_EACH_GROUP(MatmulA8_s8, LongestRowDoesNotOverflow, check_longest, Format::s8, 1)
QB_TEST_EACH_GROUP(MatmulA8_s4, LongestRowDoesNotOverflow, check_longest, Format::s4, 1)

// By hand: absmax 127 makes the scale 1, so a tie and what lies around it can be read off.

QB_VARIANT_TEST(MatmulA8_s8, RowsRoundTiesToEven) {
  std::vector<std::int8_t> w(4 * 4);
  for (std::size_t i = 0; i < 4; ++i) w[i * 5] = 1;  // the identity
  const std::vector<float> scales(4, 1.0f), x = {127.0f, 2.5f, -3.5f, 0.49999997f};
  EXPECT_EQ(qb::test::multiply(*kernel(), qb::matmul::view_s8(w, scales, 4, 4), x, 1, Against::end,
                               false),
            (std::vector<float>{127, 2, -4, 0}));
}

QB_VARIANT_TEST(MatmulA8_q8_0, BlocksRoundTiesAway) {
  std::vector<qb::BlockQ8_0> w(6, {qb::f16(0x3c00), {}});
  for (std::size_t i = 0; i < 6; ++i) w[i].qs[i] = 1;
  std::vector<float> x = {127.0f, 2.5f, -2.5f, 0.49999997f, -0.5f, 125.49999f};
  x.resize(32);
  EXPECT_EQ(
      qb::test::multiply(*kernel(), qb::matmul::view_q8_0(w, 6, 32), x, 1, Against::end, false),
      (std::vector<float>{127, 3, -3, 0, -1, 125}));
}

TEST(MatmulA8Checked, EveryFormatOnTheBestVariantAndThreads) {
  qb::test::check_entry<A8>(Arithmetic::a8);
}

TEST(MatmulA8Checked, RefusesRowsWhoseSumsMightOverflow) {
  const std::size_t k = qb::matmul::kLongestInt8Row + 1;
  EXPECT_EQ(k, 132105u);
  const std::vector<float> scales(1, 1.0f);
  const std::vector<std::int8_t> s8(k);
  const std::vector<std::uint8_t> s4((k + 1) / 2);
  const std::vector<qb::f16> group_scales(k / 32 + 1);
  const WeightView views[] = {qb::matmul::view_s8(s8, scales, 1, k),
                              qb::matmul::view_s4(s4, scales, 1, k)};
  for (const WeightView& view : views) {
    EXPECT_EQ(refusal([&] { PackedWeights(view, Arithmetic::a8); }),
              "matmul::PackedWeights: 'k' = 132105 is more than 132104, the longest row whose int8 "
              "products always add up in int32");
    EXPECT_NO_THROW(PackedWeights(view, Arithmetic::a32));
  }
  EXPECT_NO_THROW(PackedWeights(qb::matmul::view_s8(std::span(s8).first(k - 1), scales, 1, k - 1),
                                Arithmetic::a8));
  // Sums of 32 or 128 do not grow with k.
  const std::size_t grouped = k / 32 * 32 + 32;
  const std::vector<std::int8_t> longer(grouped);
  EXPECT_NO_THROW(
      PackedWeights(qb::matmul::view_s8g(longer, group_scales, 1, grouped, 32), Arithmetic::a8));
}

/// As quantize refuses them: blocks of 32 have an f16 scale, rows an f32 one.
TEST(MatmulA8Checked, RefusesBlocksWhoseScaleOverflowsF16) {
  constexpr float kLeast = 127 * 65520.0f;  // whose scale is infinite
  for (const qb::FormatInfo& row : qb::kFormats) {
    if (row.is_float()) continue;
    const TestWeights w(row.format, 3, 256, 32, 4);
    PackedWeights packed(w.view(), Arithmetic::a8);
    std::vector<float> x(512, 1.0f), y(6, -1.0f);
    x[100] = -kLeast;
    if (row.scales == qb::ScaleKind::output) {
      packed.run(x, 2, y);
    } else {
      EXPECT_EQ(refusal([&] { packed.run(x, 2, y); }),
                "matmul::PackedWeights::run: the scale of block 3 overflows f16: 'x'[100] is "
                "-8321040.000000, the limit 8321040");
      EXPECT_EQ(y, std::vector<float>(6, -1.0f));
      x[100] = -std::nextafter(kLeast, 0.0f);
      packed.run(x, 2, y);
    }
    for (const float v : y) EXPECT_TRUE(std::isfinite(v)) << v;
    qb::test::expect_within_bound<A8>(w.view(), x, 2, y);
  }
}

TEST(MatmulA8Checked, RefusesWhatIsNotFiniteAndWritesNothing) {
  const TestWeights w(Format::q8_0, 3, 64, 32, 4);
  PackedWeights packed(w.view(), Arithmetic::a8);
  std::vector<float> x(128, 1.0f), y(6, -1.0f);
  x[77] = std::numeric_limits<float>::infinity();
  try {
    packed.run(x, 2, y);
    FAIL() << "nothing refused";
  } catch (const qb::BadArgument& e) {
    EXPECT_NE(std::string(e.what()).find("77"), std::string::npos) << e.what();
  }
  EXPECT_EQ(y, std::vector<float>(6, -1.0f));
}

}  // namespace
