// SPDX-License-Identifier: Apache-2.0
// Geometry of the weight formats: how many bytes a row of weights takes, which scales belong to it,
// and which K and groups fit. All of it follows from formats.inc.
//
// Not for an instruction set's translation unit, which may not share inline functions with others
// (docs/decisions/0002-odr.md); formats.inc and blocks.h are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "quantbench/blocks.h"
#include "quantbench/types.h"

namespace qb {

enum class Format : std::uint8_t {
#define QB_FORMAT(name, codes, scales, weights, bytes) name,
#include "quantbench/formats.inc"
#undef QB_FORMAT
};

/// What a product sees of a weight, before its scale.
enum class CodeKind : std::uint8_t { f32, f16, int8, nibble, table };
/// Where the scales are.
enum class ScaleKind : std::uint8_t { none, output, group, zeros, block, block32, block16 };

/// One row of formats.inc.
struct FormatInfo {
  Format format;
  std::string_view name;
  CodeKind codes;
  ScaleKind scales;
  std::size_t weights;  ///< of the unit of storage
  std::size_t bytes;    ///< of the unit of storage

  /// Bytes of the codes (and of scales within blocks) of k weights of one output. Each output
  /// starts on a byte of its own.
  constexpr std::size_t row_bytes(std::size_t k) const {
    return (k + weights - 1) / weights * bytes;
  }
  /// What the values must be aligned to: their elements, or the f16 scales within their blocks.
  constexpr std::size_t alignment() const {
    return codes == CodeKind::f32 ? alignof(float) : bytes % 2 == 0 ? alignof(f16) : 1;
  }
  /// The length that shares a scale: `group` for the group formats, the block or 32 or 16 of it,
  /// or all of k. A block of 256 with one scale (tq2_0) counts as two groups of 128,
  /// the longest that products know.
  constexpr std::size_t group_of(std::size_t k, std::size_t group) const {
    return in_groups()                    ? group
           : scales == ScaleKind::block   ? (weights < 128 ? weights : 128)
           : scales == ScaleKind::block32 ? 32
           : scales == ScaleKind::block16 ? 16
                                          : k;
  }
  /// Bytes of one scale in an array of its own; 0 if there is none.
  constexpr std::size_t scale_bytes() const {
    return scales == ScaleKind::output ? sizeof(float) : in_groups() ? sizeof(f16) : 0;
  }
  /// Scales of one output in an array of their own.
  constexpr std::size_t scales_of_row(std::size_t k, std::size_t group) const {
    return scales == ScaleKind::output ? 1 : in_groups() ? k / group : 0;
  }
  /// Bytes of the zero points of one output; 0 if the format has none.
  constexpr std::size_t zeros_of_row(std::size_t k, std::size_t group) const {
    return scales == ScaleKind::zeros ? (k / group + 1) / 2 : 0;
  }
  /// Bytes of the scales of n outputs, and of their zero points behind them.
  constexpr std::size_t scales_bytes(std::size_t n, std::size_t k, std::size_t group) const {
    return n * (scales_of_row(k, group) * scale_bytes() + zeros_of_row(k, group));
  }
  /// What K must be a multiple of, for groups of `group` where the format has any.
  constexpr std::size_t k_step(std::size_t group) const {
    return in_groups() ? group : in_blocks() ? weights : 1;
  }
  /// Whether groups of 32, 64 or 128 have scales in an array of their own.
  constexpr bool in_groups() const {
    return scales == ScaleKind::group || scales == ScaleKind::zeros;
  }
  /// Whether scales stand within blocks, among the codes.
  constexpr bool in_blocks() const {
    return scales == ScaleKind::block || scales == ScaleKind::block32 ||
           scales == ScaleKind::block16;
  }
  /// Whether the weights are numbers as they are, without codes and scales.
  constexpr bool is_float() const { return codes == CodeKind::f32 || codes == CodeKind::f16; }
};

inline constexpr FormatInfo kFormats[] = {
#define QB_FORMAT(name, codes, scales, weights, bytes) \
  {Format::name, #name, CodeKind::codes, ScaleKind::scales, weights, bytes},
#include "quantbench/formats.inc"
#undef QB_FORMAT
};

constexpr const FormatInfo& info(Format format) { return kFormats[std::size_t(format)]; }

}  // namespace qb
