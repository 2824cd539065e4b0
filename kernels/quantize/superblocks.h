// SPDX-License-Identifier: Apache-2.0
// The formats whose codes are integers, with a scale and perhaps a minimum for each group of a
// block, for any instruction set (lanes.h). A format is a class SuperFormat<Block>; a file of this
// room brings the vectors and instantiates the kernels (QB_SUPER_KERNELS).
//
//   encode   A group a lane: transpose; search the scale of each group (superblocks_search.h);
//            round the scales of a block together (pack_scales); codes from the rounded scales;
//            pack_codes.
//   decode   Codes that are nibbles are read as they are; others are unpacked to a byte a
//            code, in order (plain loops, which compilers vectorise); then scale * code + offset.
//
// In an anonymous namespace on purpose (docs/decisions/0002-odr.md).
#pragma once

#include "core/types.h"
#include "formats/blocks.h"
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
/// kNibbles, whether decode_nibbles reads them; and
///
///   search<V>(columns, scale, minimum, inverse, least)     of V::lanes() groups
///   pack_scales<V>(Found, first group, Block&, scale, offset)
///                       into the block; what decoding makes of them: w = scale*code + offset
///   pack_codes(words, stride, Block&)   codes - kLowest, in words of four codes: word k of group g
///                                       is words[k * stride + g]
///   unpack(Block, int8_t* codes)        of all weights, in order (unless kNibbles)
///   unpack_scales<V>(Block, scale, offset)
template <class Block>
struct SuperFormat;

/// Scales and minima of 6 bits (formats/blocks.h).
inline void pack_6_bits(const std::uint8_t (&s)[8], const std::uint8_t (&m)[8], std::uint8_t* p) {
  for (int g = 0; g < 4; ++g) {
    p[g] = std::uint8_t(s[g] | s[g + 4] >> 4 << 6);
    p[g + 4] = std::uint8_t(m[g] | m[g + 4] >> 4 << 6);
    p[g + 8] = std::uint8_t((s[g + 4] & 15) | (m[g + 4] & 15) << 4);
  }
}
/// The same back: byte g of each result is group g's.
inline void unpack_6_bits(const std::uint8_t* p, std::uint64_t& s, std::uint64_t& m) {
  std::uint32_t low, middle, high;
  __builtin_memcpy(&low, p, 4);
  __builtin_memcpy(&middle, p + 4, 4);
  __builtin_memcpy(&high, p + 8, 4);
  const std::uint32_t s_high = (high & 0x0f0f0f0fu) | (low >> 2 & 0x30303030u);
  const std::uint32_t m_high = (high >> 4 & 0x0f0f0f0fu) | (middle >> 2 & 0x30303030u);
  s = (low & 0x3f3f3f3fu) | std::uint64_t{s_high} << 32;
  m = (middle & 0x3f3f3f3fu) | std::uint64_t{m_high} << 32;
}

/// q4_K and q5_K: codes from 0 to kHighest, a scale and a minimum a group.
template <class Block, int kHighestCode>
struct WithMinimum {
  static constexpr std::size_t kGroup = 32, kGroups = kSuperBlock / kGroup;
  static constexpr int kLowest = 0, kHighest = kHighestCode;

  template <class V, std::size_t kMostGroups>
  static void pack_scales(Found<kMostGroups>& found, std::size_t first, Block& y, float* scale,
                          float* offset) {
    float most_scale = 0, most_minimum = 0;
    for (std::size_t g = first; g < first + kGroups; ++g) {
      most_scale = found.scale[g] > most_scale ? found.scale[g] : most_scale;
      most_minimum = found.minimum[g] > most_minimum ? found.minimum[g] : most_minimum;
    }
    const float scale_inverse = inverse_or_zero(most_scale);
    const float minimum_inverse = inverse_or_zero(most_minimum);
    std::uint8_t s[kGroups], m[kGroups];
    for (std::size_t g = 0; g < kGroups; ++g) {
      s[g] = six_bits(scale_inverse * found.scale[first + g]);
      m[g] = six_bits(minimum_inverse * found.minimum[first + g]);
    }
    y.d = V::narrowed(quotient(most_scale, 63));
    y.dmin = V::narrowed(quotient(most_minimum, 63));
    pack_6_bits(s, m, y.packed_scales);
    unpack_scales<V>(y, scale, offset);
  }

