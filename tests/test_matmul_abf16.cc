// SPDX-License-Identifier: Apache-2.0
#include "matmul/matmul.h"
#include "oracle/matmul_bf16.h"
#include "support/inputs.h"
#include "support/matmul_test.h"
#include "support/variant_test.h"

namespace {

using qb::matmul::Arithmetic;
using qb::matmul::Format;
using qb::matmul::Kernel;
using qb::matmul::WeightView;
using qb::test::Abf16;
using qb::test::Against;

QB_MATMUL_TESTS(MatmulAbf16_f32, qb::matmul::abf16_f32, Abf16, Format::f32, 1)

/// Groups: 1 where k may be anything.
#define QB_ABF16_TESTS(Suite, operation, format, ...) \
  QB_MATMUL_QUANTIZED_TESTS(Suite, operation, Abf16, format, __VA_ARGS__)

// Of every format whose codes are scaled: MatmulAbf16_q4_0 and so on.
#define QB_QUANTIZED_FORMAT(name, ...) \
  QB_ABF16_TESTS(MatmulAbf16_##name, qb::matmul::abf16_##name, Format::name, __VA_ARGS__)
#include "support/quantized_formats.inc"

// By hand: one product each, so that how a factor is rounded can be read off.

std::vector<float> products(const Kernel& kernel, const WeightView& view,
                            const std::vector<float>& x) {
  // As several rows: those that are left over take another way than the rest.
  std::vector<float> rows;
  for (int i = 0; i < 5; ++i) rows.insert(rows.end(), x.begin(), x.end());
  const std::vector<float> y = qb::test::multiply(kernel, view, rows, 5, Against::end, false);
  const std::size_t n = view.w.n;
  EXPECT_EQ(std::vector<float>(y.begin(), y.begin() + std::ptrdiff_t(n)),
            std::vector<float>(y.end() - std::ptrdiff_t(n), y.end()));
  return {y.begin(), y.begin() + std::ptrdiff_t(n)};
}

constexpr std::size_t kCases = 6;
// Ties go to even; just above and below a tie; what a carry runs through.
constexpr float kGiven[kCases] = {0x1.01p0f,     0x1.03p0f,  0x1.010002p0f,
                                  0x1.00fffep0f, -0x1.ffp3f, 0x1.fep-2f};
constexpr float kRounded[kCases] = {0x1.00p0f, 0x1.04p0f, 0x1.02p0f,
                                    0x1.00p0f, -0x1p4f,   0x1.fep-2f};

QB_VARIANT_TEST(MatmulAbf16_f32, WeightsRoundTiesToEven) {
  std::vector<float> w(kCases * kCases);
  for (std::size_t i = 0; i < kCases; ++i) w[i * kCases + i] = kGiven[i];
  EXPECT_EQ(products(*kernel(), qb::matmul::view_f32(w, kCases, kCases),
                     std::vector<float>(kCases, 1.0f)),
            std::vector<float>(kRounded, kRounded + kCases));
}

QB_VARIANT_TEST(MatmulAbf16_f32, ActivationsRoundTiesToEven) {
  std::vector<float> w(kCases * kCases);
  for (std::size_t i = 0; i < kCases; ++i) w[i * kCases + i] = 1.0f;
  EXPECT_EQ(products(*kernel(), qb::matmul::view_f32(w, kCases, kCases),
                     std::vector<float>(kGiven, kGiven + kCases)),
            std::vector<float>(kRounded, kRounded + kCases));
}

/// The scale must meet the code before either is rounded: 3 * 1.00390625 = 3.01171875 is 3.015625
/// in bf16; a scale rounded first would give 3.
QB_VARIANT_TEST(MatmulAbf16_s8, DequantizedWeightsAreRoundedOnce) {
  const std::vector<std::int8_t> w = {3, 127, -3};
  const std::vector<float> scales = {1.00390625f, 0x1.02040ap-7f, 1.00390625f}, x = {1.0f};
  std::vector<float> want;
  for (std::size_t i = 0; i < 3; ++i)
    want.push_back(float(qb::oracle::rounded_to_bf16(float(w[i]) * scales[i])));
  EXPECT_EQ(want[0], 3.015625f);
  EXPECT_EQ(products(*kernel(), qb::matmul::view_s8(w, scales, 3, 1), x), want);
}

TEST(MatmulAbf16Checked, EveryFormatOnTheBestVariantAndThreads) {
  qb::test::check_entry<Abf16>(Arithmetic::abf16);
}

TEST(MatmulAbf16Checked, RefusesF16Weights) {
  const std::vector<qb::f16> w(6);
  EXPECT_EQ(qb::test::refusal([&] {
              qb::matmul::PackedWeights(qb::matmul::view_f16(w, 2, 3), Arithmetic::abf16);
            }),
            "matmul::operation: no abf16 product for f16 weights");
}

}  // namespace
