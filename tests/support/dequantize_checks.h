// Checks of kernels that turn codes back, for any layout of the codes: between guard pages, over
// every scale, and with scales that are not finite.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <span>
#include <type_traits>
#include <vector>

#include "oracle/half.h"
#include "oracle/quantize.h"
#include "support/guarded.h"
#include "support/inputs.h"
#include "support/quantize_checks.h"

namespace qb::test {

template <class Code, class S, class Y>
using Dequantizer = void(const Code*, std::size_t groups, std::size_t len, const S*, Y*);

template <class S, class Y>
Y expected_back(int code, S scale) {
  if constexpr (sizeof(Y) == sizeof(f16))
    return oracle::dequantized_f16(code, scale);
  else
    return oracle::dequantized(code, scale);
}

template <class Y, class Code, class S>
std::vector<Y> expected_back(const std::vector<Code>& q, std::size_t groups, std::size_t len,
                             const std::vector<S>& scale) {
  const std::size_t bytes = Layout<Code>::bytes(len);
  std::vector<Y> want;
  for (std::size_t i = 0; i < groups; ++i)
    for (std::size_t j = 0; j < len; ++j)
      want.push_back(expected_back<S, Y>(
          Layout<Code>::code(std::span(q).subspan(i * bytes, bytes), j), scale[i]));
  return want;
}

template <class Code, class S, class Y>
void check_dequantize(Dequantizer<Code, S, Y>* kernel, std::size_t groups, std::size_t len,
                      const std::vector<S>& scales, Against side) {
  const std::vector<Code> codes = Layout<Code>::codes(groups, len);
  std::vector<S> used;
  for (std::size_t i = 0; i < groups; ++i) used.push_back(scales[i % scales.size()]);
  const Guarded<Code> q(codes, side);
  const Guarded<S> scale(used, side);
  Guarded<Y> y(groups * len, side);
  kernel(q.data(), groups, len, scale.data(), y.data());
  expect_same(y, expected_back<Y>(codes, groups, len, used), label(groups, len));
}

/// All lengths as one group, and groups of many counts and lengths.
template <class Code, class S, class Y>
void check_dequantize(Dequantizer<Code, S, Y>* kernel, const std::vector<S>& scales) {
  for (const Against side : {Against::end, Against::begin}) {
    for (const std::size_t n : lengths())
      check_dequantize(kernel, 1, n, {scales[n % scales.size()]}, side);
    for (const std::size_t len : kGroupLengths)
      for (const std::size_t groups : kGroupCounts)
        check_dequantize(kernel, groups, len, scales, side);
    check_dequantize(kernel, 0, 32, scales, side);
    check_dequantize(kernel, 3, 0, scales, side);
  }
}

/// Every code over every finite inverse scale: the kernels may divide or be cleverer.
template <class Code>
void check_every_quotient(Dequantizer<Code, f16, f16>* kernel) {
  constexpr std::size_t kInverses = 0x7c00, kCodes = Layout<Code>::kCodes;
  std::vector<f16> inv(kInverses);
  for (unsigned bits = 0; bits < kInverses; ++bits) inv[bits] = f16(bits);
  static const std::vector<Code> q = Layout<Code>::every_code(kInverses);
  static const std::vector<f16> want = expected_back<f16>(q, kInverses, kCodes, inv);
  std::vector<f16> y(want.size());
  kernel(q.data(), kInverses, kCodes, inv.data(), y.data());
  expect_same(y, want, label(kInverses, kCodes));
}

template <class Code>
void check_every_scale(Dequantizer<Code, f16, float>* kernel) {
  const std::vector<Code> q = Layout<Code>::codes(1, 32);
  for (unsigned bits = 0; bits < 0x7c00; ++bits) {
    const f16 scale = f16(bits);
    std::array<float, 32> y, want;
    kernel(q.data(), 1, 32, &scale, y.data());
    for (std::size_t j = 0; j < 32; ++j)
      want[j] = oracle::dequantized(Layout<Code>::code(q, j), scale);
    ASSERT_EQ(std::memcmp(&y, &want, sizeof y), 0) << "scale " << oracle::value(scale);
  }
}

template <class Code>
void check_non_finite_scales(Dequantizer<Code, f16, float>* kernel) {
  const std::vector<Code> codes = Layout<Code>::codes(9, 32);
  for (const unsigned bits : {0x7c00u, 0xfc00u, 0x7e00u, 0x7c01u}) {
    const Guarded<Code> q(codes, Against::end);
    Guarded<f16> scale(std::vector<f16>(9, f16(0x3c00)), Against::end);
    scale[4] = f16(bits);
    Guarded<float> y(9 * 32);
    kernel(q.data(), 9, 32, scale.data(), y.data());
    for (std::size_t j = 0; j < 9 * 32; ++j)
      if (j / 32 != 4) {
        ASSERT_EQ(y[j], float(Layout<Code>::code(codes, j)));
      }
  }
}

}  // namespace qb::test
