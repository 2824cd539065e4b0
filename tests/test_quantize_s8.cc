// SPDX-License-Identifier: Apache-2.0
#include "quantize/quantize.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "checks/blocks.h"
#include "core/check.h"
#include "support/quantize_entries.h"
#include "support/variant_test.h"

namespace {

using qb::BlockQ8_0;
using qb::f16;
using qb::kBlock;
using namespace qb::test;

QB_VARIANT_TEST_SUITE(QuantizeF32S8, qb::quantize::quantize_f32_s8);
QB_VARIANT_TEST_SUITE(QuantizeF32S8g, qb::quantize::quantize_f32_s8g);
QB_VARIANT_TEST_SUITE(QuantizeF16S8, qb::quantize::quantize_f16_s8);
QB_VARIANT_TEST_SUITE(DequantizeS8F32, qb::quantize::dequantize_s8_f32);
QB_VARIANT_TEST_SUITE(DequantizeS8gF32, qb::quantize::dequantize_s8g_f32);
QB_VARIANT_TEST_SUITE(DequantizeS8F16, qb::quantize::dequantize_s8_f16);
QB_VARIANT_TEST_SUITE(QuantizeF32Q8_0, qb::quantize::quantize_f32_q8_0);
QB_VARIANT_TEST_SUITE(DequantizeQ8_0F32, qb::quantize::dequantize_q8_0_f32);

// ---- f32 input, f32 scales

QB_VARIANT_TEST(QuantizeF32S8, EveryLengthBetweenGuardPages) { check_every_length(kernel()); }
QB_VARIANT_TEST(QuantizeF32S8, Groups) { check_groups(kernel()); }
QB_VARIANT_TEST(QuantizeF32S8, EveryStart) { check_every_start(kernel()); }

QB_VARIANT_TEST(QuantizeF32S8, TiesSaturationSubnormalsAndZeroGroups) {
  check_hard_groups(kernel(), {4, 7, 32, 64, 65, 100, 128, 300});
}

QB_VARIANT_TEST(QuantizeF32S8, NonFiniteInputStaysInItsGroup) {
  check_non_finite(kernel(), qb::test::weights(3000, 5), {kNan, -kNan, kInf, -kInf});
}

// ---- f32 input, f16 scales

QB_VARIANT_TEST(QuantizeF32S8g, Groups) { check_groups(kernel()); }
QB_VARIANT_TEST(QuantizeF32S8g, EveryStart) { check_every_start(kernel()); }

QB_VARIANT_TEST(QuantizeF32S8g, TiesSaturationSubnormalsAndZeroGroups) {
  check_hard_groups(kernel(), {4, 32, 64, 128, 160});
}

QB_VARIANT_TEST(QuantizeF32S8g, NonFiniteInputStaysInItsGroup) {
  check_non_finite(kernel(), qb::test::weights(3000, 5), {kNan, -kNan, kInf, -kInf});
}

// ---- f16 input: the notebook

QB_VARIANT_TEST(QuantizeF16S8, EveryLengthBetweenGuardPages) { check_every_length(kernel()); }
QB_VARIANT_TEST(QuantizeF16S8, Groups) { check_groups(kernel()); }
QB_VARIANT_TEST(QuantizeF16S8, EveryStart) { check_every_start(kernel()); }

QB_VARIANT_TEST(QuantizeF16S8, NotebooksWeights) {
  const std::vector<f16> w = halves({1.0f, -0.5f, 0.25f, -0.125f});
  std::vector<std::int8_t> q(4);
  f16 inv;
  kernel()(w.data(), 1, 4, q.data(), &inv);
  EXPECT_EQ(q, (std::vector<std::int8_t>{127, -64, 32, -16}));
  EXPECT_EQ(qb::oracle::value(inv), 127);
}

// Every finite value under absmax values of every kind: subnormal (inv saturates at 65504), around
// the last one that saturates, ordinary, and the largest.
QB_VARIANT_TEST(QuantizeF16S8, EveryValueUnderManyAbsmax) {
  std::vector<unsigned> tops = {0, 1, 2, 0x3ff, 0x400, 0x5555, 0x7bff, 0x3c00, 0x57f0, 0x57ef};
  for (unsigned top = 0x17f0 - 8; top < 0x17f0 + 8; ++top) tops.push_back(top);  // about 127/65504
  for (unsigned top = 37; top < 0x7c00; top += 1777) tops.push_back(top);
  for (const unsigned top : tops) {
    std::vector<f16> x;
    for (unsigned bits = 0; bits <= top; ++bits) {
      x.push_back(f16(bits));
      x.push_back(f16(bits | 0x8000u));
    }
    check_quantize(kernel(), x, 1, x.size());
  }
}

QB_VARIANT_TEST(QuantizeF16S8, NonFiniteInputStaysInItsGroup) {
  check_non_finite(kernel(), halves(qb::test::weights(3000, 5)),
                   {f16(0x7e00), f16(0xfe00), f16(0x7c01), f16(0x7c00), f16(0xfc00)});
}

// ---- back

QB_VARIANT_TEST(DequantizeS8F32, LengthsGroupsAndScales) { check_dequantize(kernel()); }
QB_VARIANT_TEST(DequantizeS8gF32, LengthsGroupsAndScales) { check_dequantize(kernel()); }
QB_VARIANT_TEST(DequantizeS8F16, LengthsGroupsAndScales) { check_dequantize(kernel()); }

QB_VARIANT_TEST(DequantizeS8F16, NotebooksWeights) {
  const std::vector<std::int8_t> q = {127, -64, 32, -16};
  const f16 inv = qb::oracle::to_f16(127);
  std::vector<f16> y(4);
  kernel()(q.data(), 1, 4, &inv, y.data());
  const std::vector<double> printed = {1, -0.504, 0.252, -0.126};
  for (std::size_t i = 0; i < 4; ++i) EXPECT_NEAR(qb::oracle::value(y[i]), printed[i], 0.0005) << i;
  EXPECT_EQ(y[1], qb::oracle::to_f16(-64.0 / 127));
}

QB_VARIANT_TEST(DequantizeS8F16, EveryQuotient) { check_every_quotient(kernel()); }
QB_VARIANT_TEST(DequantizeS8gF32, EveryScale) { check_every_scale(kernel()); }
QB_VARIANT_TEST(DequantizeS8gF32, NonFiniteScalesStayInTheirGroups) {
  check_non_finite_scales(kernel());
}

// ---- q8_0

QB_VARIANT_TEST(QuantizeF32Q8_0, BlockCountsBetweenGuardPages) { check_block_counts(kernel()); }
QB_VARIANT_TEST(QuantizeF32Q8_0, TiesSaturationSubnormalsAndZeroBlocks) {
  check_hard_blocks(kernel());
}
QB_VARIANT_TEST(QuantizeF32Q8_0, RoundsHalvesAwayFromZero) { check_block_rounding(kernel()); }
QB_VARIANT_TEST(QuantizeF32Q8_0, TwoExtremes) { check_two_extremes(kernel()); }
QB_VARIANT_TEST(QuantizeF32Q8_0, EveryStart) { check_blocks_every_start(kernel()); }
QB_VARIANT_TEST(QuantizeF32Q8_0, NonFiniteInputStaysInItsBlock) {
  check_blocks_non_finite(kernel());
}

QB_VARIANT_TEST(DequantizeQ8_0F32, BlockCountsBetweenGuardPages) {
  check_dequantize_block_counts(kernel());
}
QB_VARIANT_TEST(DequantizeQ8_0F32, EveryScale) { check_every_block_scale(kernel()); }
QB_VARIANT_TEST(DequantizeQ8_0F32, NonFiniteScaleStaysInItsBlock) {
  check_non_finite_block_scale(kernel());
}

// ---- beyond the caches, where stores may be streamed: aligned or not, in one group or many

template <class S, class Y>
void check_long_dequantize(void kernel(const std::int8_t*, std::size_t, std::size_t, const S*, Y*),
                           std::size_t groups, std::size_t len, S scale) {
  const std::size_t n = groups * len;
  const std::vector<std::int8_t> tile = Layout<std::int8_t>::codes(1, kTile);
  std::vector<Y> want;
  for (const std::int8_t c : tile) want.push_back(expected_back<S, Y>(c, scale));
  const std::vector<std::int8_t> q = repeated(tile, n);
  const std::vector<S> scales(groups, scale);
  for (const Against side : {Against::end, Against::begin}) {
    Guarded<Y> y(n, side);
    kernel(q.data(), groups, len, scales.data(), y.data());
    expect_same(y, repeated(want, n), label(groups, len));
  }
}

QB_VARIANT_TEST(QuantizeF32S8, PastTheCaches) {
  check_long_quantize(kernel(), qb::test::weights(kTile, 2), 1, 3500007);
}
QB_VARIANT_TEST(QuantizeF32S8g, PastTheCaches) {
  for (const std::size_t len : {32, 64, 128})
    check_long_quantize(kernel(), qb::test::weights(kTile, 2), 110003 * 32 / len, len);
}
QB_VARIANT_TEST(QuantizeF16S8, PastTheCaches) {
  check_long_quantize(kernel(), halves(qb::test::weights(kTile, 2)), 1, 5700007);
}
QB_VARIANT_TEST(DequantizeS8F32, PastTheCaches) {
  check_long_dequantize(kernel(), 1, 7000007, 0.013f);
}
QB_VARIANT_TEST(DequantizeS8gF32, PastTheCaches) {
  check_long_dequantize(kernel(), 220003, 32, f16(0x2345));
}
QB_VARIANT_TEST(DequantizeS8F16, PastTheCaches) {
  check_long_dequantize(kernel(), 1, 11400007, f16(0x57f0));
}

QB_VARIANT_TEST(QuantizeF32Q8_0, PastTheCaches) {
  constexpr std::size_t kBlocks = 110003, kTileBlocks = kTile / kBlock;
  const std::vector<float> tile = qb::test::weights(kTile, 2);
  const std::vector<float> x = repeated(tile, kBlocks * kBlock);
  std::vector<BlockQ8_0> want;
  for (std::size_t i = 0; i < kTileBlocks; ++i)
    want.push_back(qb::oracle::quantize_q8_0(std::span(tile).subspan(i * kBlock, kBlock)));
  want = repeated(want, kBlocks);
  for (const Against side : {Against::end, Against::begin}) {
    Guarded<BlockQ8_0> y(kBlocks, side);
    kernel()(x.data(), kBlocks, y.data());
    if (std::memcmp(y.data(), want.data(), kBlocks * sizeof(BlockQ8_0)) != 0)
      expect_same_blocks<BlockQ8_0>(y.span(), want, "streamed");
  }
}

QB_VARIANT_TEST(DequantizeQ8_0F32, PastTheCaches) {
  constexpr std::size_t kBlocks = 220003;
  const std::vector<BlockQ8_0> tile = blocks_of_codes<BlockQ8_0>(131);
  const std::vector<BlockQ8_0> x = repeated(tile, kBlocks);
  std::vector<float> want;
  for (const BlockQ8_0& block : tile)
    for (const std::int8_t q : block.qs) want.push_back(qb::oracle::dequantized(q, block.d));
  want = repeated(want, kBlocks * kBlock);
  for (const Against side : {Against::end, Against::begin}) {
    Guarded<float> y(kBlocks * kBlock, side);
    kernel()(x.data(), kBlocks, y.data());
    expect_same(y, want, "streamed");
  }
}

// ---- checked entries

struct Int8 {
  using Code = std::int8_t;
  using Block = BlockQ8_0;
  static constexpr const char* kName = "quantize";
  static constexpr float kGroupOverflow = 8321040, kBlockOverflow = 8321040;
  static void quantize(auto&&... arguments) { qb::quantize::quantize(arguments...); }
  static void dequantize(auto&&... arguments) { qb::quantize::dequantize(arguments...); }
  static Block block(std::span<const float> x) { return qb::oracle::quantize_q8_0(x); }
  static float back(const Block& block, std::size_t j) {
    return qb::oracle::dequantized(block.qs[j], block.d);
  }
};

TEST(Int8Checked, RoundTripsOfEveryFormat) { check_round_trips<Int8>(); }
TEST(Int8Checked, EmptyInputIsFine) { check_empty<Int8>(); }
TEST(Int8Checked, QuantizeRefusesAndWritesNothing) { check_quantize_refuses<Int8>(); }
TEST(Int8Checked, DequantizeRefusesAndWritesNothing) { check_dequantize_refuses<Int8>(); }

}  // namespace
