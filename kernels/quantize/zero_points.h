// SPDX-License-Identifier: Apache-2.0
// 4-bit codes without a sign, in groups of 32, 64 or 128 that have a scale and perhaps a zero point
// (kernels.h), for any instruction set (lanes.h).
//
//   encode   A group a lane: transpose; scale and zero point of each group; then codes, eight to a
//            word of the group's lane.
//   decode   A group at a time, (code - zero) * scale: a table of the 16 results where a vector
//            holds them; otherwise codes are widened in order.
//
// `V` may have, beside what lanes.h asks of it,
//
//   nibbles(const uint8_t* p) -> I   lanes() codes, stored two a byte, one in the low nibble of
//                                    each lane. The bits above are 0, or anything if V has look_up
//
// In an anonymous namespace on purpose (docs/decisions/0002-odr.md).
#pragma once

#include "quantize/lanes.h"

namespace qb::quantize {
namespace {

constexpr std::size_t kLongestGroup = 128;
constexpr std::uint32_t kNoZeroPoint = 8;  ///< what counts as the zero point if none is stored

// ---- encoding

/// What the codes of V::lanes() groups follow from. factor: by which elements are divided, or if
/// there are no zero points multiplied.
template <class V>
struct FoundZeroPoints {
  alignas(64) float scale[V::kMostLanes], factor[V::kMostLanes], zero[V::kMostLanes];
};

template <class V>
inline void find_zero_points(const float* columns, std::size_t len, FoundZeroPoints<V>& found) {
  using F = typename V::F;
  F low = V::set(0), high = low;
  for (std::size_t j = 0; j < len; ++j) {
    const F x = V::load(columns + j * V::lanes());
    low = V::smaller(x, low);
    high = V::larger(x, high);
  }
  const F scale = V::divide(V::subtract(high, low), V::set(15));
  // A sum, so that nothing is divided by 0. All codes are 0 then.
  const F by = V::add(scale, V::select(V::less_equal(scale, V::set(0)), V::set(1), V::set(0)));
  const F zero = clamped<V>(V::divide(V::subtract(V::set(0), low), by), 0, 15);
  V::store(found.scale, scale);
  V::store(found.factor, by);
  V::store(found.zero, V::subtract(zero, V::set(kIntegers)));
}

/// The scale of s4: the largest magnitude over 7.
template <class V>
inline void find_scales(const float* columns, std::size_t len, FoundZeroPoints<V>& found) {
  using F = typename V::F;
  F most = V::set(0);
  for (std::size_t j = 0; j < len; ++j)
    most = V::larger(V::absolute(V::load(columns + j * V::lanes())), most);
  const F none = V::set(0);
  const F divisor = V::add(most, V::select(V::less_equal(most, none), V::set(1), none));
  const F inverse = V::divide(V::set(7), divisor);
  const auto usable = V::both(V::less(none, most), V::less_equal(inverse, V::set(0x1.fffffep127f)));
  V::store(found.scale, V::select(usable, V::divide(most, V::set(7)), none));
  V::store(found.factor, V::select(usable, inverse, none));
  V::store(found.zero, none);
}

/// The codes of the elements at x, one of each group.
template <class V, bool zeros>
inline __attribute__((always_inline)) typename V::I code_of(const float* x, typename V::F factor,
                                                            [[maybe_unused]] typename V::F zero) {
  using F = typename V::F;
  if constexpr (zeros) {
    const F sum = V::add(V::add(V::divide(V::load(x), factor), V::set(kIntegers)), zero);
    const F clipped = V::smaller(V::larger(sum, V::set(kIntegers)), V::set(kIntegers + 15));
    return V::minus(V::bits(clipped), V::words(kIntegerBits));
  } else {
    const F clipped = clamped<V>(V::multiply(V::load(x), factor), -7, 7);
    return V::minus(V::bits(clipped), V::words(kIntegerBits - kNoZeroPoint));
  }
}

/// Eight codes of each group to a word, the first in the lowest nibble; i: the first that is meant.
template <class V, bool zeros, int i = 0>
inline __attribute__((always_inline)) typename V::I word_of_codes(const float* columns,
                                                                  typename V::F factor,
                                                                  typename V::F zero) {
  const auto code = code_of<V, zeros>(columns + i * V::lanes(), factor, zero);
  if constexpr (i == 7)
    return V::template shift_left<28>(code);
  else
    return V::any_of(V::template shift_left<4 * i>(code),
                     word_of_codes<V, zeros, i + 1>(columns, factor, zero));
}

/// V::lanes() groups: all but the storing of scales and zero points.
template <class V, bool zeros>
inline void encode_groups(const float* x, std::size_t len, std::uint8_t* q,
                          FoundZeroPoints<V>& found) {
  alignas(64) float columns[kLongestGroup * V::kMostLanes];
  alignas(64) std::uint32_t words[V::kMostLanes];
  const std::size_t lanes = V::lanes();
  V::transpose(x, len, columns, lanes);
  if constexpr (zeros)
    find_zero_points<V>(columns, len, found);
  else
    find_scales<V>(columns, len, found);
  const auto factor = V::load(found.factor), zero = V::load(found.zero);
  for (std::size_t j = 0; j < len; j += 8) {
    V::store(words, word_of_codes<V, zeros>(columns + j * lanes, factor, zero));
    for (std::size_t i = 0; i < lanes; ++i)
      __builtin_memcpy(q + (i * len + j) / 2, words + i, sizeof words[i]);
  }
}

template <class V>
inline void store_scale(float& to, float scale) {
  to = scale;
}
template <class V>
inline void store_scale(f16& to, float scale) {
  to = V::narrowed(scale);
}

template <class V, bool zeros, class Scale>
inline void encode_with_zero_points(const float* x, std::size_t groups, std::size_t len,
                                    std::uint8_t* q, Scale* scale, std::uint8_t* zero) {
  FoundZeroPoints<V> found;
  const std::size_t lanes = V::lanes();
  for (std::size_t g = 0; g < groups; g += lanes) {
    const std::size_t count = groups - g < lanes ? groups - g : lanes;
    if (count == lanes) {
      encode_groups<V, zeros>(x + g * len, len, q + g * len / 2, found);
    } else {  // fewer than a vector takes: zeros in place of the others
      float rest[kLongestGroup * V::kMostLanes] = {};
      std::uint8_t codes[kLongestGroup / 2 * V::kMostLanes];
      __builtin_memcpy(rest, x + g * len, count * len * sizeof *x);
      encode_groups<V, zeros>(rest, len, codes, found);
      __builtin_memcpy(q + g * len / 2, codes, count * len / 2);
    }
    for (std::size_t i = 0; i < count; ++i) {
      store_scale<V>(scale[g + i], found.scale[i]);
      if constexpr (zeros) {
        std::uint8_t& pair = zero[(g + i) / 2];
        const auto nibble = unsigned(found.zero[i]);
        pair = std::uint8_t((g + i) % 2 ? pair | nibble << 4 : nibble);
      }
    }
  }
}

// ---- decoding

/// Calls f(j) for the first element j of every vector of a group, whose length is a multiple of 32.
/// The inner loop has a constant length, so that it is unrolled.
template <class V, class F>
inline __attribute__((always_inline)) void in_32s(std::size_t len, const F& f) {
  for (std::size_t first = 0; first < len; first += 32)
#pragma GCC unroll 4
    for (std::size_t j = 0; j < 32; j += V::kMostLanes) f(first + j);
}

template <class V, bool kStream>
inline __attribute__((always_inline)) void decode_group(const std::uint8_t* q, std::size_t len,
                                                        const float& scale, std::uint32_t zero,
                                                        float* y) {
  using F = typename V::F;
  [[maybe_unused]] const F factor = V::set(scale);
  if constexpr (requires { V::of_nibbles_less(zero, scale); }) {
    const F table = V::of_nibbles_less(zero, scale);
    in_32s<V>(len, [&](std::size_t j) {
      V::template put<kStream>(y + j, V::look_up(table, V::nibbles(q + j / 2)), len - j);
    });
  } else if constexpr (requires { V::nibbles(q); }) {
    const F less = V::set(float(zero));
    in_32s<V>(len, [&](std::size_t j) {
      const F code = V::to_floats(V::nibbles(q + j / 2));
      V::template put<kStream>(y + j, V::multiply(V::subtract(code, less), factor), len - j);
    });
  } else if constexpr (V::kMostLanes == 1) {
    const auto decoded = [=](int code) { return float(code - int(zero)) * scale; };
    for (std::size_t j = 0; j < len / 2; ++j) {
      y[2 * j] = decoded(q[j] & 15);
      y[2 * j + 1] = decoded(q[j] >> 4);
    }
  } else {
    alignas(64) std::int8_t codes[kLongestGroup];
    for (std::size_t j = 0; j < len / 2; ++j) {
      codes[2 * j] = std::int8_t(int(q[j] & 15u) - int(zero));
      codes[2 * j + 1] = std::int8_t(int(q[j] >> 4) - int(zero));
    }
    for (std::size_t j = 0; j < len; j += V::lanes())
      V::template put<kStream>(y + j, V::multiply(V::from_bytes(codes + j, len - j), factor),
                               len - j);
  }
}

/// Scales of up to sixteen groups as floats; `room` is for those that are not.
template <class V>
inline const float* float_scales(const float* scale, std::size_t, float (&)[16]) {
  return scale;
}
template <class V>
inline const float* float_scales(const f16* scale, std::size_t n, float (&room)[16]) {
  if constexpr (requires { V::widen_16(scale, n, room); }) {
    V::widen_16(scale, n, room);
  } else {
    for (std::size_t i = 0; i < n; ++i) room[i] = V::widened(scale[i]);
  }
  return room;
}

template <class V, bool kStream, class Scale>
inline __attribute__((always_inline)) void decode_groups_with_zero_points(
    const std::uint8_t* q, std::size_t groups, std::size_t len, const Scale* scale,
    const std::uint8_t* zero, float* y) {
  alignas(64) float room[16];
  for (std::size_t first = 0; first < groups; first += 16) {
    const std::size_t n = groups - first < 16 ? groups - first : 16;
    const float* const scales = float_scales<V>(scale + first, n, room);
    for (std::size_t i = 0; i < n; ++i) {
      const std::size_t g = first + i;
      const std::uint32_t of_group = zero ? zero[g / 2] >> g % 2 * 4 & 15u : kNoZeroPoint;
      decode_group<V, kStream>(q + g * len / 2, len, scales[i], of_group, y + g * len);
    }
  }
}

/// Where nibbles are loaded as vectors, groups of 32 get a call with a constant length, which
/// leaves no loop. Plain loops get none: compilers would unroll it, and then no longer vectorise
/// it.
template <class V, bool kStream, class Scale>
inline void decode_groups_of(const std::uint8_t* q, std::size_t groups, std::size_t len,
                             const Scale* scale, const std::uint8_t* zero, float* y) {
  if constexpr (requires { V::nibbles(q); }) {
    if (len == 32) return decode_groups_with_zero_points<V, kStream>(q, groups, 32, scale, zero, y);
  }
  decode_groups_with_zero_points<V, kStream>(q, groups, len, scale, zero, y);
}

template <class V, class Scale>
inline void decode_with_zero_points(const std::uint8_t* q, std::size_t groups, std::size_t len,
                                    const Scale* scale, const std::uint8_t* zero, float* y) {
  const std::size_t read = groups * (len / 2 + sizeof *scale), written = groups * len * sizeof *y;
  if (V::streams(y, read, written)) {
    decode_groups_of<V, true>(q, groups, len, scale, zero, y);
    V::fence();
  } else {
    decode_groups_of<V, false>(q, groups, len, scale, zero, y);
  }
}

}  // namespace
}  // namespace qb::quantize

/// The kernels of one format of QB_ZERO_POINT_FORMATS over `Lanes`.
#define QB_ZERO_POINT_KERNELS(format, Scale, ...)                                            \
  void QB_SYMBOL(quantize_f32_##format)(const float* x, std::size_t groups, std::size_t len, \
                                        std::uint8_t* q, Scale* scale, std::uint8_t* zero) { \
    if (zero)                                                                                \
      encode_with_zero_points<Lanes, true>(x, groups, len, q, scale, zero);                  \
    else                                                                                     \
      encode_with_zero_points<Lanes, false>(x, groups, len, q, scale, zero);                 \
  }                                                                                          \
  void QB_SYMBOL(dequantize_##format##_f32)(const std::uint8_t* q, std::size_t groups,       \
                                            std::size_t len, const Scale* scale,             \
                                            const std::uint8_t* zero, float* y) {            \
    decode_with_zero_points<Lanes>(q, groups, len, scale, zero, y);                          \
  }