  template <class V>
  static void unpack_scales(const Block& x, float* scale, float* offset) {
    const float d = V::widened(x.d), minus = -V::widened(x.dmin);
    std::uint64_t scales, minima;
    unpack_6_bits(x.packed_scales, scales, minima);
    std::uint8_t s[kGroups], m[kGroups];
    __builtin_memcpy(s, &scales, sizeof s);
    __builtin_memcpy(m, &minima, sizeof m);
    for (std::size_t g = 0; g < kGroups; ++g) {
      scale[g] = d * float(s[g]);
      offset[g] = minus * float(m[g]);
    }
  }

 private:
  /// Apart, since clang would make a vector of two quotients, and of 0/0 in the lanes to spare.
  [[gnu::noinline]] static float quotient(float a, float b) { return a / b; }
  static float inverse_or_zero(float most) { return most > 0 ? quotient(63, most) : 0.0f; }
  /// At most 63; a negative scale, of a group that rounding made up, wraps to 63 as ggml's does.
  static std::uint8_t six_bits(float v) {
    const std::uint8_t wrapped = std::uint8_t(nearest_integer(v));
    return wrapped < 63 ? wrapped : std::uint8_t(63);
  }
};

template <>
struct SuperFormat<BlockQ4_K> : WithMinimum<BlockQ4_K, 15> {
  static constexpr bool kNibbles = true, kDirect = false;

  /// The first trial has 15 - 1 steps between the extremes, the last 15 + 1.
  template <class V>
  static void search(const float* columns, float* scale, float* minimum, float* inverse,
                     float* least) {
    search_scale_and_minimum<V, 15>(columns, -1.0f, 20, scale, minimum, inverse, least);
  }

  static void pack_codes(const std::uint32_t* words, std::size_t stride, BlockQ4_K& y) {
    for (std::size_t k = 0; k < kGroup / 4; ++k)
      for (std::size_t c = 0; c < kGroups / 2; ++c) {
        const std::uint32_t* const pair = words + k * stride + 2 * c;
        const std::uint32_t both = pair[0] | pair[1] << 4;
        __builtin_memcpy(y.qs + 32 * c + 4 * k, &both, sizeof both);
      }
  }
};

template <>
struct SuperFormat<BlockQ5_K> : WithMinimum<BlockQ5_K, 31> {
  static constexpr bool kNibbles = false, kDirect = false;

  template <class V>
  static void search(const float* columns, float* scale, float* minimum, float* inverse,
                     float* least) {
    search_scale_and_minimum<V, 31>(columns, -0.5f, 15, scale, minimum, inverse, least);
  }

  static void pack_codes(const std::uint32_t* words, std::size_t stride, BlockQ5_K& y) {
    for (std::size_t k = 0; k < kGroup / 4; ++k) {
      const std::uint32_t* const groups = words + k * stride;
      std::uint32_t fifth = 0;
      for (std::size_t g = 0; g < kGroups; ++g) fifth |= (groups[g] >> 4 & 0x01010101u) << g;
      __builtin_memcpy(y.qh + 4 * k, &fifth, sizeof fifth);
      for (std::size_t c = 0; c < kGroups / 2; ++c) {
        const std::uint32_t low = groups[2 * c] & 0x0f0f0f0fu,
                            high = groups[2 * c + 1] & 0x0f0f0f0fu;
        const std::uint32_t both = low | high << 4;
        __builtin_memcpy(y.qs + 32 * c + 4 * k, &both, sizeof both);
      }
    }
  }

  static void unpack(const BlockQ5_K& x, std::int8_t* codes) {
    for (std::size_t c = 0; c < kGroups / 2; ++c)
      for (std::size_t l = 0; l < kGroup; ++l) {
        const unsigned byte = x.qs[32 * c + l], fifth = unsigned(x.qh[l]) >> 2 * c;
        codes[64 * c + l] = std::int8_t((byte & 15) | (fifth & 1) << 4);
        codes[64 * c + 32 + l] = std::int8_t(byte >> 4 | (fifth >> 1 & 1) << 4);
      }
  }
};

