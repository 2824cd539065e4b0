// SPDX-License-Identifier: Apache-2.0
// The block formats: every variant against the oracle, and the checked entries. Of q8_0 and q4_0:
// test_quantize_s8.cc and test_quantize_s4.cc.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "checks/block_formats.h"
#include "core/check.h"
#include "quantize/quantize.h"
#include "support/variant_test.h"

namespace {

using qb::f16;
using qb::kBlock;
using qb::kWeightsOf;
using namespace qb::test;

template <class Block>
void check_entries() {
  constexpr std::size_t kWeights = kWeightsOf<Block>;
  const auto quantize = [](std::span<const float> from, std::span<Block> to) {
    qb::quantize::quantize(from, to);
  };
  const auto dequantize = [](std::span<const Block> from, std::span<float> to) {
    qb::quantize::dequantize(from, to);
  };
  const std::vector<float> x = weights(4 * kWeights, 1);
  std::vector<Block> blocks(4);
  std::vector<float> y(4 * kWeights);
  quantize(x, blocks);
  expect_same_encoding<Block>(blocks, expected_encoding<Block>(x), "checked");
  dequantize(blocks, y);
  for (std::size_t j = 0; j < y.size(); ++j)
    ASSERT_EQ(y[j], qb::oracle::decoded(blocks[j / kWeights], j % kWeights));
  quantize(std::span<const float>{}, std::span<Block>{});
  dequantize(std::span<const Block>{}, std::span<float>{});

  const std::vector<Block> before = blocks;
  const auto refused = [&](std::vector<float> input, std::size_t room) -> std::string {
    try {
      quantize(input, std::span(blocks).first(room));
    } catch (const qb::BadArgument& e) {
      return e.what();
    }
    return {};
  };
  EXPECT_NE(refused(std::vector<float>(kWeights + 1, 1.0f), 4).find("does not divide"),
            std::string::npos);
  EXPECT_NE(refused(x, 3).find("'y' has room for 3 elements, needs 4"), std::string::npos);
  for (const float bad : {kNan, kInf, -kInf}) {
    std::vector<float> with = x;
    with[77] = with[78] = bad;
    EXPECT_NE(refused(with, 4).find("'x'[77]"), std::string::npos) << bad;
  }
  if constexpr (requires(Block b) { b.d; }) {
    for (const float large : {-3e9f, 1e12f, -3e38f}) {
      std::vector<float> with = x;
      for (std::size_t j = 2 * kWeights; j < 3 * kWeights; ++j)
        with[j] = j == 2 * kWeights + 6 ? large : 1.0f;
      const std::string at = std::to_string(2 * kWeights + 6);
      EXPECT_NE(refused(with, 4).find("block 2 overflows f16: 'x'[" + at + "]"), std::string::npos);
    }
    std::vector<Block> bad = blocks;
    bad[3].d = f16(0x7c00);
    EXPECT_THROW(dequantize(bad, y), qb::BadArgument);
  }
  if constexpr (requires(Block b) { b.dmin; }) {
    std::vector<Block> bad = blocks;
    bad[3].dmin = f16(0x7e00);
    EXPECT_THROW(dequantize(bad, y), qb::BadArgument);
  }
  expect_same_encoding<Block>(blocks, before, "refused, and written all the same");
}

#define QB_TEST_FORMAT(format, Block, ...)                                                     \
  QB_VARIANT_TEST_SUITE(Quantize_##format, qb::quantize::quantize_f32_##format);               \
  QB_VARIANT_TEST_SUITE(Dequantize_##format, qb::quantize::dequantize_##format##_f32);         \
  QB_VARIANT_TEST(Quantize_##format, BlockCountsBetweenGuardPages) {                           \
    check_format_counts<qb::Block>(kernel());                                                  \
  }                                                                                            \
  QB_VARIANT_TEST(Quantize_##format, TiesExtremesSubnormalsAndZeroBlocks) {                    \
    check_format_encode<qb::Block>(kernel(), hard_values<qb::Block>());                        \
  }                                                                                            \
  QB_VARIANT_TEST(Quantize_##format, ValuesOfEveryExponent) {                                  \
    check_format_encode<qb::Block>(                                                            \
        kernel(), values_of_every_exponent<qb::Block>(96032 / qb::kWeightsOf<qb::Block>));     \
  }                                                                                            \
  QB_VARIANT_TEST(Quantize_##format, EveryStart) { check_format_starts<qb::Block>(kernel()); } \
  QB_VARIANT_TEST(Quantize_##format, NonFiniteInputStaysInItsBlock) {                          \
    check_format_non_finite<qb::Block>(kernel());                                              \
  }                                                                                            \
  QB_VARIANT_TEST(Dequantize_##format, BlockCountsBetweenGuardPages) {                         \
    check_format_decode_counts<qb::Block>(kernel());                                           \
  }                                                                                            \
  QB_VARIANT_TEST(Dequantize_##format, EveryCodeUnderEveryScale) {                             \
    check_format_decode_scales<qb::Block>(kernel());                                           \
  }                                                                                            \
  QB_VARIANT_TEST(Dequantize_##format, PastTheCaches) {                                        \
    check_format_decode_long<qb::Block>(kernel());                                             \
  }                                                                                            \
  TEST(Checked_##format, RoundTripAndRefusals) { check_entries<qb::Block>(); }
QB_TABLE_FORMATS(QB_TEST_FORMAT, )
QB_SUPER_FORMATS(QB_TEST_FORMAT, )

/// 63 over the largest scale is infinite there, which no integer is (contract, section 3).
template <class Block>
void check_tiny_scales() {
  std::vector<float> x(kWeightsOf<Block>);
  for (std::size_t j = 0; j < x.size(); ++j) x[j] = float(j % 16) * 1e-38f;
  Block block;
  qb::quantize::quantize(x, std::span(&block, 1));
  for (const std::uint8_t byte : block.packed_scales) EXPECT_EQ(byte, 0);
}
TEST(Checked_q4_K, TinyScalesAreZero) { check_tiny_scales<qb::BlockQ4_K>(); }
TEST(Checked_q5_K, TinyScalesAreZero) { check_tiny_scales<qb::BlockQ5_K>(); }

TEST(Checked_mxfp4, RefusesTheScaleThatIsNoNumber) {
  std::vector<qb::BlockMxfp4> x(3, {127, {}});
  std::vector<float> y(3 * kBlock, -5.0f);
  x[1].e = 255;
  EXPECT_THROW(qb::quantize::dequantize(x, y), qb::BadArgument);
  EXPECT_EQ(y, std::vector<float>(3 * kBlock, -5.0f));
}

}  // namespace
