// SPDX-License-Identifier: Apache-2.0
#include "quantize/quantize.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "checks/blocks.h"
#include "checks/pack.h"
#include "core/check.h"
#include "core/stream.h"
#include "support/quantize_entries.h"
#include "support/variant_test.h"

namespace {

using qb::BlockQ4_0;
using qb::f16;
using qb::kBlock;
using namespace qb::test;

QB_VARIANT_TEST_SUITE(QuantizeF32S4, qb::quantize::quantize_f32_s4);
QB_VARIANT_TEST_SUITE(QuantizeF32S4g, qb::quantize::quantize_f32_s4g);
QB_VARIANT_TEST_SUITE(QuantizeF16S4, qb::quantize::quantize_f16_s4);
QB_VARIANT_TEST_SUITE(DequantizeS4F32, qb::quantize::dequantize_s4_f32);
QB_VARIANT_TEST_SUITE(DequantizeS4gF32, qb::quantize::dequantize_s4g_f32);
QB_VARIANT_TEST_SUITE(DequantizeS4F16, qb::quantize::dequantize_s4_f16);
QB_VARIANT_TEST_SUITE(PackS4, qb::quantize::pack_s4);
QB_VARIANT_TEST_SUITE(UnpackS4, qb::quantize::unpack_s4);
QB_VARIANT_TEST_SUITE(QuantizeF32Q4_0, qb::quantize::quantize_f32_q4_0);
QB_VARIANT_TEST_SUITE(DequantizeQ4_0F32, qb::quantize::dequantize_q4_0_f32);

// ---- f32 input, f32 scales

QB_VARIANT_TEST(QuantizeF32S4, EveryLengthBetweenGuardPages) { check_every_length(kernel()); }
QB_VARIANT_TEST(QuantizeF32S4, Groups) { check_groups(kernel()); }
QB_VARIANT_TEST(QuantizeF32S4, EveryStart) { check_every_start(kernel()); }

QB_VARIANT_TEST(QuantizeF32S4, TiesSaturationSubnormalsAndZeroGroups) {
  check_hard_groups(kernel(), {4, 7, 32, 64, 65, 100, 128, 300});
}

QB_VARIANT_TEST(QuantizeF32S4, NonFiniteInputStaysInItsGroup) {
  check_non_finite(kernel(), qb::test::weights(3000, 5), {kNan, -kNan, kInf, -kInf});
}

// ---- f32 input, f16 scales

QB_VARIANT_TEST(QuantizeF32S4g, Groups) { check_groups(kernel()); }
QB_VARIANT_TEST(QuantizeF32S4g, EveryStart) { check_every_start(kernel()); }

QB_VARIANT_TEST(QuantizeF32S4g, TiesSaturationSubnormalsAndZeroGroups) {
  check_hard_groups(kernel(), {4, 32, 64, 128, 160});
}

QB_VARIANT_TEST(QuantizeF32S4g, NonFiniteInputStaysInItsGroup) {
  check_non_finite(kernel(), qb::test::weights(3000, 5), {kNan, -kNan, kInf, -kInf});
}

// ---- f16 input: the notebook

QB_VARIANT_TEST(QuantizeF16S4, EveryLengthBetweenGuardPages) { check_every_length(kernel()); }
QB_VARIANT_TEST(QuantizeF16S4, Groups) { check_groups(kernel()); }
QB_VARIANT_TEST(QuantizeF16S4, EveryStart) { check_every_start(kernel()); }

QB_VARIANT_TEST(QuantizeF16S4, NotebooksWeights) {
  const std::vector<f16> w = halves({1.0f, -0.5f, 0.25f, -0.125f});
  std::vector<std::uint8_t> q(2);
  f16 inv;
  kernel()(w.data(), 1, 4, q.data(), &inv);
  EXPECT_EQ(q, (std::vector<std::uint8_t>{0xc7, 0xf2}));  // 7 -4, 2 -1
  EXPECT_EQ(qb::oracle::value(inv), 7);
}

// Every finite value under absmax values of every kind: subnormal (inv saturates at 65504), around
// the last one that saturates, every mantissa of one binade coarsely, and the largest. That is
// every code boundary, and both of its neighbours.
QB_VARIANT_TEST(QuantizeF16S4, EveryValueUnderManyAbsmax) {
  static const auto problems = [] {
    std::vector<unsigned> tops = {0, 1, 2, 13, 14, 15, 100, 0x3ff, 0x400, 0x7bff, 0x3c00, 0x4700};
    for (unsigned top = 0x0702 - 6; top < 0x0702 + 6; ++top) tops.push_back(top);  // near 7/65504
    for (unsigned top = 37; top < 0x7c00; top += 1777) tops.push_back(top);
    for (unsigned top = 0x2800; top < 0x2c00; top += 41) tops.push_back(top);
    std::vector<std::pair<std::vector<f16>, qb::oracle::S4<f16>>> list;
    for (const unsigned top : tops) {
      std::vector<f16> x;
      // Below a sixty-fourth of absmax every code is 0: a sample of those will do.
      for (unsigned bits = 0; bits <= top; bits += bits + 0x1800 < top ? 97 : 1) {
        x.push_back(f16(bits));
        x.push_back(f16(bits | 0x8000u));
      }
      x.push_back(f16(top));
      list.emplace_back(x, qb::oracle::quantize_s4(std::span<const f16>(x), 1, x.size()));
    }
    return list;
  }();
  for (const auto& [x, want] : problems) {
    std::vector<std::uint8_t> q(want.q.size());
    std::vector<f16> inv(1);
    kernel()(x.data(), 1, x.size(), q.data(), inv.data());
    expect_same(inv, want.scale, "inv");
    expect_same(q, want.q, "absmax " + std::to_string(shown(x.back())));
  }
}

QB_VARIANT_TEST(QuantizeF16S4, NonFiniteInputStaysInItsGroup) {
  check_non_finite(kernel(), halves(qb::test::weights(3000, 5)),
                   {f16(0x7e00), f16(0xfe00), f16(0x7c01), f16(0x7c00), f16(0xfc00)});
}

QB_VARIANT_TEST(QuantizeF16S4, AnyPatternsAreMemorySafe) {
  for (const std::size_t n : {1, 17, 64, 333, 1000})
    for (const Against side : {Against::end, Against::begin}) {
      const Guarded<f16> x(qb::test::half_patterns(n, unsigned(n)), side);
      Guarded<std::uint8_t> q(packed_size(n), side);
      Guarded<f16> inv(std::size_t{1}, side);
      kernel()(x.data(), 1, n, q.data(), inv.data());
    }
}

QB_VARIANT_TEST(QuantizeF32S4, PastTheCaches) {
  check_long_quantize(kernel(), qb::test::weights(kTile, 2), 1, 3900006);
}
QB_VARIANT_TEST(QuantizeF32S4g, PastTheCaches) {
  for (const std::size_t len : {32, 64, 128})
    check_long_quantize(kernel(), qb::test::weights(kTile, 2), 121003 * 32 / len, len);
}
QB_VARIANT_TEST(QuantizeF16S4, PastTheCaches) {
  check_long_quantize(kernel(), halves(qb::test::weights(kTile, 2)), 1, 8400006);
}

// ---- back

/// Past every cache kernels may store another way, aligned or not. Compared with a table, for the
/// oracle is too slow here.
template <class S, class Y>
void check_large(void kernel(const std::uint8_t*, std::size_t, std::size_t, const S*, Y*),
                 S scale) {
  constexpr std::size_t n = qb::kStreamBytesWriting / sizeof(Y);
  static const std::vector<std::uint8_t> q = Layout<std::uint8_t>::codes(1, n);
  std::vector<Y> y(n + 16);
  Y table[16];
  for (int code = -8; code < 8; ++code) table[code & 15] = expected_back<S, Y>(code, scale);
  for (const std::size_t start : {0, 1, 2, 8, 15})
    for (const std::size_t groups : {1, 4}) {
      const std::size_t len = (n - 64) / groups / 2 * 2;
      const std::vector<S> scales(groups, scale);
      kernel(q.data(), groups, len, scales.data(), y.data() + start);
      std::size_t wrong = 0;
      for (std::size_t j = 0; j < groups * len; ++j) {
        const unsigned nibble = j % 2 ? q[j / 2] >> 4 : q[j / 2] & 15u;
        wrong += std::memcmp(&y[start + j], &table[nibble], sizeof(Y)) != 0;
      }
      EXPECT_EQ(wrong, 0u) << label(groups, len) << " from " << start;
    }
}

QB_VARIANT_TEST(DequantizeS4F32, LengthsGroupsAndScales) { check_dequantize(kernel()); }
QB_VARIANT_TEST(DequantizeS4gF32, LengthsGroupsAndScales) { check_dequantize(kernel()); }
QB_VARIANT_TEST(DequantizeS4F16, LengthsGroupsAndScales) { check_dequantize(kernel()); }
QB_VARIANT_TEST(DequantizeS4F32, PastTheCaches) { check_large(kernel(), 0.013f); }
QB_VARIANT_TEST(DequantizeS4gF32, PastTheCaches) { check_large(kernel(), f16(0x2345)); }
QB_VARIANT_TEST(DequantizeS4F16, PastTheCaches) { check_large(kernel(), f16(0x4345)); }

QB_VARIANT_TEST(DequantizeS4F32, OddGroupsIgnoreTheNibbleLeftOver) {
  const std::vector<std::uint8_t> q(3 * packed_size(5), 0xf1);
  const std::vector<float> scale = {1, 2, 3};
  std::vector<float> y(15);
  kernel()(q.data(), 3, 5, scale.data(), y.data());
  EXPECT_EQ(y, (std::vector<float>{1, -1, 1, -1, 1, 2, -2, 2, -2, 2, 3, -3, 3, -3, 3}));
}

QB_VARIANT_TEST(DequantizeS4F16, NotebooksWeights) {
  const std::vector<std::uint8_t> q = {0xc7, 0xf2};
  const f16 inv = qb::oracle::to_f16(7);
  std::vector<f16> y(4);
  kernel()(q.data(), 1, 4, &inv, y.data());
  const std::vector<double> printed = {1, -0.5713, 0.2856, -0.1428};
  for (std::size_t i = 0; i < 4; ++i) EXPECT_NEAR(shown(y[i]), printed[i], 0.00005) << i;
}

QB_VARIANT_TEST(DequantizeS4F16, EveryQuotient) { check_every_quotient(kernel()); }
QB_VARIANT_TEST(DequantizeS4gF32, EveryScale) { check_every_scale(kernel()); }
QB_VARIANT_TEST(DequantizeS4gF32, NonFiniteScalesStayInTheirGroups) {
  check_non_finite_scales(kernel());
}

// ---- pack, unpack

QB_VARIANT_TEST(PackS4, EveryLengthBetweenGuardPages) { check_pack_every_length(kernel()); }
QB_VARIANT_TEST(PackS4, EveryPairAtEveryStart) { check_pack_every_start(kernel()); }
QB_VARIANT_TEST(UnpackS4, EveryLengthBetweenGuardPages) { check_unpack_every_length(kernel()); }
QB_VARIANT_TEST(UnpackS4, EveryByteAtEveryStart) { check_unpack_every_start(kernel()); }

QB_VARIANT_TEST(UnpackS4, UndoesPackOfEveryVariant) {
  for (const qb::Variant* v : qb::quantize::pack_s4.variants()) {
    if (!v->refusal().empty()) continue;
    for (const std::size_t n : {1, 2, 31, 32, 33, 127, 128, 129, 1000}) {
      const std::vector<std::int8_t> q = all_codes(n);
      std::vector<std::uint8_t> packed(packed_size(n), 0xff);
      std::vector<std::int8_t> back(n);
      qb::quantize::pack_s4.kernel (*v)(q.data(), n, packed.data());
      kernel()(packed.data(), n, back.data());
      EXPECT_EQ(q, back) << v->name << ", n = " << n;
      if (n % 2) {
        EXPECT_EQ(packed.back() >> 4, 0) << v->name << ", n = " << n;
      }
    }
  }
}

QB_VARIANT_TEST(PackS4, PastTheCaches) {
  const std::size_t n = (std::size_t{20} << 20) + 33;
  const std::vector<std::int8_t> q = all_codes(n);
  std::vector<std::uint8_t> packed(packed_size(n) + 1);
  for (const std::size_t start : {0, 1}) {
    kernel()(q.data(), n, packed.data() + start);
    std::size_t wrong = 0;
    for (std::size_t j = 0; j + 1 < n; j += 2)
      wrong += packed[start + j / 2] != ((q[j] & 15) | (q[j + 1] & 15) << 4);
    EXPECT_EQ(wrong, 0u);
    EXPECT_EQ(packed[start + n / 2], q[n - 1] & 15);
  }
}

QB_VARIANT_TEST(UnpackS4, PastTheCaches) {
  const std::size_t n = qb::kStreamBytesWriting + 33;
  const std::vector<std::int8_t> want = all_codes(n);
  const std::vector<std::uint8_t> packed = qb::oracle::pack_s4(want);
  std::vector<std::int8_t> q(n + 1);
  for (const std::size_t start : {0, 1}) {
    kernel()(packed.data(), n, q.data() + start);
    EXPECT_EQ(std::memcmp(q.data() + start, want.data(), n), 0) << "start " << start;
  }
}

// ---- q4_0

QB_VARIANT_TEST(QuantizeF32Q4_0, BlockCountsBetweenGuardPages) { check_block_counts(kernel()); }
QB_VARIANT_TEST(QuantizeF32Q4_0, TiesSaturationSubnormalsAndZeroBlocks) {
  check_hard_blocks(kernel());
}
QB_VARIANT_TEST(QuantizeF32Q4_0, FirstOfEqualMagnitudesDecides) { check_two_extremes(kernel()); }
QB_VARIANT_TEST(QuantizeF32Q4_0, RoundsAsTwoFloatOperations) { check_block_rounding(kernel()); }
QB_VARIANT_TEST(QuantizeF32Q4_0, EveryStart) { check_blocks_every_start(kernel()); }
QB_VARIANT_TEST(QuantizeF32Q4_0, NonFiniteInputStaysInItsBlock) {
  check_blocks_non_finite(kernel());
}

QB_VARIANT_TEST(DequantizeQ4_0F32, BlockCountsBetweenGuardPages) {
  check_dequantize_block_counts(kernel());
}
QB_VARIANT_TEST(DequantizeQ4_0F32, EveryScale) { check_every_block_scale(kernel()); }
QB_VARIANT_TEST(DequantizeQ4_0F32, NonFiniteScaleStaysInItsBlock) {
  check_non_finite_block_scale(kernel());
}

QB_VARIANT_TEST(DequantizeQ4_0F32, PastTheCaches) {
  const std::size_t blocks = qb::kStreamBytesWriting / (kBlock * sizeof(float));
  const std::vector<BlockQ4_0> x = blocks_of_codes<BlockQ4_0>(blocks);
  std::vector<float> y(blocks * kBlock + 8);
  for (const std::size_t start : {0, 1, 8}) {
    kernel()(x.data(), blocks, y.data() + start);
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < blocks; i += 3)
      for (std::size_t j = 0; j < kBlock; j += 5) {
        const float want = qb::oracle::dequantized(x[i], j);
        wrong += std::memcmp(&y[start + i * kBlock + j], &want, sizeof want) != 0;
      }
    EXPECT_EQ(wrong, 0u) << "from " << start;
  }
}

