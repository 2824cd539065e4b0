// SPDX-License-Identifier: Apache-2.0
// Narrowing over all 2^32 floats, every variant. Minutes, so it is no part of the default tests:
// ctest --preset exhaustive.
#include <algorithm>
#include <bit>
#include <cstring>
#include <string>
#include <vector>

#include "convert/convert.h"
#include "oracle/half.h"
#include "support/rounding.h"
#include "support/variant_test.h"

namespace {

using qb::bf16;
using qb::f16;

QB_VARIANT_TEST_SUITE(ExhaustiveF32ToF16, qb::convert::f32_f16);
QB_VARIANT_TEST_SUITE(ExhaustiveF32ToBf16, qb::convert::f32_bf16);

std::uint16_t narrowed_nan(float x, f16) { return std::uint16_t(qb::oracle::narrowed_f16(x)); }
std::uint16_t narrowed_nan(float x, bf16) { return std::uint16_t(qb::oracle::narrowed_bf16(x)); }

template <class Half, class Fn>
void all_floats(Fn* kernel) {
  constexpr std::uint32_t kChunk = 1u << 20, kInfinity = 0x7f800000u;
  std::vector<float> x(kChunk);
  std::vector<std::uint16_t> want(kChunk);
  std::vector<Half> y(kChunk);
  for (std::uint32_t first = 0; first < 0x80000000u; first += kChunk) {
    qb::test::Walk<Half> walk(std::min(first, kInfinity));
    for (std::uint32_t i = 0; i < kChunk; ++i) {
      const std::uint32_t bits = first + i;
      x[i] = std::bit_cast<float>(bits);
      want[i] = bits <= kInfinity ? walk(bits) : narrowed_nan(x[i], Half{});
    }
    for (const bool negative : {false, true}) {
      if (negative)
        for (std::uint32_t i = 0; i < kChunk; ++i) {
          x[i] = std::bit_cast<float>((first + i) | 0x80000000u);
          want[i] |= 0x8000u;
        }
      kernel(x.data(), kChunk, y.data());
      if (std::memcmp(want.data(), y.data(), kChunk * sizeof(Half)) == 0) continue;
      for (std::uint32_t i = 0; i < kChunk; ++i)
        ASSERT_EQ(want[i], std::uint16_t(y[i]))
            << std::hex << "from pattern 0x" << std::bit_cast<std::uint32_t>(x[i]);
    }
  }
}

QB_VARIANT_TEST(ExhaustiveF32ToF16, AllFloats) { all_floats<f16>(kernel()); }
QB_VARIANT_TEST(ExhaustiveF32ToBf16, AllFloats) { all_floats<bf16>(kernel()); }

}  // namespace
