#include "quantize/quantize.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "core/check.h"
#include "oracle/int8.h"
#include "support/dequantize_checks.h"
#include "support/guarded.h"
#include "support/inputs.h"
#include "support/quantize_checks.h"
#include "support/quantize_entries.h"
#include "support/variant_test.h"

namespace qb::test {

template <>
struct Layout<std::int8_t> {
  static std::size_t bytes(std::size_t len) { return len; }
  template <class X, class S>
  static auto quantized(std::span<const X> x, std::size_t groups, std::size_t len) {
    if constexpr (sizeof(X) == sizeof(float))
      return oracle::quantize_s8<S>(x, groups, len);
    else
      return oracle::quantize_s8(x, groups, len);
  }
  static std::vector<std::int8_t> codes(std::size_t groups, std::size_t len) {
    std::vector<std::int8_t> q(groups * len);
    for (std::size_t j = 0; j < q.size(); ++j)
      q[j] = std::int8_t(int(j * 89 + j / 256) % 255 - 127);
    return q;
  }
  static int code(std::span<const std::int8_t> q, std::size_t j) { return q[j]; }
  static constexpr std::size_t kCodes = 256;
  static std::vector<std::int8_t> every_code(std::size_t times) {
    std::vector<std::int8_t> q(kCodes * times);
    for (std::size_t i = 0; i < q.size(); ++i) q[i] = std::int8_t(int(i % kCodes) - 128);
    return q;
  }
};

}  // namespace qb::test

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

/// The groups that a quantizer has trouble with, each of `len` >= 4 elements.
std::vector<std::vector<float>> hard_groups(std::size_t len) {
  std::vector<std::vector<float>> list;
  const auto add = [&](auto value_at) {
    std::vector<float> x(len);
    for (std::size_t j = 0; j < len; ++j) x[j] = value_at(j);
    list.push_back(x);
  };
  // absmax 127 makes inv 1, so these meet the rounding as they are: halves and their neighbours.
  for (const float scale : {1.0f, 0x1p-20f, 0x1p60f})
    for (int first = 0; first < 127; first += int(len) / 4 + 1)
      for (const float toward : {0.0f, -kInf, kInf})
        add([&](std::size_t j) {
          if (j == len / 2) return 127.0f * scale;
          const float half = float((first + int(j)) % 127) + 0.5f;
          const float v = toward == 0.0f ? half : std::nextafter(half, toward);
          return (j & 1 ? -v : v) * scale;
        });
  add([](std::size_t j) { return j & 1 ? -0.0f : 0.0f; });
  // Both ends of the code range, for absmax values whose inv and product round up.
  for (const float most : {1.0f, 3.0f, 0.1f, 1.0000001f, 1.9999999f, 11.7f, 1e30f, 1e-30f})
    add([&](std::size_t j) { return j % 3 == 0 ? most : j % 3 == 1 ? -most : most * 0.99999994f; });
  // absmax subnormal, at the last inv that is finite and just below, and as large as it gets.
  const float edge = 127.0f / kMost;
  for (const float most : {kLeast, 100 * kLeast, 0x1p-126f, edge, std::nextafter(edge, 0.0f),
                           std::nextafter(edge, 1.0f), 1e-36f, kMost, 127 * 0x1p-128f,
                           127 * 0x1p-127f, 8321040.0f, 8321039.0f, 1e-6f, 7.5e-6f})
    add([&](std::size_t j) {
      return (j & 1 ? -most : most) * (1.0f - float(j % 16) / 16.0f) * (j % 5 == 4 ? 0.0f : 1.0f);
    });
  // Subnormal elements beside an ordinary one.
  add([](std::size_t j) { return j == 3 ? 1.0f : float(j) * kLeast; });
  return list;
}

// ---- f32 input, f32 scales

QB_VARIANT_TEST(QuantizeF32S8, EveryLengthBetweenGuardPages) { check_every_length(kernel()); }
QB_VARIANT_TEST(QuantizeF32S8, Groups) { check_groups(kernel()); }
QB_VARIANT_TEST(QuantizeF32S8, EveryStart) { check_every_start(kernel()); }

QB_VARIANT_TEST(QuantizeF32S8, TiesSaturationSubnormalsAndZeroGroups) {
  for (const std::size_t len : {4, 7, 32, 64, 65, 100, 128, 300}) {
    const auto groups = hard_groups(len);
    check_quantize(kernel(), joined(groups), groups.size(), len);
    for (const auto& g : groups) check_quantize(kernel(), g, 1, len);
  }
}

