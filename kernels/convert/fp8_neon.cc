// SPDX-License-Identifier: Apache-2.0
// 8-bit floats, NEON (armv8-a; core/fp8.h says how rounding works). A byte becomes a half, whose
// conversion is baseline and ignores FPCR.FZ; of E4M3 the half is 1/256 of the value.
#include "convert/neon.h"

#include "core/scalar_fp8.h"

namespace qb::convert {
namespace {

inline void store(float* p, float32x4_t v) {
  vst1q_u8(reinterpret_cast<std::uint8_t*>(p), vreinterpretq_u8_f32(v));
}

inline void eight(const e5m2* x, float* y) {
  const uint8x8_t bytes = vld1_u8(reinterpret_cast<const std::uint8_t*>(x));
  const float16x8_t half = vreinterpretq_f16_u16(vshll_n_u8(bytes, 8));
  store(y, vcvt_f32_f16(vget_low_f16(half)));
  store(y + 4, vcvt_high_f32_f16(half));
}

inline void eight(const e4m3* x, float* y) {
  const uint8x8_t bytes = vld1_u8(reinterpret_cast<const std::uint8_t*>(x));
  const uint16x8_t magnitude = vshll_n_u8(vand_u8(bytes, vdup_n_u8(0x7f)), 7);
  const uint16x8_t nan = vceqq_u16(magnitude, vdupq_n_u16(0x3f80));
  const uint16x8_t quiet = vbslq_u16(nan, vdupq_n_u16(0x7e00), magnitude);
  const uint16x8_t sign = vshll_n_u8(vand_u8(bytes, vdup_n_u8(0x80)), 8);
  const float16x8_t half = vreinterpretq_f16_u16(vorrq_u16(quiet, sign));
  store(y, vmulq_n_f32(vcvt_f32_f16(vget_low_f16(half)), 256));
  store(y + 4, vmulq_n_f32(vcvt_high_f32_f16(half), 256));
}

inline uint32x4_t nan_code(uint32x4_t, e4m3) { return vdupq_n_u32(0x7f); }
/// E5M2 keeps the top bit of a payload.
inline uint32x4_t nan_code(uint32x4_t bits, e5m2) {
  return vorrq_u32(vshrq_n_u32(bits, 21), vdupq_n_u32(2));
}

/// Codes in the low bytes of the lanes, something above them.
template <class T>
inline uint32x4_t code(uint32x4_t bits) {
  using Format = Fp8<T>;
  const uint32x4_t magnitude = vandq_u32(bits, vdupq_n_u32(0x7fffffffu));
  const uint32x4_t a = vminq_u32(magnitude, vdupq_n_u32(Format::kCap));
  const uint32x4_t larger = vmaxq_u32(a, vdupq_n_u32(Format::kLeast));
  // The offset comes in units of the sum's last place.
  const uint32x4_t t =
      vorrq_u32(vandq_u32(larger, vdupq_n_u32(kExponentBits)), vdupq_n_u32(Format::kOffset));
  const float32x4_t up = vdupq_n_f32(float(1u << Format::kUp));
  const float32x4_t sum = vfmaq_f32(vreinterpretq_f32_u32(a), vreinterpretq_f32_u32(t), up);
  const uint32x4_t number = vsraq_n_u32(vreinterpretq_u32_f32(sum), t, Format::kShift);
  const uint32x4_t nan = vcgtq_u32(magnitude, vdupq_n_u32(kExponentBits));
  const uint32x4_t either = vbslq_u32(nan, nan_code(bits, T{}), number);
  return vbslq_u32(vdupq_n_u32(0x80), vshrq_n_u32(bits, 24), either);
}

template <class T>
inline void eight(const float* x, T* y) {
  const uint16x8_t words = vuzp1q_u16(vreinterpretq_u16_u32(code<T>(load32(x))),
                                      vreinterpretq_u16_u32(code<T>(load32(x + 4))));
  vst1_u8(reinterpret_cast<std::uint8_t*>(y), vmovn_u16(words));
}

inline void one(e4m3 x, float* y) { *y = e4m3_to_f32(x); }
inline void one(float x, e4m3* y) { *y = f32_to_e4m3(x); }
inline void one(e5m2 x, float* y) { *y = e5m2_to_f32(x); }
inline void one(float x, e5m2* y) { *y = f32_to_e5m2(x); }

template <class In, class Out>
inline void run(const In* x, std::size_t n, Out* y) {
  in_eights(
      x, n, y, [](const In* from, Out* to) { eight(from, to); },
      [](In from, Out* to) { one(from, to); });
}

}  // namespace

void convert_e4m3_f32_neon(const e4m3* x, std::size_t n, float* y) { run(x, n, y); }

void convert_f32_e4m3_neon(const float* x, std::size_t n, e4m3* y) { run(x, n, y); }

void convert_e5m2_f32_neon(const e5m2* x, std::size_t n, float* y) { run(x, n, y); }

void convert_f32_e5m2_neon(const float* x, std::size_t n, e5m2* y) { run(x, n, y); }

}  // namespace qb::convert
