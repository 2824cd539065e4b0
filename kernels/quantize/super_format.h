// SPDX-License-Identifier: Apache-2.0
// What a format of integer codes in groups brings to the loops of superblocks.h.
//
// In an anonymous namespace on purpose (docs/decisions/0002-odr.md).
#pragma once

#include "quantbench/blocks.h"
#include "quantbench/types.h"
#include "quantize/lanes.h"
#include "quantize/superblocks_search.h"

namespace qb::quantize {
namespace {

/// What the search finds of each of `kMostGroups` groups. A code is clamp(rne((x - least) *
/// inverse)) in the trial that won; it counts where the stored scale is 0.
template <std::size_t kMostGroups>
struct Found {
  alignas(64) float scale[kMostGroups];
  alignas(64) float minimum[kMostGroups];  ///< not negative: what is subtracted
  alignas(64) float inverse[kMostGroups];
  alignas(64) float least[kMostGroups];
};

/// Of a format: kGroup, the length of its groups; kLowest and kHighest, its codes;
/// kNibbles, whether decode_nibbles reads them; kDirect, whether codes follow from the scale before
/// it is rounded; kMinimum, whether there is an offset; and
///
///   search<V>(columns, scale, minimum, inverse, least)     of V::lanes() groups
///   pack_scales<V>(Found, first group, Block&, scale, offset)
///                       into the block; what decoding makes of them: w = scale*code + offset
///   pack_codes(words, stride, Block&)   codes - kLowest, in words of four codes: word k of group g
///                                       is words[k * stride + g]
///   code<V>(x, inverse, least)          kIntegers + code, by what search left (only kDirect)
///   unpack<V>(Block, int8_t* codes)     of all weights, in order (unless kNibbles)
///   decode<V, kStream>(Block, scale, y) instead of unpack, where V looks codes up (optional)
///   unpack_scales<V>(Block, scale, offset)     kGroups each, at a vector
template <class Block>
struct SuperFormat;

/// factor times each of kCount codes, to memory at a vector.
template <class V, std::size_t kCount>
inline void scaled_codes(const std::int8_t* codes, float factor, float* to) {
  constexpr std::size_t kPadded = V::kMostLanes > kCount ? V::kMostLanes : kCount;
  alignas(64) float products[kPadded];
  float* const into = kPadded == kCount ? to : products;
  for (std::size_t g = 0; g < kCount; g += V::lanes())
    V::store(into + g, V::multiply(V::set(factor), V::from_bytes(codes + g, kCount - g)));
  if (into != to) __builtin_memcpy(to, products, kCount * sizeof *to);
  if constexpr (requires { V::stays_in_memory(to); })
    for (std::size_t g = 0; g < kCount; g += 8) V::stays_in_memory(to + g);
}

/// The same of the eight bytes of a word.
template <class V>
inline void scaled_word(std::uint64_t codes, float factor, float* to) {
  if constexpr (requires { V::scaled8(codes, factor, to); }) {
    V::scaled8(codes, factor, to);
  } else {
    std::int8_t bytes[sizeof codes];
    __builtin_memcpy(bytes, &codes, sizeof codes);
    scaled_codes<V, sizeof codes>(bytes, factor, to);
  }
}

/// Codes that are the low and the high nibbles of `len` bytes, to low[len] and high[len], by what
/// each code stands for (V::look_up).
template <class V, bool kStream>
inline void decode_by_tables(const std::uint8_t* qs, std::size_t len, typename V::F low_table,
                             typename V::F high_table, float* low, float* high) {
  for (std::size_t j = 0; j < len; j += V::lanes()) {
    const typename V::I bytes = V::byte_words(qs + j, len - j);
    V::template put<kStream>(low + j, V::look_up(low_table, bytes), len - j);
    V::template put<kStream>(high + j, V::look_up(high_table, V::template shift_right<4>(bytes)),
                             len - j);
  }
}

}  // namespace
}  // namespace qb::quantize