QB_VARIANT_TEST(QuantizeF32S8, NonFiniteInputStaysInItsGroup) {
  check_non_finite(kernel(), qb::test::weights(3000, 5), {kNan, -kNan, kInf, -kInf});
}

// ---- f32 input, f16 scales

QB_VARIANT_TEST(QuantizeF32S8g, Groups) { check_groups(kernel()); }
QB_VARIANT_TEST(QuantizeF32S8g, EveryStart) { check_every_start(kernel()); }

QB_VARIANT_TEST(QuantizeF32S8g, TiesSaturationSubnormalsAndZeroGroups) {
  for (const std::size_t len : {4, 32, 64, 128, 160}) {
    const auto groups = hard_groups(len);
    check_quantize(kernel(), joined(groups), groups.size(), len);
  }
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

QB_VARIANT_TEST(DequantizeS8F32, LengthsGroupsAndScales) { check_dequantize(kernel(), kScales); }
QB_VARIANT_TEST(DequantizeS8gF32, LengthsGroupsAndScales) {
  check_dequantize(kernel(), kHalfScales);
}
QB_VARIANT_TEST(DequantizeS8F16, LengthsGroupsAndScales) {
  check_dequantize(kernel(), kHalfScales);
}

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

void expect_same_blocks(std::span<const BlockQ8_0> got, std::span<const BlockQ8_0> want,
                        const std::string& what) {
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t i = 0; i < want.size(); ++i) {
    ASSERT_EQ(qb::oracle::value(got[i].d), qb::oracle::value(want[i].d)) << what << ", block " << i;
    for (std::size_t j = 0; j < kBlock; ++j)
      ASSERT_EQ(int(got[i].qs[j]), int(want[i].qs[j]))
          << what << ", block " << i << ", [" << j << "]";
  }
}

void check_q8_0(qb::quantize::quantize_f32_q8_0_fn* kernel, const std::vector<float>& values,
                Against side = Against::end) {
  const std::size_t blocks = values.size() / kBlock;
  ASSERT_EQ(values.size() % kBlock, 0u);
  const Guarded<float> x(values, side);
  Guarded<BlockQ8_0> y(blocks, side);
  kernel(x.data(), blocks, y.data());
  std::vector<BlockQ8_0> want;
  for (std::size_t i = 0; i < blocks; ++i)
    want.push_back(qb::oracle::quantize_q8_0(std::span(values).subspan(i * kBlock, kBlock)));
  expect_same_blocks(y.span(), want, std::to_string(blocks) + " blocks");
}

QB_VARIANT_TEST(QuantizeF32Q8_0, BlockCountsBetweenGuardPages) {
  for (std::size_t blocks = 0; blocks <= 100; ++blocks)
    for (const Against side : {Against::end, Against::begin})
      check_q8_0(kernel(), qb::test::weights(blocks * kBlock, unsigned(blocks)), side);
}

QB_VARIANT_TEST(QuantizeF32Q8_0, TiesSaturationSubnormalsAndZeroBlocks) {
  const auto groups = hard_groups(kBlock);
  check_q8_0(kernel(), joined(groups));
  for (const auto& g : groups) check_q8_0(kernel(), g);
}

// With absmax 127, d and id are 1 and the elements meet the rounding as they are: all halves, and
// steps of one ulp around them; then a sample of all floats up to 127.
QB_VARIANT_TEST(QuantizeF32Q8_0, RoundsHalvesAwayFromZero) {
  std::vector<float> values;
  for (int whole = 0; whole < 127; ++whole)
    for (int step = -20; step <= 20; ++step) {
      float v = float(whole) + 0.5f;
      for (int i = 0; i < std::abs(step); ++i) v = std::nextafter(v, step < 0 ? 0.0f : 200.0f);
      values.push_back(v);
      values.push_back(-v);
    }
  for (std::uint32_t bits = 0x3e000000; bits < 0x42fe0000; bits += 577) {
    float v;
    std::memcpy(&v, &bits, sizeof v);
    values.push_back(bits & 1 ? -v : v);
  }
  std::vector<float> x;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (x.size() % kBlock == 0) x.push_back(127.0f);
    x.push_back(values[i]);
  }
  x.resize((x.size() + kBlock - 1) / kBlock * kBlock);
  x[x.size() / kBlock * kBlock - kBlock] = 127.0f;
  check_q8_0(kernel(), x);
}

