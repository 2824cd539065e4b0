// SPDX-License-Identifier: Apache-2.0
// iq4_xs: groups of 32 codes that index the table of iq4_nl, with scales of 6 bits.
//
// In an anonymous namespace on purpose (docs/decisions/0002-odr.md).
#pragma once

#include "quantize/super_format.h"

namespace qb::quantize {
namespace {

/// The signed value of largest magnitude of each group, the first on a tie; 1 where that magnitude
/// is below 1e-15, which `zero` says.
template <class V>
inline __attribute__((always_inline)) typename V::F signed_largest(const float* columns,
                                                                   typename V::M& zero) {
  using F = typename V::F;
  F most = V::set(0), extreme = V::set(0);
  for (std::size_t j = 0; j < 32; ++j) {
    const F x = V::load(columns + j * V::lanes()), magnitude = V::absolute(x);
    const typename V::M larger = V::less(most, magnitude);
    most = V::select(larger, magnitude, most);
    extreme = V::select(larger, x, extreme);
  }
  zero = V::less(most, V::set(1e-15f));
  return V::select(zero, V::set(1), extreme);
}

/// Scales of w = scale * T[code]: least squares with weights x^2 for the codes of x * (-T[0]/m) and
/// of x * ((T[0]+i)/m), i from -7 to 7, m being the signed value of largest magnitude.
template <class V>
inline void search_table_scale(const float* columns, const TableOf16& table, float* scale_out) {
  using F = typename V::F;
  using M = typename V::M;
  const std::size_t lanes = V::lanes();
  constexpr int kTries = 7;
  const F none = V::set(0), one = V::set(1);
  M zero;
  const F extreme = signed_largest<V>(columns, zero);
  F scale = none, best = none;
  for (int trial = -1; trial <= 2 * kTries; ++trial) {
    const F inverse = trial < 0
                          ? V::divide(one, V::divide(extreme, V::set(-table.values[0])))
                          : V::divide(V::set(float(trial - kTries) + table.values[0]), extreme);
    F sum_xq = none, sum_qq = none;
    for (std::size_t j = 0; j < 32; ++j) {
      const F x = V::load(columns + j * lanes);
      typename V::I code = V::words(0);
      F q = none;
      V::nearest(V::multiply(inverse, x), table, code, q);
      const F wq = V::multiply(V::multiply(x, x), q);
      sum_xq = V::add(sum_xq, V::multiply(wq, x));
      sum_qq = V::add(sum_qq, V::multiply(wq, q));
    }
    // The largest value alone makes the first sum positive, but for a group of zeros.
    const M some = V::less(none, sum_qq);
    const F quotient = V::divide(sum_xq, V::add(sum_qq, V::select(some, none, one)));
    const M better = V::both(some, V::less(V::multiply(best, sum_qq), V::multiply(sum_xq, sum_xq)));
    const M take = trial < 0 ? some : better;
    scale = V::select(take, quotient, scale);
    best = V::select(take, V::multiply(quotient, sum_xq), best);
  }
  V::store(scale_out, V::select(zero, none, scale));
}

/// Eight numbers of 4 bits, the lowest first, to a byte each.
inline std::uint64_t spread_nibbles(std::uint32_t v) {
  std::uint64_t x = v;
  x = (x | x << 16) & 0x0000ffff0000ffffu;
  x = (x | x << 8) & 0x00ff00ff00ff00ffu;
  return (x | x << 4) & 0x0f0f0f0f0f0f0f0fu;
}
/// Eight numbers of 2 bits.
inline std::uint64_t spread_pairs(std::uint32_t v) {
  std::uint64_t x = v;
  x = (x | x << 24) & 0x000000ff000000ffu;
  x = (x | x << 12) & 0x000f000f000f000fu;
  return (x | x << 6) & 0x0303030303030303u;
}

/// The scale of a group is D*(s-32), D being that of largest magnitude over -32; codes are those of
/// x over that product with D unrounded, or of 0 where it is 0.
template <>
struct SuperFormat<BlockIq4Xs> {
  static constexpr std::size_t kGroup = 32, kGroups = kSuperBlock / kGroup;
  static constexpr int kLowest = 0, kHighest = 15;
  static constexpr bool kNibbles = false, kDirect = true, kMinimum = false;
  static constexpr TableOf16 kTable = table_of(kIq4Values);

  template <class V>
  static void search(const float* columns, float* scale, float*, float* inverse, float* least) {
    search_table_scale<V>(columns, kTable, scale);
    V::store(inverse, V::set(0));  // pack_scales sets it
    V::store(least, V::set(0));
  }

