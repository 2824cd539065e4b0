// SPDX-License-Identifier: Apache-2.0
// What the checked entries of quantization refuse (contract, sections 3 and 5): one set of rules
// for codes of 8 and 4 bits and for the block formats.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "core/check.h"
#include "core/types.h"

namespace qb::check {

/// Scales stored as f16 come with groups of 32, 64 or 128.
inline void group_of_f16_scale(std::string_view op, std::size_t group) {
  if (group != 32 && group != 64 && group != 128)
    refuse(op, "'group' = " + std::to_string(group) + " is none of 32, 64 and 128");
}

/// x[groups * group] -> q[groups * code_bytes], scale[groups]: shapes, overlaps, finite input.
/// `code_bytes`: bytes that the codes of one group take. `scale_name`: what the entry calls it.
template <class X, class Q, class S>
void quantize(std::string_view op, std::span<const X> x, std::size_t group, std::size_t code_bytes,
              std::span<Q> q, std::string_view scale_name, std::span<S> scale) {
  divides(op, "group", group, "x.size()", x.size());
  const std::size_t groups = x.size() / group;
  size_at_least(op, "q", q.size(), product(op, "groups", groups, "bytes per group", code_bytes));
  size_at_least(op, scale_name, scale.size(), groups);
  disjoint(op, "x", std::as_bytes(x), "q", std::as_bytes(q));
  disjoint(op, "x", std::as_bytes(x), scale_name, std::as_bytes(scale));
  disjoint(op, "q", std::as_bytes(q), scale_name, std::as_bytes(scale));
  finite(op, "x", x);
}

/// q[groups * code_bytes], scale[groups] -> y[groups * group]: shapes, overlaps, finite scales.
template <class Q, class S, class Y>
void dequantize(std::string_view op, std::span<const Q> q, std::size_t group,
                std::size_t code_bytes, std::string_view scale_name, std::span<const S> scale,
                std::span<Y> y) {
  if (group == 0) refuse(op, "'group' is 0");
  divides(op, "bytes per group", code_bytes, "q.size()", q.size());
  const std::size_t groups = q.size() / code_bytes;
  size_is(op, scale_name, scale.size(), groups);
  size_at_least(op, "y", y.size(), product(op, "groups", groups, "group", group));
  disjoint(op, "q", std::as_bytes(q), "y", std::as_bytes(y));
  disjoint(op, scale_name, std::as_bytes(scale), "y", std::as_bytes(y));
  finite(op, scale_name, scale);
}

/// The least magnitude whose scale, a 127th of it in f32, rounds to infinity in f16: 127 * 65520.
inline constexpr float kOverflowsInt8Scale = 8321040.0f;

/// Refuses a group or block (`what`) whose f16 scale overflows: `limit` is the smallest absmax that
/// makes one.
inline void scales_fit(std::string_view op, std::span<const float> x, std::size_t group,
                       std::string_view what, float limit) {
  const auto at = std::find_if(x.begin(), x.end(), [=](float e) { return std::fabs(e) >= limit; });
  if (at == x.end()) return;
  const auto index = std::size_t(at - x.begin());
  refuse(op, "the scale of " + std::string(what) + " " + std::to_string(index / group) +
                 " overflows f16: 'x'[" + std::to_string(index) + "] is " + std::to_string(*at) +
                 ", the limit " + std::to_string(int(limit)));
}

/// Whether the block's scale, an f16 or a power of two (E8M0, of which 255 is NaN), is a number.
template <class Block>
bool scale_is_finite(const Block& block) {
  if constexpr (requires { block.e; })
    return block.e != 255;
  else
    return (unsigned(block.d) & 0x7c00u) != 0x7c00u;
}

/// Refuses a block whose f16 scale overflows. No format's scale is larger than the block's largest
/// magnitude, so only blocks beyond f16 are looked at: `kernel` encodes them here.
template <class Block, class Kernel>
void block_scales_fit(std::string_view op, std::span<const float> x, Kernel* kernel) {
  constexpr float kMostHalf = 65504.0f;
  for (std::size_t j = 0; j < x.size(); ++j) {
    if (std::fabs(x[j]) <= kMostHalf) continue;
    const std::size_t i = j / kBlock;
    Block block;
    kernel(x.data() + i * kBlock, 1, &block);
    if (!scale_is_finite(block))
      refuse(op, "the scale of block " + std::to_string(i) + " overflows f16: 'x'[" +
                     std::to_string(j) + "] is " + std::to_string(x[j]));
    j = (i + 1) * kBlock - 1;
  }
}

/// x[blocks * 32] -> y[blocks], by `kernel`.
template <class Block, class Kernel>
void quantize_blocks(std::string_view op, std::span<const float> x, std::span<Block> y,
                     Kernel* kernel) {
  divides(op, "block", kBlock, "x.size()", x.size());
  size_at_least(op, "y", y.size(), x.size() / kBlock);
  disjoint(op, "x", std::as_bytes(x), "y", std::as_bytes(y));
  finite(op, "x", x);
  block_scales_fit<Block>(op, x, kernel);
}

/// x[blocks] -> y[blocks * 32]; every scale is finite.
template <class Block>
void dequantize_blocks(std::string_view op, std::span<const Block> x, std::span<float> y) {
  size_at_least(op, "y", y.size(), product(op, "blocks", x.size(), "block", kBlock));
  disjoint(op, "x", std::as_bytes(x), "y", std::as_bytes(y));
  for (std::size_t i = 0; i < x.size(); ++i)
    if (!scale_is_finite(x[i]))
      refuse(op, "the scale of block " + std::to_string(i) + " is not finite");
}

}  // namespace qb::check
