// SPDX-License-Identifier: Apache-2.0
// Checks of the formats of groups with zero points: from f32 and back, to the bit, with zero points
// and without (contract, section 3).
#pragma once

#include <random>
#include <span>
#include <string>
#include <vector>

#include "checks/block_formats.h"
#include "checks/dequantize.h"
#include "core/stream.h"
#include "oracle/zero_points.h"
#include "support/guarded.h"

namespace qb::test {

template <class S>
using ZeroPointQuantizer = void(const float*, std::size_t groups, std::size_t len, std::uint8_t*,
                                S*, std::uint8_t* zero);
template <class S>
using ZeroPointDequantizer = void(const std::uint8_t*, std::size_t groups, std::size_t len,
                                  const S*, const std::uint8_t* zero, float*);

inline constexpr std::size_t kZeroPointLengths[] = {32, 64, 128};

template <class S>
void check_u4_quantize(ZeroPointQuantizer<S>* kernel, std::span<const float> values,
                       std::size_t len, bool zeros, Against side = Against::end) {
  const std::size_t groups = values.size() / len;
  const Guarded<float> x(std::vector<float>(values.begin(), values.end()), side);
  Guarded<std::uint8_t> q(values.size() / 2, side), zero((groups + 1) / 2, side);
  Guarded<S> scale(groups, side);
  kernel(x.data(), groups, len, q.data(), scale.data(), zeros ? zero.data() : nullptr);
  const auto want = oracle::quantize_u4<S>(values, groups, len, zeros);
  const std::string what = label(groups, len) + (zeros ? "" : " without zero points");
  expect_same(scale, want.scale, "scale of " + what);
  if (zeros) expect_same(zero, want.zero, "zero points of " + what);
  expect_same(q, want.q, "codes of " + what);
}

/// Every number of groups up to more than the longest vectors take at a time.
template <class S>
void check_u4_counts(ZeroPointQuantizer<S>* kernel, std::size_t most = 70) {
  for (const std::size_t len : kZeroPointLengths)
    for (std::size_t groups = 0; groups <= most; ++groups)
      for (const bool zeros : {true, false})
        for (const Against side : {Against::end, Against::begin})
          check_u4_quantize(kernel, weights(groups * len, unsigned(groups)), len, zeros, side);
}

/// Both ends of the codes, ties, zeros, one sign, tiny and subnormal and large numbers. The largest
/// are such that the span of a group is a number.
inline std::vector<float> hard_u4_values() {
  std::mt19937 words(11);
  std::vector<float> x;
  const auto add = [&](const std::vector<float>& group) {
    x.insert(x.end(), group.begin(), group.end());
  };
  for (int round = 0; round < 12; ++round)
    for (unsigned kind = 0; kind < kHardGroups; ++kind)
      for (int i = 0; i < 4; ++i) add(hard_group(kind, words, 1e37f));
  for (int i = 0; i < 600; ++i) add(hard_group(words() % kHardGroups, words, 1e37f));
  for (const auto& group : hard_groups_of_4_bits(32, 7)) {
    add(group);  // of s4: what it does without zero points
    for (std::size_t j = 0; j < group.size(); ++j) x.push_back(group[j] * 0.5f);
  }
  // Halves and their neighbours under scales that are powers of two, for every zero point.
  for (const float scale : {1.0f, 0x1p-130f, 0x1p100f})
    for (int zero = 0; zero <= 15; ++zero)
      for (const float toward : {0.0f, -kInf, kInf}) {
        std::vector<float> group(32);
        for (std::size_t j = 0; j < 32; ++j) {
          const float half = float(int(j) % 15 - zero) + 0.5f;
          group[j] = toward == 0.0f ? half : std::nextafter(half, toward);
        }
        group[3] = float(-zero);
        group[17] = float(15 - zero);
        for (float& v : group) v *= scale;
        add(group);
      }
  for (float& v : x)  // of s4's hard groups some lie up to the largest number
    if (std::fabs(v) > kMost / 2) v = std::copysign(kMost / 2, v);
  x.resize(x.size() / 128 * 128);
  return x;
}

template <class S>
void check_u4_hard(ZeroPointQuantizer<S>* kernel) {
  static const std::vector<float> x = hard_u4_values();
  for (const std::size_t len : kZeroPointLengths)
    for (const bool zeros : {true, false}) check_u4_quantize<S>(kernel, x, len, zeros);
}

/// A value that is not finite may spoil its own group, but no other group and no other memory.
template <class S>
void check_u4_non_finite(ZeroPointQuantizer<S>* kernel) {
  constexpr std::size_t kGroups = 21, len = 32;
  const std::vector<float> values = weights(kGroups * len, 6);
  for (const bool zeros : {true, false}) {
    const auto want = oracle::quantize_u4<S>(values, kGroups, len, zeros);
    for (const float special : {kNan, -kNan, kInf, -kInf})
      for (std::size_t hit = 0; hit < kGroups; ++hit) {
        Guarded<float> x(values, Against::end);
        Guarded<std::uint8_t> q(kGroups * len / 2), zero((kGroups + 1) / 2);
        Guarded<S> scale(kGroups);
        x[hit * len + hit] = special;
        kernel(x.data(), kGroups, len, q.data(), scale.data(), zeros ? zero.data() : nullptr);
        for (std::size_t g = 0; g < kGroups; ++g) {
          if (g == hit) continue;
          const bool same =
              std::memcmp(&scale[g], &want.scale[g], sizeof(S)) == 0 &&
              std::memcmp(&q[g * len / 2], &want.q[g * len / 2], len / 2) == 0 &&
              (!zeros || oracle::U4<S>::nibble(zero.span(), g) == want.nibble(want.zero, g));
          if (!same) fail("what is not finite in group ", hit, " spoils group ", g);
        }
      }
  }
}

/// Any codes and zero points under the given scales.
template <class S>
oracle::U4<S> any_u4(std::size_t groups, std::size_t len, bool zeros) {
  std::mt19937 words(9);
  const std::vector<S>& scales = hard_scales<S>();
  oracle::U4<S> x;
  x.q.resize(groups * len / 2);
  for (auto& byte : x.q) byte = std::uint8_t(words());
  if (zeros) x.zero.resize((groups + 1) / 2);
  for (auto& byte : x.zero) byte = std::uint8_t(words());
  for (std::size_t g = 0; g < groups; ++g) {
    S scale = scales[words() % scales.size()];
    if constexpr (sizeof(S) == sizeof(float))
      scale = words() % 8 ? scale : -scale;
    else
      scale = words() % 8 ? scale : f16(static_cast<std::uint16_t>(scale) ^ 0x8000);
    x.scale.push_back(scale);
  }
  return x;
}

template <class S>
std::vector<float> expected_u4_back(const oracle::U4<S>& from, std::size_t len) {
  std::vector<float> want(from.scale.size() * len);
  for (std::size_t j = 0; j < want.size(); ++j) want[j] = oracle::dequantized_u4(from, len, j);
  return want;
}

template <class S>
void check_u4_dequantize(ZeroPointDequantizer<S>* kernel, const oracle::U4<S>& from,
                         std::size_t len, Against side) {
  const std::size_t groups = from.scale.size();
  const Guarded<std::uint8_t> q(from.q, side), zero(from.zero, side);
  const Guarded<S> scale(from.scale, side);
  Guarded<float> y(groups * len, side);
  kernel(q.data(), groups, len, scale.data(), from.zero.empty() ? nullptr : zero.data(), y.data());
  expect_same(y, expected_u4_back(from, len), label(groups, len));
}

template <class S>
void check_u4_dequantize(ZeroPointDequantizer<S>* kernel, std::size_t most = 40) {
  for (const std::size_t len : kZeroPointLengths)
    for (std::size_t groups = 0; groups <= most; ++groups)
      for (const bool zeros : {true, false})
        for (const Against side : {Against::end, Against::begin})
          check_u4_dequantize(kernel, any_u4<S>(groups, len, zeros), len, side);
}

/// Every code under every zero point, and under every 7th f16 scale.
template <class S>
void check_u4_every_code(ZeroPointDequantizer<S>* kernel, unsigned step = 7) {
  oracle::U4<S> x;
  unsigned bits = 0;
  for (std::size_t g = 0; g < 0x10000 / step / 16 * 16; ++g, bits += step) {
    if ((bits & 0x7c00u) == 0x7c00u) bits += 0x400;
    const f16 half = f16(static_cast<std::uint16_t>(bits));
    if constexpr (sizeof(S) == sizeof(float))
      x.scale.push_back(float(oracle::value(half)) * 1.1f);
    else
      x.scale.push_back(half);
    x.append(x.zero, g, int(g * 7 % 16));
    for (std::size_t j = 0; j < 32; ++j) x.append(x.q, j, int((j + g) % 16));
  }
  check_u4_dequantize(kernel, x, 32, Against::end);
}

/// An input larger than the caches, for which kernels may use streaming stores; y aligned or not.
template <class S>
void check_u4_long(ZeroPointDequantizer<S>* kernel) {
  constexpr std::size_t len = 32, tile = 998;  // zero points repeat by pairs of groups
  const std::size_t times = kStreamBytesWriting / (len * sizeof(float)) / tile + 1;
  const oracle::U4<S> from = any_u4<S>(tile, len, true);
  const std::vector<float> want = expected_u4_back(from, len);
  const std::size_t groups = tile * times;
  const auto q = repeated(from.q, groups * len / 2);
  const auto zero = repeated(from.zero, groups / 2);
  const auto scale = repeated(from.scale, groups);
  std::vector<float> y(groups * len + 16);
  for (const std::size_t start : {0, 1, 8}) {
    kernel(q.data(), groups, len, scale.data(), zero.data(), y.data() + start);
    for (std::size_t i = 0; i < times; ++i)
      if (std::memcmp(&y[start + i * want.size()], want.data(), want.size() * sizeof(float)) != 0)
        fail("groups from ", i * tile, " of ", groups, " decode wrong, from ", start);
  }
}

}  // namespace qb::test
