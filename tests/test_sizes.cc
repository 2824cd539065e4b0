// SPDX-License-Identifier: Apache-2.0
// Sizes whose product overflows size_t: every checked entry refuses them. A product that has
// wrapped around to 0 would agree with an empty span, and the kernel would read outside it.
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "core/check.h"
#include "matmul/matmul.h"
#include "support/matmul_test.h"

namespace {

using namespace qb::matmul;
using qb::test::refusal;

constexpr std::size_t kOne = 1, kMost = ~std::size_t{0};

TEST(Sizes, ProductRefusesWhatDoesNotFit) {
  EXPECT_EQ(qb::check::product("op", "n", kOne << 32, "k", kOne << 31), kOne << 63);
  EXPECT_EQ(qb::check::product("op", "n", 0, "k", kMost), 0u);
  EXPECT_EQ(refusal([] { qb::check::product("op", "n", kOne << 32, "k", kOne << 32); }),
            "op: 'n' = 4294967296 times 'k' = 4294967296 is too large");
}

TEST(Sizes, ViewsRefuse) {
  const std::pair<std::size_t, std::size_t> shapes[] = {{kOne << 32, kOne << 32}, {kOne << 63, 2},
                                                        {kOne << 60, 512},        {2, kOne << 63},
                                                        {kMost, kMost - 127},     {kOne << 58, 64}};
  for (const auto& [n, k] : shapes) {
    const std::function<void()> views[] = {
        [n = n, k = k] { view_f32({}, n, k); },
        [n = n, k = k] { view_f16({}, n, k); },
        [n = n, k = k] { view_s8({}, {}, n, k); },
        [n = n, k = k] { view_s4({}, {}, n, k); },
        [n = n, k = k] { view_s8g({}, {}, n, k, 32); },
        [n = n, k = k] { view_s4g({}, {}, n, k, 64); },
        [n = n, k = k] { view_u4h({}, {}, {}, n, k, 64); },
        [n = n, k = k] { view_q8_0({}, n, k); },
        [n = n, k = k] { view_q4_0({}, n, k); },
        [n = n, k = k] { view_q4_1({}, n, k); },
        [n = n, k = k] { view_q5_0({}, n, k); },
        [n = n, k = k] { view_q4_K({}, n, k); },
        [n = n, k = k] { view_q5_K({}, n, k); },
        [n = n, k = k] { view_q6_K({}, n, k); },
        [n = n, k = k] { view_iq4_xs({}, n, k); },
        [n = n, k = k] { view_nvfp4({}, n, k); },
        [n = n, k = k] { view_tq2_0({}, n, k); },
    };
    for (const auto& view : views) EXPECT_THROW(view(), qb::BadArgument) << n << " x " << k;
  }
  EXPECT_EQ(refusal([] { view_f32({}, kOne << 63, 2); }),
            "matmul::view_f32: 'n' = 9223372036854775808 times 'k' = 2 is too large");
}

/// No weights, but so many outputs that the kernels' padding and scales would not fit.
TEST(Sizes, ViewsRefuseWhatCannotBePacked) {
  EXPECT_THROW(view_f32({}, kOne << 63, 0), qb::BadArgument);
  EXPECT_THROW(view_q4_0({}, kMost, 0), qb::BadArgument);
  EXPECT_THROW(view_s4({}, {}, 0, kMost), qb::BadArgument);
  EXPECT_THROW(view_f16({}, 0, kMost - 7), qb::BadArgument);
  EXPECT_NO_THROW(view_f32({}, 0, 4096));
}

TEST(Sizes, RunRefuses) {
  const qb::test::TestWeights w(Format::f32, 4, 32, 1, 1);
  PackedWeights packed(w.view(), Arithmetic::a32);
  EXPECT_EQ(refusal([&] { packed.run(std::span<const float>{}, kOne << 62, std::span<float>{}); }),
            "matmul::PackedWeights::run: 'm' = 4611686018427387904 times 'k' = 32 is too large");
  const qb::test::TestWeights none(Format::f32, 4, 0, 1, 1);
  PackedWeights nothing(none.view(), Arithmetic::a32);
  EXPECT_THROW(nothing.run(std::span<const float>{}, kOne << 62, std::span<float>{}),
               qb::BadArgument);
}

}  // namespace
