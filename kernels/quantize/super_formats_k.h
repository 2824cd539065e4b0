// SPDX-License-Identifier: Apache-2.0
// The formats whose scales are searched, in blocks of 256: q4_K, q5_K and q6_K.
//
// In an anonymous namespace on purpose (docs/decisions/0002-odr.md).
#pragma once

#include "quantize/super_format.h"

namespace qb::quantize {
namespace {

/// Scales and minima of 6 bits (quantbench/blocks.h).
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
    unpack_scales<typename SingleOf<V>::Vector>(y, scale, offset);
  }

  template <class V>
  static void unpack_scales(const Block& x, float* scale, float* offset) {
    std::uint64_t scales, minima;
    unpack_6_bits(x.packed_scales, scales, minima);
    scaled_word<V>(scales, V::widened(x.d), scale);
    scaled_word<V>(minima, -V::widened(x.dmin), offset);
  }

 private:
  /// Apart, since clang would make a vector of two quotients, and of 0/0 in the lanes to spare.
  [[gnu::noinline]] static float quotient(float a, float b) { return a / b; }
  static float inverse_or_zero(float most) { return most > 0 ? quotient(63, most) : 0.0f; }
  /// At most 63; a negative scale, of a group that rounding made up, wraps to 63 as ggml's does. 0
  /// for what is no such number: the inverse of a tiny maximum is infinite.
  static std::uint8_t six_bits(float v) {
    const float finite = __builtin_fabsf(v) < 0x1p22f ? v : 0.0f;
    const std::uint8_t wrapped = std::uint8_t(nearest_integer(finite));
    return wrapped < 63 ? wrapped : std::uint8_t(63);
  }
};

template <>
struct SuperFormat<BlockQ4_K> : WithMinimum<BlockQ4_K, 15> {
  static constexpr bool kNibbles = true, kDirect = false, kMinimum = true;

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
  static constexpr bool kNibbles = false, kDirect = false, kMinimum = true;

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

  template <class V>
  static void unpack(const BlockQ5_K& x, std::int8_t* codes) requires requires {
    V::wide_codes;
  }
  {
    for (int c = 0; c < int(kGroups) / 2; c += 2, codes += 128) {
      const auto wide =
          V::wide_codes(x.qs + 32 * c, x.qh, 16, {4 - 2 * c, 2 - 2 * c}, {3 - 2 * c, 1 - 2 * c});
      V::store_halves(codes, codes + 64, wide.low);
      V::store_halves(codes + 32, codes + 96, wide.high);
    }
  }
  template <class V>
  static void unpack(const BlockQ5_K& x, std::int8_t* codes) {
    for (std::size_t l = 0; l < kGroup; l += V::kBytes) {
      auto fifth = V::load_bytes(x.qh + l);
      for (std::size_t c = 0; c < kGroups / 2; ++c) {
        const auto pairs = V::load_bytes(x.qs + 32 * c + l);
        const auto low = V::masked(pairs, 15), high = V::masked(V::template right<4>(pairs), 15);
        std::int8_t* const to = codes + 64 * c + l;
        V::store_bytes(to, V::joined(low, V::masked(V::template left<4>(fifth), 16)));
        V::store_bytes(to + 32, V::joined(high, V::masked(V::template left<3>(fifth), 16)));
        fifth = V::template right<2>(fifth);
      }
    }
  }
};

/// Codes from -32 to 31, a scale a group of 16, no minimum.
template <>
struct SuperFormat<BlockQ6_K> {
  static constexpr std::size_t kGroup = 16, kGroups = kSuperBlock / kGroup;
  static constexpr int kLowest = -32, kHighest = 31;
  static constexpr bool kNibbles = false, kDirect = false, kMinimum = false;

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
      // Clamped while it is a float: an infinite scale, which overflows f16, makes it NaN.
      const float quotient = dead ? 0.0f : inverse * found.scale[first + g];
      y.scales[g] = std::int8_t(nearest_integer(quotient < 127.0f ? quotient : 127.0f));
      if (dead) put_lowest_code(found.inverse[first + g], found.least[first + g]);
    }
    unpack_scales<typename SingleOf<V>::Vector>(y, scale, offset);
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

  template <class V>
  static void unpack(const BlockQ6_K& x, std::int8_t* codes) requires requires {
    V::wide_codes;
  }
  {
    for (std::size_t h = 0; h < 2; ++h, codes += 128) {
      const auto wide = V::wide_codes(x.ql + 64 * h, x.qh + 32 * h, 0x30, {4, 2}, {0, -2});
      V::store_wide(codes, V::lowered(wide.low, 32));
      V::store_wide(codes + 64, V::lowered(wide.high, 32));
    }
  }
  template <class V>
  static void unpack(const BlockQ6_K& x, std::int8_t* codes) {
    const auto put = [](std::int8_t* to, typename V::Bytes low, typename V::Bytes upper) {
      V::store_bytes(to, V::lowered(V::joined(V::masked(low, 15), V::masked(upper, 48)), 32));
    };
    for (std::size_t h = 0; h < 2; ++h)
      for (std::size_t l = 0; l < 32; l += V::kBytes) {
        const auto first = V::load_bytes(x.ql + 64 * h + l);
        const auto second = V::load_bytes(x.ql + 64 * h + 32 + l);
        const auto upper = V::load_bytes(x.qh + 32 * h + l);
        std::int8_t* const to = codes + 128 * h + l;
        put(to, first, V::template left<4>(upper));
        put(to + 32, second, V::template left<2>(upper));
        put(to + 64, V::template right<4>(first), upper);
        put(to + 96, V::template right<4>(second), V::template right<2>(upper));
      }
  }

  template <class V>
  static void unpack_scales(const BlockQ6_K& x, float* scale, float* offset) {
    scaled_codes<V, kGroups>(x.scales, V::widened(x.d), scale);
    for (std::size_t g = 0; g < kGroups; ++g) offset[g] = 0;
  }
};

}  // namespace
}  // namespace qb::quantize
