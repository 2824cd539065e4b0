// SPDX-License-Identifier: Apache-2.0
// The formats whose weights are a scale times an integer, the code's own or a table's, and perhaps
// less a minimum, for each group of a block, for any instruction set (lanes.h). A format is a class
// SuperFormat<Block> (super_format.h); a file of this room brings the vectors and instantiates the
// kernels (QB_SUPER_KERNELS).
//
//   encode   A group a lane: transpose; search the scale of each group (superblocks_search.h);
//            round the scales of a block together (pack_scales); codes from the rounded scales;
//            pack_codes.
//   decode   Where V looks codes up, a table of the group's products is read by codes as stored.
//            Otherwise nibbles are read as they are, other codes unpacked to a byte each, in
//            order; then scale * code + offset.
//
// In an anonymous namespace on purpose (docs/decisions/0002-odr.md).
#pragma once

#include "quantize/super_formats_direct.h"
#include "quantize/super_formats_e2m1.h"
#include "quantize/super_formats_iq4.h"
#include "quantize/super_formats_k.h"

namespace qb::quantize {
namespace {

// ---- encoding

/// Four codes a word, the first in the lowest byte.
template <class V>
inline __attribute__((always_inline)) typename V::I word_of(typename V::I a, typename V::I b,
                                                            typename V::I c, typename V::I d) {
  return V::any_of(V::any_of(a, V::template shift_left<8>(b)),
                   V::any_of(V::template shift_left<16>(c), V::template shift_left<24>(d)));
}

/// Codes of V::lanes() groups from the scales as they are found, not as they are stored.
template <class V, class Format>
inline void encode_directly(const float* columns, const float* inverse, const float* least,
                            std::uint32_t* words, std::size_t stride) {
  using F = typename V::F;
  using I = typename V::I;
  const std::size_t lanes = V::lanes();
  const F factor = V::load(inverse), from = V::load(least);
  const I zero = V::words(kIntegerBits + std::uint32_t(Format::kLowest));
  for (std::size_t j = 0; j < Format::kGroup; j += 4, columns += 4 * lanes, words += stride) {
    const F a = Format::template code<V>(V::load(columns), factor, from);
    const F b = Format::template code<V>(V::load(columns + lanes), factor, from);
    const F c = Format::template code<V>(V::load(columns + 2 * lanes), factor, from);
    const F d = Format::template code<V>(V::load(columns + 3 * lanes), factor, from);
    V::store(words, word_of<V>(V::minus(V::bits(a), zero), V::minus(V::bits(b), zero),
                               V::minus(V::bits(c), zero), V::minus(V::bits(d), zero)));
  }
}

/// Code of a quotient: clamp(rne(v)) - kLowest.
template <class V, class Format>
inline __attribute__((always_inline)) typename V::I code_of(typename V::F v) {
  return V::minus(V::bits(clamped<V>(v, Format::kLowest, Format::kHighest)),
                  V::words(kIntegerBits + std::uint32_t(Format::kLowest)));
}
/// A word of the codes of four columns: clamp(rne((x - offset) / scale)) - kLowest.
template <class V, class Format>
inline __attribute__((always_inline)) typename V::I divided_codes(const float* x,
                                                                  typename V::F scale,
                                                                  typename V::F offset) {
  const auto code = [&](std::size_t i) {
    const typename V::F v = V::subtract(V::load(x + i * V::lanes()), offset);
    return code_of<V, Format>(V::divide(v, scale));
  };
  return word_of<V>(code(0), code(1), code(2), code(3));
}
/// The same by the scale's inverse, without a division where that can make no difference. Below 64
/// a product differs from the quotient by at most 2^-17 (2^-18 by the inverse, 2^-19 by each
/// rounding): both are rounded to the same integer, unless the product is that near to the middle
/// between two. What is larger is clamped either way.
template <class V, class Format>
inline __attribute__((always_inline)) typename V::I multiplied_codes(const float* x,
                                                                     typename V::F scale,
                                                                     typename V::F offset,
                                                                     typename V::F inverse) {
  using F = typename V::F;
  const auto product = [&](std::size_t i) {
    return V::multiply(V::subtract(V::load(x + i * V::lanes()), offset), inverse);
  };
  const auto distance_to_integer = [](F v) {
    const F integers = V::set(kIntegers);
    return V::absolute(V::subtract(v, V::subtract(V::add(v, integers), integers)));
  };
  const F a = product(0), b = product(1), c = product(2), d = product(3);
  const F largest_distance = V::larger(V::larger(distance_to_integer(a), distance_to_integer(b)),
                                       V::larger(distance_to_integer(c), distance_to_integer(d)));
  if (V::any(V::less(V::set(0.5f - 0x1p-16f), largest_distance))) [[unlikely]]
    return divided_codes<V, Format>(x, scale, offset);
  return word_of<V>(code_of<V, Format>(a), code_of<V, Format>(b), code_of<V, Format>(c),
                    code_of<V, Format>(d));
}
/// The same, but clamp(rne((x - least) * inverse)) - kLowest where `zero`.
template <class V, class Format>
inline __attribute__((always_inline)) typename V::I stored_code(
    const float* at, typename V::F scale, typename V::F offset, typename V::M zero,
    typename V::F inverse, typename V::F least) {
  using F = typename V::F;
  const F x = V::load(at);
  const F v =
      clamped<V>(V::divide(V::subtract(x, offset), scale), Format::kLowest, Format::kHighest);
  const F won =
      clamped<V>(V::multiply(inverse, V::subtract(x, least)), Format::kLowest, Format::kHighest);
  return V::minus(V::bits(V::select(zero, won, v)),
                  V::words(kIntegerBits + std::uint32_t(Format::kLowest)));
}

/// Codes of V::lanes() groups from the scales as they are stored, as words of four.
template <class V, class Format>
inline void encode_codes(const float* columns, const float* scale, const float* offset,
                         const float* inverse, const float* least, std::uint32_t* words,
                         std::size_t stride) {
  using F = typename V::F;
  const std::size_t lanes = V::lanes();
  const F stored = V::load(scale), from = V::load(offset);
  const typename V::M zero = V::less_equal(V::absolute(stored), V::set(0));
  // So that nothing is divided by 0. A sum: clang would divide first and select among quotients.
  const F by = V::add(stored, V::select(zero, V::set(1), V::set(0)));
  if (!V::any(zero)) {
    const F inverse_of_stored = V::divide(V::set(1), by);
    for (std::size_t j = 0; j < Format::kGroup; j += 4, columns += 4 * lanes, words += stride)
      V::store(words, multiplied_codes<V, Format>(columns, by, from, inverse_of_stored));
    return;
  }
  const F factor = V::load(inverse), low = V::load(least);
  for (std::size_t j = 0; j < Format::kGroup; j += 4, columns += 4 * lanes, words += stride)
    V::store(words,
             word_of<V>(stored_code<V, Format>(columns, by, from, zero, factor, low),
                        stored_code<V, Format>(columns + lanes, by, from, zero, factor, low),
                        stored_code<V, Format>(columns + 2 * lanes, by, from, zero, factor, low),
                        stored_code<V, Format>(columns + 3 * lanes, by, from, zero, factor, low)));
}

/// How many groups a step encodes: whole vectors and whole blocks.
template <class V, class Format>
inline std::size_t groups_of_step() {
  return V::lanes() > Format::kGroups ? V::lanes() : Format::kGroups;
}

template <class V, class Block>
inline void encode_step(const float* x, Block* y) {
  using Format = SuperFormat<Block>;
  constexpr std::size_t kGroup = Format::kGroup;
  constexpr std::size_t kMostGroups =
      V::kMostLanes > Format::kGroups ? V::kMostLanes : Format::kGroups;
  alignas(64) float columns[kMostGroups * kGroup], scale[kMostGroups], offset[kMostGroups];
  alignas(64) std::uint32_t words[kMostGroups * kGroup / 4];
  Found<kMostGroups> found;
  const std::size_t lanes = V::lanes(), groups = groups_of_step<V, Format>();
  for (std::size_t g = 0; g < groups; g += lanes) {
    V::transpose(x + g * kGroup, kGroup, columns + g * kGroup, lanes);
    Format::template search<V>(columns + g * kGroup, found.scale + g, found.minimum + g,
                               found.inverse + g, found.least + g);
  }
  for (std::size_t g = 0; g < groups; g += Format::kGroups)
    Format::template pack_scales<V>(found, g, y[g / Format::kGroups], scale + g, offset + g);
  for (std::size_t g = 0; g < groups; g += lanes)
    if constexpr (Format::kDirect)
      encode_directly<V, Format>(columns + g * kGroup, found.inverse + g, found.least + g,
                                 words + g, groups);
    else
      encode_codes<V, Format>(columns + g * kGroup, scale + g, offset + g, found.inverse + g,
                              found.least + g, words + g, groups);
  for (std::size_t g = 0; g < groups; g += Format::kGroups)
    Format::pack_codes(words + g, groups, y[g / Format::kGroups]);
}

/// Steps while they are whole; returns how many blocks they took.
template <class V, class Block>
inline std::size_t encode_steps(const float* x, std::size_t blocks, Block* y) {
  const std::size_t step = groups_of_step<V, SuperFormat<Block>>() / SuperFormat<Block>::kGroups;
  const std::size_t whole = blocks - blocks % step;
  for (std::size_t i = 0; i < whole; i += step) encode_step<V>(x + i * kWeightsOf<Block>, y + i);
  return whole;
}

/// `Wide`: V, or two of it.
template <class V, class Wide, class Block>
inline void encode_superblocks(const float* x, std::size_t blocks, Block* y) {
  std::size_t done = encode_steps<Wide>(x, blocks, y);
  if constexpr (Wide::kMostLanes != V::kMostLanes)
    done += encode_steps<V>(x + done * kWeightsOf<Block>, blocks - done, y + done);
  if (done == blocks) return;
  // Fewer blocks than a vector takes: zeros in place of the others.
  using Format = SuperFormat<Block>;
  constexpr std::size_t kMostBlocks =
      V::kMostLanes > Format::kGroups ? V::kMostLanes / Format::kGroups : 1;
  float rest[kMostBlocks * kWeightsOf<Block>] = {};
  Block encoded[kMostBlocks];
  __builtin_memcpy(rest, x + done * kWeightsOf<Block>,
                   (blocks - done) * kWeightsOf<Block> * sizeof *x);
  encode_step<V>(rest, encoded);
  __builtin_memcpy(y + done, encoded, (blocks - done) * sizeof *y);
}

// ---- decoding

/// scale * code + offset of a group's codes.
template <class V, bool kStream, class Format>
inline void decode_groups(const std::int8_t* codes, const float* scale, const float* offset,
                          float* y) {
  for (std::size_t g = 0; g < Format::kGroups; ++g)
    for (std::size_t j = 0; j < Format::kGroup; j += V::lanes()) {
      const std::size_t at = g * Format::kGroup + j, left = Format::kGroup - j;
      const typename V::F code = V::from_bytes(codes + at, left), factor = V::set(scale[g]);
      if constexpr (Format::kMinimum)
        V::template put<kStream>(y + at, V::multiply_add(factor, code, V::set(offset[g])), left);
      else
        V::template put<kStream>(y + at, V::multiply(factor, code), left);
    }
}

/// Codes that are the low and the high nibbles of `len` bytes, to low[len] and high[len]; scale and
/// offset of either.
template <class V, bool kStream>
inline void decode_nibbles(const std::uint8_t* qs, std::size_t len, const float (&scale)[2],
                           const float (&offset)[2], float* low, float* high) {
  using F = typename V::F;
  using I = typename V::I;
  const F low_scale = V::set(scale[0]), low_offset = V::set(offset[0]);
  const F high_scale = V::set(scale[1]), high_offset = V::set(offset[1]);
  if constexpr (requires { V::of_nibbles(low_scale, low_offset); }) {
    decode_by_tables<V, kStream>(qs, len, V::of_nibbles(low_scale, low_offset),
                                 V::of_nibbles(high_scale, high_offset), low, high);
  } else {
    for (std::size_t j = 0; j < len; j += V::lanes()) {
      const I bytes = V::byte_words(qs + j, len - j);
      const F first = V::to_floats(V::low_nibbles(bytes));
      const F second = V::to_floats(V::template shift_right<4>(bytes));
      V::template put<kStream>(low + j, V::multiply_add(low_scale, first, low_offset), len - j);
      V::template put<kStream>(high + j, V::multiply_add(high_scale, second, high_offset), len - j);
    }
  }
}

/// Whether V looks up the format's codes of 2 or 4 bits as they lie in memory.
template <class V, class Block>
concept LooksUp = requires(const Block& x, const float* scale, float* y) {
  SuperFormat<Block>::template decode<V, true>(x, scale, y);
};

template <class V, bool kStream, class Block>
inline void decode_superblock(const Block& x, const float* scale, const float* offset, float* y) {
  using Format = SuperFormat<Block>;
  if constexpr (LooksUp<V, Block>) {
    Format::template decode<V, kStream>(x, scale, y);
  } else if constexpr (Format::kNibbles && Format::kGroups == 1) {
    decode_nibbles<V, kStream>(x.qs, 16, {*scale, *scale}, {*offset, *offset}, y, y + 16);
  } else if constexpr (Format::kNibbles) {
    for (std::size_t g = 0; g < Format::kGroups; g += 2)
      decode_nibbles<V, kStream>(x.qs + 16 * g, 32, {scale[g], scale[g + 1]},
                                 {offset[g], offset[g + 1]}, y + 32 * g, y + 32 * g + 32);
  } else {
    alignas(64) std::int8_t codes[kWeightsOf<Block>];
    Format::template unpack<V>(x, codes);
    decode_groups<V, kStream, Format>(codes, scale, offset, y);
  }
}

/// Blocks of 32 weights: the scales of many of them are converted by vectors first.
template <class V, bool kStream, class Block>
inline void decode_small_blocks(const Block* x, std::size_t blocks, float* y) {
  constexpr std::size_t kTogether = 64, kWeights = kWeightsOf<Block>;
  alignas(64) float scale[kTogether], offset[kTogether];
  alignas(64) f16 halves[kTogether] = {};
  for (; blocks > 0; x += kTogether, y += kTogether * kWeights) {
    const std::size_t some = blocks < kTogether ? blocks : kTogether;
    for (std::size_t i = 0; i < some; ++i) halves[i] = x[i].d;
    V::widen(halves, kTogether, scale);
    if constexpr (requires { x->m; }) {
      for (std::size_t i = 0; i < some; ++i) halves[i] = x[i].m;
      V::widen(halves, kTogether, offset);
    }
    for (std::size_t i = 0; i < some; ++i)
      decode_superblock<V, kStream>(x[i], scale + i, offset + i, y + i * kWeights);
    blocks -= some;
  }
}

template <class V, bool kStream, class Block>
inline void decode_all(const Block* x, std::size_t blocks, float* y) {
  using Format = SuperFormat<Block>;
  if constexpr (kWeightsOf<Block> == kBlock && requires(float* to) { V::widen(&x->d, 64, to); }) {
    decode_small_blocks<V, kStream>(x, blocks, y);
  } else {
    for (std::size_t i = 0; i < blocks; ++i) {
      alignas(64) float scale[Format::kGroups], offset[Format::kGroups];
      Format::template unpack_scales<V>(x[i], scale, offset);
      decode_superblock<V, kStream>(x[i], scale, offset, y + i * kWeightsOf<Block>);
    }
  }
}

template <class V, class Block>
inline void decode_superblocks(const Block* x, std::size_t blocks, float* y) {
  if (V::streams(y, blocks * sizeof *x, blocks * kWeightsOf<Block> * sizeof *y)) {
    decode_all<V, true>(x, blocks, y);
    V::fence();
  } else {
    decode_all<V, false>(x, blocks, y);
  }
}

}  // namespace
}  // namespace qb::quantize

/// The kernels of one format of QB_SUPER_FORMATS over `Lanes`, searched with `Searching`.
#define QB_SUPER_KERNELS(format, Block, ...)                                                \
  void QB_SYMBOL(quantize_f32_##format)(const float* x, std::size_t blocks, Block* y) {     \
    encode_superblocks<Lanes, Searching>(x, blocks, y);                                     \
  }                                                                                         \
  void QB_SYMBOL(dequantize_##format##_f32)(const Block* x, std::size_t blocks, float* y) { \
    decode_superblocks<Lanes>(x, blocks, y);                                                \
  }
