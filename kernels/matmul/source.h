// SPDX-License-Identifier: Apache-2.0
// Canonical weights as kernels read them, for the files of every instruction set in this room.
//
// A product knows kinds only (kinds.h): of codes (Float32 to Table) and of scales (the type of one,
// and whether an output has one or each group). With scale s and minimum m (of formats that have
// one) a weight is s*code - m. A class in namespace `source` says for one format which kinds it has
// and where codes and scales lie, in blocks of 32 weights:
//
//   Codes                 the kind of codes
//   Scale                 the type of a scale; None; ScaleAndMinimum; ScaleOf16, ScaleOf32 or
//                         HalfOf16
//   per_group, group(w)   whether each group along K has a scale, or else each output; its length
//   neighbours            4 bits: whether a byte holds weights k and k+1, or else k and k+16 of a
//                         block; the earlier one in the low nibble
//   flip                  4 bits: what a stored nibble is xor'ed with to become Codes' 0 to 15
//   block, codes          bytes of 32 weights, and of them what lies before the codes
//   row(k)                bytes of an output
//   scale(w, n, g)        of group g of output n; g is 0 where an output has one scale
//   kBits                 of a code of 8 bits, if fewer tell it
//   levels, halves,       as scale, where panels can keep less: the two factors of a product; scale
//   narrow                and minimum as f16; the byte of a HalfOf16 that is not 0
//   zeros                 as scale, where the minimum is the scale times a zero point: these two
//   two_bits(w, n, b, to) where codes have two bits: the 64 bytes of block b of 256, as stored
//   gather(w, n, b, to)   instead of block, codes and row, where the codes of 32 weights don't lie
//                         together: those of block b of output n, as q4_0's nibbles or as bytes
//
// Vector loads of every instruction set are derived from these; what is below them reads one code,
// or 32, in plain C++. No other file of this room knows a format.
//
// In an anonymous namespace on purpose: see docs/decisions/0002-odr.md.
#pragma once

#include <cstddef>

#include "core/scalar_half.h"
#include "matmul/kernels.h"
#include "matmul/kinds.h"
#include "matmul/source_blocks.h"

