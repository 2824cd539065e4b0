// SPDX-License-Identifier: Apache-2.0
// What the NEON kernels of the array rooms share: elements of any alignment, magnitudes, and the
// conversions between integers and floats that need no conversion.
//
// In an anonymous namespace on purpose: each translation unit owns its copy
// (docs/decisions/0002-odr.md).
#pragma once

#include <arm_neon.h>

#include "quantbench/types.h"

namespace qb {
namespace {

/// f16 has a type of its own here, so it is loaded and stored as bytes.
[[maybe_unused]] inline const std::uint8_t* bytes(const void* p) {
  return static_cast<const std::uint8_t*>(p);
}
[[maybe_unused]] inline std::uint8_t* bytes(void* p) { return static_cast<std::uint8_t*>(p); }

[[maybe_unused]] inline float32x4_t load4(const float* x) { return vld1q_f32(x); }
[[maybe_unused]] inline float32x4_t load4(const f16* x) {
  return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(bytes(x))));
}
[[maybe_unused]] inline void store4(float* y, float32x4_t v) { vst1q_f32(y, v); }
[[maybe_unused]] inline void store4(f16* y, float32x4_t v) {
  vst1_u8(bytes(y), vreinterpret_u8_f16(vcvt_f16_f32(v)));
}

[[maybe_unused]] inline float widened(f16 h) {
  return vgetq_lane_f32(vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(std::uint16_t(h)))), 0);
}
[[maybe_unused]] inline f16 narrowed(float v) {
  return f16(vget_lane_u16(vreinterpret_u16_f16(vcvt_f16_f32(vdupq_n_f32(v))), 0));
}
[[maybe_unused]] inline float load1(const float* x) { return *x; }
[[maybe_unused]] inline float load1(const f16* x) { return widened(*x); }
[[maybe_unused]] inline void store1(float* y, float v) { *y = v; }
[[maybe_unused]] inline void store1(f16* y, float v) { *y = narrowed(v); }

constexpr float kMost = 0x1.fffffep127f;

/// v where it is finite, otherwise 0: the group is treated as zero.
[[maybe_unused]] inline float finite_or_zero(float v) {
  return __builtin_fabsf(v) <= kMost ? v : 0.0f;
}
[[maybe_unused]] inline float32x4_t finite_or_zero(float32x4_t v) {
  return vreinterpretq_f32_u32(
      vandq_u32(vreinterpretq_u32_f32(v), vcleq_f32(vabsq_f32(v), vdupq_n_f32(kMost))));
}

// ---- absmax, on the bits with the sign cleared: NaN is the largest and needs no care

struct Magnitudes32 {
  using T = float;
  using Word = std::uint32_t;
  using V = uint32x4_t;
  static constexpr std::size_t kLanes = 4;
  static constexpr Word kMask = 0x7fffffffu;
  static V load(const float* x) {
    return vandq_u32(vreinterpretq_u32_u8(vld1q_u8(bytes(x))), vdupq_n_u32(kMask));
  }
  static Word load1(const float* x) { return __builtin_bit_cast(Word, *x) & kMask; }
  static V max(V a, V b) { return vmaxq_u32(a, b); }
  static V pairs(V a, V b) { return vpmaxq_u32(a, b); }
  static Word reduce(V v) { return vmaxvq_u32(v); }
  static float value(Word w) { return __builtin_bit_cast(float, w); }
};

struct Magnitudes16 {
  using T = f16;
  using Word = std::uint16_t;
  using V = uint16x8_t;
  static constexpr std::size_t kLanes = 8;
  static constexpr Word kMask = 0x7fff;
  static V load(const f16* x) {
    return vandq_u16(vreinterpretq_u16_u8(vld1q_u8(bytes(x))), vdupq_n_u16(kMask));
  }
  static Word load1(const f16* x) { return static_cast<Word>(*x) & kMask; }
  static V max(V a, V b) { return vmaxq_u16(a, b); }
  static V pairs(V a, V b) { return vpmaxq_u16(a, b); }
  static Word reduce(V v) { return vmaxvq_u16(v); }
  static float value(Word w) { return widened(f16(w)); }
};

/// The largest magnitudes of len >= U::kLanes elements, lane by lane. Eight loads go through a tree
/// to four accumulators, so that no chain is longer than the loads take; the tail re-reads elements
/// already seen, which a maximum does not mind.
template <class U>
[[maybe_unused]] inline typename U::V largest_lanes(const typename U::T* x, std::size_t len) {
  constexpr std::size_t lanes = U::kLanes;
  const auto* const end = x + len;
  typename U::V a[4];
  for (auto& v : a) v = U::load(end - lanes);
  for (; std::size_t(end - x) >= 8 * lanes; x += 8 * lanes)
    for (std::size_t i = 0; i < 4; ++i)
      a[i] = U::max(a[i], U::max(U::load(x + 2 * i * lanes), U::load(x + (2 * i + 1) * lanes)));
  for (; std::size_t(end - x) >= lanes; x += lanes) a[0] = U::max(a[0], U::load(x));
  return U::max(U::max(a[0], a[1]), U::max(a[2], a[3]));
}