QB_VARIANT_TEST(QuantizeF32Q4_0, PastTheCaches) {
  const std::size_t blocks = (std::size_t{18} << 20) / (kBlock * sizeof(float)) + 5;
  const std::vector<float> x = qb::test::weights(997 * kBlock, 8);
  std::vector<float> all;
  while (all.size() < blocks * kBlock) all.insert(all.end(), x.begin(), x.end());
  const std::vector<BlockQ4_0> want = qb::test::expected_blocks<BlockQ4_0>(x);
  std::vector<BlockQ4_0> y(blocks + 1);
  for (const std::size_t start : {0, 1}) {
    kernel()(all.data(), blocks, y.data() + start);
    for (std::size_t i = 0; i < blocks; i += 997)
      expect_same_blocks<BlockQ4_0>({&y[start + i], std::min<std::size_t>(997, blocks - i)},
                                    {want.data(), std::min<std::size_t>(997, blocks - i)},
                                    "repeated");
  }
}

// ---- checked entries

namespace quantize = qb::quantize;

struct Int4 {
  using Code = std::uint8_t;
  using Block = BlockQ4_0;
  static constexpr const char* kName = "quantize";
  static constexpr float kGroupOverflow = 458640, kBlockOverflow = 524160;
  static void quantize(auto&&... arguments) { quantize::quantize(arguments...); }
  static void dequantize(auto&&... arguments) { quantize::dequantize(arguments...); }
  static Block block(std::span<const float> x) {
    return qb::test::expected_blocks<BlockQ4_0>(x)[0];
  }
  static float back(const Block& block, std::size_t j) { return qb::oracle::dequantized(block, j); }
};

