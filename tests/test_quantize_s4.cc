#include "quantize/quantize.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "core/check.h"
#include "core/stream.h"
#include "oracle/int4.h"
#include "support/dequantize_checks.h"
#include "support/guarded.h"
#include "support/inputs.h"
#include "support/quantize_checks.h"
#include "support/quantize_entries.h"
#include "support/variant_test.h"

namespace qb::test {

template <>
struct Layout<std::uint8_t> {
  static std::size_t bytes(std::size_t len) { return (len + 1) / 2; }
  template <class X, class S>
  static auto quantized(std::span<const X> x, std::size_t groups, std::size_t len) {
    if constexpr (sizeof(X) == sizeof(float))
      return oracle::quantize_s4<S>(x, groups, len);
    else
      return oracle::quantize_s4(x, groups, len);
  }
  /// Bytes in which every value occurs; with an odd `len` the last high nibble of a group is 0.
  static std::vector<std::uint8_t> codes(std::size_t groups, std::size_t len) {
    std::vector<std::uint8_t> q(groups * bytes(len));
    for (std::size_t j = 0; j < q.size(); ++j) q[j] = std::uint8_t(j * 89 + j / 256 + 3);
    if (len % 2)
      for (std::size_t i = 1; i <= groups; ++i) q[i * bytes(len) - 1] &= 15;
    return q;
  }
  static int code(std::span<const std::uint8_t> q, std::size_t j) {
    return oracle::unpacked_s4(q, j);
  }
  static constexpr std::size_t kCodes = 16;
  static std::vector<std::uint8_t> every_code(std::size_t times) {
    std::vector<std::uint8_t> q(kCodes / 2 * times);
    for (std::size_t i = 0; i < q.size(); ++i) q[i] = std::uint8_t(0x10 + 0x22 * (i % 8));
    return q;
  }
};

}  // namespace qb::test

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

constexpr auto packed_size = Layout<std::uint8_t>::bytes;

/// The groups that a quantizer has trouble with, each of `len` >= 4 elements, for codes up to qmax
/// (7, or 8 for q4_0).
std::vector<std::vector<float>> hard_groups(std::size_t len, float qmax) {
  std::vector<std::vector<float>> list;
  const auto add = [&](auto value_at) {
    std::vector<float> x(len);
    for (std::size_t j = 0; j < len; ++j) x[j] = value_at(j);
    list.push_back(x);
  };
  // absmax qmax makes inv 1, so these meet the rounding as they are: halves and their neighbours.
  for (const float scale : {1.0f, -1.0f, 0x1p-20f, 0x1p60f})
    for (int first = 0; first < int(qmax); ++first)
      for (const float toward : {0.0f, -kInf, kInf})
        for (const std::size_t largest_at : {std::size_t{0}, len / 2, len - 1})
          add([&](std::size_t j) {
            if (j == largest_at) return qmax * scale;
            const float half = float((first + int(j)) % int(qmax)) + 0.5f;
            const float v = toward == 0.0f ? half : std::nextafter(half, toward);
            return (j & 1 ? -v : v) * scale;
          });
  add([](std::size_t j) { return j & 1 ? -0.0f : 0.0f; });
  add([](std::size_t) { return -0.0f; });
  // Both ends of the code range, for absmax values whose inv and product round up; and the largest
  // magnitude with both signs, either first.
  for (const float most :
       {1.0f, 3.0f, 0.1f, 1.0000001f, 1.9999999f, 11.7f, 1e30f, 1e-30f, -1.0f, -0.7f})
    for (const std::size_t phase : {0, 1, 2})
      add([&](std::size_t j) {
        const std::size_t k = (j + phase) % 3;
        return k == 0 ? most : k == 1 ? -most : most * 0.99999994f;
      });
  for (const std::size_t at : {std::size_t{0}, len / 2 - 1, len - 2})
    for (const float most : {5.0f, -5.0f})
      add([&](std::size_t j) { return j == at ? most : j == len - 1 ? -most : most / 3; });
  // absmax subnormal, at the last inv that is finite and just below, and as large as it gets.
  for (const float edge : {qmax / kMost, 0x1p-125f, 0x1p-128f * qmax})
    for (const float most : {edge, std::nextafter(edge, 0.0f), std::nextafter(edge, 1.0f)})
      add([&](std::size_t j) { return (j & 1 ? -most : most) * (1.0f - float(j % 16) / 16.0f); });
  for (const float most : {kLeast, 3 * kLeast, 4 * kLeast, 5 * kLeast, 100 * kLeast, 0x1p-126f,
                           1e-36f, kMost, 458640.0f, 458639.0f, 1e-6f, 4e-7f, -2e-7f, -kLeast})
    add([&](std::size_t j) {
      return (j & 1 ? -most : most) * (1.0f - float(j % 16) / 16.0f) * (j % 5 == 4 ? 0.0f : 1.0f);
    });
  // Subnormal elements beside an ordinary one.
  add([](std::size_t j) { return j == 3 ? 1.0f : float(j) * kLeast; });
  return list;
}