/// Codes from -32 to 31, a scale a group of 16, no minimum.
template <>
struct SuperFormat<BlockQ6_K> {
  static constexpr std::size_t kGroup = 16, kGroups = kSuperBlock / kGroup;
  static constexpr int kLowest = -32, kHighest = 31;
  static constexpr bool kNibbles = false, kDirect = false;

  template <class V>
  static void search(const float* columns, float* scale, float*, float* inverse, float* least) {
    search_signed_scale<V>(columns, scale, inverse, least);
  }

  template <class V, std::size_t kMostGroups>
  static void pack_scales(Found<kMostGroups>& found, std::size_t first, BlockQ6_K& y, float* scale,
                          float* offset) {
    float most = 0, extreme = 0;
    for (std::size_t g = first; g < first + kGroups; ++g) {
      const float v = found.scale[g], magnitude = __builtin_fabsf(v);
      extreme = magnitude > most ? v : extreme;
      most = magnitude > most ? magnitude : most;
    }
    const bool dead = most < 1e-15f;  // all bytes 0
    const float inverse = -128.0f / (extreme + (dead ? 1.0f : 0.0f));
    y.d = V::narrowed(dead ? 0.0f : 1.0f / inverse);
    for (std::size_t g = 0; g < kGroups; ++g) {
      const int s = nearest_integer(inverse * found.scale[first + g]);
      y.scales[g] = std::int8_t(dead ? 0 : s < 127 ? s : 127);
      if (dead) put_lowest_code(found.inverse[first + g], found.least[first + g]);
    }
    unpack_scales<V>(y, scale, offset);
  }

  /// words: 0 to 63. Of element l + 32*i of half h, i is half the group's number within h.
  static void pack_codes(const std::uint32_t* words, std::size_t stride, BlockQ6_K& y) {
    for (std::size_t k = 0; k < kGroup / 4; ++k)
      for (std::size_t h = 0; h < 2; ++h)
        for (std::size_t r = 0; r < 2; ++r) {
          const std::uint32_t* const groups = words + k * stride + 8 * h + r;
          const std::size_t at = 16 * r + 4 * k;
          std::uint32_t upper = 0;
          for (std::size_t i = 0; i < 4; ++i) upper |= (groups[2 * i] >> 4 & 0x03030303u) << 2 * i;
          __builtin_memcpy(y.qh + 32 * h + at, &upper, sizeof upper);
          for (std::size_t i = 0; i < 2; ++i) {
            const std::uint32_t low = groups[2 * i] & 0x0f0f0f0fu;
            const std::uint32_t high = groups[2 * i + 4] & 0x0f0f0f0fu;
            const std::uint32_t both = low | high << 4;
            __builtin_memcpy(y.ql + 64 * h + 32 * i + at, &both, sizeof both);
          }
        }
  }

  static void unpack(const BlockQ6_K& x, std::int8_t* codes) {
    for (std::size_t h = 0; h < 2; ++h) {
      const std::uint8_t *const low = x.ql + 64 * h, *const upper = x.qh + 32 * h;
      std::int8_t* const to = codes + 128 * h;
      for (std::size_t l = 0; l < 32; ++l) {
        const unsigned first = low[l], second = low[l + 32], two = upper[l];
        to[l] = std::int8_t(int((first & 15) | (two & 3) << 4) - 32);
        to[l + 32] = std::int8_t(int((second & 15) | (two >> 2 & 3) << 4) - 32);
        to[l + 64] = std::int8_t(int(first >> 4 | (two >> 4 & 3) << 4) - 32);
        to[l + 96] = std::int8_t(int(second >> 4 | two >> 6 << 4) - 32);
      }
    }
  }

  template <class V>
  static void unpack_scales(const BlockQ6_K& x, float* scale, float* offset) {
    const float d = V::widened(x.d);
    for (std::size_t g = 0; g < kGroups; ++g) {
      scale[g] = d * float(x.scales[g]);
      offset[g] = -0.0f;  // the one number that changes no other by addition
    }
  }
};

// ---- codes from the scale as it is found

