// SPDX-License-Identifier: Apache-2.0
// Four groups at a time, NEON (quantize/lanes.h).
//
// In an anonymous namespace on purpose (docs/decisions/0002-odr.md).
#pragma once

#include "quantize/lanes.h"
#include "quantize/s4_neon.h"

namespace qb::quantize {
namespace {

/// Transposes 4 rows of 4 floats, len apart, to columns stride apart.
inline void transpose4x4(const float* x, std::size_t len, float* columns, std::size_t stride) {
  const float32x4_t a = vld1q_f32(x), b = vld1q_f32(x + len);
  const float32x4_t c = vld1q_f32(x + 2 * len), d = vld1q_f32(x + 3 * len);
  const float64x2_t ab_even = vreinterpretq_f64_f32(vtrn1q_f32(a, b));
  const float64x2_t ab_odd = vreinterpretq_f64_f32(vtrn2q_f32(a, b));
  const float64x2_t cd_even = vreinterpretq_f64_f32(vtrn1q_f32(c, d));
  const float64x2_t cd_odd = vreinterpretq_f64_f32(vtrn2q_f32(c, d));
  vst1q_f32(columns, vreinterpretq_f32_f64(vtrn1q_f64(ab_even, cd_even)));
  vst1q_f32(columns + stride, vreinterpretq_f32_f64(vtrn1q_f64(ab_odd, cd_odd)));
  vst1q_f32(columns + 2 * stride, vreinterpretq_f32_f64(vtrn2q_f64(ab_even, cd_even)));
  vst1q_f32(columns + 3 * stride, vreinterpretq_f32_f64(vtrn2q_f64(ab_odd, cd_odd)));
}

struct Lanes {
  using F = float32x4_t;
  using I = uint32x4_t;
  using M = uint32x4_t;
  static constexpr std::size_t kMostLanes = 4;
  static constexpr std::size_t lanes() { return 4; }
  static F set(float v) { return vdupq_n_f32(v); }
  static F load(const float* p) { return vld1q_f32(p); }
  static F absolute(F v) { return vabsq_f32(v); }
  static F add(F a, F b) { return vaddq_f32(a, b); }
  static F multiply(F a, F b) { return vmulq_f32(a, b); }
  static F divide(F a, F b) { return vdivq_f32(a, b); }
  static F subtract(F a, F b) { return vsubq_f32(a, b); }
  static F square_root(F v) { return vsqrtq_f32(v); }
  static F larger(F a, F b) { return vmaxnmq_f32(a, b); }
  static F smaller(F a, F b) { return vminnmq_f32(a, b); }
  static M both(M a, M b) { return vandq_u32(a, b); }
  static bool any(M m) { return vmaxvq_u32(m) != 0; }
  static M less(F a, F b) { return vcltq_f32(a, b); }
  static M less_equal(F a, F b) { return vcleq_f32(a, b); }
  static F select(M m, F a, F b) { return vbslq_f32(m, a, b); }
  static I words(std::uint32_t v) { return vdupq_n_u32(v); }
  static I load(const std::uint32_t* p) { return vld1q_u32(p); }
  static void store(std::uint32_t* p, I v) { vst1q_u32(p, v); }
  static void store(float* p, F v) { vst1q_f32(p, v); }
  static I any_of(I a, I b) { return vorrq_u32(a, b); }
  static I bits(F v) { return vreinterpretq_u32_f32(v); }
  static F floats(I v) { return vreinterpretq_f32_u32(v); }
  template <int n>
  static I shift_left(I v) {
    return vshlq_n_u32(v, n);
  }
  template <int n>
  static I shift_right(I v) {
    return vshrq_n_u32(v, n);
  }
  static I minus(I a, I b) { return vsubq_u32(a, b); }
  static I largest(I a, I b) {
    return vreinterpretq_u32_s32(vmaxq_s32(vreinterpretq_s32_u32(a), vreinterpretq_s32_u32(b)));
  }
  static I plus_where(I n, M m, std::uint32_t k) {
    return k == 1 ? vsubq_u32(n, m) : vaddq_u32(n, vandq_u32(m, words(k)));
  }
  static I only_where_not(M m, I n) { return vbicq_u32(n, m); }
  static float widened(f16 h) { return qb::widened(h); }
  static f16 narrowed(float v) { return qb::narrowed(v); }
  static void transpose(const float* x, std::size_t len, float* columns, std::size_t stride) {
    for (std::size_t j = 0; j < len; j += 4) transpose4x4(x + j, len, columns + stride * j, stride);
  }
  static F from_bytes(const std::int8_t* p, std::size_t) {
    std::int32_t four;
    __builtin_memcpy(&four, p, sizeof four);
    const int16x8_t words16 = vmovl_s8(vreinterpret_s8_s32(vdup_n_s32(four)));
    return vcvtq_f32_s32(vmovl_s16(vget_low_s16(words16)));
  }
  static void scaled8(std::uint64_t eight, float factor, float* to) {
    const int16x8_t codes = vmovl_s8(vcreate_s8(eight));
    vst1q_f32(to, vmulq_n_f32(vcvtq_f32_s32(vmovl_s16(vget_low_s16(codes))), factor));
    vst1q_f32(to + 4, vmulq_n_f32(vcvtq_f32_s32(vmovl_high_s16(codes)), factor));
  }
  static F multiply_add(F a, F b, F c) { return vfmaq_f32(c, a, b); }