// ---- f32 input, f32 scales

QB_VARIANT_TEST(QuantizeF32S4, EveryLengthBetweenGuardPages) { check_every_length(kernel()); }
QB_VARIANT_TEST(QuantizeF32S4, Groups) { check_groups(kernel()); }
QB_VARIANT_TEST(QuantizeF32S4, EveryStart) { check_every_start(kernel()); }

QB_VARIANT_TEST(QuantizeF32S4, TiesSaturationSubnormalsAndZeroGroups) {
  for (const std::size_t len : {4, 7, 32, 64, 65, 100, 128, 300}) {
    const auto groups = hard_groups(len, 7);
    check_quantize(kernel(), joined(groups), groups.size(), len);
    for (const auto& g : groups) check_quantize(kernel(), g, 1, len);
  }
}

QB_VARIANT_TEST(QuantizeF32S4, NonFiniteInputStaysInItsGroup) {
  check_non_finite(kernel(), qb::test::weights(3000, 5), {kNan, -kNan, kInf, -kInf});
}

// ---- f32 input, f16 scales

QB_VARIANT_TEST(QuantizeF32S4g, Groups) { check_groups(kernel()); }
QB_VARIANT_TEST(QuantizeF32S4g, EveryStart) { check_every_start(kernel()); }

QB_VARIANT_TEST(QuantizeF32S4g, TiesSaturationSubnormalsAndZeroGroups) {
  for (const std::size_t len : {4, 32, 64, 128, 160}) {
    const auto groups = hard_groups(len, 7);
    check_quantize(kernel(), joined(groups), groups.size(), len);
  }
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

QB_VARIANT_TEST(DequantizeS4F32, LengthsGroupsAndScales) { check_dequantize(kernel(), kScales); }
QB_VARIANT_TEST(DequantizeS4gF32, LengthsGroupsAndScales) {
  check_dequantize(kernel(), kHalfScales);
}
QB_VARIANT_TEST(DequantizeS4F16, LengthsGroupsAndScales) {
  check_dequantize(kernel(), kHalfScales);
}
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

std::vector<std::int8_t> all_codes(std::size_t n) {
  std::vector<std::int8_t> q(n);
  for (std::size_t j = 0; j < n; ++j) q[j] = std::int8_t(int((j * 7 + j / 16) % 16) - 8);
  return q;
}

QB_VARIANT_TEST(PackS4, EveryLengthBetweenGuardPages) {
  for (const std::size_t n : qb::test::lengths(1024))
    for (const Against side : {Against::end, Against::begin}) {
      const Guarded<std::int8_t> q(all_codes(n), side);
      Guarded<std::uint8_t> packed(packed_size(n), side);
      kernel()(q.data(), n, packed.data());
      expect_same(packed, qb::oracle::pack_s4({q.data(), n}), "n = " + std::to_string(n));
    }
}

QB_VARIANT_TEST(PackS4, EveryPairAtEveryStart) {
  std::vector<std::int8_t> q;
  for (int low = -8; low < 8; ++low)
    for (int high = -8; high < 8; ++high) q.insert(q.end(), {std::int8_t(low), std::int8_t(high)});
  for (std::size_t start = 0; start < 65; ++start) {
    std::vector<std::uint8_t> packed(400, 0x55);
    kernel()(q.data() + start, 512 - start, packed.data() + start);
    const auto want = qb::oracle::pack_s4(std::span(q).subspan(start));
    expect_same(std::span(packed).subspan(start, want.size()), want, std::to_string(start));
    if (start) {
      EXPECT_EQ(packed[start - 1], 0x55);
    }
    EXPECT_EQ(packed[start + want.size()], 0x55);
  }
}

QB_VARIANT_TEST(UnpackS4, EveryLengthBetweenGuardPages) {
  for (const std::size_t n : qb::test::lengths(1024))
    for (const Against side : {Against::end, Against::begin}) {
      const std::vector<std::int8_t> want = all_codes(n);
      const Guarded<std::uint8_t> packed(qb::oracle::pack_s4(want), side);
      Guarded<std::int8_t> q(n, side);
      kernel()(packed.data(), n, q.data());
      expect_same(q, want, "n = " + std::to_string(n));
    }
}

QB_VARIANT_TEST(UnpackS4, EveryByteAtEveryStart) {
  std::vector<std::uint8_t> packed(256 + 40);
  for (std::size_t j = 0; j < packed.size(); ++j) packed[j] = std::uint8_t(j);
  for (std::size_t start = 0; start < 40; ++start)
    for (const std::size_t n : {std::size_t{512}, std::size_t{511}}) {
      std::vector<std::int8_t> q(600, 99);
      kernel()(packed.data() + start, n, q.data() + start);
      std::vector<std::int8_t> want;
      for (std::size_t j = 0; j < n; ++j)
        want.push_back(std::int8_t(qb::oracle::unpacked_s4(std::span(packed).subspan(start), j)));
      expect_same(std::span(q).subspan(start, n), want, std::to_string(start));
      EXPECT_EQ(q[start + n], 99);
    }
}

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

void expect_same_blocks(std::span<const BlockQ4_0> got, std::span<const BlockQ4_0> want,
                        const std::string& what) {
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t i = 0; i < want.size(); ++i) {
    ASSERT_EQ(unsigned(got[i].d), unsigned(want[i].d)) << what << ", d of block " << i;
    for (std::size_t j = 0; j < kBlock / 2; ++j)
      ASSERT_EQ(unsigned(got[i].qs[j]), unsigned(want[i].qs[j]))
          << what << ", block " << i << ", byte " << j;
  }
}

