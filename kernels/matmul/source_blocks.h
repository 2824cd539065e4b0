// SPDX-License-Identifier: Apache-2.0
// The formats that keep scales within blocks, as products read them: source.h says what each class
// has to tell.
//
// In an anonymous namespace on purpose: see docs/decisions/0002-odr.md.
#pragma once

#include <cstddef>

#include "core/scalar_half.h"
#include "matmul/kernels.h"
#include "matmul/kinds.h"
#include "quantbench/blocks.h"

namespace qb::matmul {
namespace {

/// The scale of a block.
template <class Block>
inline qb::f16 scale_of(const Block& block) {
  return block.d;
}
/// 2^(e-128). As bf16 it is exact: 2^-127 and 2^-128 are subnormal numbers of it.
inline qb::bf16 scale_of(const BlockMxfp4& block) {
  const int e = block.e;
  return qb::bf16(static_cast<std::uint16_t>(e < 2 ? 0x20 << e : (e - 1) << 7));
}

/// The block that weight k of output n is in.
template <class Block>
inline const Block& block_at(const Weights& w, std::size_t n, std::size_t k) {
  constexpr std::size_t each = kWeightsOf<Block>;
  return static_cast<const Block*>(w.values)[n * (w.k / each) + k / each];
}

/// Blocks of 32 codes and their scale.
template <class Codes_, class Block>
struct Blocks {
  using Codes = Codes_;
  using Scale = decltype(scale_of(*static_cast<const Block*>(nullptr)));
  static constexpr bool per_group = true;
  static constexpr std::size_t group(const Weights&) { return kBlock; }
  static constexpr bool neighbours = false;
  static constexpr int flip = 0;
  static constexpr std::size_t block = sizeof(Block), codes = offsetof(Block, qs);
  static std::size_t row(std::size_t k) { return k / kBlock * block; }
  static Scale scale(const Weights& w, std::size_t n, std::size_t g) {
    return scale_of(block_at<Block>(w, n, g * kBlock));
  }
};

/// Blocks of 32 nibbles with a minimum, stored with its sign turned.
struct BlocksQ4_1 : Blocks<UnsignedNibbles, BlockQ4_1> {
  using Scale = ScaleAndMinimum;
  static HalfScaleAndMinimum halves(const Weights& w, std::size_t n, std::size_t g) {
    const BlockQ4_1& block = block_at<BlockQ4_1>(w, n, g * kBlock);
    return {block.d,
            qb::f16(static_cast<std::uint16_t>(static_cast<std::uint16_t>(block.m) ^ 0x8000))};
  }
  static Scale scale(const Weights& w, std::size_t n, std::size_t g) {
    const HalfScaleAndMinimum both = halves(w, n, g);
    return {f16_to_f32(both.scale), f16_to_f32(both.minimum)};
  }
};

/// Eight codes of five bits less 16, as bytes: low nibbles, and the fifth bits as those of a byte.
inline std::uint64_t less_16(std::uint64_t nibbles, std::uint8_t fifth_bits) {
  // Byte i of `clear` is not 0 if bit i is 0, then 16 if it is; the sign is 15 times that.
  const auto bits = static_cast<std::uint8_t>(~fifth_bits);
  std::uint64_t clear = std::uint64_t{bits} * 0x0101010101010101 & 0x8040201008040201;
  clear = (clear + 0x7f7f7f7f7f7f7f7f) >> 3 & 0x1010101010101010;
  return nibbles | clear * 15;
}

/// Blocks of 32 codes of five bits, which products take as bytes.
struct BlocksQ5_0 : Blocks<Bytes, BlockQ5_0> {
  static constexpr int kBits = 5;
  static void gather(const Weights& w, std::size_t n, std::size_t b, std::uint8_t (&to)[kBlock]) {
    const BlockQ5_0& block = block_at<BlockQ5_0>(w, n, b * kBlock);
    constexpr std::uint64_t nibbles = 0x0f0f0f0f0f0f0f0f;
    std::uint64_t pairs[2], codes[4];
    __builtin_memcpy(pairs, block.qs, sizeof pairs);
    for (std::size_t i = 0; i < 4; ++i)
      codes[i] = less_16(pairs[i % 2] >> i / 2 * 4 & nibbles, block.qh[i]);
    __builtin_memcpy(to, codes, sizeof to);
  }
};

struct SixBits {
  int scale, minimum;
};
/// Of group g, as q4_K and q5_K pack them (quantbench/blocks.h).
inline SixBits scale_and_minimum(const std::uint8_t (&p)[12], std::size_t g) {
  if (g < 4) return {p[g] & 63, p[g + 4] & 63};
  return {(p[g + 4] & 15) | (p[g - 4] >> 6) << 4, (p[g + 4] >> 4) | (p[g] >> 6) << 4};
}

/// Blocks whose codes are gathered 32 at a time, in groups of kUnitOf<Scale> with a scale each.
template <class Codes_, class Scale_, class Block>
struct GatheredBlocks {
  using Codes = Codes_;
  using Scale = Scale_;
  static constexpr bool per_group = true;
  static constexpr std::size_t group(const Weights&) { return kUnitOf<Scale>; }
  static constexpr bool neighbours = false;
  static constexpr int flip = 0;
};

/// The scale that d and one group's integer make.
inline float product(ScaleOf256 both) { return f16_to_f32(both.d) * float(both.scale); }

/// Blocks of 256 codes in groups of 32 that have a scale and a minimum.
template <class Codes, class Block>
struct SuperBlocks32 : GatheredBlocks<Codes, ScaleAndMinimum, Block> {
  static ScaleAndMinimumOf256 levels(const Weights& w, std::size_t n, std::size_t g) {
    const Block& block = block_at<Block>(w, n, g * kBlock);
    const SixBits bits = scale_and_minimum(block.packed_scales, g % (kSuperBlock / kBlock));
    return {block.d, block.dmin, static_cast<std::uint8_t>(bits.scale),
            static_cast<std::uint8_t>(bits.minimum)};
  }
  static ScaleAndMinimum scale(const Weights& w, std::size_t n, std::size_t g) {
    const ScaleAndMinimumOf256 both = levels(w, n, g);
    return {f16_to_f32(both.d) * float(both.scale), f16_to_f32(both.dmin) * float(both.minimum)};
  }
};

struct SuperBlocksQ4_K : SuperBlocks32<UnsignedNibbles, BlockQ4_K> {
  static void gather(const Weights& w, std::size_t n, std::size_t b,
                     std::uint8_t (&to)[kBlock / 2]) {
    const std::size_t g = b % (kSuperBlock / kBlock);
    constexpr std::uint64_t nibbles = 0x0f0f0f0f0f0f0f0f;
    std::uint64_t pairs[4];  // of this group and of the one it shares bytes with
    __builtin_memcpy(pairs, block_at<BlockQ4_K>(w, n, b * kBlock).qs + g / 2 * kBlock,
                     sizeof pairs);
    for (std::uint64_t& word : pairs) word = word >> g % 2 * 4 & nibbles;
    for (std::size_t i = 0; i < 2; ++i) pairs[i] |= pairs[i + 2] << 4;
    __builtin_memcpy(to, pairs, sizeof to);
  }
};

/// Codes of five bits, which products take as bytes.
struct SuperBlocksQ5_K : SuperBlocks32<Bytes, BlockQ5_K> {
  static constexpr int kBits = 5;
  static void gather(const Weights& w, std::size_t n, std::size_t b, std::uint8_t (&to)[kBlock]) {
    const BlockQ5_K& block = block_at<BlockQ5_K>(w, n, b * kBlock);
    const std::size_t g = b % (kSuperBlock / kBlock);
    constexpr std::uint64_t ones = 0x0101010101010101;
    std::uint64_t pairs[4], fifth[4];
    __builtin_memcpy(pairs, block.qs + g / 2 * kBlock, sizeof pairs);
    __builtin_memcpy(fifth, block.qh, sizeof fifth);
    for (std::size_t i = 0; i < 4; ++i)
      pairs[i] = (pairs[i] >> g % 2 * 4 & ones * 15) | (fifth[i] >> g & ones) << 4;
    __builtin_memcpy(to, pairs, sizeof to);
  }
};

/// Blocks of 256 codes of six bits in groups of 16, which products take as bytes.
struct SuperBlocksQ6_K : GatheredBlocks<Bytes, ScaleOf16, BlockQ6_K> {
  static constexpr int kBits = 6;
  static ScaleOf256 levels(const Weights& w, std::size_t n, std::size_t g) {
    const BlockQ6_K& block = block_at<BlockQ6_K>(w, n, g * kUnitOf<Scale>);
    return {block.d, block.scales[g % (kSuperBlock / kUnitOf<Scale>)]};
  }
  static Scale scale(const Weights& w, std::size_t n, std::size_t g) {
    return {product(levels(w, n, g))};
  }
  static void gather(const Weights& w, std::size_t n, std::size_t b, std::uint8_t (&to)[kBlock]) {
    const BlockQ6_K& block = block_at<BlockQ6_K>(w, n, b * kBlock);
    // Of a half of 128: two blocks of nibbles, four of pairs.
    const std::size_t half = b / 4 % 2, i = b % 4;
    constexpr std::uint64_t ones = 0x0101010101010101;
    std::uint64_t low[4], high[4];
    __builtin_memcpy(low, block.ql + half * 64 + i % 2 * kBlock, sizeof low);
    __builtin_memcpy(high, block.qh + half * kBlock, sizeof high);
    for (std::size_t j = 0; j < 4; ++j) {
      const std::uint64_t upper = (high[j] >> 2 * i & ones * 3) << 4;
      const std::uint64_t code = (low[j] >> i / 2 * 4 & ones * 15) | upper;
      // Less 32: above five bits stands the sign, where the sixth is clear.
      low[j] = (code & ones * 31) | (~code & ones * 32) * 7;
    }
    __builtin_memcpy(to, low, sizeof low);
  }
};

/// Blocks of 256 indices of a table in groups of 32, each with the nibbles of a block of 32.
struct SuperBlocksIq4Xs : GatheredBlocks<Table<kIq4Values>, ScaleOf32, BlockIq4Xs> {
  static constexpr std::size_t kGroups = kSuperBlock / kBlock;
  static ScaleOf256 levels(const Weights& w, std::size_t n, std::size_t g) {
    const BlockIq4Xs& block = block_at<BlockIq4Xs>(w, n, g * kBlock);
    const std::size_t i = g % kGroups;
    const int low = block.scales_l[i / 2] >> i % 2 * 4 & 15;
    const int high = block.scales_h[i / 4] >> i % 4 * 2 & 3;
    return {block.d, static_cast<std::int8_t>((high << 4 | low) - 32)};
  }
  static Scale scale(const Weights& w, std::size_t n, std::size_t g) {
    return {product(levels(w, n, g))};
  }
  static void gather(const Weights& w, std::size_t n, std::size_t b,
                     std::uint8_t (&to)[kBlock / 2]) {
    __builtin_memcpy(to, block_at<BlockIq4Xs>(w, n, b * kBlock).qs + b % kGroups * sizeof to,
                     sizeof to);
  }
};

/// Blocks of 256 codes of two bits less 1 and their scale. Products take nibbles, and groups of
/// 128: both halves of a block have the same scale.
struct SuperBlocksTq2_0 : GatheredBlocks<Nibbles, qb::f16, BlockTq2_0> {
  static constexpr std::size_t kHalf = kSuperBlock / 2;
  static constexpr std::size_t group(const Weights&) { return kHalf; }
  static Scale scale(const Weights& w, std::size_t n, std::size_t g) {
    return block_at<BlockTq2_0>(w, n, g * kHalf).d;
  }
  static void two_bits(const Weights& w, std::size_t n, std::size_t b,
                       std::uint8_t (&to)[kSuperBlock / 4]) {
    __builtin_memcpy(to, block_at<BlockTq2_0>(w, n, b * kSuperBlock).qs, sizeof to);
  }
  static void gather(const Weights& w, std::size_t n, std::size_t b,
                     std::uint8_t (&to)[kBlock / 2]) {
    // Of a half: four blocks, each two bits of every byte.
    const std::size_t half = b / 4 % 2, i = b % 4;
    constexpr std::uint64_t ones = 0x0101010101010101;
    std::uint64_t codes[4];
    __builtin_memcpy(codes, block_at<BlockTq2_0>(w, n, b * kBlock).qs + half * kBlock,
                     sizeof codes);
    for (std::uint64_t& eight : codes) eight = (eight >> 2 * i & ones * 3) + ones * 7;
    for (std::size_t j = 0; j < 2; ++j) codes[j] |= codes[j + 2] << 4;
    __builtin_memcpy(to, codes, sizeof to);
  }
};

/// Blocks of 64 E2M1 numbers in groups of 16, each with a scale in E4M3.
struct BlocksNvfp4 : GatheredBlocks<Table<kE2m1Doubled>, HalfOf16, BlockNvfp4> {
  /// The five bits of f16's exponent and the first three of its mantissa, of half the E4M3 number:
  /// an exponent that is 7 larger, and of numbers that are subnormal there a table.
  static std::uint8_t narrow(const Weights& w, std::size_t n, std::size_t g) {
    constexpr std::size_t unit = kUnitOf<Scale>, groups = kWeightsOf<BlockNvfp4> / unit;
    constexpr std::uint8_t subnormal[8] = {0, 40, 48, 52, 56, 58, 60, 62};
    const std::uint8_t stored = block_at<BlockNvfp4>(w, n, g * unit).scales[g % groups];
    const int e4m3 = stored == 0x7f ? 0 : stored & 0x7f;
    return static_cast<std::uint8_t>(e4m3 < 8 ? subnormal[e4m3] : e4m3 + (7 << 3));
  }
  static Scale scale(const Weights& w, std::size_t n, std::size_t g) {
    return {qb::f16(static_cast<std::uint16_t>(narrow(w, n, g) << 7))};
  }
  static void gather(const Weights& w, std::size_t n, std::size_t b,
                     std::uint8_t (&to)[kBlock / 2]) {
    // Of two groups: a byte has codes j and j+8 of one of them, and is to have j of either.
    constexpr std::uint64_t low = 0x0f0f0f0f0f0f0f0f;
    std::uint64_t groups[2];
    __builtin_memcpy(groups, block_at<BlockNvfp4>(w, n, b * kBlock).qs + b % 2 * sizeof groups,
                     sizeof groups);
    const std::uint64_t pairs[2] = {(groups[0] & low) | (groups[1] & low) << 4,
                                    (groups[0] >> 4 & low) | (groups[1] & ~low)};
    __builtin_memcpy(to, pairs, sizeof to);
  }
};

}  // namespace
}  // namespace qb::matmul