  using Bytes = uint8x16_t;
  static constexpr std::size_t kBytes = 16;
  static Bytes load_bytes(const std::uint8_t* p) { return vld1q_u8(p); }
  static void store_bytes(std::int8_t* p, Bytes v) { vst1q_s8(p, vreinterpretq_s8_u8(v)); }
  static Bytes masked(Bytes v, std::uint8_t m) { return vandq_u8(v, vdupq_n_u8(m)); }
  static Bytes joined(Bytes a, Bytes b) { return vorrq_u8(a, b); }
  static Bytes lowered(Bytes v, std::uint8_t by) { return vsubq_u8(v, vdupq_n_u8(by)); }
  template <int n>
  static Bytes left(Bytes v) {
    return vshlq_n_u8(v, n);
  }
  template <int n>
  static Bytes right(Bytes v) {
    return vshrq_n_u8(v, n);
  }
  static Bytes bytes_of_table(const std::int8_t* table, Bytes index) {
    return vreinterpretq_u8_s8(vqtbl1q_s8(vld1q_s8(table), index));
  }
  static void store_eights(std::int8_t* p, std::size_t j, Bytes low, Bytes high) {
    const uint64x2_t a = vreinterpretq_u64_u8(low), b = vreinterpretq_u64_u8(high);
    store_bytes(p + 2 * j, vreinterpretq_u8_u64(vzip1q_u64(a, b)));
    store_bytes(p + 2 * j + 16, vreinterpretq_u8_u64(vzip2q_u64(a, b)));
  }
  static Bytes where_clear(const std::uint8_t* bits, std::size_t at, std::uint8_t v) {
    const std::uint8_t* const two = bits + at / 8;
    const uint8x16_t spread = vcombine_u8(vdup_n_u8(two[0]), vdup_n_u8(two[1]));
    const uint8x16_t bit = vreinterpretq_u8_u64(vdupq_n_u64(0x8040201008040201u));
    return vbicq_u8(vdupq_n_u8(v), vtstq_u8(spread, bit));
  }

  /// The code whose value is nearest to v, a midpoint going up, and that value.
  static void nearest(F v, const TableOf16& table, I& code, F& value) {
    code = words(0);
    for (int i = 0; i < 15; ++i) code = plus_where(code, less_equal(set(table.middles[i]), v), 1);
    // The bytes above the low one look up T[0]; the shifts drop them.
    const int8x16_t found = vqtbl1q_s8(vld1q_s8(table.bytes), vreinterpretq_u8_u32(code));
    const int32x4_t top = vshlq_n_s32(vreinterpretq_s32_s8(found), 24);
    value = vcvtq_f32_s32(vshrq_n_s32(top, 24));
  }
  static I byte_words(const std::uint8_t* p, std::size_t) {
    std::uint32_t four;
    __builtin_memcpy(&four, p, sizeof four);
    const uint16x8_t words16 = vmovl_u8(vreinterpret_u8_u32(vdup_n_u32(four)));
    return vmovl_u16(vget_low_u16(words16));
  }
  static I low_nibbles(I v) { return vandq_u32(v, words(15)); }
  static F to_floats(I v) { return vcvtq_f32_u32(v); }
  template <bool kStream>
  static void put(float* p, F v, std::size_t) {
    vst1q_f32(p, v);
  }
  static bool streams(const float*, std::size_t, std::size_t) { return false; }
  static void fence() {}
};

}  // namespace
}  // namespace qb::quantize
