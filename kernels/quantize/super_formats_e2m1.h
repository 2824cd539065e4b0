// SPDX-License-Identifier: Apache-2.0
// The format of E2M1 numbers in groups with scales in E4M3: nvfp4.
//
// In an anonymous namespace on purpose (docs/decisions/0002-odr.md).
#pragma once

#include "quantize/super_format.h"

namespace qb::quantize {
namespace {

/// Half of what a scale of nvfp4 stands for, since the table's values are doubled. 0x7f is zero; of
/// all other bytes the top bit does not count, so that 0xff is 480.
constexpr float half_of_e4m3(std::uint8_t scale) {
  const std::uint32_t bits = scale & 0x7fu;
  if (scale == 0x7f) return 0;
  if (bits < 8) return float(bits) * 0x1p-10f;
  return __builtin_bit_cast(float, (bits << 20) + (119u << 23));
}
/// The same of all bytes.
struct HalvesOfE4m3 {
  alignas(64) float of[256];
};
constexpr HalvesOfE4m3 halves_of_e4m3() {
  HalvesOfE4m3 all{};
  for (unsigned scale = 0; scale < 256; ++scale) all.of[scale] = half_of_e4m3(std::uint8_t(scale));
  return all;
}
constexpr HalvesOfE4m3 kHalvesOfE4m3 = halves_of_e4m3();

/// The scale nearest to v, half up on the bit behind the last; 0x7e for all that rounds to 256 or
/// more, 0 for NaN.
inline std::uint8_t e4m3_of(float v) {
  if (!(v > 0)) return 0;
  if (v < 0x1p-6f) {
    const int steps = int(v * 512.0f + 0.5f);
    return std::uint8_t(steps < 7 ? steps : 7);
  }
  // The carry out of the mantissa reaches the exponent by itself.
  const std::uint32_t rounded = (__builtin_bit_cast(std::uint32_t, v) + 0x80000u) >> 20;
  const std::uint32_t code = rounded - (120u << 3);
  return std::uint8_t(code < 15u << 3 ? code : 0x7e);
}

/// Groups of 16: the scale is absmax/6 in E4M3, a code that of the nearest number, the smaller one
/// on a tie.
template <>
struct SuperFormat<BlockNvfp4> {
  static constexpr std::size_t kGroup = 16, kGroups = 4;
  static constexpr int kLowest = 0, kHighest = 15;
  static constexpr bool kNibbles = false, kDirect = true, kMinimum = false;
  static constexpr TableOf16 kTable = table_of(kE2m1Doubled);
  static constexpr float kMiddles[] = {0.5f, 1.5f, 2.5f, 3.5f, 5.0f, 7.0f, 10.0f};

  template <class V>
  static void search(const float* columns, float* scale, float*, float* inverse, float* least) {
    using F = typename V::F;
    F most = V::set(0);
    for (std::size_t j = 0; j < kGroup; ++j)
      most = V::larger(V::absolute(V::load(columns + j * V::lanes())), most);
    V::store(scale, V::divide(most, V::set(6)));
    V::store(inverse, V::set(0));  // pack_scales sets it, which rounds the scale first
    V::store(least, V::set(0));
  }

  /// `half`: half the scale; midpoints of the doubled values are counted that lie below.
  template <class V>
  static __attribute__((always_inline)) typename V::F code(typename V::F x, typename V::F half,
                                                           typename V::F) {
    using F = typename V::F;
    const F magnitude = V::absolute(x), zero = V::set(0), one = V::set(1);
    F sum = V::set(kIntegers);
    for (const float middle : kMiddles) {
      const F bound = V::multiply(half, V::set(middle));
      sum = V::add(sum, V::select(V::less(bound, magnitude), one, zero));
    }
    const F below = V::multiply(half, V::set(-0.5f));
    return V::add(sum, V::select(V::less(x, below), V::set(8), zero));
  }

  /// Where the scale rounds to 0 no magnitude is above 6 * 2^-10: with 1 as half the scale all are
  /// below the first bound, and get code 0.
  template <class V, std::size_t kMostGroups>
  static void pack_scales(Found<kMostGroups>& found, std::size_t first, BlockNvfp4& y, float*,
                          float*) {
    for (std::size_t g = 0; g < kGroups; ++g) {
      y.scales[g] = e4m3_of(found.scale[first + g]);
      found.inverse[first + g] = y.scales[g] == 0 ? 1.0f : kHalvesOfE4m3.of[y.scales[g]];
    }
  }
  static void pack_codes(const std::uint32_t* words, std::size_t stride, BlockNvfp4& y) {
    for (std::size_t g = 0; g < kGroups; ++g)
      for (std::size_t k = 0; k < 2; ++k) {
        const std::uint32_t both = words[k * stride + g] | words[(k + 2) * stride + g] << 4;
        __builtin_memcpy(y.qs + 8 * g + 4 * k, &both, sizeof both);
      }
  }

  template <class V, bool kStream>
  static void decode(const BlockNvfp4& x, const float* scale, float* y) requires requires {
    V::nibble_words(x.qs);
  }
  {
    for (std::size_t g = 0; g < kGroups; ++g) {
      const auto products = V::multiply(V::load(kTable.values), V::set(scale[g]));
      V::template put<kStream>(y + kGroup * g, V::look_up(products, V::nibble_words(x.qs + 8 * g)),
                               kGroup);
    }
  }
  template <class V>
  static void unpack(const BlockNvfp4& x, std::int8_t* codes) {
    for (std::size_t j = 0; j < sizeof x.qs; j += V::kBytes) {
      const auto pairs = V::load_bytes(x.qs + j);
      const auto low = V::bytes_of_table(kTable.bytes, V::masked(pairs, 15));
      const auto high = V::bytes_of_table(kTable.bytes, V::masked(V::template right<4>(pairs), 15));
      V::store_eights(codes, j, low, high);
    }
  }
  template <class V>
  static void unpack_scales(const BlockNvfp4& x, float* scale, float* offset) {
    for (std::size_t g = 0; g < kGroups; ++g) {
      scale[g] = kHalvesOfE4m3.of[x.scales[g]];
      offset[g] = 0;
    }
  }
};

}  // namespace
}  // namespace qb::quantize
