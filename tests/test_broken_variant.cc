// SPDX-License-Identifier: Apache-2.0
// A checker that cannot fail proves nothing. Here kernels that are wrong in the ways SIMD kernels
// go wrong are put through the same checks as the real variants, and must be caught.
#include <gmock/gmock.h>

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "absmax/absmax.h"
#include "checks/absmax.h"

namespace {

using qb::Variant;
using qb::absmax::absmax_f32_fn;
using testing::HasSubstr;

constexpr std::size_t kWidth = 8;  // of the vectors that these kernels pretend to have

float absmax_of(const float* x, std::size_t n) {
  float largest = 0;
  for (std::size_t j = 0; j < n; ++j) {
    const float magnitude = std::fabs(x[j]);
    if (!(magnitude <= largest) && !std::isnan(largest)) largest = magnitude;
  }
  return largest;
}

void sound(const float* x, std::size_t groups, std::size_t len, float* out) {
  for (std::size_t i = 0; i < groups; ++i) out[i] = absmax_of(x + i * len, len);
}

/// Right, except that the tail's maximum is one unit in the last place too large.
void wrong_tail(const float* x, std::size_t groups, std::size_t len, float* out) {
  for (std::size_t i = 0; i < groups; ++i, x += len) {
    const std::size_t body = len / kWidth * kWidth;
    const float tail = absmax_of(x + body, len - body);
    out[i] = absmax_of(x, body);
    if (tail > out[i]) out[i] = std::nextafter(tail, INFINITY);
  }
}

/// Reads whole vectors and masks off what lies behind the end: right, had it not read it.
void reads_past_the_end(const float* x, std::size_t groups, std::size_t len, float* out) {
  for (std::size_t i = 0; i < groups; ++i, x += len) {
    out[i] = 0;
    for (std::size_t j = 0; j < len; j += kWidth)
      for (std::size_t lane = 0; lane < kWidth; ++lane) {
        const float value = *const_cast<const volatile float*>(x + j + lane);
        if (j + lane < len && !(std::fabs(value) <= out[i])) out[i] = std::fabs(value);
      }
  }
}

void writes_past_the_end(const float* x, std::size_t groups, std::size_t len, float* out) {
  sound(x, groups, len, out);
  *const_cast<volatile float*>(out + groups) = 0;
}

/// As MAXPS with its operands in the wrong order.
void swallows_nan(const float* x, std::size_t groups, std::size_t len, float* out) {
  for (std::size_t i = 0; i < groups; ++i, x += len) {
    out[i] = 0;
    for (std::size_t j = 0; j < len; ++j)
      if (std::fabs(x[j]) > out[i]) out[i] = std::fabs(x[j]);
  }
}

Variant row(std::string_view name, absmax_f32_fn& kernel) {
  return {"absmax_f32", name, qb::Arch::any, qb::isa::baseline,
          reinterpret_cast<const void*>(&kernel)};
}

/// A room of the shape that the real ones have.
std::span<const Variant> broken_room() {
  static const Variant rows[] = {
      row("sound", sound),
      row("wrong_tail", wrong_tail),
      row("reads_past_the_end", reads_past_the_end),
      row("writes_past_the_end", writes_past_the_end),
      row("swallows_nan", swallows_nan),
  };
  return rows;
}

constexpr qb::Op<absmax_f32_fn> kBroken{"absmax_f32", broken_room};

absmax_f32_fn* kernel(std::string_view name) { return kBroken.kernel(kBroken.named(name)); }

/// What `check` finds; empty if nothing.
std::string finding(const std::function<void()>& check) {
  try {
    check();
  } catch (const qb::test::Failure& failure) {
    return failure.what();
  }
  return {};
}

TEST(BrokenVariant, TheSoundOnePasses) {
  EXPECT_EQ(finding([] { qb::test::check_absmax_every_length(kernel("sound")); }), "");
  EXPECT_EQ(finding([] { qb::test::check_absmax_special_anywhere(kernel("sound")); }), "");
  EXPECT_EQ(finding([] { qb::test::check_absmax_groups(kernel("sound")); }), "");
}

TEST(BrokenVariant, OneUnitInTheLastPlaceInTheTailIsCaught) {
  EXPECT_THAT(finding([] { qb::test::check_absmax_every_length(kernel("wrong_tail")); }),
              HasSubstr("absmax of length 1 is "));
}

TEST(BrokenVariant, ASwallowedNanIsCaughtAtEveryPlace) {
  EXPECT_EQ(finding([] { qb::test::check_absmax_every_length(kernel("swallows_nan")); }), "")
      << "finite inputs cannot show it";
  EXPECT_THAT(finding([] { qb::test::check_absmax_special_anywhere(kernel("swallows_nan")); }),
              HasSubstr("nan at [0]: absmax of length 1 is 0, expected nan"));
}

TEST(BrokenVariantDeathTest, AReadPastTheEndDiesAtTheGuardPage) {
  EXPECT_DEATH(qb::test::check_absmax_every_length(kernel("reads_past_the_end")), "");
}

TEST(BrokenVariantDeathTest, AWritePastTheEndDiesAtTheGuardPage) {
  EXPECT_DEATH(qb::test::check_absmax_every_length(kernel("writes_past_the_end")), "");
}

TEST(BrokenVariant, WithoutAGuardPageTheOverReadWouldPass) {
  // Which is why every check uses them.
  const std::vector<float> x = qb::test::weights(64, 1);
  for (std::size_t n = 1; n <= 32; ++n) {
    float y;
    kernel("reads_past_the_end")(x.data(), 1, n, &y);
    EXPECT_EQ(finding([&] { qb::test::expect_absmax<float>({x.data(), n}, y); }), "");
  }
}

}  // namespace
