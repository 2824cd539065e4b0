// SPDX-License-Identifier: Apache-2.0
// The formats of 4-bit codes that index a table, NEON (armv8-a): four blocks at a time.
//
//   quantize    A 4x4 transpose of floats. A code is the number of midpoints below, FCMGE and SUB
//               each; TBL looks up its value.
//   dequantize  TBL looks up the values as bytes; then as s4 (s4_neon.h).
#include "quantize/s4_neon.h"

#include "quantize/kernels.h"
#include "quantize/table_blocks.h"

namespace qb::quantize {
namespace {

/// Transposes 4 rows of 4 floats, kBlock apart, to columns 4 apart.
inline void transpose4x4(const float* x, float* columns) {
  const float32x4_t a = vld1q_f32(x), b = vld1q_f32(x + kBlock);
  const float32x4_t c = vld1q_f32(x + 2 * kBlock), d = vld1q_f32(x + 3 * kBlock);
  const float64x2_t ab_even = vreinterpretq_f64_f32(vtrn1q_f32(a, b));
  const float64x2_t ab_odd = vreinterpretq_f64_f32(vtrn2q_f32(a, b));
  const float64x2_t cd_even = vreinterpretq_f64_f32(vtrn1q_f32(c, d));
  const float64x2_t cd_odd = vreinterpretq_f64_f32(vtrn2q_f32(c, d));
  vst1q_f32(columns, vreinterpretq_f32_f64(vtrn1q_f64(ab_even, cd_even)));
  vst1q_f32(columns + 4, vreinterpretq_f32_f64(vtrn1q_f64(ab_odd, cd_odd)));
  vst1q_f32(columns + 8, vreinterpretq_f32_f64(vtrn2q_f64(ab_even, cd_even)));
  vst1q_f32(columns + 12, vreinterpretq_f32_f64(vtrn2q_f64(ab_odd, cd_odd)));
}

struct Vectors {
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
  static void nearest(F v, const TableOf16& table, I& code, F& value) {
    code = words(0);
    for (int i = 0; i < 15; ++i) code = plus_where(code, less_equal(set(table.middles[i]), v), 1);
    // The bytes above the low one look up T[0]; the shifts drop them.
    const int8x16_t found = vqtbl1q_s8(vld1q_s8(table.bytes), vreinterpretq_u8_u32(code));
    const int32x4_t top = vshlq_n_s32(vreinterpretq_s32_s8(found), 24);
    value = vcvtq_f32_s32(vshrq_n_s32(top, 24));
  }
  static void transpose(const float* x, float* columns) {
    for (std::size_t j = 0; j < kBlock; j += 4) transpose4x4(x + j, columns + 4 * j);
  }
  static float widened(f16 h) { return qb::widened(h); }
  static f16 narrowed(float v) { return qb::narrowed(v); }
  template <bool kStream>
  static void decode(const std::uint8_t* qs, const TableOf16& table, float scale, float* y) {
    const uint8x16_t codes = vld1q_u8(qs);
    const int8x16_t values = vld1q_s8(table.bytes);
    scaled(vqtbl1q_s8(values, vandq_u8(codes, vdupq_n_u8(15))), scale, y);
    scaled(vqtbl1q_s8(values, vshrq_n_u8(codes, 4)), scale, y + kBlock / 2);
  }
  static bool streams(const float*, std::size_t, std::size_t) { return false; }
  static void fence() {}
};

}  // namespace

QB_TABLE_FORMATS(QB_TABLE_KERNELS, )

}  // namespace qb::quantize
