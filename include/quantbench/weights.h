// SPDX-License-Identifier: Apache-2.0
// Weights as products take them. Included by every instruction set's translation unit, so nothing
// here may emit code (docs/decisions/0002-odr.md).
#pragma once

#include <cstddef>
#include <cstdint>

namespace qb::matmul {

/// Quantized (or plain) weights in their canonical layout, [N,K], one output's weights contiguous.
/// What `values` and `scales` point to depends on the format:
///   f32            const float[N,K],            scales unused
///   f16            const f16[N,K],              scales unused
///   s8             const int8[N,K],             const float[N]
///   s4             const uint8[N,(K+1)/2],      const float[N]
///   s8g            const int8[N,K],             const f16[N,K/group]
///   s4g            const uint8[N,K/2],          const f16[N,K/group]
///   u4h            const uint8[N,K/2],          const f16[N,K/scale_group]
///   blocks of 32   const BlockQ8_0[N,K/32] and so on (blocks.h), scales unused
///   blocks of 256  const BlockQ4_K[N,K/256], BlockIq4Xs[N,K/256] and so on, scales unused
///   blocks of 64   const BlockNvfp4[N,K/64], scales unused
struct Weights {
  const void* values;
  const void* scales;
  std::size_t n;      ///< outputs
  std::size_t k;      ///< inputs; a multiple of group, and of a block for the block formats
  std::size_t group;  ///< 32, 64 or 128 for s8g and s4g; 32 for u4h, whatever its groups, and for
                      ///< the block formats, except 16 for q6_K and nvfp4, and 128 for tq2_0;
                      ///< k for all others
  /// u4h: a row's zero points, of 4 bits, are (K/scale_group+1)/2 bytes, the even group in the low
  /// nibble; null if there are none, and all are 8.
  const std::uint8_t* zeros = nullptr;
  std::size_t scale_group = 0;  ///< u4h: the length that shares a scale, 32, 64 or 128
};

}  // namespace qb::matmul