/// `kDirect` formats: search leaves `inverse` and `least` for code<V>(x, inverse, least), which
/// gives kIntegers + code.

/// kIntegers + trunc(v), which is not negative, at most kHighest.
template <class V>
inline typename V::F truncated(typename V::F v, float highest) {
  using F = typename V::F;
  const F integers = V::set(kIntegers), sum = V::add(v, integers);
  const F above = V::select(V::less(v, V::subtract(sum, integers)), V::set(1), V::set(0));
  return V::smaller(V::subtract(sum, above), V::set(kIntegers + highest));
}

/// 1/d, or 0 where that is no number.
template <class V>
inline typename V::F finite_inverse(typename V::F d) {
  using F = typename V::F;
  const F zero = V::set(0), one = V::set(1);
  // A sum, so that nothing is divided by 0.
  const F divisor = V::add(d, V::select(V::less_equal(V::absolute(d), zero), one, zero));
  const F inverse = V::divide(one, divisor);
  const F finite =
      V::select(V::less_equal(V::absolute(inverse), V::set(0x1.fffffep127f)), inverse, zero);
  return V::select(V::less_equal(V::absolute(d), zero), zero, finite);
}

/// d = (largest - smallest)/15, code trunc((x - smallest)/d + 1/2); d and smallest stored.
template <>
struct SuperFormat<BlockQ4_1> {
  static constexpr std::size_t kGroup = kBlock, kGroups = 1;
  static constexpr int kLowest = 0, kHighest = 15;
  static constexpr bool kNibbles = true, kDirect = true;

  template <class V>
  static void search(const float* columns, float* scale, float*, float* inverse, float* least) {
    using F = typename V::F;
    F low = V::load(columns), high = low;
    for (std::size_t j = 1; j < kGroup; ++j) {
      const F x = V::load(columns + j * V::lanes());
      // The first of equals: zeros have two signs.
      low = V::select(V::less(x, low), x, low);
      high = V::select(V::less(high, x), x, high);
    }
    const F d = V::divide(V::subtract(high, low), V::set(15));
    V::store(scale, d);
    V::store(inverse, finite_inverse<V>(d));
    V::store(least, low);
  }
  template <class V>
  static __attribute__((always_inline)) typename V::F code(typename V::F x, typename V::F inverse,
                                                           typename V::F least) {
    const auto v = V::multiply(V::subtract(x, least), inverse);
    return truncated<V>(V::add(v, V::set(0.5f)), kHighest);
  }

  template <class V, std::size_t kMostGroups>
  static void pack_scales(Found<kMostGroups>& found, std::size_t first, BlockQ4_1& y, float*,
                          float*) {
    y.d = V::narrowed(found.scale[first]);
    y.m = V::narrowed(found.least[first]);
  }
  static void pack_codes(const std::uint32_t* words, std::size_t stride, BlockQ4_1& y) {
    for (std::size_t k = 0; k < 4; ++k) {
      const std::uint32_t both = words[k * stride] | words[(k + 4) * stride] << 4;
      __builtin_memcpy(y.qs + 4 * k, &both, sizeof both);
    }
  }
  template <class V>
  static void unpack_scales(const BlockQ4_1& x, float* scale, float* offset) {
    *scale = V::widened(x.d);
    *offset = V::widened(x.m);
  }
};

/// d = m/-16 with m the signed value of largest magnitude, the first on a tie; code
/// trunc(x/d + 16.5).
template <>
struct SuperFormat<BlockQ5_0> {
  static constexpr std::size_t kGroup = kBlock, kGroups = 1;
  static constexpr int kLowest = 0, kHighest = 31;
  static constexpr bool kNibbles = false, kDirect = true;

  template <class V>
  static void search(const float* columns, float* scale, float*, float* inverse, float* least) {
    using F = typename V::F;
    F most = V::set(0), extreme = V::set(0);
    for (std::size_t j = 0; j < kGroup; ++j) {
      const F x = V::load(columns + j * V::lanes()), magnitude = V::absolute(x);
      const typename V::M larger = V::less(most, magnitude);
      most = V::select(larger, magnitude, most);
      extreme = V::select(larger, x, extreme);
    }
    const F d = V::divide(extreme, V::set(-16));
    V::store(scale, d);
    V::store(inverse, finite_inverse<V>(d));
    V::store(least, V::set(0));
  }
  template <class V>
  static __attribute__((always_inline)) typename V::F code(typename V::F x, typename V::F inverse,
                                                           typename V::F) {
    return truncated<V>(V::add(V::multiply(x, inverse), V::set(16.5f)), kHighest);
  }

