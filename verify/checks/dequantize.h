// SPDX-License-Identifier: Apache-2.0
// Checks of kernels that turn codes back, for any layout of the codes: between guard pages, over
// every scale, and with scales that are not finite (contract, section 3).
#pragma once

#include <array>
#include <cstring>
#include <span>
#include <type_traits>
#include <vector>

#include "checks/quantize.h"
#include "oracle/quantize.h"

namespace qb::test {

/// Scales to multiply by: ordinary, one, zero, subnormal, and as large as they get (the last f32
/// ones overflow the product).
inline const std::vector<float> kScales = {0.013f,      1.0f, 0.0f,  kLeast, 77 * kLeast, 0x1p-126f,
                                           kMost / 127, 0.3f, 1e10f, kMost,  kMost / 8};
inline const std::vector<f16> kHalfScales = {f16(0x2345), f16(0x3c00), f16(0),
                                             f16(1),      f16(0x3ff),  f16(0x400),
                                             f16(0x7bff), f16(0x57f0), f16(77)};

template <class S>
const std::vector<S>& hard_scales() {
  if constexpr (std::is_same_v<S, f16>)
    return kHalfScales;
  else
    return kScales;
}

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
void check_dequantize(Dequantizer<Code, S, Y>* kernel, Effort effort = Effort::thorough) {
  const std::vector<S>& scales = hard_scales<S>();
  for (const Against side : {Against::end, Against::begin}) {
    for (const std::size_t n : lengths(effort == Effort::brief ? 512 : 4096))
      check_dequantize(kernel, 1, n, {scales[n % scales.size()]}, side);
    for (const std::size_t len : kGroupLengths)
      for (const std::size_t groups : kGroupCounts)
        if (!skipped(effort, groups, len)) check_dequantize(kernel, groups, len, scales, side);
    check_dequantize(kernel, 0, 32, scales, side);
    check_dequantize(kernel, 3, 0, scales, side);
  }
}

/// Every code over every finite inverse scale, or over every `step`-th: a kernel need not divide,
/// so each quotient is checked.
template <class Code>
void check_every_quotient(Dequantizer<Code, f16, f16>* kernel, unsigned step = 1) {
  const std::size_t inverses = (0x7c00 + step - 1) / step;
  constexpr std::size_t kCodes = Layout<Code>::kCodes;
  std::vector<f16> inv;
  for (unsigned bits = 0; bits < 0x7c00; bits += step) inv.push_back(f16(bits));
  const std::vector<Code> q = Layout<Code>::every_code(inverses);
  static std::vector<f16> want;
  if (want.size() != inverses * kCodes) want = expected_back<f16>(q, inverses, kCodes, inv);
  std::vector<f16> y(want.size());
  kernel(q.data(), inverses, kCodes, inv.data(), y.data());
  expect_same(y, want, label(inverses, kCodes));
}

template <class Code>
void check_every_scale(Dequantizer<Code, f16, float>* kernel, unsigned step = 1) {
  const std::vector<Code> q = Layout<Code>::codes(1, 32);
  for (unsigned bits = 0; bits < 0x7c00; bits += step) {
    const f16 scale = f16(bits);
    std::array<float, 32> y, want;
    kernel(q.data(), 1, 32, &scale, y.data());
    for (std::size_t j = 0; j < 32; ++j)
      want[j] = oracle::dequantized(Layout<Code>::code(q, j), scale);
    expect_same(y, want, "scale " + std::to_string(oracle::value(scale)));
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
      if (j / 32 != 4 && y[j] != float(Layout<Code>::code(codes, j)))
        fail("a scale that is not finite spoils [", j, "], of another group");
  }
}

}  // namespace qb::test
