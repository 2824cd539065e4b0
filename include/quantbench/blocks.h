// SPDX-License-Identifier: Apache-2.0
// The storage of the block formats: a struct per format, as its bytes lie in a file or a tensor.
// Included by every instruction set's translation unit, so nothing here may emit code
// (docs/decisions/0002-odr.md).
#pragma once

#include <cstddef>
#include <cstdint>

#include "quantbench/types.h"

namespace qb {

/// Weights of a block of 32 (ggml's QK8_0, QK4_0, QK4_NL, QK_MXFP4).
inline constexpr std::size_t kBlock = 32;

/// GGUF `q8_0`: w[j] = f32(d) * qs[j].
struct BlockQ8_0 {
  f16 d;
  std::int8_t qs[kBlock];
};
static_assert(sizeof(BlockQ8_0) == 34 && alignof(BlockQ8_0) == 2);

/// GGUF `q4_0`. Byte j holds element j in the low nibble and element j+16 in the high one, each
/// stored +8: w[j] = f32(d) * (nibble - 8).
struct BlockQ4_0 {
  f16 d;
  std::uint8_t qs[kBlock / 2];
};
static_assert(sizeof(BlockQ4_0) == 18 && alignof(BlockQ4_0) == 2);

/// GGUF `iq4_nl`. Nibbles lie as in q4_0 and index a table of 16 int8 values:
/// w[j] = f32(d) * kIq4Values[nibble].
struct BlockIq4Nl {
  f16 d;
  std::uint8_t qs[kBlock / 2];
};
static_assert(sizeof(BlockIq4Nl) == 18 && alignof(BlockIq4Nl) == 2);

/// OCP `mxfp4`, as GGUF stores it. Nibbles lie as in q4_0 and are E2M1 numbers; e is a power of two
/// (E8M0): w[j] = 2^(e-128) * kE2m1Doubled[nibble], the table's values being doubled to be
/// integers.
struct BlockMxfp4 {
  std::uint8_t e;
  std::uint8_t qs[kBlock / 2];
};
static_assert(sizeof(BlockMxfp4) == 17 && alignof(BlockMxfp4) == 1);

/// GGUF `q4_1`. Nibbles lie as in q4_0: w[j] = f32(d)*nibble + f32(m).
struct BlockQ4_1 {
  f16 d, m;
  std::uint8_t qs[kBlock / 2];
};
static_assert(sizeof(BlockQ4_1) == 20 && alignof(BlockQ4_1) == 2);

/// GGUF `q5_0`. The low four bits lie as in q4_0; bit j of qh, whose first byte is the lowest, is
/// the fifth bit of element j: w[j] = f32(d) * (code - 16).
struct BlockQ5_0 {
  f16 d;
  std::uint8_t qh[kBlock / 8];
  std::uint8_t qs[kBlock / 2];
};
static_assert(sizeof(BlockQ5_0) == 22 && alignof(BlockQ5_0) == 2);

/// Weights of a block of 256 (ggml's QK_K).
inline constexpr std::size_t kSuperBlock = 256;

/// GGUF `q4_K`: eight groups of 32, group g with a scale s and a minimum m of 6 bits each
/// (packed_scales): w = (f32(d)*s)*nibble - f32(dmin)*m. Byte l of the 32 bytes from 32*c holds
/// element l of group 2c in the low nibble and element l of group 2c+1 in the high one.
///
/// Of packed_scales p, s and m of group g:
///   g < 4   s = p[g] & 63, m = p[g+4] & 63
///   else    s = (p[g+4] & 15) | (p[g-4] >> 6) << 4, m = (p[g+4] >> 4) | (p[g] >> 6) << 4
struct BlockQ4_K {
  f16 d, dmin;
  std::uint8_t packed_scales[12];
  std::uint8_t qs[kSuperBlock / 2];
};
static_assert(sizeof(BlockQ4_K) == 144 && alignof(BlockQ4_K) == 2);

/// GGUF `q5_K`: as q4_K; bit g of qh[l] is the fifth bit of element l of group g.
struct BlockQ5_K {
  f16 d, dmin;
  std::uint8_t packed_scales[12];
  std::uint8_t qh[kSuperBlock / 8];
  std::uint8_t qs[kSuperBlock / 2];
};
static_assert(sizeof(BlockQ5_K) == 176 && alignof(BlockQ5_K) == 2);

/// GGUF `q6_K`: sixteen groups of 16, each with a scale: w = (f32(d)*scales[g]) * (code - 32). Of
/// each half of 128 elements (64 bytes of ql, 32 of qh), elements l and l+32 have the low nibbles
/// of bytes l and l+32 of ql, elements l+64 and l+96 their high nibbles; bits 2i and 2i+1 of byte l
/// of qh are the upper two of element l+32i.
struct BlockQ6_K {
  std::uint8_t ql[kSuperBlock / 2];
  std::uint8_t qh[kSuperBlock / 4];
  std::int8_t scales[kSuperBlock / 16];
  f16 d;
};
static_assert(sizeof(BlockQ6_K) == 210 && alignof(BlockQ6_K) == 2);

/// GGUF `iq4_xs`: eight groups of 32, each stored as the nibbles of iq4_nl, with a scale s of 6
/// bits: bits 4(g%2) to 4(g%2)+3 of scales_l[g/2], above them bits 2g and 2g+1 of scales_h, whose
/// first byte is the lower one. w = (f32(d)*(s-32)) * kIq4Values[nibble].
struct BlockIq4Xs {
  f16 d;
  std::uint8_t scales_h[2];
  std::uint8_t scales_l[kSuperBlock / 64];
  std::uint8_t qs[kSuperBlock / 2];
};
static_assert(sizeof(BlockIq4Xs) == 136 && alignof(BlockIq4Xs) == 2);

/// NVIDIA's `nvfp4`, as GGUF stores it: four groups of 16, each with a scale in E4M3 whose sign
/// does not count (0, 0x80 and 0x7f are zero, 0xff is 480), and eight bytes of E2M1 numbers, byte j
/// holding element j in the low nibble and element j+8 in the high one:
/// w = (e4m3(scales[g])/2) * kE2m1Doubled[nibble].
struct BlockNvfp4 {
  std::uint8_t scales[4];
  std::uint8_t qs[32];
};
static_assert(sizeof(BlockNvfp4) == 36 && alignof(BlockNvfp4) == 1);

/// GGUF `tq2_0`, ternary: of each half of 128 elements, bits 2i and 2i+1 of byte m of its 32 bytes
/// are the code of element 32i+m: w = f32(d) * (code - 1).
struct BlockTq2_0 {
  std::uint8_t qs[kSuperBlock / 4];
  f16 d;
};
static_assert(sizeof(BlockTq2_0) == 66 && alignof(BlockTq2_0) == 2);

/// Weights of a block.
template <class Block>
inline constexpr std::size_t kWeightsOf = kBlock;
template <>
inline constexpr std::size_t kWeightsOf<BlockQ4_K> = kSuperBlock;
template <>
inline constexpr std::size_t kWeightsOf<BlockQ5_K> = kSuperBlock;
template <>
inline constexpr std::size_t kWeightsOf<BlockQ6_K> = kSuperBlock;
template <>
inline constexpr std::size_t kWeightsOf<BlockIq4Xs> = kSuperBlock;
template <>
inline constexpr std::size_t kWeightsOf<BlockNvfp4> = 64;
template <>
inline constexpr std::size_t kWeightsOf<BlockTq2_0> = kSuperBlock;

/// The values of iq4_nl's (and iq4_xs') indices.
inline constexpr std::int8_t kIq4Values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                               1,    13,   25,  38,  53,  69,  89,  113};
/// The values of E2M1 numbers, times two.
inline constexpr std::int8_t kE2m1Doubled[16] = {0, 1,  2,  3,  4,  6,  8,  12,
                                                 0, -1, -2, -3, -4, -6, -8, -12};

}  // namespace qb