  template <class V, std::size_t kMostGroups>
  static void pack_scales(Found<kMostGroups>& found, std::size_t first, BlockQ5_0& y, float*,
                          float*) {
    y.d = V::narrowed(found.scale[first]);
  }
  static void pack_codes(const std::uint32_t* words, std::size_t stride, BlockQ5_0& y) {
    std::uint32_t fifth = 0;
    for (std::size_t k = 0; k < 8; ++k)  // the product gathers the lowest bits of four bytes
      fifth |= ((words[k * stride] >> 4 & 0x01010101u) * 0x10204080u >> 28) << 4 * k;
    __builtin_memcpy(y.qh, &fifth, sizeof fifth);
    for (std::size_t k = 0; k < 4; ++k) {
      const std::uint32_t low = words[k * stride] & 0x0f0f0f0fu;
      const std::uint32_t high = words[(k + 4) * stride] & 0x0f0f0f0fu;
      const std::uint32_t both = low | high << 4;
      __builtin_memcpy(y.qs + 4 * k, &both, sizeof both);
    }
  }
  static void unpack(const BlockQ5_0& x, std::int8_t* codes) {
    std::uint32_t fifth;
    __builtin_memcpy(&fifth, x.qh, sizeof fifth);
    for (unsigned j = 0; j < 16; ++j) {
      codes[j] = std::int8_t(int((x.qs[j] & 15u) | (fifth >> j & 1) << 4) - 16);
      codes[j + 16] = std::int8_t(int(x.qs[j] >> 4 | (fifth >> (j + 16) & 1) << 4) - 16);
    }
  }
  template <class V>
  static void unpack_scales(const BlockQ5_0& x, float* scale, float* offset) {
    *scale = V::widened(x.d);
    *offset = -0.0f;
  }
};

/// Ternary: d = absmax, code round(x/d) + 1, half away from zero.
template <>
struct SuperFormat<BlockTq2_0> {
  static constexpr std::size_t kGroup = kSuperBlock, kGroups = 1;
  static constexpr int kLowest = 0, kHighest = 2;
  static constexpr bool kNibbles = false, kDirect = true;

  template <class V>
  static void search(const float* columns, float* scale, float*, float* inverse, float* least) {
    using F = typename V::F;
    F most = V::set(0);
    for (std::size_t j = 0; j < kGroup; ++j)
      most = V::larger(V::absolute(V::load(columns + j * V::lanes())), most);
    V::store(scale, most);
    V::store(inverse, finite_inverse<V>(most));
    V::store(least, V::set(0));
  }
  template <class V>
  static __attribute__((always_inline)) typename V::F code(typename V::F x, typename V::F inverse,
                                                           typename V::F) {
    using F = typename V::F;
    const F v = V::multiply(x, inverse), zero = V::set(0);
    const F up = V::select(V::less_equal(V::set(0.5f), v), V::set(1), zero);
    const F down = V::select(V::less_equal(v, V::set(-0.5f)), V::set(1), zero);
    return V::subtract(V::add(V::set(kIntegers + 1), up), down);
  }

