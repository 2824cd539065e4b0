// SPDX-License-Identifier: Apache-2.0
// The formats whose codes follow from the scale as it is found, before it is rounded: q4_1, q5_0
// and tq2_0.
//
// In an anonymous namespace on purpose (docs/decisions/0002-odr.md).
#pragma once

#include "quantize/super_format.h"

namespace qb::quantize {
namespace {

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
  static constexpr bool kNibbles = true, kDirect = true, kMinimum = true;

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
  static constexpr bool kNibbles = false, kDirect = true, kMinimum = false;

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
  /// A nibble whose fifth bit is clear is negative, two's complement.
  template <class V>
  static void unpack(const BlockQ5_0& x, std::int8_t* codes) {
    constexpr std::uint8_t kNegative = 0xf0;
    if constexpr (V::kBytes == 32) {
      V::store_bytes(codes, V::joined(V::nibbles32(x.qs), V::where_clear(x.qh, 0, kNegative)));
    } else {
      for (std::size_t j = 0; j < 16; j += V::kBytes)
        V::store_bytes(codes + j, V::joined(V::masked(V::load_bytes(x.qs + j), 15),
                                            V::where_clear(x.qh, j, kNegative)));
      for (std::size_t j = 0; j < 16; j += V::kBytes) {
        const auto pairs = V::load_bytes(x.qs + j);
        V::store_bytes(codes + 16 + j, V::joined(V::masked(V::template right<4>(pairs), 15),
                                                 V::where_clear(x.qh, 16 + j, kNegative)));
      }
    }
  }
  template <class V>
  static void unpack_scales(const BlockQ5_0& x, float* scale, float* offset) {
    *scale = V::widened(x.d);
    *offset = 0;
  }
};

/// Ternary: d = absmax, code round(x/d) + 1, half away from zero.
template <>
struct SuperFormat<BlockTq2_0> {
  static constexpr std::size_t kGroup = kSuperBlock, kGroups = 1;
  static constexpr int kLowest = 0, kHighest = 2;
  static constexpr bool kNibbles = false, kDirect = true, kMinimum = false;

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
  template <class V, bool kStream>
  static void decode(const BlockTq2_0& x, const float* scale, float* y) requires requires {
    V::of_pairs(V::set(0));
  }
  {
    const auto products = V::of_pairs(V::set(*scale));
    for (std::size_t h = 0; h < 2; ++h, y += 128)
      for (std::size_t m = 0; m < 32; m += V::lanes()) {
        const auto four = V::byte_words(x.qs + 32 * h + m, 32 - m);
        const auto put = [&](std::size_t i, auto codes) {
          V::template put<kStream>(y + 32 * i + m, V::look_up_pair(products, codes), 32 - m);
        };
        put(0, four);
        put(1, V::template shift_right<2>(four));
        put(2, V::template shift_right<4>(four));
        put(3, V::template shift_right<6>(four));
      }
  }
  template <class V>
  static void unpack(const BlockTq2_0& x, std::int8_t* codes) {
    for (std::size_t h = 0; h < 2; ++h)
      for (std::size_t m = 0; m < 32; m += V::kBytes) {
        const auto four = V::load_bytes(x.qs + 32 * h + m);
        std::int8_t* const to = codes + 128 * h + m;
        V::store_bytes(to, V::lowered(V::masked(four, 3), 1));
        V::store_bytes(to + 32, V::lowered(V::masked(V::template right<2>(four), 3), 1));
        V::store_bytes(to + 64, V::lowered(V::masked(V::template right<4>(four), 3), 1));
        V::store_bytes(to + 96, V::lowered(V::masked(V::template right<6>(four), 3), 1));
      }
  }
  template <class V>
  static void unpack_scales(const BlockTq2_0& x, float* scale, float* offset) {
    *scale = V::widened(x.d);
    *offset = 0;
  }
};

}  // namespace
}  // namespace qb::quantize
