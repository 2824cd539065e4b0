// What the tests of the quantization rooms share: comparisons to the bit, hard scales, and the
// checks of a quantizer between guard pages, for any layout of the codes.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "core/check.h"
#include "core/types.h"
#include "oracle/half.h"
#include "support/guarded.h"
#include "support/inputs.h"

namespace qb::test {

inline constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
inline constexpr float kInf = std::numeric_limits<float>::infinity();
inline constexpr float kMost = std::numeric_limits<float>::max();
inline constexpr float kLeast = std::numeric_limits<float>::denorm_min();

/// Scales to multiply by: ordinary, one, zero, subnormal, and as large as they get (the last f32
/// ones overflow the product).
inline const std::vector<float> kScales = {0.013f,      1.0f, 0.0f,  kLeast, 77 * kLeast, 0x1p-126f,
                                           kMost / 127, 0.3f, 1e10f, kMost,  kMost / 8};
inline const std::vector<f16> kHalfScales = {f16(0x2345), f16(0x3c00), f16(0),
                                             f16(1),      f16(0x3ff),  f16(0x400),
                                             f16(0x7bff), f16(0x57f0), f16(77)};

template <class T>
double shown(T v) {
  if constexpr (std::is_same_v<T, f16>)
    return oracle::value(v);
  else
    return double(v);
}

/// Every bit equal; names the first element that differs.
template <class Got, class Want>
void expect_same(const Got& got, const Want& want, const std::string& what) {
  ASSERT_EQ(got.size(), want.size()) << what;
  using T = std::remove_cvref_t<decltype(want[0])>;
  if (got.size() == 0 || std::memcmp(got.data(), want.data(), want.size() * sizeof(T)) == 0) return;
  for (std::size_t i = 0; i < want.size(); ++i)
    if (std::memcmp(&got[i], &want[i], sizeof(T)) != 0) {
      ADD_FAILURE() << what << ": [" << i << "] of " << want.size() << " is " << shown(got[i])
                    << ", expected " << shown(want[i]);
      return;
    }
}

inline std::string label(std::size_t groups, std::size_t len) {
  return std::to_string(groups) + " groups of " + std::to_string(len);
}

inline std::vector<float> joined(const std::vector<std::vector<float>>& groups) {
  std::vector<float> all;
  for (const auto& g : groups) all.insert(all.end(), g.begin(), g.end());
  return all;
}

inline std::vector<f16> halves(const std::vector<float>& x) {
  std::vector<f16> h;
  for (const float v : x) h.push_back(oracle::to_f16(v));
  return h;
}

/// Ordinary inputs.
template <class X>
std::vector<X> inputs(std::size_t n, unsigned seed) {
  if constexpr (std::is_same_v<X, f16>)
    return halves(weights(n, seed));
  else
    return weights(n, seed);
}

inline constexpr std::size_t kGroupLengths[] = {1,  2,  4,  5,   8,   31,  32,  33,  63, 64,
                                                65, 96, 97, 128, 160, 200, 256, 257, 544};
inline constexpr std::size_t kGroupCounts[] = {1, 2, 7, 8, 9, 16, 17, 35};

/// How Code stores codes, and what a quantizer must do, by the oracle. A room's test specialises
/// it:
///   static std::size_t bytes(len)                           bytes of the codes of one group
///   static auto quantized<X, S>(span<const X>, groups, len)  with members q and scale
///   static std::vector<Code> codes(groups, len)             codes of all kinds
///   static int code(span<const Code>, j)                    the j-th of them
///   static constexpr std::size_t kCodes                     how many there are
///   static std::vector<Code> every_code(times)              all of them, so many times
template <class Code>
struct Layout;

template <class X, class Code, class S>
using Quantizer = void(const X*, std::size_t groups, std::size_t len, Code*, S*);

/// Runs a quantizer with everything between guard pages and compares codes and scales.
template <class X, class Code, class S>
void check_quantize(Quantizer<X, Code, S>* kernel,
                    const std::type_identity_t<std::vector<X>>& values, std::size_t groups,
                    std::size_t len, Against side = Against::end) {
  ASSERT_EQ(values.size(), groups * len);
  const Guarded<X> x(values, side);
  Guarded<Code> q(groups * Layout<Code>::bytes(len), side);
  Guarded<S> scale(groups, side);
  kernel(x.data(), groups, len, q.data(), scale.data());
  const auto want = Layout<Code>::template quantized<X, S>(values, groups, len);
  expect_same(scale, want.scale, "scale of " + label(groups, len));
  expect_same(q, want.q, "codes of " + label(groups, len));
}

constexpr std::size_t kTile = 131 * 128;  ///< long inputs repeat this many values

template <class T>
std::vector<T> repeated(const std::vector<T>& tile, std::size_t n) {
  std::vector<T> all(n);
  for (std::size_t i = 0; i < n; ++i) all[i] = tile[i % tile.size()];
  return all;
}

/// Past the caches, where kernels may read in turns and store another way: kTile values repeated,
/// whole groups of them or one long run.
template <class X, class Code, class S>
void check_long_quantize(Quantizer<X, Code, S>* kernel,
                         const std::type_identity_t<std::vector<X>>& tile, std::size_t groups,
                         std::size_t len) {
  const std::vector<X> values = repeated(tile, groups * len);
  const std::size_t in_tile = groups == 1 ? 1 : kTile / len;
  const auto want = Layout<Code>::template quantized<X, S>(tile, in_tile, kTile / in_tile);
  for (const Against side : {Against::end, Against::begin}) {
    Guarded<Code> q(groups * Layout<Code>::bytes(len), side);
    Guarded<S> scale(groups, side);
    kernel(values.data(), groups, len, q.data(), scale.data());
    expect_same(q, repeated(want.q, q.size()), "codes of " + label(groups, len));
    expect_same(scale, repeated(want.scale, groups), "scale of " + label(groups, len));
  }
}

template <class X, class Code, class S>
void check_every_length(Quantizer<X, Code, S>* kernel) {
  for (const std::size_t n : lengths())
    for (const Against side : {Against::end, Against::begin})
      check_quantize(kernel, inputs<X>(n, 7 + unsigned(n)), 1, n, side);
}

template <class X, class Code, class S>
void check_groups(Quantizer<X, Code, S>* kernel) {
  for (const std::size_t len : kGroupLengths)
    for (const std::size_t groups : kGroupCounts)
      for (const Against side : {Against::end, Against::begin})
        check_quantize(kernel, inputs<X>(groups * len, 3), groups, len, side);
  check_quantize(kernel, {}, 0, 32);
  check_quantize(kernel, {}, 3, 0);
}

/// One group from every address within a vector, to every address within one.
template <class X, class Code, class S>
void check_every_start(Quantizer<X, Code, S>* kernel) {
  constexpr std::size_t kLen = 1111, kStarts = 65;
  const std::size_t bytes = Layout<Code>::bytes(kLen);
  const std::vector<X> values = inputs<X>(kLen + kStarts, 9);
  for (std::size_t start = 0; start < kStarts; ++start) {
    std::vector<Code> q(bytes + kStarts, 0x55);
    S scale;
    kernel(values.data() + start, 1, kLen, q.data() + start, &scale);
    const auto want = Layout<Code>::template quantized<X, S>(
        std::span<const X>(values).subspan(start, kLen), 1, kLen);
    EXPECT_EQ(scale, want.scale[0]);
    expect_same(std::span(q).subspan(start, bytes), want.q, "start " + std::to_string(start));
    for (std::size_t j = 0; j < start; ++j) ASSERT_EQ(q[j], 0x55) << "start " << start;
    for (std::size_t j = start + bytes; j < q.size(); ++j)
      ASSERT_EQ(q[j], 0x55) << "start " << start;
  }
}

/// A value that is not finite spoils its own group at most, and touches nothing outside.
template <class X, class Code, class S>
void check_non_finite(Quantizer<X, Code, S>* kernel,
                      const std::type_identity_t<std::vector<X>>& values,
                      const std::type_identity_t<std::vector<X>>& specials) {
  for (const std::size_t len : {1, 5, 32, 64, 100, 128}) {
    const std::size_t groups = values.size() / len, stride = Layout<Code>::bytes(len);
    const std::span<const X> used = std::span(values).first(groups * len);
    const auto want = Layout<Code>::template quantized<X, S>(used, groups, len);
    for (const X special : specials) {
      Guarded<X> x(used, Against::end);
      Guarded<Code> q(groups * stride);
      Guarded<S> scale(groups);
      const std::size_t hit = groups / 3;
      for (std::size_t j = 0; j < len; j += 3) x[hit * len + j] = special;
      kernel(x.data(), groups, len, q.data(), scale.data());
      for (std::size_t i = 0; i < groups; ++i)
        if (i != hit) {
          ASSERT_EQ(std::memcmp(&scale[i], &want.scale[i], sizeof(S)), 0) << i << " of " << groups;
          ASSERT_EQ(std::memcmp(&q[i * stride], &want.q[i * stride], stride), 0)
              << i << " of " << groups;
        }
    }
  }
}

/// The message of the BadArgument that `call` throws; empty if it throws none.
template <class Call>
std::string refusal(Call call) {
  try {
    call();
  } catch (const BadArgument& e) {
    return e.what();
  }
  return {};
}

}  // namespace qb::test