QB_VARIANT_TEST(QuantizeF32Q8_0, EveryStart) {
  const std::vector<float> values = qb::test::weights(40 * kBlock, 4);
  std::vector<BlockQ8_0> memory(80);
  for (std::size_t start = 0; start < 8; ++start) {
    kernel()(values.data() + start, 37, memory.data() + start);
    for (std::size_t i = 0; i < 37; ++i) {
      const BlockQ8_0 want =
          qb::oracle::quantize_q8_0(std::span(values).subspan(start + i * kBlock, kBlock));
      expect_same_blocks({&memory[start + i], 1}, {&want, 1}, "start " + std::to_string(start));
    }
  }
}

QB_VARIANT_TEST(QuantizeF32Q8_0, NonFiniteInputStaysInItsBlock) {
  const std::vector<float> values = qb::test::weights(21 * kBlock, 6);
  for (const float special : {kNan, -kNan, kInf, -kInf})
    for (std::size_t hit = 0; hit < 21; ++hit) {
      Guarded<float> x(values, Against::end);
      Guarded<BlockQ8_0> y(21);
      x[hit * kBlock + hit] = special;
      kernel()(x.data(), 21, y.data());
      for (std::size_t i = 0; i < 21; ++i) {
        const BlockQ8_0 want =
            qb::oracle::quantize_q8_0(std::span(values).subspan(i * kBlock, kBlock));
        if (i != hit) expect_same_blocks({&y[i], 1}, {&want, 1}, "beside a special");
      }
    }
}

std::vector<BlockQ8_0> blocks_of_codes(std::size_t blocks) {
  std::vector<BlockQ8_0> x(blocks);
  const std::vector<std::int8_t> q = Layout<std::int8_t>::codes(blocks, kBlock);
  for (std::size_t i = 0; i < blocks; ++i) {
    x[i].d = kHalfScales[i % kHalfScales.size()];
    if (i % 5 == 1) x[i].d = f16(unsigned(x[i].d) | 0x8000u);  // nothing forbids a negative d
    std::copy_n(&q[i * kBlock], kBlock, x[i].qs);
    x[i].qs[i % kBlock] = -128;  // nor this code, which the encoder never writes
  }
  return x;
}

QB_VARIANT_TEST(DequantizeQ8_0F32, BlockCountsBetweenGuardPages) {
  for (std::size_t blocks = 0; blocks <= 70; ++blocks)
    for (const Against side : {Against::end, Against::begin}) {
      const Guarded<BlockQ8_0> x(blocks_of_codes(blocks), side);
      Guarded<float> y(blocks * kBlock, side);
      kernel()(x.data(), blocks, y.data());
      std::vector<float> want;
      for (std::size_t i = 0; i < blocks; ++i)
        for (const std::int8_t q : x[i].qs) want.push_back(qb::oracle::dequantized(q, x[i].d));
      expect_same(y, want, std::to_string(blocks) + " blocks");
    }
}

QB_VARIANT_TEST(DequantizeQ8_0F32, EveryScale) {
  for (unsigned bits = 0; bits < 0x10000; ++bits) {
    if ((bits & 0x7c00u) == 0x7c00u) continue;
    BlockQ8_0 x = blocks_of_codes(1)[0];
    x.d = f16(bits);
    std::array<float, kBlock> y, want;
    kernel()(&x, 1, y.data());
    for (std::size_t j = 0; j < kBlock; ++j) want[j] = qb::oracle::dequantized(x.qs[j], x.d);
    ASSERT_EQ(std::memcmp(&y, &want, sizeof y), 0) << "scale " << qb::oracle::value(x.d);
  }
}

QB_VARIANT_TEST(DequantizeQ8_0F32, NonFiniteScaleStaysInItsBlock) {
  std::vector<BlockQ8_0> x = blocks_of_codes(9);
  for (BlockQ8_0& block : x) block.d = f16(0x3c00);
  x[4].d = f16(0x7e00);
  Guarded<float> y(9 * kBlock);
  kernel()(x.data(), 9, y.data());
  for (std::size_t j = 0; j < y.size(); ++j)
    if (j / kBlock != 4) {
      ASSERT_EQ(y[j], float(x[j / kBlock].qs[j % kBlock]));
    }
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
      expect_same_blocks(y.span(), want, "streamed");
  }
}

QB_VARIANT_TEST(DequantizeQ8_0F32, PastTheCaches) {
  constexpr std::size_t kBlocks = 220003;
  const std::vector<BlockQ8_0> tile = blocks_of_codes(131);
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