TEST(Int4Checked, RoundTripsOfEveryFormat) { check_round_trips<Int4>(); }
TEST(Int4Checked, QuantizeRefusesAndWritesNothing) { check_quantize_refuses<Int4>(); }
TEST(Int4Checked, DequantizeRefusesAndWritesNothing) { check_dequantize_refuses<Int4>(); }

TEST(Int4Checked, EmptyInputIsFine) {
  check_empty<Int4>();
  quantize::pack({}, {});
  quantize::unpack({}, {});
}

TEST(Int4Checked, OddGroupsStartOnTheirOwnByte) {
  const std::vector<float> x = {7, -1, 3, 1, -7, 2};
  std::vector<std::uint8_t> q(4);
  std::vector<float> scale(2), y(6);
  quantize::quantize(x, 3, q, scale);
  EXPECT_EQ(q, (std::vector<std::uint8_t>{0xf7, 0x03, 0x91, 0x02}));
  quantize::dequantize(q, 3, scale, y);
  EXPECT_EQ(y, x);
}

// 25 groups of 5 take three bytes each.
TEST(Int4Checked, OddGroupsWantTheirOwnBytes) {
  const std::vector<float> x(125, 1.0f);
  std::vector<std::uint8_t> q(64);
  std::vector<float> scale(25);
  EXPECT_EQ(refusal([&] { quantize::quantize(x, 5, q, scale); }),
            "quantize::quantize: 'q' has room for 64 elements, needs 75");
}