  template <class V, std::size_t kMostGroups>
  static void pack_scales(Found<kMostGroups>& found, std::size_t first, BlockTq2_0& y, float*,
                          float*) {
    y.d = V::narrowed(found.scale[first]);
  }
  static void pack_codes(const std::uint32_t* words, std::size_t stride, BlockTq2_0& y) {
    for (std::size_t h = 0; h < 2; ++h)
      for (std::size_t k = 0; k < 8; ++k) {
        std::uint32_t four = 0;
        for (std::size_t i = 0; i < 4; ++i) four |= words[(32 * h + 8 * i + k) * stride] << 2 * i;
        __builtin_memcpy(y.qs + 32 * h + 4 * k, &four, sizeof four);
      }
  }
  static void unpack(const BlockTq2_0& x, std::int8_t* codes) {
    for (std::size_t h = 0; h < 2; ++h)
      for (std::size_t m = 0; m < 32; ++m) {
        const unsigned four = x.qs[32 * h + m];
        std::int8_t* const to = codes + 128 * h + m;
        to[0] = std::int8_t(int(four & 3) - 1);
        to[32] = std::int8_t(int(four >> 2 & 3) - 1);
        to[64] = std::int8_t(int(four >> 4 & 3) - 1);
        to[96] = std::int8_t(int(four >> 6) - 1);
      }
  }
  template <class V>
  static void unpack_scales(const BlockTq2_0& x, float* scale, float* offset) {
    *scale = V::widened(x.d);
    *offset = -0.0f;
  }
};

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

/// clamp(rne((x - offset) / scale)) - kLowest.
template <class V, class Format>
inline __attribute__((always_inline)) typename V::I stored_code(const float* x, typename V::F scale,
                                                                typename V::F offset) {
  const auto v = V::divide(V::subtract(V::load(x), offset), scale);
  return V::minus(V::bits(clamped<V>(v, Format::kLowest, Format::kHighest)),
                  V::words(kIntegerBits + std::uint32_t(Format::kLowest)));
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
    for (std::size_t j = 0; j < Format::kGroup; j += 4, columns += 4 * lanes, words += stride)
      V::store(words, word_of<V>(stored_code<V, Format>(columns, by, from),
                                 stored_code<V, Format>(columns + lanes, by, from),
                                 stored_code<V, Format>(columns + 2 * lanes, by, from),
                                 stored_code<V, Format>(columns + 3 * lanes, by, from)));
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
  std::size_t i = 0;
  for (; blocks - i >= step; i += step) encode_step<V>(x + i * kWeightsOf<Block>, y + i);
  return i;
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
      V::template put<kStream>(
          y + at,
          V::multiply_add(V::set(scale[g]), V::from_bytes(codes + at, left), V::set(offset[g])),
          left);
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
    const F low_table = V::of_nibbles(low_scale, low_offset);
    const F high_table = V::of_nibbles(high_scale, high_offset);
    for (std::size_t j = 0; j < len; j += V::lanes()) {
      const I bytes = V::byte_words(qs + j, len - j);
      V::template put<kStream>(low + j, V::look_up(low_table, bytes), len - j);
      V::template put<kStream>(high + j, V::look_up(high_table, V::template shift_right<4>(bytes)),
                               len - j);
    }
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

template <class V, bool kStream, class Block>
inline void decode_superblock(const Block& x, float* y) {
  using Format = SuperFormat<Block>;
  alignas(64) float scale[Format::kGroups], offset[Format::kGroups];
  Format::template unpack_scales<V>(x, scale, offset);
  if constexpr (Format::kNibbles && Format::kGroups == 1) {
    decode_nibbles<V, kStream>(x.qs, 16, {scale[0], scale[0]}, {offset[0], offset[0]}, y, y + 16);
  } else if constexpr (Format::kNibbles) {
    for (std::size_t g = 0; g < Format::kGroups; g += 2)
      decode_nibbles<V, kStream>(x.qs + 16 * g, 32, {scale[g], scale[g + 1]},
                                 {offset[g], offset[g + 1]}, y + 32 * g, y + 32 * g + 32);
  } else {
    alignas(64) std::int8_t codes[kWeightsOf<Block>];
    Format::unpack(x, codes);
    decode_groups<V, kStream, Format>(codes, scale, offset, y);
  }
}

template <class V, class Block>
inline void decode_superblocks(const Block* x, std::size_t blocks, float* y) {
  if (V::streams(y, blocks * sizeof *x, blocks * kWeightsOf<Block> * sizeof *y)) {
    for (std::size_t i = 0; i < blocks; ++i)
      decode_superblock<V, true>(x[i], y + i * kWeightsOf<Block>);
    V::fence();
  } else {
    for (std::size_t i = 0; i < blocks; ++i)
      decode_superblock<V, false>(x[i], y + i * kWeightsOf<Block>);
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
