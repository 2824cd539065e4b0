// SPDX-License-Identifier: Apache-2.0
// Narrowing over all 2^32 floats, every variant. Minutes, so it is no part of the default tests:
// ctest --preset exhaustive.
#include <algorithm>
#include <bit>
#include <cstring>
#include <string>
#include <type_traits>
#include <vector>

#include "convert/convert.h"
#include "oracle/fp8.h"
#include "support/rounding.h"
#include "support/variant_test.h"

namespace {

using qb::bf16;
using qb::e4m3;
using qb::e5m2;
using qb::f16;

QB_VARIANT_TEST_SUITE(ExhaustiveF32ToF16, qb::convert::f32_f16);
QB_VARIANT_TEST_SUITE(ExhaustiveF32ToBf16, qb::convert::f32_bf16);
QB_VARIANT_TEST_SUITE(ExhaustiveF32ToE4m3, qb::convert::f32_e4m3);
QB_VARIANT_TEST_SUITE(ExhaustiveF32ToE5m2, qb::convert::f32_e5m2);

f16 narrowed_nan(float x, f16) { return qb::oracle::narrowed_f16(x); }
bf16 narrowed_nan(float x, bf16) { return qb::oracle::narrowed_bf16(x); }
e4m3 narrowed_nan(float x, e4m3) { return qb::oracle::narrowed_e4m3(x); }
e5m2 narrowed_nan(float x, e5m2) { return qb::oracle::narrowed_e5m2(x); }

template <class Half, class Fn>
void all_floats(Fn* kernel) {
  using Bits = std::underlying_type_t<Half>;
  constexpr std::uint32_t kChunk = 1u << 20, kInfinity = 0x7f800000u;
  constexpr Bits kSign = Bits(1u << (8 * sizeof(Half) - 1));
  std::vector<float> x(kChunk);
  std::vector<Bits> want(kChunk);
  std::vector<Half> y(kChunk);
  for (std::uint32_t first = 0; first < 0x80000000u; first += kChunk) {
    qb::test::Walk<Half> walk(std::min(first, kInfinity));
    for (std::uint32_t i = 0; i < kChunk; ++i) {
      const std::uint32_t bits = first + i;
      x[i] = std::bit_cast<float>(bits);
      want[i] = bits <= kInfinity ? Bits(walk(bits)) : Bits(narrowed_nan(x[i], Half{}));
    }
    for (const bool negative : {false, true}) {
      if (negative)
        for (std::uint32_t i = 0; i < kChunk; ++i) {
          x[i] = std::bit_cast<float>((first + i) | 0x80000000u);
          want[i] = Bits(want[i] | kSign);
        }
      kernel(x.data(), kChunk, y.data());
      if (std::memcmp(want.data(), y.data(), kChunk * sizeof(Half)) == 0) continue;
      for (std::uint32_t i = 0; i < kChunk; ++i)
        ASSERT_EQ(unsigned(want[i]), unsigned(y[i]))
            << std::hex << "from pattern 0x" << std::bit_cast<std::uint32_t>(x[i]);
    }
  }
}

QB_VARIANT_TEST(ExhaustiveF32ToF16, AllFloats) { all_floats<f16>(kernel()); }
QB_VARIANT_TEST(ExhaustiveF32ToBf16, AllFloats) { all_floats<bf16>(kernel()); }
QB_VARIANT_TEST(ExhaustiveF32ToE4m3, AllFloats) { all_floats<e4m3>(kernel()); }
QB_VARIANT_TEST(ExhaustiveF32ToE5m2, AllFloats) { all_floats<e5m2>(kernel()); }

}  // namespace