std::vector<BlockQ4_0> expected_q4_0(std::span<const float> values) {
  std::vector<BlockQ4_0> want;
  for (std::size_t i = 0; i < values.size() / kBlock; ++i)
    want.push_back(qb::oracle::quantize_q4_0(values.subspan(i * kBlock, kBlock)));
  return want;
}

void check_q4_0(qb::quantize::quantize_f32_q4_0_fn* kernel, const std::vector<float>& values,
                Against side = Against::end) {
  const std::size_t blocks = values.size() / kBlock;
  ASSERT_EQ(values.size() % kBlock, 0u);
  const Guarded<float> x(values, side);
  Guarded<BlockQ4_0> y(blocks, side);
  kernel(x.data(), blocks, y.data());
  expect_same_blocks(y.span(), expected_q4_0(values), std::to_string(blocks) + " blocks");
}

QB_VARIANT_TEST(QuantizeF32Q4_0, BlockCountsBetweenGuardPages) {
  for (std::size_t blocks = 0; blocks <= 100; ++blocks)
    for (const Against side : {Against::end, Against::begin})
      check_q4_0(kernel(), qb::test::weights(blocks * kBlock, unsigned(blocks)), side);
}

QB_VARIANT_TEST(QuantizeF32Q4_0, TiesSaturationSubnormalsAndZeroBlocks) {
  for (const float qmax : {8.0f, 7.0f}) {
    const auto groups = hard_groups(kBlock, qmax);
    check_q4_0(kernel(), joined(groups));
    for (const auto& g : groups) check_q4_0(kernel(), g);
  }
}

// The largest magnitude at two places, with every combination of signs: the first decides.
QB_VARIANT_TEST(QuantizeF32Q4_0, FirstOfEqualMagnitudesDecides) {
  std::vector<float> x;
  for (std::size_t a = 0; a < kBlock; ++a)
    for (std::size_t b = 0; b < kBlock; ++b)
      for (const float first : {2.5f, -2.5f})
        for (const float second : {2.5f, -2.5f}) {
          std::vector<float> block = qb::test::weights(kBlock, unsigned(a * kBlock + b));
          for (float& v : block) v = std::fmin(std::fmax(v, -2.0f), 2.0f);
          block[b] = second;
          block[a] = first;
          x.insert(x.end(), block.begin(), block.end());
        }
  check_q4_0(kernel(), x);
}

// With -8 as the extreme, d and id are 1 and the elements meet x + 8.5 as they are: steps of one
// ulp around every boundary, then a sample of all floats up to 8.
QB_VARIANT_TEST(QuantizeF32Q4_0, RoundsAsTwoFloatOperations) {
  std::vector<float> values;
  for (int whole = 0; whole < 8; ++whole)
    for (int step = -20; step <= 20; ++step) {
      float v = float(whole) + 0.5f;
      for (int i = 0; i < std::abs(step); ++i) v = std::nextafter(v, step < 0 ? 0.0f : 20.0f);
      values.push_back(v);
      values.push_back(-v);
    }
  for (std::uint32_t bits = 0x3e000000; bits < 0x41000000; bits += 577) {
    float v;
    std::memcpy(&v, &bits, sizeof v);
    values.push_back(bits & 1 ? -v : v);
  }
  for (const float extreme : {-8.0f, 8.0f, -9.1f, 8.3f}) {
    std::vector<float> x;
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (x.size() % kBlock == 0) x.push_back(extreme);
      x.push_back(values[i]);
    }
    x.resize(x.size() / kBlock * kBlock);
    check_q4_0(kernel(), x);
  }
}

