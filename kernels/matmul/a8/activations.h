// SPDX-License-Identifier: Apache-2.0
// Activations of the a8 products, quantized on the fly (contract, section 4): where their codes,
// scales and sums lie in the workspace of a variant that keeps a row's codes in order of K.
//
// In an anonymous namespace on purpose: see docs/decisions/0002-odr.md.
#pragma once

#include "quantbench/blocks.h"
#include "quantbench/types.h"

namespace qb::matmul {
namespace {

/// Blocks of 32 that cover k elements.
[[maybe_unused]] constexpr std::size_t blocks_of(std::size_t k) {
  return (k + kBlock - 1) / kBlock;
}

/// One row of quantized activations: codes, padded with zeros to whole blocks, then what belongs to
/// them. Either one scale and one sum for the row, or one of each per block (or for each `unit` of
/// a block, which then repeat its scale).
struct RowLayout {
  std::size_t scales;  ///< byte offset of the f32 scales
  std::size_t sums;    ///< byte offset of the int32 sums
  std::size_t stride;  ///< bytes from row to row, a multiple of 64
};

/// per_block: as q8_0, one scale per 32; otherwise one for the row.
[[maybe_unused]] constexpr RowLayout row_layout(std::size_t k, bool per_block,
                                                std::size_t code_bytes = 1,
                                                std::size_t unit = kBlock) {
  const std::size_t codes = blocks_of(k) * kBlock * code_bytes;
  const std::size_t scales = (per_block ? blocks_of(k) * (kBlock / unit) : 1) * sizeof(float);
  return {codes, codes + scales, (codes + 2 * scales + 63) / 64 * 64};
}

/// What a row is scaled by before it is rounded, and what its codes stand for.
struct Scaling {
  float inverse;
  float scale;
};

constexpr float kLargestFloat = 3.40282347e+38f;

/// Section 3's f32 arithmetic. A zero row, and one too small for a finite inverse, is all zeros.
[[maybe_unused]] inline Scaling row_scaling(float absmax) {
  if (absmax == 0.0f) return {0.0f, 0.0f};  // divides nothing by 0
  const float inverse = 127.0f / absmax;
  if (!(inverse <= kLargestFloat)) return {0.0f, 0.0f};
  return {inverse, absmax / 127.0f};
}

/// q8_0's arithmetic; the scale still has to be rounded to f16.
[[maybe_unused]] inline Scaling block_scaling(float absmax) {
  if (absmax == 0.0f) return {0.0f, 0.0f};
  const float scale = absmax / 127.0f;
  const float inverse = 1.0f / scale;
  if (!(inverse <= kLargestFloat)) return {0.0f, 0.0f};
  return {inverse, scale};
}

}  // namespace
}  // namespace qb::matmul