/// The same of 32 elements, all of them in registers.
template <class U>
[[maybe_unused]] inline typename U::V largest_lanes_of_32(const typename U::T* x) {
  constexpr std::size_t lanes = U::kLanes, vectors = 32 / lanes;
  typename U::V a[vectors];
  for (std::size_t i = 0; i < vectors; ++i) a[i] = U::load(x + i * lanes);
  for (std::size_t step = vectors / 2; step; step /= 2)
    for (std::size_t i = 0; i < step; ++i) a[i] = U::max(a[i], a[i + step]);
  return a[0];
}

template <class U>
[[maybe_unused]] inline float largest(const typename U::T* x, std::size_t len) {
  if (len >= U::kLanes) return U::value(U::reduce(largest_lanes<U>(x, len)));
  typename U::Word most = 0;
  for (std::size_t j = 0; j < len; ++j) {
    const typename U::Word m = U::load1(x + j);
    most = m > most ? m : most;
  }
  return U::value(most);
}

[[maybe_unused]] inline float absmax_of_1(const float* x, std::size_t len) {
  return largest<Magnitudes32>(x, len);
}
[[maybe_unused]] inline float absmax_of_1(const f16* x, std::size_t len) {
  return largest<Magnitudes16>(x, len);
}

/// Four runs of len >= U::kLanes: two steps of pairwise maxima leave the lanes of run i side by
/// side, from lane i*U::kLanes/4 on.
template <class U>
[[maybe_unused]] inline typename U::V largest_of_4(const typename U::T* x, std::size_t len) {
  typename U::V m[4];
  if (len == 32) {
    for (std::size_t i = 0; i < 4; ++i) m[i] = largest_lanes_of_32<U>(x + i * 32);
  } else {
    for (std::size_t i = 0; i < 4; ++i) m[i] = largest_lanes<U>(x + i * len, len);
  }
  return U::pairs(U::pairs(m[0], m[1]), U::pairs(m[2], m[3]));
}

/// The absmax of four runs of len >= 4 elements; lane i for run i.
[[maybe_unused]] inline float32x4_t absmax_of_4(const float* x, std::size_t len) {
  return vreinterpretq_f32_u32(largest_of_4<Magnitudes32>(x, len));
}

// ---- integers and floats, without FCVT and SCVTF, which have half the rate of FADD or less

constexpr float kMagic = 0x1.8p23f;  // plus an integer: its low bits

/// The nearest integers, ties to even, as low bits of the sums with a number so large that they
/// keep no fraction. |v| < 2^22 (other values give an unspecified integer).
[[maybe_unused]] inline int32x4_t nearest(float32x4_t v) {
  return vreinterpretq_s32_f32(vaddq_f32(v, vdupq_n_f32(kMagic)));
}

/// The low bytes of sixteen integers.
[[maybe_unused]] inline int8x16_t low_bytes(int32x4_t a, int32x4_t b, int32x4_t c, int32x4_t d) {
  const int16x8_t ab = vuzp1q_s16(vreinterpretq_s16_s32(a), vreinterpretq_s16_s32(b));
  const int16x8_t cd = vuzp1q_s16(vreinterpretq_s16_s32(c), vreinterpretq_s16_s32(d));
  return vuzp1q_s8(vreinterpretq_s8_s16(ab), vreinterpretq_s8_s16(cd));
}

/// Sixteen codes as floats: SADDW adds each to the bits of kMagic, and FSUB takes that away.
struct Floats16 {
  float32x4_t v[4];
  explicit Floats16(int8x16_t codes) {
    const int16x8_t low = vmovl_s8(vget_low_s8(codes)), high = vmovl_high_s8(codes);
    const int32x4_t magic = vdupq_n_s32(0x4b400000);
    const auto value = [](int32x4_t sum) {
      return vsubq_f32(vreinterpretq_f32_s32(sum), vdupq_n_f32(kMagic));
    };
    v[0] = value(vaddw_s16(magic, vget_low_s16(low)));
    v[1] = value(vaddw_high_s16(magic, low));
    v[2] = value(vaddw_s16(magic, vget_low_s16(high)));
    v[3] = value(vaddw_high_s16(magic, high));
  }
};

}  // namespace
}  // namespace qb