QB_VARIANT_TEST(QuantizeF32Q4_0, EveryStart) {
  const std::vector<float> values = qb::test::weights(40 * kBlock, 4);
  std::vector<BlockQ4_0> memory(80);
  for (std::size_t start = 0; start < 8; ++start) {
    kernel()(values.data() + start, 37, memory.data() + start);
    expect_same_blocks({&memory[start], 37},
                       expected_q4_0(std::span(values).subspan(start, 37 * kBlock)),
                       "start " + std::to_string(start));
  }
}

QB_VARIANT_TEST(QuantizeF32Q4_0, NonFiniteInputStaysInItsBlock) {
  const std::vector<float> values = qb::test::weights(21 * kBlock, 6);
  const std::vector<BlockQ4_0> want = expected_q4_0(values);
  for (const float special : {kNan, -kNan, kInf, -kInf})
    for (std::size_t hit = 0; hit < 21; ++hit) {
      Guarded<float> x(values, Against::end);
      Guarded<BlockQ4_0> y(21);
      x[hit * kBlock + hit] = special;
      kernel()(x.data(), 21, y.data());
      for (std::size_t i = 0; i < 21; ++i)
        if (i != hit) expect_same_blocks({&y[i], 1}, {&want[i], 1}, "beside a special");
    }
}

std::vector<BlockQ4_0> blocks_of_codes(std::size_t blocks) {
  std::vector<BlockQ4_0> x(blocks);
  const std::vector<std::uint8_t> q = Layout<std::uint8_t>::codes(blocks, kBlock);
  for (std::size_t i = 0; i < blocks; ++i) {
    x[i].d = kHalfScales[i % kHalfScales.size()];
    if (i % 5 == 1) x[i].d = f16(unsigned(x[i].d) | 0x8000u);
    std::copy_n(&q[i * kBlock / 2], kBlock / 2, x[i].qs);
  }
  return x;
}

QB_VARIANT_TEST(DequantizeQ4_0F32, BlockCountsBetweenGuardPages) {
  for (std::size_t blocks = 0; blocks <= 70; ++blocks)
    for (const Against side : {Against::end, Against::begin}) {
      const Guarded<BlockQ4_0> x(blocks_of_codes(blocks), side);
      Guarded<float> y(blocks * kBlock, side);
      kernel()(x.data(), blocks, y.data());
      std::vector<float> want;
      for (std::size_t i = 0; i < blocks; ++i)
        for (std::size_t j = 0; j < kBlock; ++j) want.push_back(qb::oracle::dequantized(x[i], j));
      expect_same(y, want, std::to_string(blocks) + " blocks");
    }
}

QB_VARIANT_TEST(DequantizeQ4_0F32, EveryScale) {
  BlockQ4_0 x = blocks_of_codes(1)[0];
  for (unsigned bits = 0; bits < 0x10000; ++bits) {
    if ((bits & 0x7c00u) == 0x7c00u) continue;
    x.d = f16(bits);
    std::array<float, kBlock> y, want;
    kernel()(&x, 1, y.data());
    for (std::size_t j = 0; j < kBlock; ++j) want[j] = qb::oracle::dequantized(x, j);
    ASSERT_EQ(std::memcmp(&y, &want, sizeof y), 0) << "scale " << qb::oracle::value(x.d);
  }
}

QB_VARIANT_TEST(DequantizeQ4_0F32, PastTheCaches) {
  const std::size_t blocks = qb::kStreamBytesWriting / (kBlock * sizeof(float));
  const std::vector<BlockQ4_0> x = blocks_of_codes(blocks);
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
  const std::vector<BlockQ4_0> want = expected_q4_0(x);
  std::vector<BlockQ4_0> y(blocks + 1);
  for (const std::size_t start : {0, 1}) {
    kernel()(all.data(), blocks, y.data() + start);
    for (std::size_t i = 0; i < blocks; i += 997)
      expect_same_blocks({&y[start + i], std::min<std::size_t>(997, blocks - i)},
                         {want.data(), std::min<std::size_t>(997, blocks - i)}, "repeated");
  }
}

QB_VARIANT_TEST(DequantizeQ4_0F32, NonFiniteScaleStaysInItsBlock) {
  std::vector<BlockQ4_0> x = blocks_of_codes(9);
  for (BlockQ4_0& block : x) block.d = f16(0x3c00);
  x[4].d = f16(0x7e00);
  Guarded<float> y(9 * kBlock);
  kernel()(x.data(), 9, y.data());
  for (std::size_t j = 0; j < y.size(); ++j)
    if (j / kBlock != 4) {
      ASSERT_EQ(y[j], qb::oracle::dequantized(x[j / kBlock], j % kBlock));
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
  static Block block(std::span<const float> x) { return expected_q4_0(x)[0]; }
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