namespace qb::matmul {
namespace {

// --- Formats -----------------------------------------------------------------------------------

/// Scales in an array of their own.
struct NoScales {
  using Scale = None;
  static constexpr bool per_group = false;
};
struct OutputScales {
  using Scale = float;
  static constexpr bool per_group = false;
  static Scale scale(const Weights& w, std::size_t n, std::size_t) {
    return static_cast<const Scale*>(w.scales)[n];
  }
};
struct GroupScales {
  using Scale = qb::f16;
  static constexpr bool per_group = true;
  static std::size_t group(const Weights& w) { return w.group; }
  static Scale scale(const Weights& w, std::size_t n, std::size_t g) {
    return static_cast<const Scale*>(w.scales)[n * (w.k / w.group) + g];
  }
};

/// Codes alone, one behind the other.
template <class Codes_, class Scales>
struct Array : Scales {
  using Codes = Codes_;
  static constexpr bool neighbours = true;
  static constexpr int flip = 8;  ///< nibbles are two's complement
  static constexpr std::size_t block = kBlock * Codes::bits / 8, codes = 0;
  static std::size_t row(std::size_t k) { return (k * Codes::bits + 7) / 8; }
};

/// The scale of a group, and what its codes have for 0.
struct ScaleAndZero {
  qb::f16 scale;
  std::uint8_t zero;
};

/// Codes alone, one behind the other, in groups with zero points. Products take groups of 32: those
/// of a longer one have the same scale. A scale of 11 bits times a zero point is exact in f32.
struct ZeroPoints {
  using Codes = UnsignedNibbles;
  using Scale = ScaleAndMinimum;
  static constexpr bool per_group = true;
  static constexpr std::size_t group(const Weights&) { return kBlock; }
  static constexpr bool neighbours = true;
  static constexpr int flip = 0;
  static constexpr std::size_t block = kBlock / 2, codes = 0;
  static std::size_t row(std::size_t k) { return k / 2; }
  static ScaleAndZero zeros(const Weights& w, std::size_t n, std::size_t g) {
    const std::size_t groups = w.k / w.scale_group, at = g * kBlock / w.scale_group;
    const qb::f16 scale = static_cast<const qb::f16*>(w.scales)[n * groups + at];
    if (!w.zeros) return {scale, 8};
    const int pair = w.zeros[n * ((groups + 1) / 2) + at / 2];
    return {scale, static_cast<std::uint8_t>(at % 2 ? pair >> 4 : pair & 15)};
  }
  static Scale scale(const Weights& w, std::size_t n, std::size_t g) {
    const ScaleAndZero both = zeros(w, n, g);
    const float scale = f16_to_f32(both.scale);
    return {scale, scale * float(both.zero)};
  }
};

/// By the names that the formats have in formats.inc.
namespace source {
using f32 = Array<Float32, NoScales>;
using f16 = Array<Float16, NoScales>;
using s8 = Array<Bytes, OutputScales>;
using s4 = Array<Nibbles, OutputScales>;
using s8g = Array<Bytes, GroupScales>;
using s4g = Array<Nibbles, GroupScales>;
using u4h = ZeroPoints;
using q8_0 = Blocks<Bytes, BlockQ8_0>;
using q4_0 = Blocks<Nibbles, BlockQ4_0>;
using mxfp4 = Blocks<Table<kE2m1Doubled>, BlockMxfp4>;
using iq4_nl = Blocks<Table<kIq4Values>, BlockIq4Nl>;
using q4_1 = BlocksQ4_1;
using q5_0 = BlocksQ5_0;
using q4_K = SuperBlocksQ4_K;
using q5_K = SuperBlocksQ5_K;
using q6_K = SuperBlocksQ6_K;
using iq4_xs = SuperBlocksIq4Xs;
using nvfp4 = BlocksNvfp4;
using tq2_0 = SuperBlocksTq2_0;
}  // namespace source

/// Whether groups have zero points, whose products with the scales are the minima.
template <class F>
constexpr bool kZeroPoints = requires {
  F::zeros;
};
template <class F>
constexpr bool kGathered = requires {
  F::gather;
};
/// Whether scales are products of two.
template <class F>
constexpr bool kLevels = requires {
  F::levels;
};

template <class F>
constexpr bool kTwoBits = requires {
  F::two_bits;
};
/// Whether scales are an f16's upper bits.
template <class F>
constexpr bool kNarrow = requires {
  F::narrow;
};

/// What loops know of a format that they need nothing else of: all formats of both kinds share
/// them.
template <class Codes_, class Scale_>
struct Kinds {
  using Codes = Codes_;
  using Scale = Scale_;
  static constexpr bool per_group = kOfGroups<Scale>;
};
template <class F>
using KindsOf = Kinds<typename F::Codes, typename F::Scale>;

/// product(source) of every format.
template <class Product>
constexpr Kernels every_format(Product product) {
  return {
#define QB_FORMAT(name, ...) product(source::name{}),
#include "quantbench/formats.inc"
#undef QB_FORMAT
  };
}
/// The same of those whose codes are scaled; no kernels of the others.
template <class Product>
constexpr Kernels every_quantized_format(Product product) {
  return every_format([product](auto format) {
    if constexpr (decltype(format)::Codes::bits < 16)
      return product(format);
    else
      return Kernel{};
  });
}

// --- Reading -----------------------------------------------------------------------------------

/// The codes of block b of output n, as bytes; not of a format whose codes are gathered.
template <class F>
inline const std::uint8_t* codes_at(const Weights& w, std::size_t n, std::size_t b) {
  return static_cast<const std::uint8_t*>(w.values) + n * F::row(w.k) + b * F::block + F::codes;
}

/// Room for the codes of a block of 32, if they must be gathered.
template <class F>
using BlockCodes = std::uint8_t[kBlock * F::Codes::bits / 8];
/// The codes of block b of output n: where they are, or gathered in `room`.
template <class F>
inline const std::uint8_t* block_codes(const Weights& w, std::size_t n, std::size_t b,
                                       [[maybe_unused]] BlockCodes<F>& room) {
  if constexpr (kGathered<F>) {
    F::gather(w, n, b, room);
    return room;
  } else {
    return codes_at<F>(w, n, b);
  }
}

/// Scale g (and minima behind the scales) of `panel` outputs from n on, those not there 0.
template <class F>
inline void put_scales(const Weights& w, std::size_t n, std::size_t g, std::size_t panel,
                       std::uint8_t* to) {
  for (std::size_t c = 0; c < panel; ++c) {
    const auto scale = n + c < w.n ? F::scale(w, n + c, g) : typename F::Scale{};
    if constexpr (kHasMinimum<typename F::Scale>) {
      __builtin_memcpy(to + c * sizeof(float), &scale.scale, sizeof(float));
      __builtin_memcpy(to + (panel + c) * sizeof(float), &scale.minimum, sizeof(float));
    } else {
      __builtin_memcpy(to + c * sizeof scale, &scale, sizeof scale);
    }
  }
}

/// Codes [k, k+count) of output n, of 8 bits or more; in the block formats of one block.
template <class F, class Code>
inline void copy_codes(const Weights& w, std::size_t n, std::size_t k, std::size_t count,
                       Code* to) {
  static_assert(sizeof(Code) * 8 == F::Codes::bits);
  [[maybe_unused]] BlockCodes<F> room;
  const std::uint8_t* const from = block_codes<F>(w, n, k / kBlock, room);
  __builtin_memcpy(to, from + k % kBlock * sizeof(Code), count * sizeof(Code));
}

/// The low nibbles of eight bytes, pushed together.
inline std::uint32_t low_nibbles(std::uint64_t x) {
  x &= 0x0f0f0f0f0f0f0f0f;
  x = (x | x >> 4) & 0x00ff00ff00ff00ff;
  x = (x | x >> 8) & 0x0000ffff0000ffff;
  return static_cast<std::uint32_t>(x | x >> 16);
}

/// 32 codes of 4 bits from k, a multiple of 32, as 0 to 15, eight to a word, lowest k in the lowest
/// bits. `count` are there; behind them stands what is stored as 0.
template <class F>
inline void copy_nibbles(const Weights& w, std::size_t n, std::size_t k, std::size_t count,
                         std::uint32_t (&to)[4]) {
  [[maybe_unused]] BlockCodes<F> room;
  const std::uint8_t* const from = block_codes<F>(w, n, k / kBlock, room);
  if constexpr (!F::neighbours) {
    std::uint64_t bytes[2];
    __builtin_memcpy(bytes, from, sizeof bytes);
    to[0] = low_nibbles(bytes[0]);
    to[1] = low_nibbles(bytes[1]);
    to[2] = low_nibbles(bytes[0] >> 4);
    to[3] = low_nibbles(bytes[1] >> 4);
  } else if (count >= 32) {
    __builtin_memcpy(to, from, sizeof to);
  } else {
    std::uint8_t bytes[16] = {};
    for (std::size_t i = 0; i < (count + 1) / 2; ++i) bytes[i] = from[i];
    if (count % 2) bytes[count / 2] &= 15;
    __builtin_memcpy(to, bytes, sizeof to);
  }
  for (std::uint32_t& word : to) word ^= 0x11111111u * F::flip;
}

/// What codes [k, k+count) of output n, of 4 bits and in one block, stand for.
template <class F>
inline void copy_values(const Weights& w, std::size_t n, std::size_t k, std::size_t count,
                        std::int8_t* to) {
  std::uint32_t words[4];
  copy_nibbles<F>(w, n, k / kBlock * kBlock, kBlock, words);
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t at = k % kBlock + i;
    to[i] = static_cast<std::int8_t>(F::Codes::value(words[at / 8] >> (at % 8 * 4) & 15));
  }
}

}  // namespace
}  // namespace qb::matmul