  template <class V>
  static __attribute__((always_inline)) typename V::F code(typename V::F x, typename V::F inverse,
                                                           typename V::F) {
    typename V::I code = V::words(0);
    typename V::F value = x;
    V::nearest(V::multiply(inverse, x), kTable, code, value);
    return V::floats(V::any_of(code, V::words(kIntegerBits)));
  }

  template <class V, std::size_t kMostGroups>
  static void pack_scales(Found<kMostGroups>& found, std::size_t first, BlockIq4Xs& y, float*,
                          float*) {
    float most = 0, extreme = 0;
    for (std::size_t g = first; g < first + kGroups; ++g) {
      const float v = found.scale[g], magnitude = __builtin_fabsf(v);
      extreme = magnitude > most ? v : extreme;
      most = magnitude > most ? magnitude : most;
    }
    const float d = extreme / -32.0f;
    const bool dead = d == 0;
    const float inverse = 1.0f / (d + (dead ? 1.0f : 0.0f));
    y.d = V::narrowed(d);
    std::uint32_t low = 0, high = 0;
    for (std::size_t g = 0; g < kGroups; ++g) {
      // Clamped while it is a float: an infinite scale, which overflows f16, makes it NaN.
      const float quotient = dead ? 0.0f : inverse * found.scale[first + g];
      const int s = nearest_integer(quotient < 31.0f ? quotient : 31.0f);  // not below -32
      const float product = d * float(s);
      const float of_product = 1.0f / (product + (product == 0 ? 1.0f : 0.0f));
      found.inverse[first + g] = product == 0 ? 0.0f : of_product;
      low |= (std::uint32_t(s + 32) & 15u) << 4 * g;
      high |= (std::uint32_t(s + 32) >> 4) << 2 * g;
    }
    __builtin_memcpy(y.scales_l, &low, sizeof y.scales_l);
    __builtin_memcpy(y.scales_h, &high, sizeof y.scales_h);
  }
  static void pack_codes(const std::uint32_t* words, std::size_t stride, BlockIq4Xs& y) {
    for (std::size_t k = 0; k < 4; ++k)
      for (std::size_t g = 0; g < kGroups; ++g) {
        const std::uint32_t both = words[k * stride + g] | words[(k + 4) * stride + g] << 4;
        __builtin_memcpy(y.qs + 16 * g + 4 * k, &both, sizeof both);
      }
  }

  template <class V, bool kStream>
  static void decode(const BlockIq4Xs& x, const float* scale, float* y) requires requires {
    V::look_up(V::set(0), V::words(0));
  }
  {
    for (std::size_t g = 0; g < kGroups; ++g, y += kGroup) {
      const auto products = V::multiply(V::load(kTable.values), V::set(scale[g]));
      decode_by_tables<V, kStream>(x.qs + 16 * g, 16, products, products, y, y + 16);
    }
  }
  template <class V>
  static void unpack(const BlockIq4Xs& x, std::int8_t* codes) {
    for (std::size_t g = 0; g < kGroups; ++g, codes += kGroup) {
      const std::uint8_t* const qs = x.qs + 16 * g;
      if constexpr (V::kBytes == 32) {
        V::store_bytes(codes, V::bytes_of_table(kTable.bytes, V::nibbles32(qs)));
      } else {
        for (std::size_t j = 0; j < 16; j += V::kBytes) {
          const auto pairs = V::load_bytes(qs + j);
          V::store_bytes(codes + j, V::bytes_of_table(kTable.bytes, V::masked(pairs, 15)));
          V::store_bytes(
              codes + 16 + j,
              V::bytes_of_table(kTable.bytes, V::masked(V::template right<4>(pairs), 15)));
        }
      }
    }
  }
  template <class V>
  static void unpack_scales(const BlockIq4Xs& x, float* scale, float* offset) {
    std::uint32_t low;
    std::uint16_t high;
    __builtin_memcpy(&low, x.scales_l, sizeof low);
    __builtin_memcpy(&high, x.scales_h, sizeof high);
    // s - 32 as a signed byte: bit 5 is turned round and copied to the two above it.
    const std::uint64_t turned =
        (spread_nibbles(low) | spread_pairs(high) << 4) ^ 0x2020202020202020u;
    const std::uint64_t sign = turned & 0x2020202020202020u;
    scaled_word<V>(turned | sign << 1 | sign << 2, V::widened(x.d), scale);
    for (std::size_t g = 0; g < kGroups; ++g) offset[g] = 0;
  }
};

}  // namespace
}  // namespace qb::quantize