TEST(Int4Checked, PackAndUnpack) {
  const std::vector<std::int8_t> q = {-8, 7, -1, 0, 3};
  std::vector<std::uint8_t> packed(3);
  std::vector<std::int8_t> back(5);
  quantize::pack(q, packed);
  EXPECT_EQ(packed, (std::vector<std::uint8_t>{0x78, 0x0f, 0x03}));
  quantize::unpack(packed, back);
  EXPECT_EQ(back, q);
}

TEST(Int4Checked, PackAndUnpackRefuseAndWriteNothing) {
  std::vector<std::int8_t> q(9, 1);
  std::vector<std::uint8_t> packed(5, 0xaa);
  EXPECT_EQ(refusal([&] { quantize::pack(q, std::span(packed).first(4)); }),
            "quantize::pack: 'packed' has room for 4 elements, needs 5");
  EXPECT_EQ(refusal([&] { quantize::unpack(std::span(packed).first(4), q); }),
            "quantize::unpack: 'packed' has 4 elements, expected 5");
  auto* const inside = reinterpret_cast<std::uint8_t*>(q.data());
  EXPECT_EQ(refusal([&] {
              quantize::pack(q, {inside + 4, 5});
            }),
            "quantize::pack: 'q' and 'packed' overlap");
  EXPECT_EQ(refusal([&] {
              quantize::unpack({inside, 5}, q);
            }),
            "quantize::unpack: 'packed' and 'q' overlap");
  for (const int bad : {8, -9, 127, -128}) {
    q[5] = q[7] = std::int8_t(bad);
    EXPECT_EQ(refusal([&] { quantize::pack(q, packed); }),
              "quantize::pack: 'q'[5] is " + std::to_string(bad) + ", outside [-8, 7]");
  }
  EXPECT_EQ(packed, std::vector<std::uint8_t>(5, 0xaa));
}

}  // namespace
