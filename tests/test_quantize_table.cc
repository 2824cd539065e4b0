// SPDX-License-Identifier: Apache-2.0
// The block formats whose codes index a table of 16 values: every variant against the oracle, and
// the checked entries.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "checks/table_blocks.h"
#include "core/check.h"
#include "quantize/quantize.h"
#include "support/variant_test.h"

namespace {

using qb::f16;
using qb::kBlock;
using namespace qb::test;

template <class Block>
void check_entries() {
  const auto quantize = [](std::span<const float> from, std::span<Block> to) {
    qb::quantize::quantize(from, to);
  };
  const auto dequantize = [](std::span<const Block> from, std::span<float> to) {
    qb::quantize::dequantize(from, to);
  };
  const std::vector<float> x = weights(4 * kBlock, 1);
  std::vector<Block> blocks(4);
  std::vector<float> y(4 * kBlock);
  quantize(x, blocks);
  expect_same_table_blocks<Block>(blocks, expected_table_blocks<Block>(x), "checked");
  dequantize(blocks, y);
  for (std::size_t j = 0; j < y.size(); ++j)
    ASSERT_EQ(y[j], qb::oracle::decoded(blocks[j / kBlock], j % kBlock));
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
  EXPECT_NE(refused(std::vector<float>(33, 1.0f), 4).find("does not divide"), std::string::npos);
  EXPECT_NE(refused(x, 3).find("'y' has room for 3 elements, needs 4"), std::string::npos);
  for (const float bad : {kNan, kInf, -kInf}) {
    std::vector<float> with = x;
    with[77] = with[78] = bad;
    EXPECT_NE(refused(with, 4).find("'x'[77]"), std::string::npos) << bad;
  }
  if constexpr (requires(Block b) { b.d; }) {
    std::vector<float> with = x;
    for (std::size_t j = 64; j < 96; ++j) with[j] = j == 70 ? -3e7f : 1.0f;
    EXPECT_NE(refused(with, 4).find("block 2 overflows f16: 'x'[70]"), std::string::npos);
    std::vector<Block> bad = blocks;
    bad[3].d = f16(0x7c00);
    EXPECT_THROW(dequantize(bad, y), qb::BadArgument);
  }
  expect_same_table_blocks<Block>(blocks, before, "refused, and written all the same");
}

#define QB_TEST_TABLE_FORMAT(format, Block, ...)                                              \
  QB_VARIANT_TEST_SUITE(Quantize_##format, qb::quantize::quantize_f32_##format);              \
  QB_VARIANT_TEST_SUITE(Dequantize_##format, qb::quantize::dequantize_##format##_f32);        \
  QB_VARIANT_TEST(Quantize_##format, BlockCountsBetweenGuardPages) {                          \
    check_table_counts<qb::Block>(kernel());                                                  \
  }                                                                                           \
  QB_VARIANT_TEST(Quantize_##format, TiesExtremesSubnormalsAndZeroBlocks) {                   \
    check_table_encode<qb::Block>(kernel(), hard_table_values<qb::Block>());                  \
  }                                                                                           \
  QB_VARIANT_TEST(Quantize_##format, ValuesOfEveryExponent) {                                 \
    check_table_encode<qb::Block>(kernel(), table_values_of_every_exponent<qb::Block>(3001)); \
  }                                                                                           \
  QB_VARIANT_TEST(Quantize_##format, EveryStart) { check_table_starts<qb::Block>(kernel()); } \
  QB_VARIANT_TEST(Quantize_##format, NonFiniteInputStaysInItsBlock) {                         \
    check_table_non_finite<qb::Block>(kernel());                                              \
  }                                                                                           \
  QB_VARIANT_TEST(Dequantize_##format, BlockCountsBetweenGuardPages) {                        \
    check_table_decode_counts<qb::Block>(kernel());                                           \
  }                                                                                           \
  QB_VARIANT_TEST(Dequantize_##format, EveryCodeUnderEveryScale) {                            \
    check_table_decode_scales<qb::Block>(kernel());                                           \
  }                                                                                           \
  QB_VARIANT_TEST(Dequantize_##format, PastTheCaches) {                                       \
    check_table_decode_long<qb::Block>(kernel());                                             \
  }                                                                                           \
  TEST(Checked_##format, RoundTripAndRefusals) { check_entries<qb::Block>(); }
QB_TABLE_FORMATS(QB_TEST_TABLE_FORMAT, )

TEST(Checked_mxfp4, RefusesTheScaleThatIsNoNumber) {
  std::vector<qb::BlockMxfp4> x(3, {127, {}});
  std::vector<float> y(3 * kBlock, -5.0f);
  x[1].e = 255;
  EXPECT_THROW(qb::quantize::dequantize(x, y), qb::BadArgument);
  EXPECT_EQ(y, std::vector<float>(3 * kBlock, -5.0f));
}

}  // namespace
