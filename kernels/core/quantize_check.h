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
#include "quantbench/types.h"

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

/// Refuses a group of u4 whose scale overflows its type S: a 15th of the span of its elements and
/// 0, or without zero points a 7th of its largest magnitude.
template <class S>
void scales_fit(std::string_view op, std::span<const float> x, std::size_t group, bool zeros) {
  constexpr bool kHalf = sizeof(S) == sizeof(f16);
  const float most = kHalf ? 65520.0f : 0x1.fffffep127f;
  for (std::size_t i = 0; i < x.size(); i += group) {
    float low = 0, high = 0;
    for (const float e : x.subspan(i, group)) {
      low = std::min(low, e);
      high = std::max(high, e);
    }
    const float scale = zeros ? (high - low) / 15 : std::max(high, -low) / 7;
    if (kHalf ? scale >= most : scale > most)
      refuse(op, "the scale of group " + std::to_string(i / group) + " overflows " +
                     (kHalf ? "f16" : "f32") + ": its elements lie from " + std::to_string(low) +
                     " to " + std::to_string(high));
  }
}

/// Whether the block's scales, f16 or a power of two (E8M0, of which 255 is NaN), are numbers.
template <class Block>
bool scale_is_finite(const Block& block) {
  const auto finite_half = [](f16 v) { return (unsigned(v) & 0x7c00u) != 0x7c00u; };
  if constexpr (requires { block.e; })
    return block.e != 255;
  else if constexpr (requires { block.dmin; })
    return finite_half(block.d) && finite_half(block.dmin);
  else if constexpr (requires { block.m; })
    return finite_half(block.d) && finite_half(block.m);
  else if constexpr (!requires { block.d; })
    return true;  // every byte of nvfp4 is a number
  else
    return finite_half(block.d);
}

/// Refuses a block whose f16 scale overflows. No format's scale is larger than the block's largest
/// magnitude, so only blocks beyond f16 are looked at: `kernel` encodes them here. From 1e12 on
/// every f16 scale overflows; the sums of a search may do so as well, and are not made.
template <class Block, class Kernel>
void block_scales_fit(std::string_view op, std::span<const float> x, Kernel* kernel) {
  constexpr float kMostHalf = 65504.0f;
  constexpr std::size_t kWeights = kWeightsOf<Block>;
  constexpr bool kHalfScale = requires(Block b) { b.d; };
  for (std::size_t j = 0; j < x.size(); ++j) {
    if (std::fabs(x[j]) <= kMostHalf) continue;
    const std::size_t i = j / kWeights;
    Block block;
    const bool surely = kHalfScale && std::fabs(x[j]) >= 1e12f;
    if (!surely) kernel(x.data() + i * kWeights, 1, &block);
    if (surely || !scale_is_finite(block))
      refuse(op, "the scale of block " + std::to_string(i) + " overflows f16: 'x'[" +
                     std::to_string(j) + "] is " + std::to_string(x[j]));
    j = (i + 1) * kWeights - 1;
  }
}

/// x[blocks * kWeightsOf<Block>] -> y[blocks], by `kernel`.
template <class Block, class Kernel>
void quantize_blocks(std::string_view op, std::span<const float> x, std::span<Block> y,
                     Kernel* kernel) {
  divides(op, "block", kWeightsOf<Block>, "x.size()", x.size());
  size_at_least(op, "y", y.size(), x.size() / kWeightsOf<Block>);
  disjoint(op, "x", std::as_bytes(x), "y", std::as_bytes(y));
  finite(op, "x", x);
  block_scales_fit<Block>(op, x, kernel);
}

/// x[blocks] -> y[blocks * kWeightsOf<Block>]; every scale is finite.
template <class Block>
void dequantize_blocks(std::string_view op, std::span<const Block> x, std::span<float> y) {
  size_at_least(op, "y", y.size(), product(op, "blocks", x.size(), "block", kWeightsOf<Block>));
  disjoint(op, "x", std::as_bytes(x), "y", std::as_bytes(y));
  for (std::size_t i = 0; i < x.size(); ++i)
    if (!scale_is_finite(x[i]))
      refuse(op, "the scale of block " + std::to_string(i) + " is not finite");
}

}  // namespace qb::check
