// SPDX-License-Identifier: Apache-2.0
// Checks of kernels that quantize groups, for any layout of the codes (contract, section 3).
#pragma once

#include <algorithm>
#include <cstring>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "checks/layouts.h"
#include "support/guarded.h"

namespace qb::test {

inline constexpr std::size_t kGroupLengths[] = {1,  2,  4,  5,   8,   31,  32,  33,  63, 64,
                                                65, 96, 97, 128, 160, 200, 256, 257, 544};
inline constexpr std::size_t kGroupCounts[] = {1, 2, 7, 8, 9, 16, 17, 35};

/// Whether a brief check leaves out so many groups of that length.
inline bool skipped(Effort effort, std::size_t groups, std::size_t len) {
  return effort == Effort::brief && groups * len > 1200;
}

template <class X, class Code, class S>
using Quantizer = void(const X*, std::size_t groups, std::size_t len, Code*, S*);

/// Runs a quantizer with everything between guard pages and compares codes and scales.
template <class X, class Code, class S>
void check_quantize(Quantizer<X, Code, S>* kernel,
                    const std::type_identity_t<std::vector<X>>& values, std::size_t groups,
                    std::size_t len, Against side = Against::end) {
  const Guarded<X> x(values, side);
  Guarded<Code> q(groups * Layout<Code>::bytes(len), side);
  Guarded<S> scale(groups, side);
  kernel(x.data(), groups, len, q.data(), scale.data());
  const auto want = Layout<Code>::template quantized<X, S>(values, groups, len);
  expect_same(scale, want.scale, "scale of " + label(groups, len));
  expect_same(q, want.q, "codes of " + label(groups, len));
}

constexpr std::size_t kTile = 131 * 128;  ///< long inputs repeat this many values

/// Inputs larger than the caches, for which kernels may read several places in turn and use
/// streaming stores: kTile values over and over, as groups or as one long run.
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
void check_every_length(Quantizer<X, Code, S>* kernel, Effort effort = Effort::thorough) {
  for (const std::size_t n : lengths(effort == Effort::brief ? 512 : 4096))
    for (const Against side : {Against::end, Against::begin})
      check_quantize(kernel, inputs<X>(n, 7 + unsigned(n)), 1, n, side);
}

template <class X, class Code, class S>
void check_groups(Quantizer<X, Code, S>* kernel, Effort effort = Effort::thorough) {
  for (const std::size_t len : kGroupLengths)
    for (const std::size_t groups : kGroupCounts)
      for (const Against side : {Against::end, Against::begin})
        if (!skipped(effort, groups, len))
          check_quantize(kernel, inputs<X>(groups * len, 3), groups, len, side);
  check_quantize(kernel, {}, 0, 32);
  check_quantize(kernel, {}, 3, 0);
}

/// Ties, both ends of the codes, subnormals, zeros: as one call and each group alone.
template <class Code, class S>
void check_hard_groups(Quantizer<float, Code, S>* kernel,
                       const std::vector<std::size_t>& group_lengths) {
  for (const std::size_t len : group_lengths) {
    const auto groups = Layout<Code>::hard_groups(len);
    check_quantize(kernel, joined(groups), groups.size(), len);
    for (const auto& g : groups) check_quantize(kernel, g, 1, len);
  }
}

/// One group, with input and output at every offset within a vector.
template <class X, class Code, class S>
void check_every_start(Quantizer<X, Code, S>* kernel, Effort effort = Effort::thorough) {
  const std::size_t kLen = effort == Effort::brief ? 307 : 1111, kStarts = 65;
  const std::size_t bytes = Layout<Code>::bytes(kLen);
  const std::vector<X> values = inputs<X>(kLen + kStarts, 9);
  for (std::size_t start = 0; start < kStarts; ++start) {
    std::vector<Code> q(bytes + kStarts, 0x55);
    std::vector<S> scale(1);
    kernel(values.data() + start, 1, kLen, q.data() + start, scale.data());
    const auto want = Layout<Code>::template quantized<X, S>(
        std::span<const X>(values).subspan(start, kLen), 1, kLen);
    const std::string what = "from element " + std::to_string(start);
    expect_same(scale, want.scale, "scale " + what);
    expect_same(std::span(q).subspan(start, bytes), want.q, "codes " + what);
    for (std::size_t j = 0; j < q.size(); ++j)
      if ((j < start || j >= start + bytes) && q[j] != 0x55)
        fail("written outside the codes, ", what);
  }
}

/// A value that is not finite may spoil its own group, but no other group and no other memory.
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
        if (i != hit && (std::memcmp(&scale[i], &want.scale[i], sizeof(S)) != 0 ||
                         std::memcmp(&q[i * stride], &want.q[i * stride], stride) != 0))
          fail("what is not finite in group ", hit, " spoils group ", i, " of ",
               label(groups, len));
    }
  }
}

}  // namespace qb::test
